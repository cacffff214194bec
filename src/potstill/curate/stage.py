"""The curate stage: completions → rationales, each with a verdict."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from potstill.curate.marks import Marks
from potstill.curate.settings import CurateSettings
from potstill.curate.teacher_scores import JudgedRound, teacher_scores
from potstill.curate.teacher_selection import (
    Measure,
    TeacherCandidate,
    agreement,
    best,
    consensus,
    worths,
)
from potstill.curate.verdicts import (
    KEPT,
    GradedSample,
    grade_sample,
    marked_verdict,
    own_verdict,
)
from potstill.errors import DataError
from potstill.grading.grade import GRADER_VERSION, grade
from potstill.grading.votes import same_answers
from potstill.keys import settings_hash
from potstill.records import Likelihood, Question, Request, Task
from potstill.runtime.context import RunContext
from potstill.sampling.ask import Answer
from potstill.sampling.debate import AskedTeacher, Round, asked_requests, read_rounds
from potstill.sampling.judge import Judge
from potstill.store import Store

VERDICTS = {
    KEPT: "kept for training",
    "unfinished": "cut off at max_tokens, stopped by a content filter, or left for a tool",
    "unknown_end": "the server ended it for a reason that is not known, which may be a cut",
    "no_answer": "no final answer found",
    "not_compared": "whether the answer is the gold answer was not found out in time",
    "wrong_answer": "the answer is not the gold answer",
    "no_consensus": "no answer has most votes at the end of the debate",
    "against_consensus": "the answer is not the one with most votes at the end of the debate",
    "too_short": "fewer than min_words words",
    "too_long": "more than max_words words",
    "rejected": "people found it flawed",
    "unmarked": "nobody has marked it, and marks.keep_unmarked is off",
    "other_teacher": "another teacher was chosen for the question",
    "duplicate": "the same text as an earlier sample of the question",
    "over_cap": "the question has max_per_question rationales already",
}
"""Every verdict, in the order in which the reasons are tried, and what it means."""


_BEFORE_DEBATE = ("unfinished", "unknown_end", "no_answer", "not_compared", "wrong_answer")
"""Verdicts that stand whatever a debate came to."""

GradeSample = Callable[[Task, Question, str, Answer], GradedSample]
"""Grades one teacher's answer to a question of a task."""

_QUESTIONS_AT_ONCE = 256
"""Training questions whose requests are named in one transaction."""


class _AnsweredQuestion(NamedTuple):
    """A question and its graded answers."""

    question: Question
    rounds: list[JudgedRound]
    """The teachers' first answers, and those of each round of a debate."""


def curate(
    task: Task,
    teachers: Sequence[AskedTeacher],
    context: RunContext,
    settings: CurateSettings,
    *,
    debate_rounds: int = 0,
    measure: Measure | None = None,
    judge: Judge | None = None,
    made_by: str = "",
    enough_right: int | None = None,
) -> Counter[str]:
    """Give every stored rationale of the training questions a verdict.

    It costs no request, and replaces what an earlier curation decided. The same grader reads the
    answers here and in the evaluate stage. Of a debate, the answers of the last round count.

    Args:
        task: The questions with their gold answers.
        teachers: The teachers and how they were asked, in the order of the recipe.
        context: The run; its store holds the completions, and takes the rationales and scores.
        settings: The conditions on which rationales are kept.
        debate_rounds: How often the teachers answered again.
        judge: Reads what the rules cannot, where the task's rule is ``judge``.
        measure: Tells how the student finds rationales; a choice by what it finds needs it.
        made_by: Stands for all that determines the results, and is stored with them; by default
            a hash of the settings.
        enough_right: How many right samples of a question ended its drawing, if it was so drawn.

    Returns:
        How many rationales got each verdict.

    Raises:
        DataError: There is no completion to read, or no mark is on any of them.
    """
    require_answers(context.store, task, teachers, debate_rounds)
    if judge is not None:
        texts = _finished_texts(context.store, task, teachers, debate_rounds)
        judge.ask(task, texts, stage="curate")
    graded_by = judge.grade if judge else grade
    marks = Marks(settings.marks) if settings.marks is not None else None
    grade_marked = partial(grade_sample, graded_by=graded_by, marks=marks)
    answered = _answered_questions(context.store, task, teachers, debate_rounds, grade_marked)
    if marks is not None:
        marks.require_used()
    judged = [_own_verdicts(answers.rounds[-1], settings, debate_rounds) for answers in answered]
    likelihoods: Mapping[int, Likelihood] = {}
    if settings.measure is not None:
        assert measure is not None, "who asks for likelihoods brings the student"
        likelihoods = measure(_candidates(answered, judged))
    order = [teacher.name for teacher in teachers]
    rationales = [
        sample.rationale(answers.question)
        for answers, samples in zip(answered, judged, strict=True)
        for sample in _final_verdicts(answers, samples, settings, likelihoods, order)
    ]
    rounds, seed = _counted_rounds(task, answered, enough_right), teachers[0].asking.sampling.seed
    scores = list(
        teacher_scores(rounds, order, rationales, likelihoods, seed=seed, measure=settings.measure)
    )
    made_by = made_by or settings_hash(
        settings.model_dump(mode="json"), task.rule, GRADER_VERSION, order, debate_rounds
    )
    context.store.replace_rationales(
        rationales, scores, grader=GRADER_VERSION, settings_hash=made_by
    )
    return Counter(rationale.verdict for rationale in rationales)


