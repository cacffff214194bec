"""Probabilities at positions whose name is not the token's own."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loopback import Loopback

from potstill.errors import ModelError
from potstill.guide.uncertainty import signals_of
from potstill.models.openai.logprobs import trusted_logprobs, trusted_logprobs_of_each
from potstill.models.openai.model import OpenAIModel
from potstill.models.openai.trusted_positions import by_text
from potstill.models.settings import OpenAISettings
from potstill.records import Completion, Request, TokenLogprobs
from potstill.runtime import Runtime
from potstill.runtime.events import EventLog

Named = tuple[str | bytes, float] | tuple[str | bytes, float, int]
"""A token's name (a text stands for itself and for its bytes), its log-probability, and its id."""


def one(named: Named, *, told: bool = True) -> dict[str, Any]:
    name, logprob, *id_ = named
    data = name.encode() if isinstance(name, str) else name
    entry: dict[str, Any] = {"token": data.decode(errors="replace"), "logprob": logprob}
    if told:
        entry["bytes"] = list(data)
    return entry | ({"id": id_[0]} if id_ else {})


def position(chosen: Named, *others: Named, told: bool = True) -> dict[str, Any]:
    return {**one(chosen, told=told), "top_logprobs": [one(other, told=told) for other in others]}


def chosen_names(record: TokenLogprobs) -> list[bytes]:
    return [row[0] for row in names(record)]


def names(record: TokenLogprobs) -> list[list[bytes]]:
    assert record.lengths is not None
    rows, at = [], 0
    for lengths in record.lengths.tolist():
        row = []
        for length in lengths:
            row.append(record.token_bytes[at : at + length])
            at += length
        rows.append(row)
    return rows


def lost(record: TokenLogprobs) -> list[int]:
    """Positions without any probability."""
    return np.flatnonzero(~np.isfinite(record.logprobs).any(axis=1)).tolist()


@pytest.mark.parametrize("ids", [True, False])
def test_what_was_held_back_for_a_stop_string_gets_its_name_back(ids: bool) -> None:
    def named(name: str, logprob: float, id_: int) -> Named:
        return (name, logprob, id_) if ids else (name, logprob)

    listed = [
        position(named(" 10", -0.5, 1), named(" 10", -0.5, 1), named(" 12", -1.0, 2)),
        position(named("", -0.2, 3), named("\n", -0.2, 3), named(".", -1.9, 4)),
        position(named("\nB", -0.3, 5), named("B", -0.3, 5), named("C", -1.5, 6)),
        position(named(":", -0.1, 7), named(":", -0.1, 7), named(" ", -2.5, 8)),
    ]
    record = trusted_logprobs(listed, " 10\nB:", 2)
    assert names(record) == [[b" 10", b" 10", b" 12"], [b"\n", b"\n", b"."], [b"B", b"B", b"C"],
                             [b":", b":", b" "]]  # fmt: skip
    assert (lost(record), by_text(record)) == ([], 0)


def test_several_held_back_tokens_get_their_names_back() -> None:
    listed = [
        position(("", -0.1), ("\n", -0.1), ("!", -3.0)),
        position(("", -0.2), ("\n ", -0.2), ("!", -3.5)),
        position(("\n\n Q", -0.3), ("Q", -0.3), ("A", -2.0)),
    ]
    record = trusted_logprobs(listed, "\n\n Q", 2)
    assert chosen_names(record) == [b"\n", b"\n ", b"Q"]
    assert lost(record) == []


@pytest.mark.parametrize(
    "candidates",
    [
        [("B", -0.3), ("C", -1.5)],  # the held-back one is not told among several
        [("D", -0.1), ("C", -1.5)],  # the chosen one is none of the candidates
    ],
)
def test_what_cannot_be_told_goes_back_to_the_text(candidates: Sequence[Named]) -> None:
    listed = [
        position(("", -0.2), ("\n", -0.2), ("\n\n", -0.2)),
        position(("\nB", -0.3), *candidates),
        position((":", -0.1), (":", -0.1), (" ", -2.5)),
    ]
    record = trusted_logprobs(listed, "\nB:", 2)
    assert chosen_names(record) == [b"", b"\nB", b":"]
    assert by_text(record) == 1 and 1 in lost(record) and 2 not in lost(record)


