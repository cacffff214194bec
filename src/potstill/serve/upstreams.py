"""Upstreams: the student and the teacher as the guided server asks them.

One interface, :class:`Upstream`, stands before servers (http_upstream.py) and before models on this
machine (:class:`LocalUpstream`, one thread that answers all waiting requests in one batch).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, Protocol

from potstill.models.interface import Interruptible, Model
from potstill.models.token_requests import EchoedCompletion, TokenModel, TokenRequest
from potstill.records import Completion, Request
from potstill.serve.token_lists import chat_shape, listed_tokens, text_shape

Emit = Callable[[int, str], Awaitable[None]]
"""Takes a piece of a sample's text as soon as it is written."""


class UpstreamError(Exception):
    """There is no answer. The message is our own, without a word of the upstream's.

    Args:
        message: The fault.
        refused: Whether the request is at fault and would fail again.
        tokens: The tokens that it took all the same, as far as the upstream states them; None:
            there was an answer, of which they are not known.
    """

    def __init__(self, message: str, *, refused: bool = False, tokens: int | None = 0) -> None:
        super().__init__(message)
        self.refused = refused
        self.tokens = tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentOptions:
    """The client's wishes for the student beside its prompt and the sampling of its tokens."""

    fields: Mapping[str, object] = field(default_factory=dict)
    """Fields for the body of its server's requests."""

    ids: tuple[int, ...] = ()
    """The prompt in its tokens, in the place of the text."""

    turns: tuple[Mapping[str, object], ...] = ()
    """The turns of a chat as they came, in the place of those in words."""

    echo: bool = False
    """Whether the answer begins with the prompt."""

    logprobs: int | None = None
    """The number of likeliest tokens listed beside each token; None: no probabilities."""

    by_chat: bool = False
    """Whether the client asks in a chat, which settles the shape of probabilities."""

    worded: bool = False
    """Whether the server words the chat for the student, as a text."""


PLAIN = StudentOptions()
"""Options of a client without further wishes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DetailedCompletion(Completion):
    """A completion with what it holds beside its text."""

    logprobs_shown: Mapping[str, Any] | None = None
    """Probabilities in the shape of the client's route."""

    tool_calls: tuple[Mapping[str, Any], ...] = ()
    """Calls of tools, as the student's server has them."""


class Refusal(NamedTuple):
    """A field that an upstream does not take."""

    field: str
    reason: str


class Upstream(Protocol):
    """A model that answers requests. Cancelling a call gives up its request."""

    chat: bool
    """Whether prompts may be chat messages."""

    encoder_decoder: bool

    async def start(self) -> None:
        """Get ready, in the event loop that will ask."""
        ...

    async def close(self) -> None:
        """Release connections, threads and processes."""
        ...

    async def ready(self) -> bool:
        """Whether it would answer now."""
        ...

    async def can_continue(self) -> bool:
        """Whether it goes on from an answer that is begun.

        Raises:
            UpstreamError: It cannot be asked now.
        """
        ...

    def refusal(self, options: StudentOptions) -> Refusal | None:
        """Returns the first of these options that it cannot follow; None: it can follow all."""
        ...

    async def answer(
        self, request: Request, emit: Emit | None = None, options: StudentOptions = PLAIN
    ) -> list[Completion]:
        """The completions of all samples, in their order.

        Args:
            request: The prompt, and how to go on from it.
            emit: Given the texts piece by piece while they are written, where that is possible,
                and otherwise whole.
            options: The client's further wishes, none of which is refused.

        Raises:
            UpstreamError: A sample has no answer.
        """
        ...


logger = logging.getLogger(__name__)

CLOSE_SECONDS = 5.0
"""Longest wait for the batch that runs when the server stops, in seconds."""

FAILED = "the model failed"


@dataclass(slots=True, eq=False)
class _Job:
    """A request that a client waits for."""

    request: Request
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[list[Completion]]"
    completions: list[Completion] = field(default_factory=list)

    def finish(self, error: UpstreamError | None = None) -> None:
        """Hand over the completions, or the reason why there are none; from any thread."""
        self.loop.call_soon_threadsafe(self._finish, error)

    def _finish(self, error: UpstreamError | None) -> None:
        if self.future.done():  # the asker has left
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(sorted(self.completions, key=lambda done: done.sample))


class _Feed(Iterator[Request]):
    """The requests that wait, whenever the model asks for more.

    It ends where nothing waits and goes on when it is asked again, so that what has come meanwhile
    joins the running batch as soon as the model has room.
    """

    def __init__(self, first: _Job, waiting: "SimpleQueue[_Job | None]") -> None:
        self._first: _Job | None = first
        self._waiting = waiting
        self.closed = False
        self.unanswered: dict[int, _Job] = {}
        """Jobs that the model was given and has not answered, by the identity of the request."""

    def __next__(self) -> Request:
        while not self.closed and (job := self._next()) is not None:
            if not job.future.cancelled():
                self.unanswered[id(job.request)] = job
                return job.request
        raise StopIteration

    def _next(self) -> _Job | None:
        job, self._first = self._first, None
        if job is None:
            try:
                job = self._waiting.get_nowait()
            except Empty:
                return None
            self.closed = job is None
        return job

    def wanted(self, request: Request) -> bool:
        """Whether a client waits for a request that the model was given."""
        job = self.unanswered.get(id(request))
        if job is not None and job.future.cancelled():
            del self.unanswered[id(request)]
            return False
        return job is not None

    def take(self, completion: Completion) -> None:
        """Hand the completions of a request to its client, once this one is the last."""
        job = self.unanswered.get(id(completion.request))
        if job is None:  # it left while the model wrote this
            return
        job.completions.append(completion)
        if len(job.completions) < len(job.request.samples):
            return
        del self.unanswered[id(completion.request)]
        errors = [done.error for done in job.completions if done.finish_reason == "error"]
        job.finish(UpstreamError(str(errors[0]), refused=True) if errors else None)


