"""The findings of a run in four tiles: gained, paid, can it be trusted, what next; a few sentences.

Nothing here is of the page: the terminal and ``summary.json`` have the same sentences.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

from potstill.report.accuracy import USUAL_STUDENT, Results
from potstill.report.cautions import holds
from potstill.report.findings import Findings, Spent, findings
from potstill.report.run_progress import missing_stages
from potstill.report.text import (
    bounds_in_points,
    count_in_short,
    duration,
    label,
    listed,
    p_phrase,
    percent,
)
from potstill.start_comparison import StartComparison
from potstill.text.points import points

Tone = Literal["good", "bad", "caution", "plain"]
"""How a tile's figure is to be taken."""

GAINED, PAID, TRUST, NEXT = "Gained", "Paid", "Can you trust it?", "Next"

MOST_NAMED = 3
"""Losses and cautions that stand open; further ones are folded."""


class ChangedAnswers(NamedTuple):
    """The questions of a task that the start had right and the student has wrong."""

    task: str
    start: str
    """The start's label, in the way it was asked there."""

    student: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TileSentence:
    """One sentence of a tile."""

    text: str
    code: str = ""
    """A setting, command or path that ends it."""

    place: str = ""
    """The place on the page that it leads to."""

    changed: ChangedAnswers | None = None
    """The questions that it leads to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One question of a reader, and the answer."""

    name: str
    figure: str
    tone: Tone
    sentences: Sequence[TileSentence]
    further: Sequence[TileSentence] = ()
    """Folded below them."""


def tiles(results: Results) -> list[Tile]:
    """Returns the four tiles, at any stage of a run."""
    return _tiles(results, findings(results))


def _tiles(results: Results, found: Findings) -> list[Tile]:
    return [_gained(results, found), _paid(results, found), _trust(results, found), _next(found)]


def summarised(results: Results) -> dict[str, object]:
    """Returns findings and tiles as plain values, for ``summary.json``."""
    found = findings(results)
    return {
        "student": found.student.label if found.student else None,
        "against_start": [_compared(one) for one in found.against_start.values()],
        "lost_answers": found.lost_answers,
        "cautions": [asdict(caution) for caution in found.cautions],
        "next_steps": [asdict(step) for step in found.next_steps],
        "missing_stages": missing_stages(results),
        "tiles": [
            {
                "name": tile.name,
                "figure": tile.figure,
                "sentences": [
                    f"{one.text} {one.code}".strip() for one in (*tile.sentences, *tile.further)
                ],
            }
            for tile in _tiles(results, found)
        ],
    }


def _compared(one: StartComparison) -> Mapping[str, object]:
    compared = one.comparison
    return {
        "task": compared.task,
        "start": compared.second.label,
        "difference": compared.difference,
        "low": compared.low,
        "high": compared.high,
        "p_value": compared.p_value,
        "p_value_holm": one.adjusted_p,
        "only_student_right": compared.only_first,
        "only_start_right": compared.only_second,
        "total": compared.total,
        "shown": one.is_shown,
    }


def _gained(results: Results, found: Findings) -> Tile:
    gain, score, task = found.gain, found.score, results.leading.name
    if found.student is None or score is None:
        return _tile(GAINED, "not measured yet", "No student has answered test questions yet.")
    reached = percent(score.correct / score.total)
    if gain is None:
        unknown = f"{reached} on {task}; its start was not measured on the same questions."
        return _tile(GAINED, "not known", unknown, tone="caution")
    compared = gain.comparison
    before = results.test_score(compared.second, task)
    change = f"{percent(before.correct / before.total)} → {reached}" if before else reached
    return _tile(
        GAINED,
        f"{points(compared.difference, 0)} points" if gain.is_shown else "no gain shown",
        f"{_whose(results)}{change} on {task}, 95% interval {bounds_in_points(compared)}.",
        *_doubt(gain),
        *_answers_alone(found),
        tone="good" if gain.is_gain else "bad",
    )


def _whose(results: Results) -> str:
    """Returns the name of the student spoken of, where it is not the usual one."""
    student = results.chosen
    return "" if student in (None, USUAL_STUDENT) else f"{label(student)}, the student in model/: "


def _doubt(gain: StartComparison) -> Iterator[str]:
    if not gain.is_shown:
        over = f" over {gain.tasks} tasks (Holm)" if gain.tasks > 1 else ""
        change = points(gain.comparison.difference)
        yield f"{change} points; {p_phrase(gain.adjusted_p)}{over} shows no difference."


def _answers_alone(found: Findings) -> Iterator[str]:
    alone = found.answers_alone
    if alone is None:
        return
    reached = percent(alone.score.correct / alone.score.total)
    if alone.against_start is None:
        yield f"Answers alone end at {reached}."
        return
    change = points(alone.against_start.comparison.difference)
    shown = "" if alone.against_start.is_shown else ", which shows no difference"
    yield f"Answers alone end at {reached}: {change} points to the start{shown}."