def test_a_lone_name_longer_than_its_candidates_goes_back_to_the_text() -> None:
    """llama.cpp lists only the last token of a character of several, named as the whole."""
    listed = [
        position(("🤖", -0.01, 240), (b"\x96", -0.01, 240), (b"\x97", -4.9, 241)),
        position((" ok", -0.5, 7), (" ok", -0.5, 7), (" no", -1.5, 8)),
    ]
    for without in (False, True):
        if without:
            for entry in (*listed, *(other for each in listed for other in each["top_logprobs"])):
                del entry["id"]
        record = trusted_logprobs(listed, "🤖 ok", 2)
        assert chosen_names(record) == ["🤖".encode(), b" ok"]
        assert (lost(record), by_text(record)) == ([0], 1)


def test_nameless_pieces_of_a_character_take_its_probabilities_along() -> None:
    """vLLM names only the last of a character's tokens, as the whole, on both routes."""
    listed = [
        position(("", -0.8), ("", -0.8), ("\n", -2.3)),
        position(("", -1.5), ("", -1.5), ("", -2.1)),
        position((" 🤖", -0.02), (" 🤖", -0.02), (" 🤗", -5.1)),
        position((" ok", -0.5), (" ok", -0.5), (" no", -1.5)),
        position(("", -0.1), ("", -0.1), (".", -2.5)),
    ]
    record = trusted_logprobs(listed, " 🤖 ok", 2)
    assert (lost(record), by_text(record)) == ([2], 1)
    assert b"".join(chosen_names(record)).decode() == " 🤖 ok"


def test_a_whole_character_among_candidates_that_go_on_within_one_is_none_of_them() -> None:
    listed = [
        position(
            ("🤖", -6.0), (b"\x96", -0.01), (b"\x97", -4.9)
        ),  # llama.cpp: the rest is left out
        position((b"\xf0\x9f", -0.3), (b"\xf0\x9f", -0.3), ("a", -2.0)),
        position((b"\xa4\x95", -6.0), (b"\xa4\x96", -0.01), (b"\xa4\x97", -4.9)),
    ]
    record = trusted_logprobs(listed, "🤖🤕", 2)
    assert lost(record) == [0]
    assert b"".join(chosen_names(record)).decode() == "🤖🤕"


def test_a_special_token_without_a_name_costs_its_neighbour_nothing() -> None:
    listed = [position(("", -0.1), ("", -0.1), ("x", -3.0)),
              position(("Yes", -0.2), ("Yes", -0.2), ("No", -2.0))]  # fmt: skip
    assert lost(trusted_logprobs(listed, "Yes", 2)) == []


def test_ties_and_tokens_beyond_the_candidates_are_left_alone() -> None:
    listed = [
        position(("To", -2.29), ("An", -2.29), ("To", -2.29)),
        position((" go", -9.0), (" a", -0.1), (" b", -2.0)),
        position((" cat", -2.0), (" a", -0.1), (" dog", -2.0)),
    ]
    record = trusted_logprobs(listed, "To go cat", 2)
    assert lost(record) == []
    assert record.logprobs[:, 0].tolist() == pytest.approx([-2.29, -9.0, -2.0])


def test_pieces_named_by_a_replacement_character_get_the_bytes_of_the_text() -> None:
    listed = [
        position(("so", -0.1), ("so", -0.1), told=False),
        position((b" \xff", -0.2), (b"\xff", -0.2), told=False),
        position((b"\xff", -0.3), (b"\xff", -0.3), told=False),
        position((" is", -0.4), (" is", -0.4), told=False),
        position((b"\xff", -0.5), ("a", -0.6), told=False),
    ]
    record = trusted_logprobs(listed, "so 😀 is é", 1)
    assert chosen_names(record) == [b"so", b"", " 😀".encode(), b" is", " é".encode()]
    assert (lost(record), by_text(record)) == ([1, 2, 4], 2)


