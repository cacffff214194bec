"""Before and after training: the chosen student, its start and the teacher on every task."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from potstill.records import Score, System
from potstill.report.accuracy import OTHER_RULE, Results
from potstill.report.dumbbell import DumbbellRow, Ends, Verdict, dumbbell
from potstill.report.question_links import changed_questions
from potstill.report.text import label
from potstill.start_comparison import StartComparison
from potstill.text.points import points
from potstill.text.unshown_difference import several_note


class BeforeAfterRow(NamedTuple):
    """One task."""

    task: str
    student: Score
    start: Score | None
    teacher: Score | None
    against_start: StartComparison | None
    link: str
    """The address of the questions that training changed; empty where there is no start."""

    @property
    def verdict(self) -> Verdict:
        """Whether student and start are shown to differ, over all tasks together."""
        if self.against_start is None or not self.against_start.is_shown:
            return "unshown"
        return "gain" if self.against_start.is_gain else "loss"


class BeforeAfter(NamedTuple):
    """The section's figure and the numbers behind it."""

    student: System
    rows: Sequence[BeforeAfterRow]
    tested: int
    """The tasks over which p-values are adjusted."""

    note: str
    """A remark on differences not shown although their intervals leave out 0; empty for none."""

    chart: Markup


def before_after(results: Results) -> BeforeAfter | None:
    """Returns the section; None where no student was measured on test questions."""
    student = results.chosen
    if student is None:
        return None
    measured = [task for task in results.task_names if results.roles.get(task) != OTHER_RULE]
    rows = [row for task in measured if (row := _row(results, student, task)) is not None]
    if not rows:
        return None
    compared = [row.against_start for row in rows if row.against_start]
    others = "its start and the teacher" if any(row.teacher for row in rows) else "its start"
    return BeforeAfter(
        student=student,
        rows=rows,
        tested=len(results.against_start),
        note=several_note(sum(bool(one.interval_note) for one in compared), len(compared)),
        chart=dumbbell(
            [_drawn(results, row) for row in rows],
            title=f"Test accuracy of {label(student)} beside {others}",
        ),
    )


def _row(results: Results, student: System, task: str) -> BeforeAfterRow | None:
    score = results.test_score(student, task)
    if score is None:
        return None
    against = results.against_start.get(task)
    start = against.comparison.second if against else results.start_of(student)
    return BeforeAfterRow(
        task=task,
        student=score,
        start=results.test_score(start, task),
        teacher=results.test_score(System("teacher"), task),
        against_start=against,
        link=_link(results, against) if against else "",
    )


def _link(results: Results, against: StartComparison) -> str:
    """Returns the address of what was lost where a loss is shown, else of what was gained."""
    compared = against.comparison
    start, student = compared.second.label, compared.first.label
    right, wrong = (start, student) if against.is_loss else (student, start)
    return changed_questions(results, compared.task, right=right, wrong=wrong)


def _drawn(results: Results, row: BeforeAfterRow) -> DumbbellRow:
    against = row.against_start
    asked = against.comparison.second.variant if against else ""
    way = f", start {asked.replace('_', ' ')}" if asked else ""
    trained = "trained for" if row.task == results.leading.name else "not trained for"
    return DumbbellRow(
        name=row.task,
        note=f"{trained}{way}",
        before=_share(row.start) if row.start else None,
        after=Ends(_share(row.student), row.student.low, row.student.high),
        goal=_share(row.teacher) if row.teacher else None,
        change=points(against.comparison.difference, 0) if against else "",
        verdict=row.verdict,
        link=row.link,
    )


def _share(score: Score) -> float:
    return score.correct / score.total
