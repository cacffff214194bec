"""The data format of a student that leaves it to its start's tokenizer.

A start whose tokenizer has a chat template is trained and asked in it; others in Fine-tune-CoT's
wording. A student that was trained in one of the two keeps it, whatever is the default by now: its
results stay those of its recipe.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import NamedTuple

from potstill.errors import PotstillError
from potstill.models.settings import ModelSettings
from potstill.prompts.formats import BY_TEMPLATE
from potstill.records import System
from potstill.store import Store
from potstill.train.settings import StudentSettings, TrainSettings

UNNAMED_FORMAT = "fine_tune_cot"
"""The data format of trainings whose kept inputs name none."""


class _Trained(NamedTuple):
    """The manner in which a student of the run was trained last, or began to be."""

    data_format: object
    start: object
    """kind:where and revision of its start; None where they are not known."""


class FormatSettler:
    """Settles the data formats of a run's students.

    Args:
        start: The model that students start from which name no other.
        store: Holds what the run's students were trained on.
    """

    def __init__(self, start: ModelSettings, store: Store) -> None:
        self._start, self._store = start, store
        self._chats: dict[ModelSettings, bool] = {}

    def settle(self, system: System, student: StudentSettings) -> StudentSettings:
        """Returns a student with its start and the data formats that it is trained in.

        Raises:
            PotstillError: The tokenizer of its start cannot be had.
        """
        start = student.start or self._start
        student = student.model_copy(update={"start": start})
        if student.is_settled:
            return student
        trained = self._trained.get(system.label)
        known = BY_TEMPLATE[str(student.data_format)]
        revision = getattr(start, "revision", None)
        same_start = trained and trained.start in (None, (start.model, revision))
        if trained is not None and same_start and trained.data_format in known:
            return student.model_copy(update={"data_format": trained.data_format})
        if start not in self._chats:
            self._chats[start] = start.identity(content=False).chat
        return student.settled(chat=self._chats[start])

    def settle_all(self, settings: TrainSettings) -> dict[System, StudentSettings]:
        """Returns every student from every start, as :meth:`settle` does."""
        return {system: self.settle(system, one) for system, one in settings.sweep().items()}

    def inputs(self, system: System, student: StudentSettings) -> Mapping[str, object]:
        """Returns what determines a student, as JSON values by the names of its settings.

        Where the tokenizer of its start cannot be had, as where results are only read, its data
        format is left unsettled.
        """
        with suppress(PotstillError):
            student = self.settle(system, student)
        start = student.start or self._start
        values = student.model_dump(mode="json", exclude_defaults=True, exclude={"start"})
        if student.data_format == UNNAMED_FORMAT:
            del values["data_format"]
        if getattr(start, "control_tokens", False):
            values["control_tokens"] = True
        return {**values, "start": start.model, "revision": getattr(start, "revision", None)}

    @cached_property
    def _trained(self) -> dict[str, _Trained]:
        """The students that were trained, by label."""
        inputs = self._store.training_inputs()
        own = "train.students."
        if inputs:
            return {
                name.removeprefix(own): _Trained(
                    values.get("data_format", UNNAMED_FORMAT),
                    (values.get("start"), values.get("revision")),
                )
                for name, values in inputs.items()
                if name.startswith(own) and isinstance(values, Mapping)
            }
        return {
            checkpoint.system.label: _Trained(checkpoint.data_format, None)
            for checkpoint in self._store.checkpoints()
        }


def kept_defaults(
    settings: TrainSettings, students: Mapping[System, StudentSettings]
) -> Iterator[str]:
    """Yields a sentence on each student that keeps the format of a start without chat template.

    Args:
        settings: The recipe's.
        students: The same students, settled.
    """
    for system, student in settings.sweep().items():
        if student.is_settled:
            continue
        known, settled = BY_TEMPLATE[str(student.data_format)], students[system]
        assert settled.start is not None
        if settled.data_format == known.plain and settled.start.identity(content=False).chat:
            yield (
                f"the student {system.label} was trained in {known.plain}, which it keeps; new "
                f"ones of its start are trained in {known.chat}, by the tokenizer's chat template. "
                f"For that, set train.students.{system.model}.data_format to {known.chat}"
            )
