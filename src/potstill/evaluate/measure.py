"""Measuring one system on one split of one task: ask what is missing, grade all, count.

Self-consistency: a model's answer is the one that most of its samples reach (arXiv 2203.11171).

A vote stops early where further samples could not change its outcome, so that stopping early and
asking to the end give the same answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from potstill.evaluate.systems import AnswerJob, EvalTask, System
from potstill.grading.grade import grade
from potstill.grading.votes import count_votes, same_answers
from potstill.models import Model
from potstill.records import Comparison, Prediction, Question, Score, Split, Task
from potstill.runtime.progress import Meter
from potstill.sampling.ask import Answer, PromptConfig, answers, sample_questions, sample_requests
from potstill.statistics import accuracy_interval, paired_comparison
from potstill.store import Store


class Measured(NamedTuple):
    """A system's result on one split of one task."""

    system: System
    score: Score
    predictions: list[Prediction]


class EvalContext(NamedTuple):
    """Where systems are measured."""

    store: Store
    meter: Meter
    left_out: list[str]
    """Which systems could not be measured on what, and why; what else should be said of them."""

    def measure(
        self, system: System, model: Model, entry: EvalTask, split: Split
    ) -> Measured | None:
        """Ask what is missing, grade all; None if the system has not got all answers.

        A question that a system failed on counts as wrong. A file of recorded answers that lacks
        some is another matter: its accuracy on the others would be of other questions.
        """
        task, asking = entry.task, entry.asking or system.asking
        questions = task.splits[split]
        at = "" if system.step is None or system.kind == "not_taken" else f" step {system.step}"
        label = f"{system.name}{at} on {task.name} {split}"
        if system.answering is not None:
            asked_by_turns = AnswerJob(questions, self.store, self.meter, label, self.left_out)
            samples = system.answering(model, asked_by_turns)
        elif asking.sampling.samples > 1:
            voters = (model, self.store, task, questions, asking, self.meter)
            samples = vote(*voters, label=label)
        else:
            asked = (model, self.store, questions, asking, self.meter)
            counts = sample_questions(*asked, label=label, stage="evaluate")
            if counts.absent:
                self.left_out.append(
                    f"{system.name} is left out on {task.name}: it has no answer to "
                    f"{counts.absent:,} of {counts.wanted:,} questions"
                )
                return None
            samples = self._stored(model, questions, asking)
        predictions = [_predict(system, task, each, samples[each.id]) for each in questions]
        return Measured(system, _score(system, task, split, predictions), predictions)

    def _stored(
        self, model: Model, questions: Sequence[Question], asking: PromptConfig
    ) -> dict[str, list[Answer]]:
        return {each.id: answers(model.name, self.store, each, asking) for each in questions}


def _predict(
    system: System, task: Task, question: Question, samples: Sequence[Answer]
) -> Prediction:
    """The system's answer: its only sample's, or the one that most of its samples reach.

    A question that the system failed on counts as wrong, not as if it had not been asked.
    """
    graded = [grade(task, sample.text, question) for sample in samples]
    elected = winner(task, [each.answer for each in graded])
    return Prediction(
        system=system.name,
        task=task.name,
        question_id=question.id,
        text=samples[elected].text if samples else "",
        answer=graded[elected].answer if samples else None,
        correct=graded[elected].correct if samples else False,
        finish_reason=samples[elected].finish_reason if samples else "error",
        completion_tokens=sum(sample.completion_tokens for sample in samples),
    )


def _score(system: System, task: Task, split: Split, predictions: Sequence[Prediction]) -> Score:
    correct = sum(prediction.correct for prediction in predictions)
    interval = accuracy_interval(correct, len(predictions))
    return Score(
        system=system.name,
        step=system.step,
        task=task.name,
        split=split,
        correct=correct,
        total=len(predictions),
        low=interval.low,
        high=interval.high,
        no_answer=sum(prediction.answer is None for prediction in predictions),
        truncated=sum(prediction.finish_reason == "length" for prediction in predictions),
        chosen=split == "test" and system.step is not None and system.kind != "not_taken",
    )


def compared(first: Measured, second: Measured, *, resamples: int, seed: int) -> Comparison:
    """Two systems on the same questions of one task, by a paired test."""
    result = paired_comparison(
        [prediction.correct for prediction in first.predictions],
        [prediction.correct for prediction in second.predictions],
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
        """Whether no outcome of the samples that are left can change the winner.

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
        """How many more samples it takes at least until the vote can be settled.

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
        """The poll if the next samples all agreed with the winner: the quickest to be settled."""
        votes = dict(self.votes)
        if more:
            leader = self.winner or ""
            votes[leader] = votes.get(leader, 0) + more
        return Poll(tuple(votes.items()), self.asked + more)


def poll(answers: Sequence[str | None], same: Callable[[str, str], bool]) -> Poll:
    """Count votes.

    Args:
        answers: What each sample answered, in sample order; None: no answer, which is no vote.
        same: Whether two answers are one.
    """
    return Poll(tuple(count_votes(answers, same).items()), len(answers))


def vote(
    model: Model,
    store: Store,
    task: Task,
    questions: Sequence[Question],
    asking: PromptConfig,
    meter: Meter,
    *,
    label: str,
) -> dict[str, list[Answer]]:
    """Draw samples, in rounds, until every question's vote is settled.

    Args:
        model: Whom to ask.
        store: Where samples go; what is there is not asked for again.
        task: Of the questions; says how answers are read.
        questions: What to ask.
        asking: How to ask; its number of samples is the most that is drawn of a question.
        meter: Shown the progress.
        label: What the meter calls it.

    Returns:
        The samples that were needed, by question id, in sample order.
    """
    most, open_ = asking.sampling.samples, list(questions)
    drawn = dict.fromkeys((question.id for question in questions), 0)
    samples: dict[str, list[Answer]] = {question.id: [] for question in questions}
    while wanted := {
        question: range(drawn[question.id], drawn[question.id] + more)
        for question in open_
        if (more := _poll(task, question, samples[question.id], drawn[question.id]).needed(most))
    }:
        requests = [
            replace(asking.request(question), samples=tuple(further))
            for question, further in wanted.items()
        ]
        sample_requests(model, store, requests, asking, meter, label=label, stage="evaluate")
        for question, further in wanted.items():
            drawn[question.id] = further.stop
            found = answers(model.name, store, question, asking)
            samples[question.id] = [answer for answer in found if answer.sample < further.stop]
        open_ = list(wanted)
    return samples


def winner(task: Task, answers: Sequence[str | None]) -> int:
    """Which sample speaks for all: the first that gives the answer most of them give.

    Args:
        task: Says when two answers are one.
        answers: What each sample answered; where none gave an answer, the first sample speaks.
    """
    elected = poll(answers, same_answers(task)).winner
    return 0 if elected is None else answers.index(elected)


def _poll(task: Task, question: Question, samples: Sequence[Answer], drawn: int) -> Poll:
    """The vote so far; a sample that failed has no vote, but was drawn."""
    given = [grade(task, sample.text, question).answer for sample in samples]
    return poll([*given, *[None] * (drawn - len(given))], same_answers(task))
