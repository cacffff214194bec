"""Reasons against trusting the figures of a run, the worst first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from potstill.records import Score
from potstill.report.accuracy import Results
from potstill.report.run_progress import unmeasured_students
from potstill.report.text import listed, percent
from potstill.text.chosen_on_test import SHORT
from potstill.text.number_of import number_of
from potstill.text.points import points

MOST_UNREAD = 0.02
"""Share of answers that are cut off or hold none, above which the figures are in doubt."""

FEW_QUESTIONS = 100
"""The number of test questions below which an accuracy is too rough."""

FEW_SOFT_TARGETS = 0.5
"""Share of trained tokens with the teacher's probabilities, below which they are few."""


@dataclass(frozen=True, slots=True)
class TrustCaution:
    """One reason to look twice."""

    kind: str
    text: str
    """The reason in a sentence, with its numbers."""


def cautions(results: Results) -> list[TrustCaution]:
    """Returns the reasons to doubt the chosen student's figures; empty before it has any."""
    if results.chosen is None:
        return []
    found = []
    for kind, sentences in SOURCES.items():
        found += [TrustCaution(kind, sentence) for sentence in sentences(results)]
    return found


def holds(results: Results) -> list[str]:
    """Returns the checks that found nothing wrong, in a few words each."""
    sound = []
    gained = results.against_start.get(results.leading.name)
    if gained is not None and gained.comparison.total >= FEW_QUESTIONS:
        sound.append(f"{gained.comparison.total:,} paired questions")
    tested = [one for one in results.overlaps if one.split == "test"]
    if tested and not any(one.training for one in tested):
        sound.append("no text shared with test questions")
    if tested and all(one.same_template == 0 for one in tested):
        sound.append("no template shared with them")
    if results.choices and not results.chosen_on_test:
        sound.append("test questions chose nothing")
    return sound


def _on_test(results: Results) -> Iterator[str]:
    if results.chosen_on_test:
        yield f"{SHORT[0].upper()}{SHORT[1:]}."


def _not_better(results: Results) -> Iterator[str]:
    gained = results.against_start.get(results.leading.name)
    if gained is None:
        yield "The student was not held against its start on the same questions."
    elif not gained.is_gain:
        verdict = "shown to be worse" if gained.is_loss else "not shown to be better"
        yield (
            f"The student is {verdict} than its start on {results.leading.name} "
            f"({points(gained.comparison.difference)} points)."
        )


def _stale(results: Results) -> Iterator[str]:
    if results.facts.stale:
        yield f"Not, or not known to be, of today's recipe: {listed(results.facts.stale)}."


def _shared_texts(results: Results) -> Iterator[str]:
    for one in results.overlaps:
        if one.split == "test" and one.training:
            sharing = number_of(
                one.training, "training question shares", "training questions share"
            )
            yield f"{sharing} text with {one.hit:,} of {one.total:,} test questions of {one.task}."


def _shared_templates(results: Results) -> Iterator[str]:
    training = len(results.leading.splits["train"])
    for one in results.overlaps:
        if one.split == "test" and one.same_template:
            how_many = f"{one.same_template:,} of {training:,}"
            if one.same_template == training:
                how_many = f"All {training:,}"
            where = "" if one.task == results.leading.name else f" of {one.task}"
            verb = "shares" if one.same_template == 1 else "share"
            yield (
                f"{how_many} training questions {verb} a template with the test questions{where}."
            )


def _tested(results: Results) -> list[Score]:
    student = results.chosen
    scores = [
        results.test_score(student, task)
        for task in results.task_names
        if student is not None and task not in results.other_rule_tasks
    ]
    return [score for score in scores if score is not None and score.total]


def _unread(results: Results) -> Iterator[str]:
    """Yields the task on which most of the student's answers are cut off or hold none."""
    shares = {score.task: _unread_share(score) for score in _tested(results)}
    worst = max(_tested(results), key=_unread_share, default=None)
    if worst is None or shares[worst.task] <= MOST_UNREAD:
        return
    parts = [
        f"{count / worst.total:.1%} {what}"
        for count, what in ((worst.truncated, "are cut off"), (worst.no_answer, "hold no answer"))
        if count
    ]
    others = sum(share > MOST_UNREAD for share in shares.values()) - 1
    too = f"; so on {others} further tasks" if others > 1 else "; so on a further task"
    yield f"Of the student's answers to {worst.task} {listed(parts)}{too if others else ''}."


def _unread_share(score: Score) -> float:
    return max(score.truncated, score.no_answer) / score.total


def _few_questions(results: Results) -> Iterator[str]:
    few = [score for score in _tested(results) if score.total < FEW_QUESTIONS]
    if few:
        sizes = listed([f"{score.total:,} of {score.task}" for score in few])
        yield f"Few test questions: {sizes}."


def _last_step(results: Results) -> Iterator[str]:
    if is_chosen_last(results):
        last = max(_checkpoint_steps(results))
        yield (
            f"The chosen checkpoint is the last, at step {last:,}: more training may reach more."
        )
    elif len(steps := _checkpoint_steps(results)) == 1:
        yield (
            f"There is but one checkpoint, at step {max(steps):,}: whether less or more training "
            "reaches more is not known."
        )


def is_chosen_last(results: Results) -> bool:
    """Whether development questions chose the last of several checkpoints."""
    student = results.chosen
    steps = _checkpoint_steps(results)
    chosen = {one.step for one in results.choices if one.used and one.system == student}
    return len(steps) > 1 and bool(chosen) and chosen == {max(steps)}


def _checkpoint_steps(results: Results) -> set[int]:
    return {one.step for one in results.checkpoints if one.system == results.chosen}


def _soft_targets(results: Results) -> Iterator[str]:
    for last in results.last_checkpoints:
        share = last.soft_share
        if last.system == results.chosen and share is not None and share < FEW_SOFT_TARGETS:
            yield (
                f"The teacher's probabilities reached {percent(share)} of the trained tokens; the "
                "others were learned from the text."
            )


def _failures(results: Results) -> Iterator[str]:
    failed = sum(results.failures.values())
    if failed:
        yield f"{failed:,} requests failed and were never answered."


def _unmeasured(results: Results) -> Iterator[str]:
    unmeasured = unmeasured_students(results)
    if unmeasured:
        yield f"Trained and not measured: {listed(unmeasured)}."


def _outdated(results: Results) -> Iterator[str]:
    yield from results.outdated_notes


def _unknown_overlap(results: Results) -> Iterator[str]:
    if not any(one.split == "test" for one in results.overlaps):
        yield "Whether training and test questions share texts was not looked at."


def _one_seed(results: Results) -> Iterator[str]:
    yield "One seed: another training of this recipe may differ by more than the intervals say."


SOURCES: dict[str, Callable[[Results], Iterator[str]]] = {
    "chosen_on_test": _on_test,
    "not_better": _not_better,
    "stale": _stale,
    "shared_texts": _shared_texts,
    "shared_templates": _shared_templates,
    "unread_answers": _unread,
    "few_questions": _few_questions,
    "unmeasured": _unmeasured,
    "outdated": _outdated,
    "last_step": _last_step,
    "soft_targets": _soft_targets,
    "failures": _failures,
    "unknown_overlap": _unknown_overlap,
    "one_seed": _one_seed,
}
"""The functions that find cautions, by kind; the weightiest first."""
