"""``potstill regrade``: a run's stored answers, graded again by today's grader.

No model is asked. The verdicts that flip are listed with the answer as it was read before and as it
is read now, e.g. ``q17 sample 2: no answer (read nothing) -> right (read 42)``.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from potstill.grading.grade import GRADER_VERSION, Grader, grade
from potstill.records import (
    Grade,
    GuidedPrediction,
    Policy,
    Prediction,
    Question,
    Rationale,
    Split,
    Task,
)
from potstill.runtime.progress import printable
from potstill.store import Store
from potstill.store.asked_questions import answers_question

RIGHT, WRONG, NO_ANSWER = "right", "wrong", "no answer"


class Flip(NamedTuple):
    """An answer whose verdict has changed."""

    what: str
    """The answer: who gave it to which question."""

    before: str
    after: str
    answers: tuple[str | None, str | None]
    """The final answer as it was read before, and as it is read now."""


class GuidedVerdicts(NamedTuple):
    """The outcome of grading guided answers again."""

    answers: int
    """Answers that were graded again."""

    flips: list[Flip]
    scores_fit: bool
    """Whether the guided scores were counted by these verdicts."""


class Regraded(NamedTuple):
    """The outcome of grading a run again."""

    graders: tuple[str, ...]
    """The versions of the grader behind the former verdicts."""

    rationales: int
    """Rationales that were graded again."""

    predictions: int
    """Test answers that were graded again."""

    unplaced_predictions: int
    """Test answers to questions that the recipe's tasks do not have now; they were not graded."""

    verdicts: Counter[str]
    """Rationales by their new verdict."""

    rationale_flips: list[Flip]
    prediction_flips: list[Flip]
    guided: GuidedVerdicts
    changes: tuple[str, ...] = ()
    """How the recipe has answers read otherwise than when the rationales were graded."""


def regrade(
    tasks: Sequence[Task],
    store: Store,
    curate: Callable[[], Counter[str]],
    graded_by: Grader = grade,
) -> Regraded:
    """Grade every stored rationale, test answer and guided answer again.

    The new verdicts of rationales and guided answers take the place of the old ones. Test answers
    are only compared: scores and the choice of checkpoint are the evaluate stage's, which asks for
    nothing that is stored. Likewise guided scores, with the thresholds behind them, are the guide
    stage's: those of the teacher alone and of samples come from answers that it alone reads.

    Args:
        tasks: The task that was trained for, then further ones.
        store: The run's store, opened for writing.
        curate: Curates the teachers' completions again and counts the verdicts.
        graded_by: Grades test answers and guided ones.

    Raises:
        DataError: The teachers have answered no training question.
    """
    graders = {*store.graders("rationales"), *store.graders("predictions")}
    graders.update(store.graders("guided_predictions"))
    before = [*store.rationales()]  # as they are before they are replaced
    verdicts = curate()
    questions, predictions = _questions_by_place(tasks), store.predictions()
    placed = [old for old in predictions if _placed(old, "test", questions) is not None]
    return Regraded(
        graders=tuple(sorted(graders)),
        rationales=verdicts.total(),
        predictions=len(placed),
        unplaced_predictions=len(predictions) - len(placed),
        verdicts=verdicts,
        rationale_flips=list(_rationale_flips(before, store.rationales())),
        prediction_flips=list(_prediction_flips(placed, questions, graded_by)),
        guided=_regrade_guided(tasks, store),
    )


def describe_regraded(regraded: Regraded) -> Iterator[str]:
    """The changes line by line, with the commands that carry them further."""
    before = ", ".join(regraded.graders) or "none"
    versions = f"grader version {before} before, {GRADER_VERSION} now"
    if regraded.changes:
        yield (
            "regrade: the recipe has answers read otherwise than before: "
            f"{'; '.join(regraded.changes)}. No answer is lost: with the former setting, regrade "
            "gives the former verdicts"
        )
    yield f"regrade: {regraded.rationales:,} rationales, {versions}"
    yield from _listed("verdicts of rationales", regraded.rationale_flips)
    kept = regraded.verdicts["kept"]
    yield f"  {kept:,} of {regraded.rationales:,} rationales are kept now"
    yield f"regrade: {regraded.predictions:,} test answers"
    yield from _listed("verdicts of test answers", regraded.prediction_flips)
    if regraded.unplaced_predictions:
        yield (
            f"  {regraded.unplaced_predictions:,} more are not graded: the recipe's tasks have no "
            "such questions now"
        )
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
    # By completion: a question's id may be another one by now, or another question's.
    former = {(old.completion_id, old.question_id): old for old in before}
    former_by_completion = {old.completion_id: old for old in before}
    several_teachers = len({new.teacher for new in after}) > 1
    for new in after:
        place = (new.completion_id, new.question_id)
        old = former.get(place) or former_by_completion.get(new.completion_id)
        if old is not None and old.verdict != new.verdict:
            teacher = f" {new.teacher}" if several_teachers else ""
            what = f"{new.question_id}{teacher} sample {new.sample}"
            yield Flip(what, old.verdict, new.verdict, (old.answer, new.answer))


