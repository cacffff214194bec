"""Several teachers side by side: how often each is right, and what of each the student learns."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from potstill.records import TeacherScore
from potstill.report.accuracy import Results
from potstill.report.text import DASH, percent, points
from potstill.store import Store

CONSENSUS = "consensus"
"""The name under which the answer stands that most samples of all teachers give."""


class TeacherRow(NamedTuple):
    """One teacher, or the consensus."""

    first: TeacherScore
    """Of its first answers."""

    last: TeacherScore
    """Of its answers at the end of the debate; without one the same."""

    model: str
    """Its model in the recipe; empty for the consensus."""

    @property
    def name(self) -> str:
        """What it is called in the recipe."""
        return self.last.teacher


class Teachers(NamedTuple):
    """What a report says of several teachers."""

    sides: list[TeacherRow]
    """The teachers in the order of the recipe, then the consensus."""

    kept: int
    """Rationales that were kept, of all teachers."""

    asked: int
    """Training questions that have a kept rationale."""

    @property
    def debated(self) -> int:
        """Rounds of the debate."""
        return max(each.last.round for each in self.sides)

    @property
    def measured(self) -> bool:
        """Whether likelihoods under the student's start were measured."""
        return any(each.last.mean_logprob is not None for each in self.sides)


def teachers(results: Results) -> Teachers | None:
    """The teachers of a run; None where there is only one, or nothing was curated."""
    return _teachers(results.teacher_scores, results.settings)


def _teachers(scores: Sequence[TeacherScore], settings: Mapping[str, object]) -> Teachers | None:
    rounds: dict[str, list[TeacherScore]] = {}
    for each in scores:
        rounds.setdefault(each.teacher, []).append(each)
    if len(rounds) < 2:
        return None
    named = settings.get("teachers")
    models = {
        "teacher": settings.get("teacher"),
        **(named if isinstance(named, Mapping) else {}),
    }
    sides = [TeacherRow(own[0], own[-1], _model(models.get(name))) for name, own in rounds.items()]
    everybody = rounds[CONSENSUS][-1]
    return Teachers(sides, everybody.kept, everybody.chosen)


def _model(section: object) -> str:
    name = section.get("model") if isinstance(section, Mapping) else section
    return name if isinstance(name, str) else ""


def finding(found: Teachers) -> str:
    """What the debate brought to the answer that most give, in one sentence; empty without one."""
    side = next(each for each in found.sides if each.name == CONSENSUS)
    change = change_of(side)
    if not change:
        return ""
    rounds = "one round" if found.debated == 1 else f"{found.debated} rounds"
    return (
        f"After {rounds} of debate the answer that most samples give is right for "
        f"{percent(side.last.accuracy)} of {side.last.total:,} training questions, "
        f"{percent(side.first.accuracy)} before: {change} points."
    )


def change_of(side: TeacherRow, digits: int = 1) -> str:
    """What the debate changed in a teacher's accuracy: ``+3.0 [+1.2, +4.9]``; empty without one.

    Args:
        side: The teacher.
        digits: Of the interval.
    """
    score = side.last
    if score.difference is None or score.difference_low is None or score.difference_high is None:
        return ""
    low, high = (points(end, digits) for end in (score.difference_low, score.difference_high))
    return f"{points(score.difference)} [{low}, {high}]"


def share(count: int, total: int) -> str:
    """``120 (40%)``; a dash of nothing."""
    return f"{count:,} ({count / total:.0%})" if total else DASH


def teachers_table(store: Store) -> Table:
    """The teachers side by side, for a terminal of 100 columns.

    Args:
        store: The run's store, curated.
    """
    found = _teachers(store.teacher_scores(), {})
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False, title_justify="left")
    if found is None:
        return table
    table.title = "teachers on training questions, with 95% intervals"
    table.add_column("teacher", overflow="fold")
    heads = ["right", "questions", *(["debated"] if found.debated else []), "kept", "chosen"]
    for head in [*heads, *(["nats"] if found.measured else [])]:
        table.add_column(head, justify="right", no_wrap=True)
    for side in found.sides:
        score, first = side.last, side.first
        right = f"{100 * first.accuracy:.1f} [{100 * first.low:.0f}, {100 * first.high:.0f}]"
        cells = [right, f"{first.total:,}"]
        if found.debated:
            cells.append(change_of(side, 0))
        cells += [share(score.kept, found.kept), share(score.chosen, found.asked)]
        if found.measured:
            cells.append(nats(score))
        table.add_row(Text(side.name), *map(Text, cells))
    return table


def accuracy(score: TeacherScore) -> str:
    """``62.0% [56.4, 67.3] of 300``."""
    low, high = 100 * score.low, 100 * score.high
    return f"{percent(score.accuracy)} [{low:.1f}, {high:.1f}] of {score.total:,}"


def nats(score: TeacherScore) -> str:
    """Mean log-probability a token under the student's start; a dash where it is not known."""
    known = score.mean_logprob
    return DASH if known is None else f"{known:.3f}".replace("-", "\N{MINUS SIGN}")
