"""Finds the stored answers that serve a request whose given text is scored.

A score with many likeliest tokens at each place is one with fewer, too. So a given text is looked
up by the key of the same request without any, beside the numbers it was scored with.
"""

from dataclasses import replace

from potstill.keys import request_key
from potstill.records import Request
from potstill.store.database import Connection, Rows, explained


class ScoredTexts(Rows):
    """Looks up requests with a given text."""

    def serving_key(self, model: str, request: Request) -> bytes:
        """Returns the key under which the answers to a request are stored.

        Of a given text it is that of a request with as many likeliest tokens or more, the fewest of
        those; one that has them at some tokens is served by one that has them at all.

        Args:
            model: ``Model.name`` of the model that was asked.
            request: The request.
        """
        own = request_key(model, request)
        if request.given is None:
            return own
        whole = replace(request, given=replace(request.given, kept_at=""))
        for serving in dict.fromkeys((request, whole)):
            with explained(self.path):
                row = self._db.execute(
                    "SELECT request_key FROM scored_texts WHERE text_key = ? AND top >= ?"
                    " ORDER BY top LIMIT 1",
                    (_text_key(model, serving), request.top_logprobs),
                ).fetchone()
            if row is not None:
                return bytes(row[0])
        return own

    def failure(self, model: str, request: Request) -> str | None:
        """Returns why a request failed the last time; None where it did not."""
        with explained(self.path):
            row = self._db.execute(
                "SELECT error FROM completions WHERE request_key = ? AND finish_reason = 'error'"
                " ORDER BY id DESC LIMIT 1",
                (request_key(model, request),),
            ).fetchone()
        return None if row is None else str(row[0])


def add_scored_text(db: Connection, model: str, request: Request) -> None:
    """Have a text's score found by requests with fewer likeliest tokens, too."""
    row = _text_key(model, request), request.top_logprobs, request_key(model, request)
    db.execute("INSERT OR REPLACE INTO scored_texts VALUES (?, ?, ?)", row)


def _text_key(model: str, request: Request) -> bytes:
    """Returns the key of a given text, whatever stands beside its tokens."""
    return request_key(model, replace(request, top_logprobs=0))
