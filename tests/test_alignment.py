"""Teacher probabilities carried to other tokenizers: spans, groups, conservation, real data."""

import importlib
import json
import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import byte_level_tokenizer, metaspace_tokenizer
from transformers import PreTrainedTokenizerBase

from potstill.papers.time_warping import edit_distance, warp, warped_targets
from potstill.records import SoftTargets, TeacherSpan, TokenLogprobs
from potstill.train.alignment import Vocabulary, align, named_by_bytes, soft_targets
from potstill.train.alignment.normalizer import NormalizerMap, matched_ends

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
NAMES = ("gpt2", "t5-small", "llama2", "cl100k", "qwen2", "mistral", "sentencepiece_small")
"""One or two of every kind; the benchmark reads one more."""

ODD_TEXTS = (
    "Emoji 👍🏽 and 👨‍👩‍👧, then 漢字かな交じり文。 1234567 and ½ cup",
    "cafe\u0301 na\u0308ive 가각 \u1112\u1161\u11ab",
    "  two  spaces\n\nand lines\n\t tabbed \n",
    "$12.50/3 = 4.1666…",
)
Steps = Sequence[Sequence[tuple[bytes, float]]]


@cache
def loaded(folder: Path, name: str) -> tuple[PreTrainedTokenizerBase, Vocabulary]:
    """A published tokenizer; read once for all tests."""
    tokenizer_files = importlib.import_module("tokenizer_files")
    if name not in ("gpt2", "t5-small", "qwen2") and not tokenizer_files.READERS_INSTALLED:
        pytest.skip("sentencepiece, tiktoken and protobuf are not installed")
    tokenizer = tokenizer_files.READERS[name](folder / "tokenizers" / name)
    return tokenizer, Vocabulary(tokenizer)


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def ids_of(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def record(steps: Steps) -> TokenLogprobs:
    """Token probabilities from the chosen token and the likeliest ones at each position."""
    width = max(len(step) for step in steps)
    rows = [[*step, *[(b"", 0.0)] * (width - len(step))] for step in steps]
    with np.errstate(divide="ignore"):
        logprobs = np.log([[p for _, p in row] for row in rows]).astype(np.float32)
    return TokenLogprobs(
        logprobs=logprobs,
        token_bytes=b"".join(name for row in rows for name, _ in row),
        lengths=np.array([[len(name) for name, _ in row] for row in rows], np.uint16),
    )


def span(text: str, steps: Steps) -> TeacherSpan:
    return TeacherSpan(tokens=record(steps), start=0, end=len(text.encode()), shift=0)


def candidates(targets: SoftTargets, at: int) -> dict[int, float]:
    pairs = zip(targets.ids[at].tolist(), targets.probabilities[at].tolist(), strict=True)
    return {token: probability for token, probability in pairs if token >= 0}


def check_conserved(targets: SoftTargets, ids: Sequence[int]) -> None:
    total = targets.probabilities.sum(axis=1, dtype=np.float64) + targets.tail
    assert np.abs(total - 1).max(initial=0) < 1e-6
    assert (targets.tail >= 0).all() and (targets.probabilities >= 0).all()
    assert (targets.probabilities[targets.ids < 0] == 0).all()
    assert (np.diff(targets.probabilities, axis=1) <= 0).all()
    for at, token in enumerate(ids):
        row = [one for one in targets.ids[at].tolist() if one >= 0]
        assert token in row and len(set(row)) == len(row)
        if not targets.soft[at]:
            assert candidates(targets, at) == {token: 1.0}


def rationales(folder: Path, count: int) -> list[str]:
    lines = (folder / "gsm8k" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["answer"] for line in Random(0).sample(lines, count)]


ends = st.sets(st.integers(1, 11)).map(lambda some: sorted({*some, 12}))


@given(teacher=ends, student=ends)
def test_groups_are_those_of_a_brute_force(teacher: list[int], student: list[int]) -> None:
    groups = align(teacher, student).tolist()
    expected, t0, s0 = [], 0, 0
    for byte in range(1, 13):
        if byte in teacher and byte in student:
            t1, s1 = (sum(end <= byte for end in side) for side in (teacher, student))
            expected.append([t0, t1, s0, s1])
            t0, s0 = t1, s1
    assert groups == expected
    assert align(student, teacher).tolist() == [[s0, s1, t0, t1] for t0, t1, s0, s1 in groups]


def test_tokenizations_of_different_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="end at byte 3, the student's at 4"):
        align([3], [4])
    assert align([], []).shape == (0, 4)


