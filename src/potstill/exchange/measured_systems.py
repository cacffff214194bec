"""The systems of a run with what they scored and answered, as other programs' logs are made of."""

import hashlib
import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from potstill.errors import DataError
from potstill.exchange.folders import public_name
from potstill.pipeline.run import Run
from potstill.prompts.styles import question_text
from potstill.records import Prediction, Question, Score, System, Task
from potstill.report.answer_origins import ANSWER_BEGUN, AnswerOrigins, texts_of_prompt
from potstill.store.asked_questions import answers_question


class SystemOnTask(NamedTuple):
    """One system on the test questions of one task."""

    system: System
    task: Task
    score: Score
    answers: list[tuple[Question, Prediction]]
    """Questions with their answers, in the order of the task."""

    model: str | None
    """The model as the recipe names it; None: it was trained in the run."""

    engine: str
    """The program that computed the answers; empty where it is not known."""

    asked: str
    """The wording that it was asked in, by name; of starts and teachers that were asked as they
    are, ``in its own way``."""

    @property
    def source(self) -> str:
        """The source of the questions, without a path of this machine; empty where not known."""
        source = self.task.source
        return source if source.startswith("https://") else Path(source).name

    @property
    def accuracy(self) -> float:
        """Share of right answers, between 0 and 1."""
        return self.score.correct / self.score.total

    @property
    def standard_error(self) -> float:
        """The binomial standard error of the accuracy."""
        return math.sqrt(self.accuracy * (1 - self.accuracy) / self.score.total)


class SentPrompt(NamedTuple):
    """The prompt that a model was sent for one answer."""

    turns: Sequence[tuple[str, str]]
    """Roles and texts in their order. A plain text has no role; an answer that was begun for the
    model stands last, as the assistant's."""

    is_chat: bool
    is_known: bool
    """Whether the store has the request; else it is the bare question."""

    max_tokens: int | None = None
    temperature: float | None = None
    stop: Sequence[str] = ()

    @property
    def text(self) -> str:
        """A plain prompt as one text; a chat as JSON, as chat routes are sent it."""
        if not self.is_chat:
            return "".join(text for _, text in self.turns)
        return orjson.dumps([{"role": role, "content": text} for role, text in self.turns]).decode()


class MeasuredRun(NamedTuple):
    """The last evaluation of a run, as other programs' logs tell it."""

    run: str
    """The run's name: its folder's."""

    measured: list[SystemOnTask]
    answered_at: float
    """Seconds since 1970: when the last of its answers was stored."""

    left_out: Counter[str]
    """Numbers of what stands in no log, by a phrase that says what it is."""

    origins: AnswerOrigins
    """Finds the request behind an answer."""

    def prompt(self, question: Question, prediction: Prediction) -> SentPrompt:
        """Returns what was sent for an answer; where that is not certain, the bare question."""
        sent = self.origins.origin(prediction)
        if sent is None:
            turns = [("", question_text(question))]
            return SentPrompt(turns, is_chat=False, is_known=False)
        request = sent.request
        is_chat = not isinstance(request.prompt, str)
        return SentPrompt(
            [
                ("assistant" if is_chat and role == ANSWER_BEGUN else role, text)
                for role, text in texts_of_prompt(request)
            ],
            is_chat=is_chat,
            is_known=True,
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            stop=request.stop,
        )


def last_evaluation(run: Run) -> MeasuredRun:
    """Returns what a run's last evaluation measured on test questions, guidance left aside.

    Raises:
        DataError: Nothing has been measured yet.
    """
    run.identity.check_task()
    left_out: Counter[str] = Counter()
    answers: defaultdict[tuple[System, str], list[Prediction]] = defaultdict(list)
    predictions = run.store.predictions()
    for prediction in predictions:
        answers[prediction.system.as_shown, prediction.task].append(prediction)
    tasks = {task.name: task for task in run.measured_tasks}
    engines = {one.system.as_shown: one.engine for one in run.store.engines()}
    formats = {one.system: one.data_format for one in run.store.checkpoints()}
    measured = []
    for score in run.store.scores():
        if score.split != "test" or not score.total:
            continue
        task = tasks.get(score.task)
        if task is None:
            left_out["scores of tasks that the recipe does not name now"] += 1
            continue
        system = score.system.as_shown
        own = _paired(task, answers[system, task.name], left_out)
        model = model_behind(run, system)
        asked = system.variant or formats.get(system, "in its own way")
        measured.append(
            SystemOnTask(system, task, score, own, model, engines.get(system, ""), asked)
        )
    if not measured:
        raise DataError(
            f"{run.folder} has no scores of test questions; run potstill evaluate on its recipe "
            "first."
        )
    if guided := len(run.store.guided_scores()):
        left_out["scores of guidance, which other programs have no form for"] = guided
    at = run.store.last_answer_at("evaluate")
    questions = {
        (task.name, question.id): question
        for task in run.measured_tasks
        for question in task.splits["test"]
    }
    origins = AnswerOrigins(run.store, predictions, questions)
    return MeasuredRun(
        run.folder.name, measured, time.time() if at is None else at, left_out, origins
    )


def _paired(
    task: Task, predictions: Iterable[Prediction], left_out: Counter[str]
) -> list[tuple[Question, Prediction]]:
    """Returns the answers with their questions, without those whose question was changed since."""
    by_id = {prediction.question_id: prediction for prediction in predictions}
    pairs = []
    for question in task.splits["test"]:
        prediction = by_id.pop(question.id, None)
        if prediction is not None and answers_question(prediction, question):
            pairs.append((question, prediction))
        elif prediction is not None:
            by_id[question.id] = prediction
    if by_id:
        left_out["answers to questions that the task has not now"] += len(by_id)
    return pairs


def model_behind(run: Run, system: System) -> str | None:
    """Returns the model that a system is, as the recipe names it without a path of this machine.

    None where it was trained in the run.
    """
    recipe = run.recipe
    if system.model == "teacher":
        return public_name(recipe.teacher.model)
    if system.model == "start":
        starts = recipe.train.starts
        return public_name((starts.get(system.start or "") or recipe.student).model)
    return None


def digest(*parts: str) -> str:
    """Returns what stands for these texts: 64 hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def file_name(text: str) -> str:
    """Returns a text as part of a file's name, whatever it holds: letters, digits, ``.+-``."""
    plain = re.sub(r"[^\w.+-]+", "_", text, flags=re.ASCII).strip("._")
    return plain[:80] or digest(text)[:8]
