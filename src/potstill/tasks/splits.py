"""Splits: which questions are for training, development and test; settled by hashes, not by luck.

:func:`place` hashes a question's text to a number between 0 and 1; of a set without a published
split the questions below 0.3 are for testing, the others for training and development.

A question's place depends on its own normalised text and on ``split_seed`` alone, so that equal
questions fall together and new ones move no others. The two splits of Fine-tune-CoT are drawn
instead, as there: of all questions, or of all templates, so that no template is in both.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase

import numpy as np

from potstill.errors import ConfigError, DataError
from potstill.records import Question, Split
from potstill.tasks.datasets.pool import Pool, read_json

Splits = dict[Split, tuple[Question, ...]]

TEST_SHARE = 0.3
"""Share of a set without a published split that becomes its test split."""

DEV_SHARE, MOST_DEV = 0.1, 500
"""Share of a published training split that becomes the development split, and its largest size."""


_SEEDS = 1000
"""Split seeds that are tried where a small file leaves a split empty."""


def normalised(text: str) -> str:
    """Returns a question's text in lower case with single spaces, to compare questions by."""
    return " ".join(text.casefold().split())


def _known_by(question: Question) -> str:
    """Returns the text by which a question is found in two splits, with that of its right option.

    Choice questions often share a text, as in "Which of these is true?", and are told apart by
    their options; with the same right option they are one question, whatever stands beside it.
    """
    options = dict(zip(ascii_uppercase, question.choices, strict=False))
    return normalised(f"{question.text} {options.get(question.answer, '')}")


def place(text: str, seed: int, purpose: str = "") -> float:
    """Returns a question's fixed place between 0 and 1, by its normalised text."""
    key = f"{purpose}\0{seed}\0{normalised(text)}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) / 2**64


def split_file(path: Path, questions: tuple[Question, ...]) -> Pool:
    """Splits a set by a JSON file ``{"train": [positions], "test": [positions]}``, counted from 0.

    Raises:
        DataError: The file has another form, or positions that are out of range or stand twice.
    """
    parts = read_json(path)
    chosen: dict[str, list[int]] = {}
    for name in ("train", "test"):
        positions = parts.get(name) if isinstance(parts, dict) else None
        if not isinstance(positions, list) or not all(type(at) is int for at in positions):
            raise DataError(f'{path} must hold {{"train": [positions], "test": [positions]}}.')
        chosen[name] = positions
    together = chosen["train"] + chosen["test"]
    if len(set(together)) != len(together):
        raise DataError(f"{path} names a position twice.")
    if wrong := [at for at in together if not 0 <= at < len(questions)]:
        raise DataError(f"{path} names position {wrong[0]}; there are {len(questions)} questions.")
    train, test = (tuple(questions[at] for at in chosen[name]) for name in ("train", "test"))
    return Pool(train=train, test=test)


def fine_tune_cot(questions: tuple[Question, ...]) -> Pool:
    """Splits a set as Fine-tune-CoT does, by a draw of positions in the original file."""
    drawn = _draw_training(len(questions), seed=0)
    return _divide(questions, [position in drawn for position in range(len(questions))])


def by_template(questions: tuple[Question, ...], *, seed: int, at: str) -> Pool:
    """Splits a set so that no template stands in both train and test: 70% of them train.

    With seed 0, questions in the order of the original file and templates as in Fine-tune-CoT, the
    splits are those published. A question without a template id is a template of its own.

    Raises:
        ConfigError: No question has a template id, or all have the same.
    """
    if all(question.template_id is None for question in questions):
        raise ConfigError(
            f"{at}: split is 'template', but the questions have no template ids. A file of your "
            "own names the column that holds them as template_id."
        )
    order = list(dict.fromkeys(template_of(question) for question in questions))
    if len(order) < 2:
        raise ConfigError(f"{at}: split is 'template', but all questions are of one template.")
    drawn = {order[position] for position in _draw_training(len(order), seed)}
    return _divide(questions, [template_of(question) in drawn for question in questions])


def template_of(question: Question) -> str:
    """Returns the id of a question's template; without one, an id that no other question has."""
    return question.template_id or f"only/{question.id}"


def _draw_training(count: int, seed: int) -> set[int]:
    """Draws the positions that are for training, as Fine-tune-CoT does."""
    # RandomState's stream is frozen by numpy's policy, so the published splits come out for good.
    order = np.random.RandomState(seed).permutation(count)
    return set(order[: round(count * (1 - TEST_SHARE))].tolist())


