"""Measuring one system on one split of one task: ask what is missing, grade all, count.

A system with more than one sample answers by self-consistency (arXiv 2203.11171): its answer is the
one that most of its samples reach. A vote stops early where further samples could not change its
outcome, so that stopping early and asking to the end give the same answer. With at most 8 samples::

    7, 7, 7, 9        4 are left, with which 9 could still win: all agreeing, it had 5 of 8
    7, 7, 7, 9, 7     3 are left, and 7 leads by 3 and came first: settled
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from potstill.evaluate.graded_answers import GradedAnswers
from potstill.evaluate.systems import AnswerJob, EvalTask, MeasuredSystem
from potstill.grading.grade import Grader, grade
from potstill.grading.rules import JUDGE_RULE
from potstill.grading.votes import count_votes, same_answers
from potstill.keys import question_digest
from potstill.models import Model
from potstill.records import Comparison, Grade, Prediction, Question, Score, Split, System, Task
from potstill.runtime.context import RunContext
from potstill.sampling.ask import (
    Answer,
    PromptConfig,
    SampleCounts,
    all_failed,
    answers,
    sample_requests,
)
from potstill.sampling.judge import Judge
from potstill.statistics import paired_comparison
from potstill.text.number_of import number_of

QUESTIONS_AT_ONCE = 10_000
"""Questions of a split whose answers are held at once."""


class Measured(NamedTuple):
    """A system's result on one split of one task."""

    system: MeasuredSystem
    score: Score
    predictions: GradedAnswers


class EvalContext(NamedTuple):
    """The run that systems are measured in, and what is noted of the measuring."""

    run: RunContext
    left_out: list[str]
    """Notes on systems: those that could not be measured on a task, and why; further remarks."""

    judge: Judge | None = None
    """Reads what the rules cannot, of tasks whose rule is ``judge``."""

    def opened(self, measured: MeasuredSystem) -> Model:
        """Returns a system's model, opened while the view says so: a large one takes long.

        Raises:
            PotstillError: It cannot be loaded.
        """
        with self.run.progress.stage(f"loading {_named(measured.system)}", total=None):
            return measured.open()

    def measure(
        self, measured: MeasuredSystem, model: Model, entry: EvalTask, split: Split
    ) -> Measured | None:
        """Ask what is missing, grade all; None if the system has not got all answers.

        A question that a system failed on counts as wrong. A file of recorded answers that lacks
        some is another matter: its accuracy on the others would be of other questions.

        Raises:
            ModelError: The system cannot be asked, or all of its answers failed.
        """
        with self.run.progress.part(len(entry.task.splits[split])):
            result = self._measure(measured, model, entry, split)
        if result is not None:
            self._record(result.score)
        return result

    def _record(self, score: Score) -> None:
        """Write an accuracy to the run's log."""
        self.run.events.record(
            "measured",
            system=score.system.label,
            step=score.step,
            task=score.task,
            split=score.split,
            correct=score.correct,
            total=score.total,
            low=score.low,
            high=score.high,
        )

    def _measure(
        self, measured: MeasuredSystem, model: Model, entry: EvalTask, split: Split
    ) -> Measured | None:
        task, system, questions = entry.task, measured.system, entry.task.splits[split]
        graded, asked, is_answered = GradedAnswers(), list[SampleCounts](), False
        uncompared = Counter[str]()
        # How a judge did is told of all that it read.
        size = QUESTIONS_AT_ONCE if self.judge is None else max(len(questions), 1)
        for start in range(0, len(questions), size):
            page = questions[start : start + size]
            samples = self._samples(measured, model, entry, split, page, asked)
            if samples is None:
                continue
            is_answered = is_answered or any(samples.values())
            graded_by = _counting(self._grader(system, task, split, page, samples), uncompared)
            for question in page:
                graded.add(_predict(system, task, question, samples[question.id], graded_by))
        counts = SampleCounts.total(asked)
        if counts.absent:
            self.left_out.append(
                f"{system.label} is left out on {task.name}: it has no answer to "
                f"{counts.absent:,} of {counts.wanted:,} questions"
            )
            return None
        if not is_answered and self.run.store.failures(model.name):
            raise all_failed(model.name, len(questions), self.run.store)
        if late := uncompared["timeout"]:
            self.left_out.append(
                f"{system.label} on {task.name} {split}: whether {number_of(late, 'answer')} "
                f"{'is' if late == 1 else 'are'} right was not found out in time; counted as wrong"
            )
        return Measured(measured, graded.score(system, task, split), graded)

    def _samples(
        self,
        measured: MeasuredSystem,
        model: Model,
        entry: EvalTask,
        split: Split,
        questions: Sequence[Question],
        asked: list[SampleCounts],
    ) -> Mapping[str, Sequence[Answer]] | None:
        """Returns the answers to some questions, by id; None where the system lacks some.

        Args:
            measured: The system.
            model: Its model.
            entry: The questions' task.
            split: The split that the questions are from.
            questions: The questions that are answered now.
            asked: Takes how many samples were wanted, where they are asked for once.
        """
        task, asking = entry.task, entry.asking or measured.asking
        label = f"{_named(measured.system)} on {task.name} {split}"
        if measured.answering is not None:
            return measured.answering(
                model, AnswerJob(task.name, questions, self.run, label, self.left_out)
            )
        if asking.sampling.samples > 1:
            return vote(model, task, questions, asking, self.run, label=label)
        requests = asking.requests(questions, task=task.name)
        asked.append(
            sample_requests(model, requests, asking, self.run, label=label, stage="evaluate")
        )
        if asked[-1].absent:
            return None
        store = self.run.store
        return {question.id: answers(model.name, store, question, asking) for question in questions}

    def _grader(
        self,
        system: System,
        task: Task,
        split: Split,
        questions: Sequence[Question],
        samples: Mapping[str, Sequence[Answer]],
    ) -> Grader:
        """Returns what grades the answers; a judge reads beforehand what the rules cannot."""
        if self.judge is None:
            return grade
        texts = texts_for_judge(task, questions, samples)
        self.judge.ask(task, texts, stage=f"evaluate {system.label} {split}")
        return self.judge.grade