@pytest.mark.parametrize("name", NAMES)
def test_spans_partition_real_and_odd_texts(shared_data: Path, name: str) -> None:
    tokenizer, vocabulary = loaded(shared_data, name)
    for text in (*rationales(shared_data, 50), *ODD_TEXTS):
        ids = ids_of(tokenizer, text)
        spans, data = vocabulary.spans(text, ids), text.encode()
        assert spans[0, 0] == 0 and spans[-1, 1] == len(data)
        assert (spans[1:, 0] == spans[:-1, 1]).all() and (spans[:, 0] <= spans[:, 1]).all()
        for token, (start, end) in zip(ids, spans.tolist(), strict=True):
            said = vocabulary.bytes_of(token)
            if said and data.isascii():  # nothing but spaces may differ
                assert data[start:end].split() == said.split()


@pytest.mark.parametrize(
    ("text", "pieces", "expected"),
    [
        # The unknown token is the line break, not the letters up to the next "s".
        ("is\nIt s", [b" is", None, b"I", b"t", b" s"], [2, 3, 4, 5, 7]),
        ("\nA b", [b" ", None, b"A", b" b"], [0, 1, 2, 4]),
        # It holds all unknown characters up to a known one, or to where the next token is.
        ("a <<1 b", [b" a", b" ", None, b"1", b" b"], [1, 2, 4, 5, 7]),
        ("<<qu", [b" ", None, b"qu"], [0, 2, 4]),
        ("<<漢 b", [None, None, b" b"], [1, 5, 7]),
        ("a <", [b" a", None], [1, 3]),
    ],
)
def test_unknown_tokens_hold_the_unknown_characters(
    text: str, pieces: list[bytes | None], expected: list[int]
) -> None:
    known = {b" ", b"a", b"b", b"i", b"s", b"t", b"I", b"A", b"1"}
    assert matched_ends(text, pieces, NormalizerMap(None), known).tolist() == expected


def spans_of(vocabulary: Vocabulary, text: str, ids: list[int]) -> np.ndarray:
    spans = vocabulary.spans(text, ids)
    return spans[spans[:, 1] > spans[:, 0]]


@pytest.mark.parametrize("teacher_name", NAMES)
@pytest.mark.parametrize("student_name", NAMES)
def test_every_pair_of_tokenizers(shared_data: Path, teacher_name: str, student_name: str) -> None:
    teacher, teacher_words = loaded(shared_data, teacher_name)
    student, student_words = loaded(shared_data, student_name)
    random = np.random.default_rng(0)
    for text in (*rationales(shared_data, 3), *ODD_TEXTS):
        data, ids = text.encode(), ids_of(student, text)
        spans = spans_of(teacher_words, text, ids_of(teacher, text))
        drawn = random.dirichlet(np.ones(5), len(spans)).tolist()
        others = random.integers(0, len(teacher), (len(spans), 3)).tolist()
        steps = [
            [(data[start:end], p), *[(teacher_words.bytes_of(one) or b"", q)
                                     for one, q in zip(some, rest, strict=False)]]
            for (start, end), some, (p, *rest) in zip(spans.tolist(), others, drawn, strict=True)
        ]  # fmt: skip
        targets = soft_targets(text, ids, span(text, steps), student_words)
        check_conserved(targets, ids)
        filled = spans_of(student_words, text, ids)
        groups = align(spans[:, 1], filled[:, 1])
        single = groups[(np.diff(groups)[:, ::2] == 1).all(axis=1)]
        teachers, students = ({*map(tuple, side.tolist())} for side in (spans, filled))
        equal = teachers & students
        assert {*map(tuple, spans[single[:, 0]].tolist())} == equal
        assert {*map(tuple, filled[single[:, 2]].tolist())} == equal
        for at, place in enumerate(student_words.spans(text, ids).tolist()):
            assert targets.soft[at] or tuple(place) not in equal


