"""One of several parts of a task's training questions, for workers that each have their own run."""

import re
from dataclasses import dataclass, replace
from typing import Self

from potstill.errors import ConfigError
from potstill.records import Task
from potstill.tasks.splits import place


@dataclass(frozen=True, slots=True)
class TaskPart:
    """A part of the training questions: about one in ``count``, by each question's text alone.

    Questions of one text are of one part, so that no two workers ask the same.
    """

    number: int
    """The part's number, from 1 to ``count``."""

    count: int

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Returns a part from words such as ``3/8``.

        Raises:
            ConfigError: They name none.
        """
        match = re.fullmatch(r"([0-9]+)/([0-9]+)", text.strip())
        part = cls(int(match[1]), int(match[2])) if match else None
        if part is None or not 1 <= part.number <= part.count:
            raise ConfigError(
                f"the part is {text!r}. Give its number and how many there are, from 1/8 to 8/8."
            )
        return part

    @property
    def suffix(self) -> str:
        """The ending of the name of the part's run, behind the name of the whole."""
        return f"-part-{self.number}-of-{self.count}"

    def of(self, task: Task) -> Task:
        """Returns a task with the training questions of this part alone.

        Raises:
            ConfigError: None of them is of this part.
        """
        questions = task.splits["train"]
        own = tuple(
            question
            for question in questions
            if int(place(question.text, 0, "part") * self.count) == self.number - 1
        )
        if not own:
            raise ConfigError(
                f"none of the {len(questions):,} training questions is in part {self.number} of "
                f"{self.count}. Make fewer parts."
            )
        return replace(task, splits={**task.splits, "train": own})
