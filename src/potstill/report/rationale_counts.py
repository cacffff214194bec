"""Counts of a run's rationales by verdict, by question and by teacher, read in one pass."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from potstill.records import SPARE_VERDICTS, Rationale


class RationaleCounts(NamedTuple):
    """The rationales of a task's training questions, counted."""

    verdicts: Counter[str]
    """The number of rationales by verdict, in the order in which verdicts appear."""

    kept_by_question: Counter[str]
    """The number of kept rationales by question id; 0 where all of a question are dropped."""

    marks: Counter[tuple[bool, bool]]
    """The number of rationales that people marked, by whether the answer is right and the mark."""

    teachers: frozenset[str]

    @property
    def kept(self) -> int:
        """The number of rationales that are kept."""
        return self.verdicts["kept"]

    @property
    def fit(self) -> int:
        """The number that are kept, or as good and more than are wanted."""
        return self.kept + sum(self.verdicts[verdict] for verdict in SPARE_VERDICTS)

    @property
    def questions_with_kept(self) -> int:
        """The number of questions with a rationale that is kept."""
        return sum(count > 0 for count in self.kept_by_question.values())


def count_rationales(rationales: Iterable[Rationale]) -> RationaleCounts:
    """Returns the counts of rationales, of which one is held at a time."""
    verdicts, kept, teachers = Counter[str](), Counter[str](), set[str]()
    marks = Counter[tuple[bool, bool]]()
    for one in rationales:
        verdicts[one.verdict] += 1
        kept[one.question_id] += one.verdict == "kept"
        teachers.add(one.teacher)
        if one.mark is not None:
            marks[bool(one.right), one.mark] += 1
    return RationaleCounts(verdicts, kept, marks, frozenset(teachers))
