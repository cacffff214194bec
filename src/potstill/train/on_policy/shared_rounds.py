"""Rounds that several processes make together: each writes its share, the main one does the rest.

The main process asks the store what is missing, buys the scores and keeps both. The others wait for
what it says next: requests of which they write their share with the weights that all of them have,
then the examples of the round, or how it has ended.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import NamedTuple

from potstill.errors import PotstillError
from potstill.launched import is_main_process, process_count, process_number
from potstill.models.interface import Model
from potstill.records import Collapse, Completion, Request
from potstill.train.encoding import Encoded
from potstill.train.on_policy.round_watch import TrainingCollapsed
from potstill.train.on_policy.student_writer import StudentWriter
from potstill.train.processes import by_all, shared


class _Write(NamedTuple):
    """Requests that all processes answer, each a share of them."""

    requests: list[Request]


class _Learn(NamedTuple):
    """The examples of the round, which is made."""

    examples: list[Encoded]


class _End(NamedTuple):
    """The end of a round that gave no examples."""

    message: str | None
    """An error's; None: it was stopped, or a limit was passed."""

    collapse: tuple[Collapse, int, int] | None = None
    """The limit, its patience, and the planned answers that were not learned."""


def made_by_all(
    make: Callable[[Model], list[Encoded]], writer: Model, *, label: str
) -> list[Encoded]:
    """Returns the examples of a round, which the main process makes; all have to come.

    Args:
        make: Makes them, given the student as it is now.
        writer: That; a server that writes for it is asked by the main process alone.
        label: The student's name.

    Raises:
        PotstillError: The round cannot be made; in all processes.
        TrainingCollapsed: It passes a limit; in all processes.
        KeyboardInterrupt: The main process was stopped; in all processes.
    """
    if process_count() == 1:
        return make(writer)
    if not is_main_process():
        return _take_part(writer, label)
    try:
        examples = make(WriterInAll(writer) if isinstance(writer, StudentWriter) else writer)
    except TrainingCollapsed as ended:
        shared(_End(None, (ended.collapse, ended.patience, ended.unlearned)))
        raise
    except PotstillError as error:
        shared(_End(str(error)))
        raise
    except KeyboardInterrupt:
        shared(_End(None))
        raise
    shared(_Learn(examples))
    return examples


def _take_part(writer: Model, label: str) -> list[Encoded]:
    """Do what the main process asks for, until the round is made."""
    while True:
        message: _Write | _Learn | _End | None = shared(None)
        if isinstance(message, _Write):
            by_all(_share(writer, message.requests))
        elif isinstance(message, _Learn):
            return message.examples
        elif isinstance(message, _End) and message.collapse is not None:
            collapse, patience, unlearned = message.collapse
            raise TrainingCollapsed(collapse, patience=patience, unlearned=unlearned)
        elif isinstance(message, _End) and message.message is None:
            raise KeyboardInterrupt
        else:
            assert isinstance(message, _End), f"{label}: the main process says nothing"
            raise PotstillError(message.message)


class WriterInAll(Model):
    """The student in all processes, asked by the main one.

    Args:
        own: The student in this process.
    """

    def __init__(self, own: Model) -> None:
        self._own = own
        self.name, self.chat = own.name, own.chat
        self.engine, self.number_format = own.engine, own.number_format
        self.token_names = own.token_names

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answers requests; see :meth:`complete_in_groups`."""
        for group in self.complete_in_groups(requests):
            yield from group

    def complete_in_groups(self, requests: Iterable[Request]) -> Generator[list[Completion]]:
        """Answers all requests in all processes, and hands over all answers at once."""
        message = shared(_Write(list(requests)))
        shares = by_all(_share(self._own, message.requests))
        yield [completion for share in shares for completion in share]


def _share(writer: Model, requests: Sequence[Request]) -> list[Completion]:
    """Returns the answers to this process's share of some requests."""
    own = requests[process_number() :: process_count()]
    return [answer for group in writer.complete_in_groups(own) for answer in group] if own else []
