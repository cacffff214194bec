"""The end of an answer among a teacher's scores, carried to the student's own end token."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_alignment import (
    byte_level_tokenizer_once,
    candidates,
    check_conserved,
    ids_of,
    record,
    span,
)
from tiny_models import byte_level_tokenizer, metaspace_tokenizer

from potstill.records import TeacherSpan
from potstill.train.alignment import Vocabulary, soft_targets

END = 999
NONE = (b"", 0.0)
"""Padding of a row with fewer alternatives."""


def bytes_alone() -> Vocabulary:
    return Vocabulary(byte_level_tokenizer(257))


def token(vocabulary: Vocabulary, text: bytes) -> int:
    found = vocabulary.token_of(text)
    assert found is not None
    return found


def test_an_end_that_the_teacher_would_have_written_earlier_has_its_mass() -> None:
    words = bytes_alone()
    a, b, x = (token(words, one) for one in (b"a", b"b", b"x"))
    steps = [
        [(b"a", 0.5), (b"a", 0.5), (b"x", 0.3), (b"", 0.1)],
        [(b"b", 0.2), (b"", 0.7), (b"b", 0.2), NONE],
        [(b"", 0.9), (b"", 0.9), (b"x", 0.06), NONE],
    ]
    targets = soft_targets("ab", [a, b], span("ab", steps), words, end=END)
    assert candidates(targets, 0) == pytest.approx({a: 0.5, x: 0.3, END: 0.1})
    assert candidates(targets, 1) == pytest.approx({END: 0.7, b: 0.2})
    assert candidates(targets, 2) == pytest.approx({END: 0.9, x: 0.06})
    assert targets.tail == pytest.approx([0.1, 0.1, 0.04])
    assert targets.soft.all()


def test_several_tokens_that_end_an_answer_are_one() -> None:
    words = bytes_alone()
    a = token(words, b"a")
    steps = [[(b"a", 0.6), (b"", 0.2), (b"", 0.1)], [(b"", 0.5), (b"", 0.5), (b"", 0.3)]]
    targets = soft_targets("a", [a], span("a", steps), words, end=END)
    assert candidates(targets, 0) == pytest.approx({a: 0.6, END: 0.3})
    assert candidates(targets, 1) == pytest.approx({END: 0.8})


def test_an_end_inside_of_one_of_the_students_tokens_stands_for_the_text_before_it() -> None:
    vocabulary = Vocabulary(byte_level_tokenizer())
    the, begun = token(vocabulary, b" the"), token(vocabulary, b" t")
    steps = [[(b" t", 0.5), (b"", 0.4)], [(b"he", 0.8), (b"", 0.1)]]
    targets = soft_targets(" the", [the], span(" the", steps), vocabulary, end=END)
    # " t" and then the end is written with the token " t"; the end at once with the end's own.
    assert candidates(targets, 0) == pytest.approx({the: 0.4, END: 0.4, begun: 0.05})


def test_an_end_where_the_student_needs_several_tokens_is_at_the_first_of_them() -> None:
    words = bytes_alone()
    a, b = token(words, b"a"), token(words, b"b")
    steps = [[(b"ab", 0.6), (b"", 0.3), (b"ac", 0.1)]]
    targets = soft_targets("ab", [a, b], span("ab", steps), words, end=END)
    assert candidates(targets, 0) == pytest.approx({a: 0.7, END: 0.3})
    assert candidates(targets, 1)[b] == pytest.approx(0.6 / 0.7)


def test_a_space_that_a_tokenizer_puts_before_texts_is_not_put_before_an_end() -> None:
    tokenizer = metaspace_tokenizer()
    vocabulary = Vocabulary(tokenizer)
    ids = ids_of(tokenizer, "the")
    steps = [[(b"the", 0.5), (b"", 0.25)], [(b"", 1.0), NONE]]
    targets = soft_targets("the", ids, span("the", steps), vocabulary, end=END)
    assert candidates(targets, 0)[END] == pytest.approx(0.25)
    assert candidates(targets, len(ids)) == {END: 1.0}


def test_an_answer_without_text_has_an_end() -> None:
    words = bytes_alone()
    steps = [[(b"", 0.25), (b"a", 0.5), (b"", 0.25)]]
    targets = soft_targets("", [], span("", steps), words, end=END)
    assert candidates(targets, 0) == pytest.approx({token(words, b"a"): 0.5, END: 0.25})


def test_an_end_is_hard_where_the_scores_do_not_reach_it() -> None:
    words = bytes_alone()
    a, b = token(words, b"a"), token(words, b"b")
    open_ended = span("a", [[(b"a", 0.5), (b"b", 0.5)]])
    targets = soft_targets("a", [a], open_ended, words, end=END)
    assert targets.soft.tolist() == [True, False]
    tokens = record([[(b"a", 0.5), (b"b", 0.2)], [(b"", 0.5), NONE]])
    behind = TeacherSpan(tokens=tokens, start=0, end=1, shift=0)
    targets = soft_targets("ab", [a, b], behind, words, end=END)
    assert targets.soft.tolist() == [True, False, False]


def test_tokens_without_bytes_are_no_ends_of_a_rationale() -> None:
    words = bytes_alone()
    a = token(words, b"a")
    targets = soft_targets("a", [a], span("a", [[(b"a", 0.5), (b"", 0.5)]]), words)
    assert candidates(targets, 0) == pytest.approx({a: 0.5})
    assert len(targets.ids) == 1


@settings(max_examples=60)
@given(text=st.text(max_size=12), cuts=st.sets(st.integers(1, 40)), data=st.data())
def test_any_alternatives_conserve_mass(text: str, cuts: set[int], data: Any) -> None:
    tokenizer = byte_level_tokenizer_once()
    said, ids = text.encode(), ids_of(tokenizer, text)
    edges = [0, *sorted(cut for cut in cuts if cut < len(said)), len(said)]
    pieces = [said[start:end] for start, end in pairwise(edges) if end > start]
    others = st.one_of(st.just(b""), st.binary(max_size=5))
    steps = [[(piece, 0.4)] + [(data.draw(others), 0.2) for _ in range(3)] for piece in pieces]
    steps.append([(b"", 0.4)] + [(data.draw(others), 0.2) for _ in range(3)])
    targets = soft_targets(text, ids, span(text, steps), Vocabulary(tokenizer), end=END)
    check_conserved(targets, [*ids, END])
    assert candidates(targets, len(ids))[END] >= 0.4 - 1e-6
