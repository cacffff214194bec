"""The student as it is at some moment of its training, written out for a server to answer for it.

The server loads the weights when a round is written, and ends before they are trained further: no
server is known to take weights in place of its own by a route that all have. So rounds had better
be long where it is slow to start.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import numpy as np

from potstill.models.folder_server import FolderServer
from potstill.models.interface import Model
from potstill.models.served.served_model import FolderServerModel
from potstill.models.settings import LocalSettings
from potstill.records import Completion, Request, TokenLogprobs
from potstill.runtime import Runtime


class ServedWriter(Model):
    """A student whose answers a server writes, from a folder that stands for as long as that takes.

    Args:
        write: Writes the weights and the tokenizer into a folder, as ``hf:`` loads them.
        folder: The place of that folder, which nothing else uses.
        start: The settings of the model that the student started from.
        server: The program that answers for it.
        name: Its answers are stored by this; it has to stand for the training and the round.
        chat: Whether it is asked as a chat.
        runtime: The run's, which shows what the server does and can stop it.
        ids: The student's tokens, as :func:`ids_by_name`.
    """

    def __init__(
        self,
        write: Callable[[Path], None],
        folder: Path,
        *,
        start: LocalSettings,
        server: FolderServer,
        name: str,
        chat: bool,
        runtime: Runtime,
        ids: Mapping[bytes, int],
    ) -> None:
        self.name, self.chat = name, chat
        self._write, self._folder = write, folder
        place = {"model": f"hf:{folder}", "serve": server, "revision": None}
        self._settings, self._server = start.model_copy(update=place), server
        self._runtime = Runtime(events=runtime.events, stop=runtime.stop)
        self._ids = ids

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answers requests; see :meth:`complete_in_groups`."""
        for group in self.complete_in_groups(requests):
            yield from group

    def complete_in_groups(self, requests: Iterable[Request]) -> Generator[list[Completion]]:
        """Answers all requests, and hands over all answers at once.

        Raises:
            MissingExtraError: The program is not installed.
            ModelError: The server does not start, or has ended; the message has its last words.
        """
        with ExitStack() as ended:
            ended.callback(rmtree, self._folder, ignore_errors=True)
            rmtree(self._folder, ignore_errors=True)  # of a training that was killed
            self._write(self._folder)
            ended.callback(self._runtime.release)
            served = FolderServerModel(self._settings, self._server, self._runtime)
            written = [with_ids(completion, self._ids) for completion in served.complete(requests)]
        yield written


def ids_by_name(
    names: Sequence[bytes | None], encode: Callable[[str], Sequence[int]]
) -> dict[bytes, int]:
    """Returns the tokens by their bytes; of several of the same bytes, the one for that text.

    Args:
        names: The bytes of each token by its id.
        encode: The tokens of a text alone.
    """
    known = dict[bytes, int]()
    shared = set[bytes]()
    for token, name in enumerate(names):
        if name:
            shared |= {name} & known.keys()
            known[name] = token
    for name in shared:
        ids = encode(name.decode(errors="replace"))
        if len(ids) == 1 and names[ids[0]] == name:
            known[name] = ids[0]
        else:
            del known[name]
    return known


def with_ids(completion: Completion, ids: Mapping[bytes, int]) -> Completion:
    """Returns an answer with its tokens named by id, up to where they spell its text.

    One with a written token that is not known is returned as it is: its text is then encoded again,
    which may give other tokens than were written.

    Args:
        completion: A server's completion, tokens named by bytes.
        ids: The ids by name, see :func:`ids_by_name`.
    """
    record = completion.logprobs
    if record is None or record.lengths is None:
        return completion
    ends = record.lengths.astype(np.int64).cumsum()
    starts = ends - record.lengths.ravel()
    names = [record.token_bytes[start:end] for start, end in zip(starts, ends, strict=True)]
    found = np.array([ids.get(name, -1) for name in names], np.int32).reshape(record.lengths.shape)
    reached = record.lengths[:, 0].astype(np.int64).cumsum()
    count = int(np.searchsorted(reached, len(completion.text.encode()))) + 1
    own = found[:count, 0]  # what follows the text ends it
    if not completion.text or (own < 0).any():
        return completion
    named = TokenLogprobs(logprobs=record.logprobs[:count], ids=found[:count])
    return replace(completion, logprobs=named)