def _prediction_flips(
    predictions: Sequence[Prediction],
    questions: Mapping[tuple[str, str, str], "_TaskQuestion"],
    graded_by: Grader,
) -> Iterator[Flip]:
    """The test answers whose verdict has changed; for a vote, those of the elected sample."""
    for old in predictions:
        if old.finish_reason == "error":
            continue  # never answered
        place = _placed(old, "test", questions)
        assert place is not None, "the others are not graded"
        new = graded_by(place.task, old.text, place.question)
        yield from _flipped(f"{old.system.label} on {old.task} {old.question_id}", old, new)


def prediction_flips(tasks: Sequence[Task], store: Store, *, most: int) -> Iterator[Flip]:
    """Yields the stored test answers that the grader grades otherwise; nothing is written.

    Args:
        tasks: All tasks that were measured on.
        store: The run's.
        most: Answers that are graded at most, spread evenly.
    """
    questions = _questions_by_place(tasks)
    placed = [old for old in store.predictions() if _placed(old, "test", questions) is not None]
    some = placed[:: -(-len(placed) // most)] if placed else placed
    return _prediction_flips(some, questions, grade)


def _regrade_guided(tasks: Sequence[Task], store: Store) -> GuidedVerdicts:
    """Grade guided answers again; those of an earlier recipe, and empty ones, stay as they are."""
    questions, versions = _questions_by_place(tasks), store.graders("guided_predictions")
    regraded, flips = list[GuidedPrediction](), list[Flip]()
    for old in store.guided_predictions():
        place = _placed(old, old.split, questions)
        if place is None or not old.text:
            continue
        new = grade(place.task, old.text, place.question)
        what = f"{old.policy.label} on {old.task} {old.split} {old.question_id}"
        flips += _flipped(what, old, new)
        regraded.append(replace(old, answer=new.answer, correct=new.correct))
    store.regrade_guidance(regraded, grader=GRADER_VERSION)
    same = not flips and {*versions} <= {GRADER_VERSION}
    return GuidedVerdicts(len(regraded), flips, scores_fit=same and _scores_fit(store))


def _scores_fit(store: Store) -> bool:
    """Whether the guided scores' accuracies agree with the stored verdicts."""
    verdicts: dict[tuple[Policy, str, str], list[bool]] = defaultdict(list)
    for prediction in store.guided_predictions():
        place = (prediction.policy, prediction.task, prediction.split)
        verdicts[place].append(prediction.correct)
    for score in store.guided_scores():
        correct = verdicts.get((score.policy, score.task, score.split))
        if correct and score.accuracy != sum(correct) / len(correct):
            return False
    return True


class _TaskQuestion(NamedTuple):
    task: Task
    question: Question


def _placed(
    answer: Prediction | GuidedPrediction,
    split: Split,
    questions: Mapping[tuple[str, str, str], _TaskQuestion],
) -> _TaskQuestion | None:
    """The question that an answer is one to; None where its task does not have it now."""
    place = questions.get((answer.task, split, answer.question_id))
    return place if place is not None and answers_question(answer, place.question) else None


def _questions_by_place(tasks: Sequence[Task]) -> dict[tuple[str, str, str], _TaskQuestion]:
    """Every question, by its task's name, its split and its id."""
    return {
        (task.name, split, question.id): _TaskQuestion(task, question)
        for task in tasks
        for split, questions in task.splits.items()
        for question in questions
    }


def _flipped(what: str, old: Prediction | GuidedPrediction, new: Grade) -> Iterator[Flip]:
    """One flip where the verdict has changed, else nothing."""
    before, after = _verdict(old.answer, old.correct), _verdict(new.answer, new.correct)
    if before != after:
        yield Flip(what, before, after, (old.answer, new.answer))


def _verdict(answer: str | None, correct: bool) -> str:
    if answer is None:
        return NO_ANSWER
    return RIGHT if correct else WRONG