def _counted_rounds(
    task: Task, answered: Sequence[_AnsweredQuestion], enough_right: int | None
) -> list[list[JudgedRound]]:
    """The rounds that a teacher's accuracy is counted on.

    Where a question was asked until some answers were right, the share of right ones among all is
    too high: of a teacher that is right half of the time it is 0.69 on average where one right
    sample ends it. The first samples were drawn whatever they brought, so they are counted.
    """
    if enough_right is None:
        return [answers.rounds for answers in answered]
    same, counted = same_answers(task), list[list[JudgedRound]]()
    for answers in answered:
        first = [sample for sample in answers.rounds[0].samples if sample.sample < enough_right]
        counted.append([JudgedRound(first, consensus(first, same))])
    return counted


def _answered_questions(
    store: Store,
    task: Task,
    teachers: Sequence[AskedTeacher],
    debate_rounds: int,
    grade_one: GradeSample,
) -> list[_AnsweredQuestion]:
    """Returns the training questions that were answered, with all answers graded."""
    questions = task.splits["train"]
    answered = []
    for start in range(0, len(questions), _QUESTIONS_AT_ONCE):
        asked = list[tuple[str, Request]]()
        for question in questions[start : start + _QUESTIONS_AT_ONCE]:
            rounds = read_rounds(store, question, teachers, debate_rounds)
            asked += asked_requests(store, question, teachers, rounds, task=task.name)
            judged = _graded(task, question, rounds, grade_one)
            if judged:
                answered.append(_AnsweredQuestion(question, judged))
        _name_questions(store, teachers, asked)
    return answered


def require_answers(
    store: Store, task: Task, teachers: Sequence[AskedTeacher], debate_rounds: int
) -> None:
    """Refuse a task of whose training questions none was answered; returns at the first that was.

    Raises:
        DataError: There is no completion to read.
    """
    questions = task.splits["train"]
    rounds = (read_rounds(store, question, teachers, debate_rounds) for question in questions)
    if not any(any(answers[-1].values()) for answers in rounds):
        names = " and ".join(teacher.model for teacher in teachers)
        raise DataError(
            f"{names} {'has' if len(teachers) == 1 else 'have'} answered no training question of "
            f"{task.name} yet as this recipe asks them; run potstill generate first."
        )


def _finished_texts(
    store: Store, task: Task, teachers: Sequence[AskedTeacher], debate_rounds: int
) -> Iterator[tuple[Question, str]]:
    """The teachers' whole answers to the training questions, those that were cut off left out."""
    for question in task.splits["train"]:
        for round_ in read_rounds(store, question, teachers, debate_rounds):
            for given in round_.values():
                yield from ((question, answer.text) for answer in given if answer.finished)


