"""How many rationales a run has, of which verdict, question and teacher: read in one pass."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from potstill.records import Rationale


class RationaleCounts(NamedTuple):
    """The rationales of a task's training questions, counted."""

    verdicts: Counter[str]
    """By verdict, in the order in which verdicts appear."""

    kept_by_question: Counter[str]
    """Those that are kept, by the question's id; every question with a rationale is there."""

    teachers: frozenset[str]

    @property
    def kept(self) -> int:
        """The number of rationales that are kept."""
        return self.verdicts["kept"]

    @property
    def questions_with_kept(self) -> int:
        """The number of questions with a rationale that is kept."""
        return sum(count > 0 for count in self.kept_by_question.values())


def count_rationales(rationales: Iterable[Rationale]) -> RationaleCounts:
    """Returns the counts of rationales, of which one is held at a time."""
    verdicts, kept, teachers = Counter[str](), Counter[str](), set[str]()
    for one in rationales:
        verdicts[one.verdict] += 1
        kept[one.question_id] += one.verdict == "kept"
        teachers.add(one.teacher)
    return RationaleCounts(verdicts, kept, frozenset(teachers))