@pytest.mark.parametrize("name", NAMES)
def test_a_student_with_the_same_tokens_gets_the_teachers_rows(
    shared_data: Path, name: str
) -> None:
    tokenizer, words = loaded(shared_data, name)
    random = np.random.default_rng(0)
    text = "Each of 12 hens lays 3 eggs, so 36 in all."
    ids = ids_of(tokenizer, text)
    said = [text.encode()[start:end] for start, end in words.spans(text, ids).tolist()]
    letters = [bytes([letter]) for letter in b"aeiou"]
    steps = [
        [(piece, 0.5), *zip([one for one in letters if one != piece],
                            random.dirichlet(np.ones(6))[:5] / 2, strict=False)]
        for piece in said
    ]  # fmt: skip
    targets = soft_targets(text, ids, span(text, steps), words)
    lead = min(at for at, piece in enumerate(said) if piece) + 1  # a space is put before these
    for at in range(lead, len(ids)):
        expected = {words.token_of(one): p for one, p in steps[at][1:]} | {ids[at]: 0.5}
        assert None not in expected
        assert candidates(targets, at) == pytest.approx(expected, rel=1e-5)


def test_one_to_many_is_the_chain_rule() -> None:
    vocabulary = Vocabulary(byte_level_tokenizer(257))  # bytes only
    steps = [[(b"ab", 0.6), (b"ab", 0.6), (b"ac", 0.3), (b"x", 0.08)]]
    ids = [vocabulary.token_of(bytes([byte])) or -1 for byte in b"abcx"]
    targets = soft_targets("ab", ids[:2], span("ab", steps), vocabulary)
    assert candidates(targets, 0) == pytest.approx({ids[0]: 0.9, ids[3]: 0.08})
    assert targets.tail[0] == pytest.approx(0.02)
    # After "a" there is 0.6 of "b", 0.3 of "c", and at most the tail's 0.02 of anything else.
    assert candidates(targets, 1) == pytest.approx({ids[1]: 0.6 / 0.92, ids[2]: 0.3 / 0.92})
    assert targets.tail[1] == pytest.approx(0.02 / 0.92)
    assert targets.soft.all()


def test_one_to_many_is_hard_where_an_alternative_ends_early() -> None:
    vocabulary = Vocabulary(byte_level_tokenizer(257))
    steps = [[(b"ab", 0.6), (b"a", 0.4)]]
    ids = [vocabulary.token_of(b"a") or -1, vocabulary.token_of(b"b") or -1]
    targets = soft_targets("ab", ids, span("ab", steps), vocabulary)
    assert targets.soft.tolist() == [True, False]
    assert candidates(targets, 0) == {ids[0]: 1.0}
    check_conserved(targets, ids)


def test_many_to_one_walks_the_chain() -> None:
    tokenizer = byte_level_tokenizer()
    vocabulary = Vocabulary(tokenizer)
    token = vocabulary.token_of(b" the")
    assert token is not None
    other, longer = vocabulary.token_of(b"x"), vocabulary.token_of(b" t")
    assert other is not None and longer is not None
    steps = [[(b" t", 0.5), (b"x", 0.4)], [(b"he", 0.8), (b"!", 0.1)]]
    targets = soft_targets(" the", [token], span(" the", steps), vocabulary)
    # " t" then "!" begins with the token " t"; the tails are 0.1 and half of 0.1.
    assert candidates(targets, 0) == pytest.approx({token: 0.4, other: 0.4, longer: 0.05})
    assert targets.tail[0] == pytest.approx(0.15)


