"""Whether sending whole questions to the teacher beats its steps inside the student's answers."""

from collections.abc import Sequence
from typing import NamedTuple

from potstill.records import GuidedScore
from potstill.records.policy import RANDOM
from potstill.report.accuracy import Results
from potstill.report.guidance import GuidanceSection, guidance
from potstill.report.guidance_text import label, signal
from potstill.report.recommendation import LineComparison, RoutingLine, compare_with_line
from potstill.report.text import percent
from potstill.text.points import points


class RoutingFinding(NamedTuple):
    """The best policy of a task held against whole questions for as many teacher tokens."""

    task: str
    best: GuidedScore
    at_random: float
    """The expected accuracy of questions that are drawn at random."""

    against_random: LineComparison
    """The policy less routing at random."""

    by_doubt: tuple[str, float] | None
    """The signal whose routing does best on these questions, and its accuracy; None: not known."""

    @property
    def is_beaten(self) -> bool:
        """Whether routing at random is shown to be better, or is, where no interval is known."""
        interval = self.against_random.interval
        return interval.high < 0 if interval else self.against_random.difference < 0

    @property
    def is_shown_ahead(self) -> bool:
        """Whether the policy is shown to be better than routing at random."""
        interval = self.against_random.interval
        return interval is not None and interval.low > 0

    @property
    def is_beaten_by_doubt(self) -> bool:
        """Whether routing by doubt reaches more than the policy."""
        return self.by_doubt is not None and self.by_doubt[1] > self.best.accuracy

    @property
    def words(self) -> str:
        """A sentence on routing at the policy's price; empty where routing is behind."""
        price = f"for {self.best.teacher_tokens:,.1f} teacher tokens a question"
        policy = f"the best policy that writes steps, “{label(self.best.policy)}”, reaches"
        reached = percent(self.best.accuracy)
        if self.is_beaten or not self.is_shown_ahead:
            return (
                f"{self._opening}: {price}, whole questions sent to the teacher at random reach an "
                f"expected {percent(self.at_random)} on {self.task}; {policy} {reached}, a "
                f"difference of {self.against_random.words}."
            )
        if self.is_beaten_by_doubt and self.by_doubt is not None:
            name, by_doubt = self.by_doubt
            return (
                f"Routing by {signal(name)} reaches more than guidance: {price}, an expected "
                f"{percent(by_doubt)} on {self.task}; {policy} {reached}, a difference of "
                f"{points(self.best.accuracy - by_doubt)} points without a known interval."
            )
        return ""

    @property
    def _opening(self) -> str:
        return (
            "Routing beats guidance" if self.is_beaten else "Guidance is not shown to beat routing"
        )


def routing_findings(results: Results) -> list[RoutingFinding]:
    """Returns the finding of each guided task, the leading one first.

    A task is left out where the teacher wrote no steps, or was not measured alone.
    """
    found = [_finding(results, section) for section in guidance(results)]
    return [one for one in found if one is not None]


def routing_sentences(results: Results) -> Sequence[str]:
    """Returns a sentence on the leading task where routing is level with guidance or better."""
    leading = results.leading.name
    found = [one for one in routing_findings(results) if one.task == leading]
    return [words for one in found if (words := one.words)]


def _finding(results: Results, section: GuidanceSection) -> RoutingFinding | None:
    best, alone, teacher = section.best_of_steps, section.alone, section.teacher
    if best is None or alone is None or teacher is None or not teacher.teacher_tokens:
        return None
    if not best.teacher_tokens:
        return None
    line = RoutingLine(alone, teacher)
    reached = section.routed(best.teacher_tokens)
    name = section.hardest
    return RoutingFinding(
        task=section.task,
        best=best,
        at_random=line.at(best.teacher_tokens),
        against_random=compare_with_line(best, line, results.guided_predictions),
        by_doubt=(name, reached[name]) if name and name != RANDOM and name in reached else None,
    )