def _counting(graded_by: Grader, rules: Counter[str]) -> Grader:
    """Returns a grader that counts by which rule each answer was read."""

    def counted(task: Task, text: str, question: Question) -> Grade:
        graded = graded_by(task, text, question)
        rules[graded.rule] += 1
        return graded

    return counted


def texts_for_judge(
    task: Task, questions: Sequence[Question], samples: Mapping[str, Sequence[Answer]]
) -> Iterator[tuple[Question, str]]:
    """Yields whole answers; of a question with some that the rules read, those alone.

    The vote of one that the judge reads beside them is not counted, see :func:`counted_votes`.
    """
    for question in questions:
        texts = [sample.text for sample in samples[question.id] if sample.finished]
        read = [text for text in texts if grade(task, text, question).answer is not None]
        yield from ((question, text) for text in read or texts)


def _named(system: System) -> str:
    """Returns what a system is called in the view."""
    at_step = "" if system.step is None or not system.taken else f" step {system.step}"
    return f"{system.label}{at_step}"


def _predict(
    system: System,
    task: Task,
    question: Question,
    samples: Sequence[Answer],
    graded_by: Grader,
) -> Prediction:
    """Returns the system's answer: its only sample's, or the one most of its samples reach.

    A question that the system failed on counts as wrong, not as if it had not been asked.
    """
    graded = [graded_by(task, sample.text, question) for sample in samples]
    elected = winner(task, counted_votes(graded))
    return Prediction(
        system=system,
        task=task.name,
        question_id=question.id,
        text=samples[elected].text if samples else "",
        answer=graded[elected].answer if samples else None,
        correct=graded[elected].correct if samples else False,
        finish_reason=samples[elected].finish_reason if samples else "error",
        completion_tokens=sum(sample.completion_tokens for sample in samples),
        thinking_ended=samples[elected].thinking_ended if samples else None,
        question_digest=question_digest(question),
    )


def counted_votes(graded: Sequence[Grade]) -> list[str | None]:
    """Returns the answers that are counted: those that the rules read.

    The judge's count where the rules read none, since drawing ends by what the rules read.
    """
    by_rules = [None if one.rule == JUDGE_RULE else one.answer for one in graded]
    if any(answer is not None for answer in by_rules):
        return by_rules
    return [one.answer for one in graded]


def compare_systems(first: Measured, second: Measured, *, resamples: int, seed: int) -> Comparison:
    """Compare two systems on the same questions of one task, by a paired test."""
    result = paired_comparison(
        [*map(bool, first.predictions.right)],
        [*map(bool, second.predictions.right)],
        resamples=resamples,
        seed=seed,
    )
    return Comparison(
        task=first.score.task,
        first=first.score.system,
        second=second.score.system,
        only_first=result.only_first,
        only_second=result.only_second,
        total=result.total,
        difference=result.difference,
        low=result.interval.low,
        high=result.interval.high,
        p_value=result.p_value,
    )


