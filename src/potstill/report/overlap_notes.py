"""Accuracy without the test questions that a training question overlaps with."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from potstill.records import Prediction, System
from potstill.report.text import label, percent
from potstill.statistics import accuracy_interval
from potstill.tasks.overlap import Overlap


class Untouched(NamedTuple):
    """One system on the test questions that no training question overlaps with."""

    system: System
    correct: int
    total: int


def untouched(overlap: Overlap, predictions: Sequence[Prediction]) -> list[Untouched]:
    """Returns each measured system's right answers without the overlapping questions.

    Empty where the overlap is none, or all there is, or with development questions, on which
    nothing is reported.
    """
    if overlap.split != "test" or not overlap.hit_ids:
        return []
    left: dict[System, list[bool]] = {}
    for prediction in predictions:
        counts = prediction.task == overlap.task and prediction.system.taken
        if counts and prediction.question_id not in overlap.hit_ids:
            left.setdefault(prediction.system, []).append(prediction.correct)
    return [Untouched(system, sum(right), len(right)) for system, right in left.items()]


def overlap_notes(overlaps: Sequence[Overlap], predictions: Sequence[Prediction]) -> Iterator[str]:
    """Yields a sentence for each test set that training questions overlap with."""
    for overlap in overlaps:
        systems = untouched(overlap, predictions)
        if not systems:
            continue
        shares = []
        for system, correct, total in systems:
            low, high = accuracy_interval(correct, total)
            shares.append(
                f"{label(system)} {percent(correct / total)} [{percent(low)}, {percent(high)}] "
                f"({correct:,} of {total:,})"
            )
        yield (
            f"{overlap.hit:,} of {overlap.total:,} test questions of {overlap.task} overlap with "
            f"questions that were trained on. Without them: {'; '.join(shares)}."
        )
