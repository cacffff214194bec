"""Looks up what was sent to a model and what came back: by completion, or by the question asked.

Beside a large store this needs an order that its tables do not have. It is made once for a
connection, as a temporary table of SQLite's, and nothing is written to the file. SQLite is not told
to keep such tables in memory: it would sort all rows of a later question there as well.
"""

from collections.abc import Iterable
from typing import NamedTuple

from potstill.keys import stored_request
from potstill.records import FinishReason, Request
from potstill.store.database import Rows, explained

_COLUMNS = (
    "completions.id, body, sample, max_tokens, completions.text, thinking, finish_reason,"
    " prompt_tokens, completion_tokens"
)


class AnsweredRequest(NamedTuple):
    """A request as it was sent, for one sample, and the answer to it."""

    completion_id: int
    model: str
    """``Model.name`` of the model that was asked."""

    request: Request
    text: str
    """The answer as the model wrote it, without the request's ``answer_prefix``."""

    thinking: str | None
    finish_reason: FinishReason
    prompt_tokens: int
    """0 where the model does not count them."""

    completion_tokens: int
    """The tokens that it wrote, thinking included; 0 where the model does not count them."""


class SentRequests(Rows):
    """Reads requests with their answers."""

    _ordered_at = -1
    """How many rows this connection had changed when the order was made."""

    def has_completions_of(self, stage: str) -> bool:
        """Whether a stage has stored any completion."""
        with explained(self.path):
            (found,) = self._db.execute(
                "SELECT EXISTS (SELECT 1 FROM completions WHERE stage = ?)", (stage,)
            ).fetchone()
        return bool(found)

    def sent(self, completion_ids: Iterable[int]) -> dict[int, AnsweredRequest]:
        """Returns completions with the requests that they answer, by their rows."""
        found: dict[int, AnsweredRequest] = {}
        with explained(self.path):
            for id_ in completion_ids:
                row = self._db.execute(
                    f"SELECT {_COLUMNS} FROM completions JOIN requests ON request_key = key"
                    " WHERE completions.id = ?",
                    (id_,),
                ).fetchone()
                if row is not None:
                    found[id_] = _sent(row)
        return found

    def sent_about(self, task: str, question_id: str, *, stage: str) -> list[AnsweredRequest]:
        """Returns the answers that a stage got to a question, in the order in which they came.

        Those that failed are left out, and so are those of requests that an older potstill sent,
        which does not say what they asked.
        """
        with explained(self.path):
            self._order()
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM temp.asked_requests AS asked"
                " JOIN completions ON completions.request_key = asked.request_key"
                " JOIN requests ON key = asked.request_key"
                " WHERE task = ? AND question_id = ? AND stage = ? AND finish_reason != 'error'"
                " ORDER BY completions.id",
                (task, question_id, stage),
            )
            return [_sent(row) for row in rows]

    def _order(self) -> None:
        """Put the requests into the order of the questions that they ask, if it is not made."""
        if self._ordered_at == self._db.total_changes:
            return
        self._db.execute("DROP TABLE IF EXISTS temp.asked_requests")
        self._db.execute(
            "CREATE TEMP TABLE asked_requests AS"
            " SELECT task, question_id, request_key FROM main.request_questions"
        )
        self._db.execute("CREATE INDEX temp.asked_question ON asked_requests (task, question_id)")
        self._ordered_at = self._db.total_changes


def _sent(row: tuple[int, str, int, int, str, str | None, str, int, int]) -> AnsweredRequest:
    id_, body, sample, max_tokens, text, thinking, reason, read, written = row
    model, request = stored_request(body, max_tokens=max_tokens, samples=(sample,))
    return AnsweredRequest(id_, model, request, text, thinking, reason, read, written)