class LocalUpstream:
    """A model on this machine, asked by a thread of its own.

    A text comes whole, not while it is written. On a CPU a batch is finished before the next
    begins; elsewhere requests join as others leave.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self.chat = model.chat
        self.encoder_decoder = bool(getattr(model, "encoder_decoder", False))
        self._waiting: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="potstill-model", daemon=True)

    async def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def close(self) -> None:
        """Stop the thread after the batch it works on."""
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join, CLOSE_SECONDS)

    async def can_continue(self) -> bool:
        """It does: it is given its answer so far as text."""
        return True

    async def ready(self) -> bool:
        """Whether the thread is there; the model was loaded before."""
        return self._thread.is_alive()

    def refusal(self, options: StudentOptions) -> Refusal | None:
        """A student on this machine draws by temperature and top_p alone."""
        if options.fields:
            name = next(iter(options.fields))
            return Refusal(name, "a student on this machine does not take it; leave it out")
        if options.logprobs is None and not options.echo and not options.ids:
            return None
        name = "prompt" if options.ids else "echo" if options.echo else "logprobs"
        if not isinstance(self._model, TokenModel):
            return Refusal(name, "the student does not name its tokens")
        if self.encoder_decoder and name != "logprobs":
            return Refusal(name, "the student reads its prompt apart from its answer")
        return None

    async def answer(
        self, request: Request, emit: Emit | None = None, options: StudentOptions = PLAIN
    ) -> list[Completion]:
        """All samples; see :class:`potstill.serve.upstreams.Upstream`."""
        loop = asyncio.get_running_loop()
        job = _Job(_in_tokens(request, options), loop, loop.create_future())
        self._waiting.put(job)
        completions = [self._shown(completion, options) for completion in await job.future]
        if emit is not None:
            for completion in completions:
                await emit(completion.sample, completion.text)
        return completions

    def _shown(self, completion: Completion, options: StudentOptions) -> Completion:
        """A completion with its prompt and its probabilities, where they are asked for."""
        if options.logprobs is None and not options.echo:
            return completion
        values = {field.name: getattr(completion, field.name) for field in fields(Completion)}
        if isinstance(completion, EchoedCompletion):
            values |= {"text": completion.prompt_text + completion.text}
        shown = None
        if options.logprobs is not None:
            assert isinstance(self._model, TokenModel), "refused before"
            tokens, spell = listed_tokens(completion, options.logprobs), self._model.spell
            by_text = not options.by_chat
            shown = (
                text_shape(tokens, spell, values["text"]) if by_text else chat_shape(tokens, spell)
            )
        return DetailedCompletion(**values, logprobs_shown=shown)

    def _work(self) -> None:
        closed = False
        while not closed and (job := self._waiting.get()) is not None:
            feed = _Feed(job, self._waiting)
            error = self._run(feed)
            closed, left = feed.closed, list(feed.unanswered.values())
            if error == FAILED and len(left) > 1:
                # One of them may be at fault: a chat template refuses some orders of turns.
                left = [failed for job in left for failed in self._retry_alone(job)]
            for failed in left:
                failed.finish(UpstreamError(error))

    def _run(self, feed: _Feed) -> str:
        """Have the model answer a feed; returns the reason why the rest has no answer."""
        try:
            for completion in self._completions(feed):
                feed.take(completion)
        except Exception as failure:  # noqa: BLE001 - the askers are told; the thread goes on
            logger.error("the model failed with %s", type(failure).__name__)
            return FAILED
        return "it gave no answer"

    def _retry_alone(self, job: _Job) -> list[_Job]:
        """Run a job alone, after others failed with it; returns it where it fails again."""
        job.completions.clear()
        feed = _Feed(job, SimpleQueue())
        self._run(feed)
        return list(feed.unanswered.values())

    def _completions(self, feed: _Feed) -> Iterator[Completion]:
        """The model's completions; a request whose client has left is given up where it can be."""
        if isinstance(self._model, Interruptible):
            return self._model.complete_wanted(feed, feed.wanted)
        return self._model.complete(feed)


def _in_tokens(request: Request, options: StudentOptions) -> Request:
    """A request as a model on this machine is asked it, with the probabilities that are wanted."""
    if options.logprobs is not None:
        request = replace(request, top_logprobs=max(1, options.logprobs))
    if not options.echo and not options.ids:
        return request
    values = {field.name: getattr(request, field.name) for field in fields(Request)}
    return TokenRequest(**values, prompt_ids=options.ids, echo=options.echo)