def test_rounded_probabilities_are_scaled_and_the_chosen_token_stands_once() -> None:
    vocabulary = Vocabulary(byte_level_tokenizer(257))
    a, b = vocabulary.token_of(b"a") or -1, vocabulary.token_of(b"b") or -1
    scaled = soft_targets("a", [a], span("a", [[(b"a", 0.8), (b"a", 0.8), (b"b", 0.2002)]]),
                          vocabulary)  # fmt: skip
    assert candidates(scaled, 0) == pytest.approx({a: 0.8 / 1.0002, b: 0.2002 / 1.0002})
    assert scaled.tail[0] == 0
    outside = soft_targets("a", [a], span("a", [[(b"a", 0.01), (b"b", 0.9)]]), vocabulary)
    assert candidates(outside, 0) == pytest.approx({a: 0.01, b: 0.9})


def test_missing_rows_and_text_outside_the_teachers_part_are_hard() -> None:
    vocabulary = Vocabulary(byte_level_tokenizer(257))
    ids = [vocabulary.token_of(bytes([byte])) or -1 for byte in b"abcd"]
    tokens = record([[(b"?", 0.5)], [(b"b", 0.0)], [(b"c", 0.5)], [(b"!", 0.5)]])
    teacher = TeacherSpan(tokens=tokens, start=1, end=3, shift=0)
    targets = soft_targets("abcd", ids, teacher, vocabulary)
    assert targets.soft.tolist() == [False, False, True, False]
    check_conserved(targets, ids)
    with pytest.raises(ValueError, match="spell"):
        soft_targets("axxd", ids, teacher, vocabulary)


@settings(max_examples=60)
@given(text=st.text(max_size=12), cuts=st.sets(st.integers(1, 40)), data=st.data())
def test_any_bytes_of_the_teacher_conserve_mass(text: str, cuts: set[int], data: Any) -> None:
    tokenizer = byte_level_tokenizer_once()
    vocabulary = Vocabulary(tokenizer)
    said, ids = text.encode(), ids_of(tokenizer, text)
    edges = [0, *sorted(cut for cut in cuts if cut < len(said)), len(said)]
    pieces = [said[start:end] for start, end in pairwise(edges)]
    steps = [
        [(piece, 0.4)] + [(data.draw(st.binary(max_size=5)), 0.2) for _ in range(3)]
        for piece in pieces
    ]
    check_conserved(soft_targets(text, ids, span(text, steps), vocabulary), ids)


@cache
def byte_level_tokenizer_once() -> PreTrainedTokenizerBase:
    return byte_level_tokenizer()


def test_half_characters_are_carried() -> None:
    vocabulary = Vocabulary(byte_level_tokenizer(257))
    data = "👍".encode()
    ids = [vocabulary.token_of(bytes([byte])) or -1 for byte in data]
    steps = [[(data[:2], 0.9), (b"\xf0", 0.05)], [(data[2:], 1.0)]]
    targets = soft_targets("👍", ids, span("👍", steps), vocabulary)
    assert candidates(targets, 0) == pytest.approx({ids[0]: 0.95})
    check_conserved(targets, ids)


def test_a_local_teachers_ids_become_bytes() -> None:
    tokenizer = metaspace_tokenizer()
    vocabulary = Vocabulary(tokenizer)
    ids = np.array([[*ids_of(tokenizer, "apples")[:1], tokenizer.eos_token_id, -1]], np.int32)
    named = named_by_bytes(
        TokenLogprobs(logprobs=np.zeros((1, 3), np.float32), ids=ids), vocabulary
    )
    assert named.ids is None and named.lengths is not None
    assert named.token_bytes == vocabulary.bytes_of(int(ids[0, 0]))
    assert named.lengths.tolist() == [[len(named.token_bytes), 0, 0]]