def test_a_replacement_character_that_is_written_is_one() -> None:
    listed = [position(("\ufffd", -0.2), ("\ufffd", -0.2)), position((" a", -0.3), (" a", -0.3))]
    assert lost(trusted_logprobs(listed, "\ufffd a", 1)) == []


def test_pieces_named_by_their_byte_are_that_byte() -> None:
    listed = [position((name, -0.1), (name, -0.1), ("x", -3.0), told=False)
              for name in ("<0xC3>", "<0xA9>", "!")]  # fmt: skip
    record = trusted_logprobs(listed, "é!", 2)
    assert chosen_names(record) == [b"\xc3", b"\xa9", b"!"]
    assert lost(record) == []


def test_each_of_several_completions_is_looked_at_for_itself() -> None:
    good = [position((" 5", -0.5), (" 5", -0.5), (" 6", -1.5))]
    bad = [position(("🤖", -0.01), (b"\x96", -0.01), (b"\x97", -4.9))]
    first, second, third = trusted_logprobs_of_each([good, bad, good], [" 5", "🤖", " 5"], 2)
    assert [by_text(record) for record in (first, second, third)] == [0, 1, 0]
    assert names(first) == names(third) == [[b" 5", b" 5", b" 6"]]


# asked of a server -------------------------------------------------------------------------------


def ask(listed: list[dict[str, Any]], text: str, **fields: Any) -> Completion:
    choice = {"message": {"content": text}, "finish_reason": "stop",
              "logprobs": {"content": listed}}  # fmt: skip
    with Loopback(lambda body: [choice]) as server:
        settings = OpenAISettings(model="openai:m", base_url=server.url, api_key_env=None)
        request = Request(prompt="?", top_logprobs=1, **fields)
        [found] = OpenAIModel(settings).complete([request])
    return found


@pytest.mark.parametrize("token", ["token_id:35", 35])
def test_tokens_named_by_ids_end_the_asking(token: object) -> None:
    entry = {"token": token, "logprob": -0.5, "bytes": None}
    with pytest.raises(ModelError, match=r"names tokens by their ids.*return_tokens_as_token_ids"):
        ask([{**entry, "top_logprobs": [entry]}], "5")


def test_probabilities_end_with_the_stop_string_that_the_server_goes_beyond() -> None:
    listed = [position((name, -0.1), (name, -0.1)) for name in ("so", " 5", "\n", "Q", ":", " 6")]
    found = ask(listed, "so 5\nQ: 6", stop=("\nQ",))
    assert found.logprobs is not None
    assert (found.text, chosen_names(found.logprobs)) == ("so 5", [b"so", b" 5", b"\n", b"Q"])


def test_doubt_is_read_from_the_positions_that_have_probabilities() -> None:
    listed = [position(("🤖", -0.01), (b"\x96", -0.01)), position((" ok", -0.5), (" ok", -0.5))]
    signals = signals_of(ask(listed, "🤖 ok"))
    assert signals.min_logprob == pytest.approx(0.5)
    assert signals.mean_logprob == pytest.approx(0.5)
    assert math.isfinite(signals.entropy)


def test_the_log_counts_what_goes_by_the_text(tmp_path: Path) -> None:
    listed = [position(("🤖", -0.01), (b"\x96", -0.01)), position((" ok", -0.5), (" ok", -0.5))]
    choice = {"message": {"content": "🤖 ok"}, "finish_reason": None,
              "logprobs": {"content": listed}}  # fmt: skip
    runtime = Runtime(events=EventLog(tmp_path / "log.jsonl"))
    with Loopback(lambda body: [choice]) as server:
        settings = OpenAISettings(model="openai:m", base_url=server.url, api_key_env=None)
        requests = [Request(prompt=str(number), top_logprobs=1) for number in range(3)]
        list(OpenAIModel(settings, runtime).complete(requests))
    runtime.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    counts = {line["event"]: line["count"] for line in lines if "count" in line}
    assert counts == {"no_finish_reason": 3, "untrusted_positions": 3}
