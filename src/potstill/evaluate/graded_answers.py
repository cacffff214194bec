"""The answers of one system to one split, graded: counts of all, the answers themselves in a file.

What a score and a comparison need are truth values, one byte an answer. Texts, of which a large
test set has gigabytes, wait in a file without a name until the store takes them.
"""

from array import array
from collections.abc import Iterator

from potstill.records import Prediction, Score, Split, System, Task
from potstill.statistics import accuracy_interval
from potstill.store.spooled_records import SpooledRecords


class GradedAnswers:
    """Takes predictions one at a time, and gives them back in their order."""

    def __init__(self) -> None:
        self.right = array("b")
        """Whether each is right."""

        self._predictions = SpooledRecords(Prediction)
        self._unanswered = self._cut = self._noted = self._ended = 0

    def add(self, prediction: Prediction) -> None:
        """Take the next."""
        self.right.append(prediction.correct)
        self._unanswered += prediction.answer is None
        self._cut += prediction.finish_reason == "length"
        self._noted += prediction.thinking_ended is not None
        self._ended += bool(prediction.thinking_ended)
        self._predictions.append(prediction)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self._predictions)

    def score(self, system: System, task: Task, split: Split) -> Score:
        """Returns the accuracy of those taken, and what else is counted."""
        correct, total = sum(self.right), len(self.right)
        interval = accuracy_interval(correct, total)
        return Score(
            system=system,
            task=task.name,
            split=split,
            correct=correct,
            total=total,
            low=interval.low,
            high=interval.high,
            no_answer=self._unanswered,
            truncated=self._cut,
            thinking_ended=self._ended if self._noted else None,
        )