def _name_questions(
    store: Store, teachers: Sequence[AskedTeacher], asked: Sequence[tuple[str, Request]]
) -> None:
    """Store which questions the requests ask: since then the task may have got other ids."""
    for teacher in teachers:
        store.name_questions(
            teacher.model, [request for model, request in asked if model == teacher.model]
        )


def _graded(
    task: Task, question: Question, rounds: Sequence[Round], grade_one: GradeSample
) -> list[JudgedRound]:
    """All answers to a question graded, by sample; nothing where there is no last round."""
    same, judged = same_answers(task), list[JudgedRound]()
    for round_ in rounds:
        samples = [
            grade_one(task, question, teacher, answer)
            for teacher, answers in round_.items()
            for answer in answers
        ]
        samples.sort(key=lambda sample: sample.sample)
        judged.append(JudgedRound(samples, consensus(samples, same)))
    return judged if judged[-1].samples else []


def _own_verdicts(
    round_: JudgedRound, settings: CurateSettings, debate_rounds: int
) -> list[GradedSample]:
    """Returns each sample with its verdict for itself, by a debate's outcome, then by marks."""
    verdicts = []
    for sample, held in zip(round_.samples, round_.consensus.held, strict=True):
        verdict = own_verdict(sample, settings)
        finished = verdict not in _BEFORE_DEBATE
        if debate_rounds and finished and not held:
            agreed = round_.consensus.answer is not None
            verdict = "against_consensus" if agreed else "no_consensus"
        if verdict == KEPT:
            verdict = marked_verdict(sample, settings)
        verdicts.append(sample._replace(verdict=verdict))
    return verdicts


def _candidates(
    answered: Sequence[_AnsweredQuestion], judged: Sequence[Sequence[GradedSample]]
) -> list[TeacherCandidate]:
    """The rationales that are kept so far."""
    return [
        TeacherCandidate(answers.question, sample.completion_id, sample.text)
        for answers, samples in zip(answered, judged, strict=True)
        for sample in samples
        if sample.verdict == KEPT
    ]


def _final_verdicts(
    answers: _AnsweredQuestion,
    samples: Sequence[GradedSample],
    settings: CurateSettings,
    likelihoods: Mapping[int, Likelihood],
    order: Sequence[str],
) -> Iterator[GradedSample]:
    """One question's samples with their verdicts beside each other.

    Only teachers with a rationale that is kept so far can be chosen.
    """
    kept = [sample for sample in samples if sample.verdict == KEPT]
    eligible = [name for name in order if any(sample.teacher == name for sample in kept)]
    if settings.choose == "agreement" and eligible:
        last = answers.rounds[-1]
        chosen = best(agreement(last.samples, last.consensus.held), eligible)
        samples = _only_from(chosen, samples)
    elif settings.measure is not None and eligible:
        measured = worths(kept, likelihoods, settings.measure)
        samples = _only_from(best(measured, eligible), samples)
    return _among_siblings(samples, settings)


def _only_from(chosen: str, samples: Sequence[GradedSample]) -> list[GradedSample]:
    """The samples, those of other teachers than the chosen one dropped."""
    return [
        sample._replace(verdict="other_teacher")
        if sample.verdict == KEPT and sample.teacher != chosen
        else sample
        for sample in samples
    ]


def _among_siblings(
    samples: Iterable[GradedSample], settings: CurateSettings
) -> Iterator[GradedSample]:
    """One question's samples, by sample, without repetitions and what is too many."""
    kept_texts: set[str] = set()
    kept = 0
    for sample in samples:
        if sample.verdict != KEPT:
            yield sample
            continue
        normalised = " ".join(sample.text.casefold().split())
        if normalised in kept_texts and not settings.duplicates:
            yield sample._replace(verdict="duplicate")
        elif kept == settings.max_per_question:
            yield sample._replace(verdict="over_cap")
        else:
            kept_texts.add(normalised)
            kept += 1
            yield sample
