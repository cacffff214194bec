"""The alignment that is none, token by token, which others are held against."""

import numpy as np
from tiny_models import byte_level_tokenizer

from potstill.papers.time_warping import positional_targets
from potstill.records import TeacherSpan, TokenLogprobs
from potstill.train.alignment import Vocabulary, soft_targets


def test_without_alignment_the_nth_token_learns_from_the_nth_whatever_it_reads() -> None:
    tokenizer = byte_level_tokenizer()
    vocabulary = Vocabulary(tokenizer)
    # Teacher: "a" | "bc" | "d"; the student spells in letters, so it is off from the second token.
    ids = [vocabulary.token_of(letter) or -1 for letter in (b"a", b"b", b"c", b"d")]
    x, y, z = (vocabulary.token_of(letter) for letter in (b"x", b"y", b"z"))
    assert -1 not in ids and vocabulary.token_of(b"bc") is None
    tokens = TokenLogprobs(
        logprobs=np.log([[0.75, 0.25], [0.5, 0.5], [0.9, 0.05]]).astype(np.float32),
        token_bytes=b"axbcydz",
        lengths=np.array([[1, 1], [2, 1], [1, 1]], np.uint16),
    )
    spoken = TeacherSpan(tokens=tokens, start=0, end=4, shift=0)
    placed = soft_targets("abcd", ids, spoken, vocabulary, aligned_by=positional_targets)
    learned = [
        {int(token): round(float(mass), 4) for token, mass in zip(*row, strict=True) if token >= 0}
        for row in zip(placed.ids, placed.probabilities, strict=True)
    ]
    # "b" learns the alternative at "bc", "c" learns "d", and "d", beyond the teacher's end, itself.
    assert learned == [{ids[0]: 0.75, x: 0.25}, {y: 0.5}, {ids[3]: 0.9, z: 0.05}, {ids[3]: 1.0}]
    assert placed.soft.tolist() == [True, True, True, False]
