"""Measuring one system on one split of one task: ask what is missing, grade all, count."""

from collections.abc import Sequence
from typing import NamedTuple

from potstill.asking import Answer, Asking, answers, ask_questions
from potstill.evaluate.entries import Entry
from potstill.evaluate.systems import Asked, System
from potstill.evaluate.voting import vote, winner
from potstill.models import Model
from potstill.progress import Meter
from potstill.records import Comparison, Prediction, Question, Score, Split, Task
from potstill.statistics import accuracy_interval, paired_comparison
from potstill.store import Store
from potstill.tasks.grading import grade


class Measured(NamedTuple):
    """A system's result on one split of one task."""

    system: System
    score: Score
    predictions: list[Prediction]


class Bench(NamedTuple):
    """Where systems are measured."""

    store: Store
    meter: Meter
    left_out: list[str]
    """Which systems could not be measured on what, and why; what else should be said of them."""

    def measure(self, system: System, model: Model, entry: Entry, split: Split) -> Measured | None:
        """Ask what is missing, grade all; None if the system has not got all answers.

        A question that a system failed on counts as wrong. A file of recorded answers that lacks
        some is another matter: its accuracy on the others would be of other questions.
        """
        task, asking = entry.task, entry.asking or system.asking
        questions = task.splits[split]
        at = "" if system.step is None or system.kind == "not_taken" else f" step {system.step}"
        label = f"{system.name}{at} on {task.name} {split}"
        if system.answering is not None:
            asked_by_turns = Asked(questions, self.store, self.meter, label, self.left_out)
            samples = system.answering(model, asked_by_turns)
        elif asking.sampling.samples > 1:
            voters = (model, self.store, task, questions, asking, self.meter)
            samples = vote(*voters, label=label)
        else:
            asked = (model, self.store, questions, asking, self.meter)
            counts = ask_questions(*asked, label=label, stage="evaluate")
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
        self, model: Model, questions: Sequence[Question], asking: Asking
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
