"""Asking through a provider's batch endpoint, in such a way that nothing is bought twice.

No state is kept on this machine. A batch carries a digest of the model's name, and each of its
lines names the request and the samples that it answers. So whoever asks next, after days or after
kill -9, reads from the server what was bought before, waits for what is under way, and buys only
what no batch covers.

Format: https://platform.openai.com/docs/guides/batch
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from potstill.errors import ModelError, ServerError
from potstill.keys import settings_hash
from potstill.models.openai.batch.endpoint import BatchEndpoint
from potstill.models.openai.batch.lines import Answers, BatchLine, PendingSamples, Place, line_of
from potstill.models.openai.batch.submit import BatchSubmitter
from potstill.models.openai.http_errors import Halted
from potstill.models.openai.requests import Json
from potstill.models.settings import OpenAISettings
from potstill.records import Amount, Completion, Request
from potstill.runtime import Runtime

UNDER_WAY = {"validating", "in_progress", "finalizing", "cancelling"}
ANSWERED = {"completed", "expired", "cancelled"}
"""Statuses of batches that may have answers. One that ``failed`` was not begun, and cost nothing.
"""

TOO_MANY_TOKENS = "token_limit_exceeded"
"""The error code of a batch that fails since too many tokens wait in the account's batches."""

BUDGET_SECONDS = 0.5
"""How often the account is asked again while other models' tries are to be settled first."""