def _divide(questions: tuple[Question, ...], trains: list[bool]) -> Pool:
    """Returns the questions in two splits, by whether each is for training."""
    paired = list(zip(questions, trains, strict=True))
    return Pool(
        train=tuple(question for question, is_train in paired if is_train),
        test=tuple(question for question, is_train in paired if not is_train),
    )


def three_ways(pool: Pool, *, seed: int, dev: int | None) -> Splits:
    """Returns train, dev and test of a published set; dev is cut from train.

    Args:
        pool: The set's questions; without a published test split, 30% become the test split.
        seed: The seed that decides which questions go where.
        dev: The number of development questions; None: a tenth of train, at most 500.
    """
    train, test = pool.train, pool.test
    if not test:
        places = [(question, place(question.text, seed, "test")) for question in train]
        test = tuple(question for question, at in places if at < TEST_SHARE)
        train = tuple(question for question, at in places if at >= TEST_SHARE)
    if pool.dev:
        return {"train": train, "dev": pool.dev, "test": test}
    # A training question that is a test question, too, must not become a development question.
    held_out = {_known_by(question) for question in test}
    free = tuple(question for question in train if _known_by(question) not in held_out)
    count = min(int(len(free) * DEV_SHARE), MOST_DEV) if dev is None else dev
    chosen = first_placed(free, count, seed, "dev")
    ids = {question.id for question in chosen}
    rest = tuple(question for question in train if question.id not in ids)
    return {"train": rest, "dev": chosen, "test": test}


def by_hash(questions: Iterable[Question], *, seed: int) -> Splits:
    """Splits a user's questions 70:10:20 into train, dev and test; further ones move none."""
    splits: dict[Split, list[Question]] = {"train": [], "dev": [], "test": []}
    for question in questions:
        at = place(question.text, seed)
        splits["test" if at < 0.2 else "dev" if at < 0.3 else "train"].append(question)
    return {name: tuple(members) for name, members in splits.items()}


def fitting_seed(questions: Sequence[Question]) -> int | None:
    """Returns the first split seed by whose hash no split of a small file is empty.

    It looks at how many questions fall into each split and at nothing else. None where there are
    fewer than three, or no seed does.
    """
    if len(questions) < 3:
        return None
    seeds = range(_SEEDS)
    return next((seed for seed in seeds if all(by_hash(questions, seed=seed).values())), None)


def without_overlap(splits: Splits) -> tuple[Splits, tuple[str, ...]]:
    """Takes questions out of train that stand in dev or test, and out of dev that stand in test.

    Returns:
        The splits, and a note for each that lost questions.
    """
    seen: set[str] = set()
    kept: Splits = {}
    notes = []
    for name in ("test", "dev", "train"):
        members = splits[name]
        kept[name] = tuple(member for member in members if _known_by(member) not in seen)
        if lost := len(members) - len(kept[name]):
            notes.append(f"{lost} {name} questions left out: they are in a held-out split, too.")
        seen.update(map(_known_by, kept[name]))
    return {name: kept[name] for name in ("train", "dev", "test")}, tuple(notes)


def limited(splits: Splits, counts: Mapping[Split, int | None], *, seed: int, at: str) -> Splits:
    """Returns the first questions of each split by place, as many as asked for, in their order.

    Raises:
        ConfigError: More are asked for than there are.
        DataError: A split that was not set to 0 is empty.
    """
    chosen: Splits = {}
    for name, members in splits.items():
        count = counts[name]
        if count is not None and count > len(members):
            raise ConfigError(f"{at}: {name} is {count}; there are only {len(members)} questions.")
        if not members and count != 0:
            raise DataError(
                f"{at}: the {name} split is empty. Give more questions; where the recipe only "
                f"measures on this task, set {name}: 0 there."
            )
        chosen[name] = members if count is None else first_placed(members, count, seed, "limit")
    return chosen


def first_placed(
    questions: tuple[Question, ...], count: int, seed: int, purpose: str
) -> tuple[Question, ...]:
    """Returns the ``count`` questions with the lowest places, in their own order."""

    def rank(question: Question) -> tuple[float, str]:
        return place(question.text, seed, purpose), question.id

    ranked = sorted(questions, key=rank)
    ids = {question.id for question in ranked[:count]}
    return tuple(question for question in questions if question.id in ids)
