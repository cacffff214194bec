"""The teacher's thinking in rows for trainers: what one of the run's students learns of it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from potstill.errors import ConfigError, extra
from potstill.models.settings import LocalSettings
from potstill.pipeline.run import Run
from potstill.plugins import unknown_name
from potstill.prompts.formats import DataFormat, format_named
from potstill.records import System
from potstill.text.thinking import worded_thinking
from potstill.text.thinking_message import PLAIN_MESSAGES, ThinkingMessages
from potstill.train import StudentSettings
from potstill.train.examples import learned_thinking

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExportedThinking:
    """Thinking by the completion's row, and how rows hold it."""

    of: Callable[[int], str | None]
    """Returns what is learned of the thinking before a completion; None: nothing."""

    messages: ThinkingMessages = PLAIN_MESSAGES

    def message(self, target: str, thinking: str | None) -> dict[str, str]:
        """Returns the assistant's turn; thinking that the target words stands as the other does."""
        answer, worded = worded_thinking(target)
        return self.messages.message(answer, thinking if worded is None else worded)

    def completion(self, target: str, thinking: str | None) -> str:
        """Returns the text behind a plain prompt; the space at the seam stays there."""
        content = PLAIN_MESSAGES.message(target, thinking)["content"]
        seam = target[: len(target) - len(target.lstrip(" "))]
        return content if thinking is None else seam + content


NO_THINKING = ExportedThinking(lambda _: None)
"""Nothing is learned of it."""


def exported_thinking(run: Run, wording: DataFormat, name: str | None) -> ExportedThinking:
    """Returns the thinking that rows in a data format hold, as a student of the run learns it.

    Args:
        run: Its students are trained, or will be.
        wording: The data format of the rows.
        name: The student's; by default the first that learns in this format, else the first that
            learns rationales.

    Raises:
        ConfigError: There is no such student, or it learns no rationales.
        PotstillError: The tokenizer of its start cannot be had, or there are no rationales.
    """
    students = run.recipe.train.students
    if name is not None and name not in students:
        raise ConfigError(f"{unknown_name('student', name, list(students))}.")
    words = worded_thinking(wording.target("", "", encoder_decoder=False))[1] is not None
    if not words and not any(student.long_share for student in students.values()):
        return NO_THINKING
    found = _student(run, wording, name)
    if found is None:
        return NO_THINKING
    system, student = found
    messages = PLAIN_MESSAGES
    if wording.chat and (student.long_share or wording.name in student.formats):
        messages = _messages(student)
    if not student.long_share:
        return ExportedThinking(lambda _: None, messages)
    learned = _learned_rows(run, student)
    logger.warning(
        "%d rows hold the teacher's thinking, as %s learns it", len(learned), system.label
    )
    if messages.differs:
        logger.warning("the student's chat template renders it otherwise: %s", messages.differs)
    store = run.store

    def of(row: int) -> str | None:
        return store.thinking_of([row]).get(row) if row in learned else None

    return ExportedThinking(of, messages)


def _student(
    run: Run, wording: DataFormat, name: str | None
) -> tuple[System, StudentSettings] | None:
    """Returns the student whose thinking is exported, settled; None where none has rationales."""
    named = [
        (system, student)
        for system, student in run.students.settled.items()
        if name in (None, system.model)
        and any(format_named(one).needs_rationale for one in student.formats)
    ]
    if name is not None and not named:
        raise ConfigError(f"the student {name} learns no rationales, which the rows are made of.")
    fitting = [one for one in named if wording.name in one[1].formats]
    return next(iter(fitting or named), None)


def _learned_rows(run: Run, student: StudentSettings) -> set[int]:
    """Returns the completions whose thinking a student learns; one text is held at a time."""
    rationales = run.store.training_rationales(run.task)
    having = {
        one.completion_id: "" for one in rationales if run.store.thinking_of([one.completion_id])
    }
    learned = learned_thinking(
        rationales, run.task.splits["train"], student, seed=run.recipe.seed, thinking=having
    )
    return set(learned)


def _messages(student: StudentSettings) -> ThinkingMessages:
    with extra("local", needed_for="rows with thinking, which the student's template settles"):
        from potstill.models.local.loading import load_tokenizer
        from potstill.models.local.thinking_rendering import thinking_messages
    assert isinstance(student.start, LocalSettings)
    return thinking_messages(load_tokenizer(student.start))