class Batches:
    """A model's batches, for as long as the model is open.

    Args:
        settings: The model's settings.
        key: The server's key.
        name: The model's name, by which its answers are stored.
        runtime: The run's budget, log and stop signal.
    """

    def __init__(
        self, settings: OpenAISettings, key: str | None, name: str, runtime: Runtime
    ) -> None:
        self.settings, self.name, self.runtime = settings, name, runtime
        self.places: dict[str, frozenset[Place]] = {}
        """The requests that each batch read so far has answers to, so that none is read in vain."""

        self._key = key

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer requests; see :class:`potstill.models.interface.Model`.

        All requests are taken before the first is answered. Once the run is to stop, the
        iterator ends; what is under way runs on at the server, and is collected when the same is
        asked again.

        Raises:
            ServerError: The server has no batch endpoint, refuses a batch, or does not answer.
            AuthError: It refuses the key.
            BudgetError: The next request could cost more than there is left.
            ModelError: A text is to be scored, which batches do not do.
        """
        requests = list(requests)
        if any(request.given is not None for request in requests):
            raise ModelError(f"{self.settings.model}: a batch scores no texts; set mode: live.")
        wanted = PendingSamples(self.name, requests)
        if not wanted:
            return
        try:
            with BatchEndpoint(self.settings, self._key, self.runtime) as client:
                asking = _Asking(self, client, wanted)
                try:
                    yield from asking.answers()
                finally:
                    asking.leave()
        except Halted:
            return


@dataclass(slots=True)
class _Batch:
    """A batch that is waited for or read."""

    lines: list[BatchLine]
    number: int | None
    """The number of its cost in the budget; None where it is settled, or another run pays."""

    seen: tuple[str, int, int] = ("", 0, 0)
    """Its status, lines done and lines failed, when last looked at."""

    @property
    def in_flight(self) -> int:
        """Lines that are not done."""
        return max(len(self.lines) - self.seen[1] - self.seen[2], 0)


class _Asking:
    """One call of :meth:`Batches.complete`."""

    def __init__(self, batches: Batches, client: BatchEndpoint, wanted: PendingSamples) -> None:
        self._settings, self._client, self._wanted = batches.settings, client, wanted
        self._events, self._budget = batches.runtime.events, batches.runtime.budget
        self._answers = Answers(batches.settings, client, wanted, self._events)
        mark = settings_hash(batches.name)
        self._buyer = BatchSubmitter(batches.settings, client, wanted, self._budget, mark)
        self._name, self._places = batches.name, batches.places
        self._open: dict[str, _Batch] = {}
        self._held = False
        """Whether a batch has to end before another is made."""

    def answers(self) -> Iterator[Completion]:
        """Yields answers bought before, then those of batches under way and of new ones."""
        mine = [batch for batch in self._client.batches() if self._buyer.is_mine(batch)]
        self._buyer.forgive({self._buyer.label(batch["metadata"]) for batch in mine})
        for batch in mine:
            if batch["status"] in ANSWERED:
                yield from self._read_earlier(batch)
        for batch in mine:
            if batch["status"] in UNDER_WAY:
                self._adopt(batch)
        while self._wanted:
            self._launch()
            self._client.wait(self._settings.poll_seconds if self._open else BUDGET_SECONDS)
            for id_ in list(self._open):
                yield from self._look(self._client.batch(id_))

    def leave(self) -> None:
        """Wait no more; what is under way runs on."""
        for id_, batch in self._open.items():
            self._events.in_flight -= batch.in_flight
            self._events.record("batch", id=id_, status="left", lines=len(batch.lines))
            if batch.number is not None:
                self._budget.leave(batch.number)
        self._open.clear()
        self._answers.oddities.record()
        self._show()

    def _read_earlier(self, batch: Json) -> Iterator[Completion]:
        """Yields the answers of a batch of an earlier call, where it has any that are wanted."""
        places = self._places.get(batch["id"])
        wanted = self._wanted if places is None else self._wanted.wants_any(places)
        number = self._budget.resume(self._buyer.label(batch["metadata"]))
        if wanted or number is not None:
            self._open[batch["id"]] = _Batch([], number)
            yield from self._read(batch)

    def _read(self, batch: Json) -> Iterator[Completion]:
        """Yields the answers of a batch that has ended, and settles its cost."""
        read = yield from self._answers.read(batch, self._open[batch["id"]].lines)
        self._close(batch["id"], read.paid)
        self._places[batch["id"]] = read.places
        self._held = False

    def _close(self, id_: str, paid: Amount | None) -> None:
        """Settle a batch, and count what it did not answer as not asked for."""
        own = self._open.pop(id_)
        self._events.in_flight -= own.in_flight
        if own.number is not None:
            self._budget.end(own.number, paid)
        for line in own.lines:
            self._wanted.uncover(line)
        self._show()

    def _adopt(self, batch: Json) -> None:
        """Wait for a batch of an earlier call, where it answers anything that is wanted."""
        if not self._wanted:
            return
        entries = self._client.lines(batch["input_file_id"])
        lines = [line for entry in entries if (line := line_of(entry.get("custom_id")))]
        if any(map(self._wanted.wants, lines)):
            number = self._budget.resume(self._buyer.label(batch["metadata"]))
            self._wait_for(batch, _Batch(lines, number))

    def _wait_for(self, batch: Json, own: _Batch) -> None:
        self._open[batch["id"]] = own
        self._events.in_flight += own.in_flight
        for line in own.lines:
            self._wanted.cover(line)
        self._note(batch)

    def _note(self, batch: Json) -> None:
        """Record how far a batch is."""
        own, counts = self._open[batch["id"]], batch["request_counts"]
        done, failed = counts["completed"], counts["failed"]
        if own.seen == (batch["status"], done, failed):
            return
        before, own.seen = own.in_flight, (batch["status"], done, failed)
        self._events.in_flight += own.in_flight - before
        self._show()
        self._events.record(
            "batch",
            id=batch["id"],
            status=batch["status"],
            lines=len(own.lines),
            completed=done,
            failed=failed,
        )

    def _show(self) -> None:
        """Show how many lines of the open batches are done."""
        lines = sum(len(batch.lines) for batch in self._open.values())
        if not lines:
            self._events.notes.pop(self._name, None)
            return
        done = lines - sum(batch.in_flight for batch in self._open.values())
        count = f"{len(self._open)} batches" if len(self._open) > 1 else "a batch"
        self._events.notes[self._name] = f"{done:,} of {lines:,} lines done in {count}"

    def _look(self, batch: Json) -> Iterator[Completion]:
        """Take note of a batch's progress, and yield its answers where it has ended."""
        self._note(batch)
        if batch["status"] in ANSWERED:
            yield from self._read(batch)
        elif batch["status"] == "failed":
            self._failed(batch)

    def _failed(self, batch: Json) -> None:
        """A batch that was not begun is made anew where it was too large, and ends all otherwise.

        Raises:
            ServerError: The server does not take such batches.
        """
        lines = self._open[batch["id"]].lines
        self._close(batch["id"], Amount())
        errors = batch["errors"]
        message = "; ".join(str(error.get("message")) for error in errors[:3]) or "no reason given"
        too_many = any(error.get("code") == TOO_MANY_TOKENS for error in errors)
        if not too_many or (len(lines) == 1 and not self._open):
            hint = (
                "repeat the command when other batches of the account are done"
                if too_many
                else f"set mode: live if it has no batches for {self._settings.where!r}"
            )
            raise ServerError(
                f"{self._settings.base_url} does not take the batch {batch['id']} "
                f"({self._client.clean(message)}). What was answered is kept; {hint}."
            )
        self._events.retried(TOO_MANY_TOKENS, wait=self._settings.poll_seconds, message=message)
        if self._open:
            self._held = True
        else:
            self._buyer.most_lines = max(len(lines) // 2, 1)

    def _launch(self) -> None:
        """Make batches of all that is missing and not under way, as far as the budget goes.

        Raises:
            BudgetError: Nothing is under way, and not even one line fits.
        """
        while not (self._held and self._open):
            bought = self._buyer.buy(waiting=bool(self._open))
            if bought is None:
                return
            self._wait_for(bought.batch, _Batch(bought.lines, bought.number))
