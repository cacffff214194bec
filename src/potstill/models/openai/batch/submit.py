"""Making batches of what is missing, each as large as the server and the budget allow."""

import logging
import secrets
from typing import NamedTuple

import orjson

from potstill.errors import BudgetError
from potstill.models.openai.batch.endpoint import BatchEndpoint
from potstill.models.openai.batch.lines import BatchLine, PendingSamples
from potstill.models.openai.cost import Sizes, prices_of
from potstill.models.openai.requests import Json, request_body
from potstill.models.settings import OpenAISettings
from potstill.records import Amount
from potstill.runtime.budget import Budget

logger = logging.getLogger(__name__)

LARGEST_LINES = 50_000
LARGEST_BYTES = 100 * 10**6
"""Most bytes of one batch's input. OpenAI takes 200 MB by now, others 100 MB."""


class SubmittedBatch(NamedTuple):
    """A batch that was made."""

    batch: Json
    """The batch as the server shows it."""

    lines: list[BatchLine]
    number: int
    """The number of its cost in the budget."""


class _Piece(NamedTuple):
    """One line to be sent."""

    line: BatchLine
    data: bytes
    most: Amount


class BatchSubmitter:
    """Makes a model's batches.

    Args:
        settings: The model's settings.
        client: The endpoint at which they are made.
        wanted: The missing samples.
        budget: The run's account.
        mark: The metadata value by which the model's batches are known.
    """

    def __init__(
        self,
        settings: OpenAISettings,
        client: BatchEndpoint,
        wanted: PendingSamples,
        budget: Budget,
        mark: str,
    ) -> None:
        self._settings, self._client, self._wanted = settings, client, wanted
        self._budget, self._mark = budget, mark
        self._sizes = Sizes(prices_of(settings))
        self._route = "/v1/chat/completions" if settings.chat else "/v1/completions"
        self._warned = False
        self.most_lines = LARGEST_LINES
        """Most lines of one batch."""

    def is_mine(self, batch: Json) -> bool:
        """Whether a batch is one of the model's."""
        return bool(batch["metadata"].get("potstill") == self._mark)

    def label(self, metadata: dict[str, str]) -> str:
        """Returns the label by which the budget knows a batch of the model."""
        return f"batch {self._mark} {metadata.get('potstill_batch')}"

    def forgive(self, made: set[str]) -> None:
        """Settle what was set aside for batches that were never made.

        Args:
            made: The labels of those that were made.
        """
        for label in self._budget.left:
            if label.startswith(f"batch {self._mark} ") and label not in made:
                number = self._budget.resume(label)
                if number is not None:
                    self._budget.end(number, Amount())

    def buy(self, *, waiting: bool) -> SubmittedBatch | None:
        """Make one batch of what is missing and not under way.

        Args:
            waiting: Whether other batches are waited for, whose end may leave more of the budget.

        Returns:
            None where nothing is missing, or something has to be settled first.

        Raises:
            BudgetError: Nothing is waited for, and not even one line fits.
            ModelError: The server does not take it.
        """
        pieces = self._pieces()
        metadata = {"potstill": self._mark, "potstill_batch": secrets.token_hex(16)}
        number = self._set_aside(pieces, self.label(metadata), waiting=waiting)
        if number is None:
            return None
        data = b"".join(piece.data for piece in pieces)
        try:
            batch = self._client.create(data, route=self._route, metadata=metadata)
        except BaseException:
            # It may have been made all the same; whoever asks next finds out.
            self._budget.leave(number)
            raise
        if not self.is_mine(batch) and not self._warned:
            logger.warning(
                "%s keeps no metadata with batches: should this command be stopped, the next one "
                "will not find what it has bought",
                self._settings.base_url,
            )
            self._warned = True
        return SubmittedBatch(batch, [piece.line for piece in pieces], number)

    def _pieces(self) -> list[_Piece]:
        pieces: list[_Piece] = []
        size = 0
        for line in self._wanted.lines():
            request = self._wanted.request(line)
            body = request_body(self._settings, request, line.samples)
            entry = {"custom_id": line.custom_id, "method": "POST", "url": self._route}
            data = orjson.dumps({**entry, "body": body}) + b"\n"
            size += len(data)
            if pieces and size > LARGEST_BYTES:
                break
            pieces.append(_Piece(line, data, self._sizes.size(request, body).most))
            if len(pieces) == self.most_lines:
                break
        return pieces

    def _set_aside(self, pieces: list[_Piece], label: str, *, waiting: bool) -> int | None:
        """Returns a batch's number in the account; takes off what the budget has no room for."""
        while pieces:
            most = Amount()
            for piece in pieces:
                most = most.plus(piece.most)
            try:
                return self._budget.begin(most, label=label)
            except BudgetError:
                if len(pieces) > 1:
                    del pieces[(len(pieces) + 1) // 2 :]
                elif waiting:
                    return None
                else:
                    raise
        return None