@dataclass(frozen=True, slots=True)
class Poll:
    """The votes on one question so far."""

    votes: tuple[tuple[str, int], ...]
    """Answers with their number of votes, in the order in which they were first given."""

    asked: int
    """Samples drawn, those that gave no answer included."""

    @property
    def winner(self) -> str | None:
        """The answer with most votes, the one given first of equals; None: nobody answered."""
        return max(self.votes, key=lambda vote: vote[1], default=(None, 0))[0]

    def settled(self, most: int) -> bool:
        """Returns whether no outcome of the samples that are left can change the winner.

        Args:
            most: Samples to be drawn at most.
        """
        left = most - self.asked
        if left <= 0:
            return True
        if not self.votes:
            return False
        best = max(votes for _, votes in self.votes)
        place = [votes for _, votes in self.votes].index(best)
        if best < left:  # a new answer could still win
            return False
        return all(
            best > votes + left or (best == votes + left and place < other)
            for other, (_, votes) in enumerate(self.votes)
            if other != place
        )

    def needed(self, most: int) -> int:
        """Returns how many more samples it takes at least until the vote can be settled.

        Asking for so many and no more wastes none: had fewer been asked for, the rest would have
        had to be asked for all the same.

        Args:
            most: Samples to be drawn at most.
        """
        for more in range(most - self.asked + 1):
            if self._plus(more).settled(most):
                return more
        return most - self.asked

    def _plus(self, more: int) -> "Poll":
        """Returns the poll if the next samples all agreed with the winner: the quickest way."""
        votes = dict(self.votes)
        if more:
            leader = self.winner or ""
            votes[leader] = votes.get(leader, 0) + more
        return Poll(tuple(votes.items()), self.asked + more)


def poll(answers: Sequence[str | None], same: Callable[[str, str], bool]) -> Poll:
    """Count votes.

    Args:
        answers: The answer of each sample, in sample order; None: no answer, which is no vote.
        same: Whether two answers are one.
    """
    return Poll(tuple(count_votes(answers, same).items()), len(answers))


def vote(
    model: Model,
    task: Task,
    questions: Sequence[Question],
    asking: PromptConfig,
    context: RunContext,
    *,
    label: str,
) -> dict[str, list[Answer]]:
    """Draw samples, in rounds, until every question's vote is settled.

    Args:
        model: The model that is asked.
        task: The questions' task; says how answers are read.
        questions: The questions to be answered.
        asking: How to ask; its number of samples is the most that is drawn of a question.
        context: The run, whose store keeps the samples; what is there is not asked for again.
        label: How the work is called in the progress display.

    Returns:
        The samples that were needed, by question id, in sample order.
    """
    most, undecided = asking.sampling.samples, list(questions)
    drawn = dict.fromkeys((question.id for question in questions), 0)
    samples: dict[str, list[Answer]] = {question.id: [] for question in questions}
    while wanted := {
        question: range(drawn[question.id], drawn[question.id] + more)
        for question in undecided
        if (more := _poll(task, question, samples[question.id], drawn[question.id]).needed(most))
    }:
        requests = [
            replace(asking.request(question, task=task.name), samples=tuple(further))
            for question, further in wanted.items()
        ]
        sample_requests(model, requests, asking, context, label=label, stage="evaluate")
        for question, further in wanted.items():
            drawn[question.id] = further.stop
            stored = answers(model.name, context.store, question, asking)
            samples[question.id] = [answer for answer in stored if answer.sample < further.stop]
        undecided = list(wanted)
    return samples


def winner(task: Task, answers: Sequence[str | None]) -> int:
    """Returns which sample speaks for all: the first with the answer that most of them give.

    Args:
        task: Says when two answers are one.
        answers: The answer of each sample; where none gave one, the first sample speaks.
    """
    elected = poll(answers, same_answers(task)).winner
    return 0 if elected is None else answers.index(elected)


def _poll(task: Task, question: Question, samples: Sequence[Answer], drawn: int) -> Poll:
    """Returns the vote so far; a sample that failed has no vote, but was drawn."""
    votes = [grade(task, sample.text, question).answer for sample in samples]
    return poll([*votes, *[None] * (drawn - len(votes))], same_answers(task))