def codex(folder: Path) -> list[tuple[str, Steps]]:
    """Recorded rationales with the probabilities of five alternatives."""
    path = folder / "token_logprobs" / "codex_gsm8k_train_top5.jsonl"
    found: list[tuple[str, Steps]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        steps = [
            [(text.encode(), p) for text, p in [(step["token"], step["p"]), *step["top5"]]]
            for step in row["steps"]
        ]
        found.append((row["text"], steps))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_recorded_probabilities_are_carried(shared_data: Path, name: str) -> None:
    tokenizer, vocabulary = loaded(shared_data, name)
    for text, steps in codex(shared_data)[::6]:
        ids = ids_of(tokenizer, text)
        targets = soft_targets(text, ids, span(text, steps), vocabulary)
        check_conserved(targets, ids)
        assert targets.soft.mean() > 0.7


def test_openai_responses_are_carried(shared_data: Path) -> None:
    tokenizer, vocabulary = loaded(shared_data, "t5-small")
    for path in sorted((shared_data / "token_logprobs" / "openai_responses").glob("*.json")):
        part = json.loads(path.read_text(encoding="utf-8"))["output"][0]["content"][0]
        steps = [
            [(bytes(one["bytes"]), math.exp(one["logprob"]))
             for one in (step, *step["top_logprobs"])]
            for step in part["logprobs"]
        ]  # fmt: skip
        ids = ids_of(tokenizer, part["text"])
        targets = soft_targets(part["text"], ids, span(part["text"], steps), vocabulary)
        check_conserved(targets, ids)
        assert targets.soft.mean() > 0.7


@pytest.mark.parametrize("name", ["gpt2", "qwen2", "t5-small"])
def test_probabilities_at_a_servers_floor_are_none(shared_data: Path, name: str) -> None:
    """Twenty alternatives at -9999, among them a special token: the chosen token is certain."""
    tokenizer, vocabulary = loaded(shared_data, name)
    folder = shared_data / "token_logprobs" / "deepseek_v4_flash_top20"
    for path in sorted(folder.glob("*.json")):
        answer = json.loads(path.read_text(encoding="utf-8"))
        text = answer["message"]["content"]
        steps = [
            [(bytes(one["token"]["bytes"]), math.exp(one["logprob"]))
             for one in (step, *step["top_logprobs"])]
            for step in answer["steps"]
        ]  # fmt: skip
        assert all(len(step) == 21 for step in steps)
        ids = ids_of(tokenizer, text)
        targets = soft_targets(text, ids, span(text, steps), vocabulary)
        assert [candidates(targets, at) for at in range(len(ids))] == [{one: 1.0} for one in ids]
        assert not targets.tail.any() and (name != "gpt2" or targets.soft.all())


def test_published_distributions_come_back(shared_data: Path) -> None:
    """A teacher that says the published rows at the published places gives the same rows."""
    tokenizer, vocabulary = loaded(shared_data, "t5-small")
    path = shared_data / "token_logprobs" / "t5_aligned_distribution_example.json"
    known = json.loads(path.read_text(encoding="utf-8"))
    text, rows = known["answer"], known["per_step_probs"]
    ids = ids_of(tokenizer, text)
    named = tokenizer.get_vocab()
    assert ids == [named[row[0][0]] for row in rows]  # the chosen token stands first
    data = text.encode()
    steps = [
        [(data[start:end], row[0][1]), *[(one.replace("▁", " ").encode(), p) for one, p in row[1:]]]
        for (start, end), row in zip(vocabulary.spans(text, ids).tolist(), rows, strict=True)
    ]
    for warped in (None, warped_targets):
        targets = soft_targets(text, ids, span(text, steps), vocabulary, aligned_by=warped)
        check_conserved(targets, ids)
        for at, row in enumerate(rows):
            theirs = {named[one]: p for one, p in row if p}
            assert candidates(targets, at) == pytest.approx(theirs, rel=1e-5)
            assert targets.tail[at] == pytest.approx(1 - sum(theirs.values()), abs=1e-6)


class Differing(NamedTuple):
    """A student token, the teacher's tokens over its bytes, those published for it, and why."""

    token: str
    ours: list[str]
    theirs: list[str]
    why: str


def test_published_alignment(shared_data: Path) -> None:
    path = shared_data / "token_logprobs" / "t5_alignment_reference.json"
    known = json.loads(path.read_text(encoding="utf-8"))
    teacher, student = known["codex_tokens"], known["flan_t5_tokens"]
    theirs = warp(
        [text.replace("▁", "") for text in student], [text.replace(" ", "") for text in teacher]
    )
    assert [[teacher[at] for at in row] for row in theirs] == [
        row["codex_tokens"] for row in known["alignment"]
    ]
    tokenizer, vocabulary = loaded(shared_data, "t5-small")
    named = tokenizer.get_vocab()
    ids = [named[token] for token in student]
    spans = vocabulary.spans(known["text"], ids)
    stops = np.cumsum([len(text.encode()) for text in teacher])
    starts = stops - [len(text.encode()) for text in teacher]
    differing = {}
    for t0, t1, s0, s1 in align(stops, spans[:, 1]).tolist():
        for at in range(s0, s1):
            if [*range(t0, t1)] == theirs[at]:
                continue
            start, stop = spans[at]
            over = np.flatnonzero((starts < stop) & (stops > start)).tolist()
            assert {*over} <= {*range(t0, t1)}
            # Theirs are other tokens than those over its bytes, or say bytes before its own.
            assert over != theirs[at] or starts[over[0]] < start
            differing[at] = (
                student[at], [teacher[one] for one in range(t0, t1)],
                [teacher[one] for one in theirs[at]],
            )  # fmt: skip
    assert differing == {at: row[:3] for at, row in DIFFERING.items()}


DIFFERING = {
    0: Differing("▁We", ["W", "eng"], ["W"], "its e is the first letter of 'eng'"),
    1: Differing("ng", ["W", "eng"], ["eng"], "'eng' begins in the token before: a group of two"),
    3: Differing("s", [" earns"], [" $"], "the s of ' earns' is no dollar sign"),
    4: Differing("▁$12", [" $", "12"], ["12"], "its dollar sign was given to the s before"),
    11: Differing("i", ["itting"], [" babys"], "the i of 'itting'; ' babys' ends before it"),
    13: Differing(".", ["."], [".", "\n"], "the line break is read with the word after it"),
    14: Differing("▁She", ["\n", "She"], ["She"], "its space is the line break"),
    16: Differing("s", [" babys"], ["at"], "the s of ' babys'; 'at' is the next token's"),
    21: Differing(".", ["."], [".", "\n"], "as at 13"),
    22: Differing("▁50", ["\n", "50"], ["50"], "as at 14"),
    36: Differing(".", ["."], [".", "\n"], "as at 13"),
    37: Differing("▁She", ["\n", "She"], ["She"], "as at 14"),
    44: Differing("▁=", [" ="], [" =", " $"], "the dollar sign is in '▁$10'"),
    45: Differing("▁$10", [" $", "10"], ["10"], "its dollar sign was given to the token before"),
    46: Differing(".", ["."], [".", "\n"], "as at 13"),
    47: Differing("▁The", ["\n", "The"], ["The"], "as at 14"),
}


@pytest.mark.parametrize(("one", "two", "steps"), [("kitten", "sitting", 3), ("", "ab", 2)])
def test_edit_distance(one: str, two: str, steps: int) -> None:
    assert edit_distance(one, two) == edit_distance(two, one) == steps


def test_time_warping_is_soft_only_on_equal_texts(shared_data: Path) -> None:
    tokenizer, vocabulary = loaded(shared_data, "t5-small")
    text, steps = codex(shared_data)[0]
    ids = ids_of(tokenizer, text)
    published = soft_targets(text, ids, span(text, steps), vocabulary, aligned_by=warped_targets)
    ours = soft_targets(text, ids, span(text, steps), vocabulary)
    check_conserved(published, ids)
    assert published.ids.shape[1] <= 6
    assert (ours.soft >= published.soft).all() and ours.soft.sum() > published.soft.sum()
