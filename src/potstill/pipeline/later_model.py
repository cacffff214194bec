"""A model that is opened late: where all of its answers are stored, neither key nor weights."""

from collections.abc import Callable, Generator, Iterable, Iterator

from potstill.models import Model
from potstill.records import Completion, Request, Teacher


class LaterModel(Model):
    """A model that is opened when it is first asked for something that is not stored.

    Args:
        identity: The model's name, and whether it is asked in chat messages.
        open_model: Opens it.
    """

    def __init__(self, identity: Teacher, open_model: Callable[[], Model]) -> None:
        self.name, self.chat = identity.name, identity.chat
        self._open = open_model
        self._model: Model | None = None

    def opened(self) -> Model:
        """Returns the model behind it, opened now if it was not before."""
        if self._model is None:
            self._model = self._open().opened()  # which may be a later one itself
            self.engine, self.number_format = self._model.engine, self._model.number_format
        return self._model

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answers requests as the model behind it does."""
        return self.opened().complete(requests)

    def complete_in_groups(self, requests: Iterable[Request]) -> Generator[list[Completion]]:
        """Answers requests as the model behind it does."""
        return self.opened().complete_in_groups(requests)
