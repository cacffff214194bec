"""Several teachers side by side: how often each is right, and how much of each is learned."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from potstill.records import TeacherScore
from potstill.report.accuracy import Results
from potstill.report.text import DASH, percent
from potstill.store import Store
from potstill.text.points import MINUS, points

CONSENSUS = "consensus"
"""The name under which the answer stands that most samples of all teachers give."""


class TeacherRow(NamedTuple):
    """One teacher, or the consensus."""

    first: TeacherScore
    """The score of its first answers."""

    last: TeacherScore
    """The score of its answers at the end of the debate; without one the same."""

    model: str
    """The name of its model in the recipe; empty for the consensus."""

    @property
    def name(self) -> str:
        """The teacher's name in the recipe."""
        return self.last.teacher


class ChoiceMeasure(NamedTuple):
    """A measure that teachers were chosen by, beside the likelihood."""

    head: str
    """The measure's heading in a table on the terminal."""

    name: str
    """The measure's name on the page."""

    field: str
    """The field of :class:`~potstill.records.TeacherScore` that holds it."""

    def of(self, score: TeacherScore) -> float | None:
        """Returns a teacher's value of the measure."""
        value: float | None = getattr(score, self.field)
        return value


_CHOICE_MEASURES = (
    ChoiceMeasure("ratio", "Rank-surprisal ratio", "rank_surprisal"),
    ChoiceMeasure("local", "Local naturalness", "local_naturalness"),
)


class Teachers(NamedTuple):
    """All teachers of a run, as a report shows them."""

    rows: list[TeacherRow]
    """The teachers in the order of the recipe, then the consensus."""

    kept: int
    """Rationales that were kept, of all teachers."""

    asked: int
    """Training questions that have a kept rationale."""

    @property
    def debated(self) -> int:
        """Rounds of the debate."""
        return max(row.last.round for row in self.rows)

    @property
    def measured(self) -> bool:
        """Whether likelihoods under the student's start were measured."""
        return any(row.last.mean_logprob is not None for row in self.rows)

    @property
    def chosen_by(self) -> ChoiceMeasure | None:
        """The measure, beside the likelihood, that teachers were chosen by."""
        for measure in _CHOICE_MEASURES:
            if any(measure.of(row.last) is not None for row in self.rows):
                return measure
        return None


def teachers(results: Results) -> Teachers | None:
    """The teachers of a run; None where there is only one, or nothing was curated."""
    return _teachers(results.teacher_scores, results.settings)


def _teachers(scores: Sequence[TeacherScore], settings: Mapping[str, object]) -> Teachers | None:
    rounds: dict[str, list[TeacherScore]] = {}
    for score in scores:
        rounds.setdefault(score.teacher, []).append(score)
    if len(rounds) < 2:
        return None
    named = settings.get("teachers")
    models = {
        "teacher": settings.get("teacher"),
        **(named if isinstance(named, Mapping) else {}),
    }
    rows = [TeacherRow(own[0], own[-1], _model(models.get(name))) for name, own in rounds.items()]
    everybody = rounds[CONSENSUS][-1]
    return Teachers(rows, everybody.kept, everybody.chosen)


def _model(section: object) -> str:
    name = section.get("model") if isinstance(section, Mapping) else section
    return name if isinstance(name, str) else ""


def finding(several: Teachers) -> str:
    """Returns what the debate brought to the consensus, in a sentence; empty without a debate."""
    consensus = next(row for row in several.rows if row.name == CONSENSUS)
    change = change_of(consensus)
    if not change:
        return ""
    rounds = "one round" if several.debated == 1 else f"{several.debated} rounds"
    return (
        f"After {rounds} of debate the answer that most samples give is right for "
        f"{percent(consensus.last.accuracy)} of {consensus.last.total:,} training questions, "
        f"{percent(consensus.first.accuracy)} before: {change} points."
    )


def change_of(row: TeacherRow, digits: int = 1) -> str:
    """Returns the debate's change of an accuracy: ``+3.0 [+1.2, +4.9]``; empty without one.

    Args:
        row: The teacher.
        digits: Digits after the point in the interval.
    """
    score = row.last
    if score.difference is None or score.difference_low is None or score.difference_high is None:
        return ""
    low, high = (points(end, digits) for end in (score.difference_low, score.difference_high))
    return f"{points(score.difference)} [{low}, {high}]"


def share(count: int, total: int) -> str:
    """``120 (40%)``; a dash of nothing."""
    return f"{count:,} ({count / total:.0%})" if total else DASH


def teachers_table(store: Store) -> Table:
    """Returns the teachers side by side, for a terminal of 100 columns.

    Args:
        store: The run's store, curated.
    """
    several = _teachers(store.teacher_scores(), {})
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False, title_justify="left")
    if several is None:
        return table
    table.title = "teachers on training questions, with 95% intervals"
    table.add_column("teacher", overflow="fold")
    heads = ["right", "questions", *(["debated"] if several.debated else []), "kept", "chosen"]
    if several.measured:
        heads.append("nats")
    if several.chosen_by is not None:
        heads.append(several.chosen_by.head)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for row in several.rows:
        score, first = row.last, row.first
        right = f"{100 * first.accuracy:.1f} [{100 * first.low:.0f}, {100 * first.high:.0f}]"
        cells = [right, f"{first.total:,}"]
        if several.debated:
            cells.append(change_of(row, 0))
        cells += [share(score.kept, several.kept), share(score.chosen, several.asked)]
        if several.measured:
            cells.append(nats(score.mean_logprob))
        if several.chosen_by is not None:
            cells.append(nats(several.chosen_by.of(score)))
        table.add_row(Text(row.name), *map(Text, cells))
    return table


def accuracy(score: TeacherScore) -> str:
    """``62.0% [56.4, 67.3] of 300``."""
    low, high = 100 * score.low, 100 * score.high
    return f"{percent(score.accuracy)} [{low:.1f}, {high:.1f}] of {score.total:,}"


def nats(known: float | None) -> str:
    """A measure under the student's start; a dash where it is not known."""
    return DASH if known is None else f"{known:.3f}".replace("-", MINUS)