def _paid(results: Results, found: Findings) -> Tile:
    spent = TileSentence(text=_spent(found.spent, results))
    if found.losses:
        return _lost(found, spent)
    if found.student is None:
        return Tile(name=PAID, figure="not measured yet", tone="plain", sentences=[spent])
    if not found.other_tasks:
        unknown = TileSentence(
            text="No other task was measured before and after, so what it lost there is not known:",
            code="evaluate.tasks",
        )
        return Tile(name=PAID, figure="not known", tone="caution", sentences=[unknown, spent])
    changes = [
        f"{task} {points(found.against_start[task].comparison.difference)}"
        for task in found.other_tasks
    ]
    none = TileSentence(text=f"No loss is shown on other tasks: {listed(changes)} points.")
    return Tile(name=PAID, figure="no loss shown", tone="plain", sentences=[none, spent])


def price_elsewhere(results: Results) -> list[str]:
    """Returns what was paid on other tasks in a few words, then a sentence on each; no cost."""
    paid = _paid(results, findings(results))
    told = (*paid.sentences[:-1], *paid.further)  # the last of the open ones is time and cost
    return [paid.figure, *(f"{one.text} {one.code}".strip() for one in told)]


def _lost(found: Findings, spent: TileSentence) -> Tile:
    worst = found.losses
    if len(worst) > MOST_NAMED:
        worst = sorted(worst, key=lambda one: one.comparison.difference)
    changes = [points(one.comparison.difference, 0) for one in worst]
    others = len(changes) - MOST_NAMED
    figure = f"{listed(changes)} points"
    if others > 0:
        figure = f"{', '.join(changes[:MOST_NAMED])} points and {others} more"
    sentences = [*map(_lost_answers, worst), spent]
    return Tile(name=PAID, figure=figure, tone="bad", sentences=sentences)


def _lost_answers(loss: StartComparison) -> TileSentence:
    compared = loss.comparison
    answers = "answer that was" if compared.only_second == 1 else "answers that were"
    verb = "is" if compared.only_second == 1 else "are"
    return TileSentence(
        text=f"{compared.task}: {compared.only_second:,} {answers} right {verb} now wrong.",
        changed=ChangedAnswers(compared.task, compared.second.label, compared.first.label),
    )


def _spent(spent: Spent, results: Results) -> str:
    cost = "$0"
    if spent.usd:
        at_most = "at most " if results.uncounted else ""
        cost = at_most + (f"${spent.usd:,.2f}" if spent.usd >= 0.01 else f"${spent.usd:.4f}")
    if spent.unpriced:
        known = f"{cost} and " if spent.usd else ""
        cost = f"{known}a cost that is not known (no price for {listed(spent.unpriced)})"
    return f"{duration(spent.seconds)}, {count_in_short(spent.tokens)} tokens, {cost}."


def _trust(results: Results, found: Findings) -> Tile:
    if found.student is None:
        return _tile(TRUST, "too early to say", "Nothing was measured on test questions.")
    every = [TileSentence(text=caution.text) for caution in found.cautions]
    sound = holds(results)
    return Tile(
        name=TRUST,
        figure="1 caution" if len(every) == 1 else f"{len(every)} cautions",
        tone="caution" if every else "good",
        sentences=[
            *every[:MOST_NAMED],
            *([TileSentence(text=f"Otherwise: {', '.join(sound)}.")] if sound else []),
        ],
        further=every[MOST_NAMED:],
    )


FIGURES: Mapping[str, str] = {
    "wait": "let the run end",
    "finish": "finish the run",
    "not_better": "look before use",
    "not_converged": "train longer",
    "losses": "look, then serve",
    "overlap": "rule out overlap",
    "template": "rule out templates",
    "few_kept": "look at the data",
    "routing": "route instead",
}
"""The tile's words on the first step worth taking, by the kind of the step."""


def _next(found: Findings) -> Tile:
    first = found.next_steps[0]
    worst = min(found.losses, key=lambda one: one.comparison.difference, default=None)
    lost = _lost_answers(worst).changed if worst else None
    sentences = [
        TileSentence(
            text=step.text,
            code=step.code,
            place=step.place,
            changed=lost if step.kind == "losses" else None,
        )
        for step in found.next_steps
    ]
    return Tile(
        name=NEXT, figure=FIGURES.get(first.kind, "serve it"), tone="plain", sentences=sentences
    )


def _tile(name: str, figure: str, *texts: str, tone: Tone = "plain") -> Tile:
    sentences = [TileSentence(text=text) for text in texts]
    return Tile(name=name, figure=figure, tone=tone, sentences=sentences)
