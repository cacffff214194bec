"""Grading the stored pool again, after the grader has changed: no request, no model."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from potstill.grading.grade import GRADER_VERSION, grade
from potstill.records import Grade, GuidedPrediction, Prediction, Question, Rationale, Task
from potstill.runtime.progress import printable
from potstill.store import Store

RIGHT, WRONG, NO_ANSWER = "right", "wrong", "no answer"


class Flip(NamedTuple):
    """A verdict that is another one now."""

    what: str
    """Whose answer to which question."""

    before: str
    after: str
    answers: tuple[str | None, str | None]
    """The answer as read before and now."""


class GuidedVerdicts(NamedTuple):
    """What grading guided answers again has changed."""

    answers: int
    """How many were graded again."""

    flips: list[Flip]
    scores_fit: bool
    """Whether the guided scores were counted by these verdicts."""


class Regraded(NamedTuple):
    """What grading again has changed."""

    graders: tuple[str, ...]
    """The versions behind the verdicts before."""

    rationales: int
    """How many were graded again."""

    predictions: int
    verdicts: Counter[str]
    """The rationales' verdicts now."""

    rationale_flips: list[Flip]
    prediction_flips: list[Flip]
    guided: GuidedVerdicts


def regrade(tasks: Sequence[Task], store: Store, curate: Callable[[], Counter[str]]) -> Regraded:
    """Grade every stored rationale, test answer and guided answer again.

    The new verdicts of rationales and guided answers take the place of the old ones. Test answers
    are only compared: scores and the choice of checkpoint are the evaluate stage's, which asks for
    nothing that is stored. Likewise guided scores, with the thresholds behind them, are the guide
    stage's: those of the teacher alone and of samples come from answers that it alone reads.

    Args:
        tasks: The task that was trained for, then further ones.
        store: Holds completions and verdicts.
        curate: Curates again what the teachers wrote, and says how many got each verdict.

    Raises:
        DataError: The teachers have answered no training question.
    """
    graders = {*store.graders("rationales"), *store.graders("predictions")}
    graders.update(store.graders("guided_predictions"))
    before = store.rationales()
    verdicts = curate()
    predictions = store.predictions()
    return Regraded(
        graders=tuple(sorted(graders)),
        rationales=verdicts.total(),
        predictions=len(predictions),
        verdicts=verdicts,
        rationale_flips=list(_rationale_flips(before, store.rationales())),
        prediction_flips=list(_prediction_flips(predictions, tasks)),
        guided=_guided(tasks, store),
    )


def described(regraded: Regraded) -> Iterator[str]:
    """What has changed, in lines."""
    before = ", ".join(regraded.graders) or "none"
    versions = f"grader version {before} before, {GRADER_VERSION} now"
    yield f"regrade: {regraded.rationales:,} rationales, {versions}"
    yield from _listed("verdicts of rationales", regraded.rationale_flips)
    kept = regraded.verdicts["kept"]
    yield f"  {kept:,} of {regraded.rationales:,} rationales are kept now"
    yield f"regrade: {regraded.predictions:,} test answers"
    yield from _listed("verdicts of test answers", regraded.prediction_flips)
    guided = regraded.guided
    if guided.answers:
        yield f"regrade: {guided.answers:,} guided answers"
        yield from _listed("verdicts of guided answers", guided.flips)
    if regraded.rationale_flips:
        yield "Students learned from the former verdicts; train again with: potstill train"
    if regraded.prediction_flips:
        yield "Scores stand as they were; count them again with: potstill evaluate"
    if not guided.scores_fit:
        yield (
            "Guided scores, and the thresholds behind them, stand as they were; count them again "
            "with: potstill guide, which asks for nothing that is stored"
        )


def _listed(what: str, flips: Sequence[Flip]) -> Iterator[str]:
    yield f"  {len(flips):,} {what} flipped"
    for flip in flips:
        was, now = (answer if answer is not None else "nothing" for answer in flip.answers)
        read = f"{flip.before} (read {was}) -> {flip.after} (read {now})"
        yield f"  {flip.what}: {printable(read)}"


def _rationale_flips(before: Sequence[Rationale], after: Sequence[Rationale]) -> Iterator[Flip]:
    old = {(each.question_id, each.teacher, each.sample): each for each in before}
    several = len({each.teacher for each in after}) > 1
    for new in after:
        was = old.get((new.question_id, new.teacher, new.sample))
        if was is not None and was.verdict != new.verdict:
            who = f" {new.teacher}" if several else ""
            what = f"{new.question_id}{who} sample {new.sample}"
            yield Flip(what, was.verdict, new.verdict, (was.answer, new.answer))


def _prediction_flips(predictions: Sequence[Prediction], tasks: Sequence[Task]) -> Iterator[Flip]:
    """The test answers whose verdict is another one; of a vote, those of the elected sample."""
    asked = _asked(tasks)
    for was in predictions:
        found = asked.get((was.task, "test", was.question_id))
        if found is None or was.finish_reason == "error":
            continue  # measured under an earlier recipe, or never answered
        now = grade(found[0], was.text, found[1])
        yield from _flipped(f"{was.system} on {was.task} {was.question_id}", was, now)


def _guided(tasks: Sequence[Task], store: Store) -> GuidedVerdicts:
    """Grade guided answers again; those of an earlier recipe, and empty ones, stay as they are."""
    asked, versions = _asked(tasks), store.graders("guided_predictions")
    graded, flips = list[GuidedPrediction](), list[Flip]()
    for was in store.guided_predictions():
        found = asked.get((was.task, was.split, was.question_id))
        if found is None or not was.text:
            continue
        now = grade(found[0], was.text, found[1])
        what = f"{was.policy} on {was.task} {was.split} {was.question_id}"
        flips += _flipped(what, was, now)
        graded.append(replace(was, answer=now.answer, correct=now.correct))
    store.regrade_guidance(graded, grader=GRADER_VERSION)
    same = not flips and {*versions} <= {GRADER_VERSION}
    return GuidedVerdicts(len(graded), flips, scores_fit=same and _scores_fit(store))


def _scores_fit(store: Store) -> bool:
    """Whether the accuracies of guided scores are those of the verdicts that are stored."""
    verdicts: dict[tuple[str, str, str], list[bool]] = defaultdict(list)
    for each in store.guided_predictions():
        verdicts[each.policy, each.task, each.split].append(each.correct)
    counted = (
        (score.accuracy, verdicts.get((score.policy, score.task, score.split)))
        for score in store.guided_scores()
    )
    return all(not found or accuracy == sum(found) / len(found) for accuracy, found in counted)


def _asked(tasks: Sequence[Task]) -> dict[tuple[str, str, str], tuple[Task, Question]]:
    """Every question with its task, by the task's name, the split and the question's id."""
    return {
        (task.name, split, question.id): (task, question)
        for task in tasks
        for split, questions in task.splits.items()
        for question in questions
    }


def _flipped(what: str, was: Prediction | GuidedPrediction, now: Grade) -> Iterator[Flip]:
    """The flip of one verdict, if it is one."""
    old, new = _verdict(was.answer, was.correct), _verdict(now.answer, now.correct)
    if old != new:
        yield Flip(what, old, new, (was.answer, now.answer))


def _verdict(answer: str | None, correct: bool) -> str:
    if answer is None:
        return NO_ANSWER
    return RIGHT if correct else WRONG
