"""Takes over the answers of another store, told apart by their keys.

A key stands for the model and all that was asked of it (``keys.py``), so an answer of another run
is the answer that this one would have asked for. What was made of answers (verdicts, students,
scores) stays behind: the stages make it again of what is stored, and ask nobody.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from potstill.store.database import Rows, explained

_COMPLETION = (
    "sample", "max_tokens", "text", "thinking", "finish_reason", "error", "prompt_tokens",
    "completion_tokens", "cost", "created_at", "stage", "thinking_ended",
)  # fmt: skip
_LOGPROBS = (
    "tokens", "top", "logprobs", "ids", "token_bytes", "lengths", "collisions", "missing_mass",
)  # fmt: skip

_REQUESTS_AT_ONCE = 500
"""Requests whose answers are taken over in one transaction."""

Row = tuple[Any, ...]


@dataclass(kw_only=True, slots=True)
class JoinedAnswers:
    """The numbers of answers that a store took over."""

    stored: int = 0
    there: int = 0
    """Answers that it had already, the same in text and end."""

    differing: int = 0
    """Answers that it had with another text or end, as of a sampling server; its own are kept."""

    def add(self, other: "JoinedAnswers") -> None:
        """Add the numbers of another."""
        self.stored += other.stored
        self.there += other.there
        self.differing += other.differing


class JoinTables(Rows):
    """Takes over what another store has."""

    def join(self, source: "JoinTables") -> Iterator[JoinedAnswers]:
        """Take over the answers of another store, a number of requests at a time.

        It can be stopped and repeated: what was taken over is there.

        Args:
            source: The other store, which is read.

        Yields:
            What became of the answers to these requests.
        """
        last = b""
        while requests := source._requests_behind(last):
            with self._transaction() as db:
                joined = JoinedAnswers()
                for request in requests:
                    db.execute("INSERT OR IGNORE INTO requests VALUES (?, ?, ?)", request)
                    for table in ("request_questions", "scored_texts"):
                        self._take(db, table, source._rows_of(table, request[0]))
                    for completion, logprobs in source._answers_to(request[0]):
                        _take_answer(db, request[0], completion, logprobs, joined)
            yield joined
            last = requests[-1][0]

    def count_answers(self) -> int:
        """Returns how many answers are stored, failed ones as well."""
        with explained(self.path):
            return int(self._db.execute("SELECT count(*) FROM completions").fetchone()[0])

    def _requests_behind(self, key: bytes) -> list[Row]:
        with explained(self.path):
            return self._db.execute(
                "SELECT key, model, body FROM requests WHERE key > ? ORDER BY key LIMIT ?",
                (key, _REQUESTS_AT_ONCE),
            ).fetchall()

    def _rows_of(self, table: str, key: bytes) -> list[Row]:
        with explained(self.path):
            return self._db.execute(
                f"SELECT * FROM {table} WHERE request_key = ?", (key,)
            ).fetchall()

    def _answers_to(self, key: bytes) -> Iterator[tuple[Row, Row | None]]:
        """Yields the answers to a request in the order in which they came, with probabilities."""
        with explained(self.path):
            rows = self._db.execute(
                f"SELECT id, {', '.join(_COMPLETION)} FROM completions WHERE request_key = ?"
                " ORDER BY id",
                (key,),
            ).fetchall()
            for id_, *completion in rows:
                logprobs = self._db.execute(
                    f"SELECT {', '.join(_LOGPROBS)} FROM logprobs WHERE completion_id = ?", (id_,)
                ).fetchone()
                yield tuple(completion), logprobs

    @staticmethod
    def _take(db: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
        for row in rows:
            marks = ", ".join("?" * len(row))
            db.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)


def _take_answer(
    db: sqlite3.Connection,
    key: bytes,
    completion: Row,
    logprobs: Row | None,
    joined: JoinedAnswers,
) -> None:
    """Take over one answer, unless there is one of the same sample that did not fail."""
    sample, most, text, thinking, finish_reason = completion[:5]
    own = db.execute(
        "SELECT text, thinking, finish_reason FROM completions"
        " WHERE request_key = ? AND sample = ? AND max_tokens = ?",
        (key, sample, most),
    ).fetchone()
    if own is not None and (own[2] != "error" or finish_reason == "error"):
        is_same = own == (text, thinking, finish_reason) or own[2] == finish_reason == "error"
        joined.there += is_same
        joined.differing += not is_same
        return
    marks = ", ".join("?" * len(completion))
    cursor = db.execute(
        f"INSERT OR REPLACE INTO completions (request_key, {', '.join(_COMPLETION)})"
        f" VALUES (?, {marks})",
        (key, *completion),
    )
    if logprobs is not None:
        marks = ", ".join("?" * len(logprobs))
        db.execute(
            f"INSERT INTO logprobs (completion_id, {', '.join(_LOGPROBS)}) VALUES (?, {marks})",
            (cursor.lastrowid, *logprobs),
        )
    joined.stored += 1
