"""The same tokens from servers of several shapes are the same completions."""

from typing import Any

import pytest
from shaped_servers import (
    PROMPT_TOKENS,
    TEXT,
    TOKENS,
    LlamaShaped,
    ShapedServer,
    TransformersShaped,
    VLLMShaped,
)

from potstill.errors import ModelError
from potstill.models.openai.model import OpenAIModel
from potstill.models.openai.trusted_positions import by_text
from potstill.models.settings import OpenAISettings
from potstill.records import Completion, Request

ALL: list[type[ShapedServer]] = [VLLMShaped, LlamaShaped, TransformersShaped]
LISTING: list[type[ShapedServer]] = [VLLMShaped, LlamaShaped]


def ask(kind: type[ShapedServer], *, chat: bool = True, **fields: Any) -> list[Completion]:
    with kind() as server:
        settings = OpenAISettings(
            model="openai:m", base_url=server.url, api_key_env=None, chat=chat, retries=0
        )
        request = Request(prompt="How many?", **fields)
        found = list(OpenAIModel(settings).complete([request]))
    return sorted(found, key=lambda completion: completion.sample)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize(
    ("fields", "text", "reason", "tokens"),
    [
        ({}, TEXT, "stop", len(TOKENS)),
        ({"max_tokens": 4}, "Ana has 3 pens", "length", 4),
        ({"stop": ("\n",)}, "Ana has 3 pens.", "stop", 6),
        ({"stop": ("\nQ:", "Q:")}, TEXT.partition("Q:")[0].rstrip("\n"), "stop", 16),
    ],
)
def test_texts_ends_and_counts(
    kind: type[ShapedServer],
    chat: bool,
    fields: dict[str, Any],
    text: str,
    reason: str,
    tokens: int,
) -> None:
    [found] = ask(kind, chat=chat, **fields)
    if fields.get("stop") == ("\nQ:", "Q:") and kind is not TransformersShaped:
        text = TEXT.partition("\nQ:")[0]
    assert (found.text, found.finish_reason) == (text, reason)
    assert (found.prompt_tokens, found.completion_tokens) == (PROMPT_TOKENS, tokens)


@pytest.mark.parametrize("kind", LISTING)
@pytest.mark.parametrize("begun", ["Ana has", "Ana has 3 pens.\n"])
def test_a_begun_answer_is_gone_on_with(kind: type[ShapedServer], begun: str) -> None:
    [found] = ask(kind, answer_prefix=begun)
    assert found.text == TEXT[len(begun) :]
    [step] = ask(kind, answer_prefix=begun, max_tokens=1)
    assert begun + step.text == "Ana has 3" or begun + step.text == "Ana has 3 pens.\nHere"


@pytest.mark.parametrize("kind", ALL)
def test_the_tokens_of_several_samples_are_all_counted(kind: type[ShapedServer]) -> None:
    found = ask(kind, samples=(0, 1, 2), temperature=1.0, max_tokens=13)
    assert [completion.sample for completion in found] == [0, 1, 2]
    assert sum(completion.completion_tokens for completion in found) == 3 * 13


def spelled(found: Completion) -> bytes:
    record = found.logprobs
    assert record is not None and record.lengths is not None
    rows = record.lengths.sum(axis=1, dtype=int)
    starts = rows.cumsum() - rows
    return b"".join(
        record.token_bytes[start : start + length]
        for start, length in zip(starts, record.lengths[:, 0].astype(int), strict=True)
    )


@pytest.mark.parametrize("kind", LISTING)
@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("stop", [(), ("\n\n",), ("\nX", "one.\n")])
def test_tokens_spell_the_text_and_only_a_character_in_pieces_goes_by_it(
    kind: type[ShapedServer], chat: bool, stop: tuple[str, ...]
) -> None:
    [found] = ask(kind, chat=chat, stop=stop, top_logprobs=3)
    text = found.text.encode()
    assert spelled(found).startswith(text)
    assert by_text(found.logprobs) == 1
    assert found.logprobs is not None
    known = found.logprobs.logprobs[found.logprobs.logprobs[:, 0] > -10, 0].tolist()
    pieces = 3 if kind is LlamaShaped else 1
    listed = 14 if "one.\n" in stop else len(TOKENS)
    places = [place for place in range(listed) if not 10 - pieces <= place < 10]
    assert known == pytest.approx([-0.1 - place / 64 for place in places], abs=1e-6)


@pytest.mark.parametrize("begun", ["Ana has", "Ana has 3 pens.\n"])
@pytest.mark.parametrize("kind", LISTING)
def test_tokens_after_a_begun_answer_are_those_of_the_rest(
    kind: type[ShapedServer], begun: str
) -> None:
    [found] = ask(kind, answer_prefix=begun, top_logprobs=3)
    assert spelled(found) == found.text.encode() == TEXT[len(begun) :].encode()


def test_what_transformers_serve_has_not_is_said() -> None:
    with pytest.raises(ModelError, match="gives no token probabilities"):
        ask(TransformersShaped, top_logprobs=3)
    [found] = ask(TransformersShaped, answer_prefix="Ana")
    assert "Unexpected fields" in str(found.error)
