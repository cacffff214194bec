"""What models answered: requests, completions and their token probabilities."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from potstill.control.spending import Amount
from potstill.keys import body_key, request_body, request_key
from potstill.logprobs import PackedLogprobs, pack, unpack
from potstill.records import Completion, Request, TokenLogprobs
from potstill.store.database import Connection, explained
from potstill.store.rows import Rows


class StoredCompletion(NamedTuple):
    """A completion and its row number."""

    id: int
    completion: Completion


class CompletionTables(Rows):
    """Adds and reads completions."""

    def add_completions(self, model: str, completions: Iterable[Completion], *, stage: str) -> None:
        """Store what a model answered, in one transaction.

        A sample that is there already with the same ``max_tokens`` is replaced; a shorter one,
        cut off by its limit, stays beside it.

        Args:
            model: ``Model.name`` of the model that was asked.
            completions: What it answered.
            stage: The stage that pays for them.
        """
        now = time.time()
        with self._transaction() as db:
            for request, answers in groupby(completions, key=attrgetter("request")):
                body = request_body(model, request)
                key = body_key(body)
                values = (key, model, body.decode())
                db.execute("INSERT OR IGNORE INTO requests VALUES (?, ?, ?)", values)
                for completion in answers:
                    self._add_completion(db, key, completion, now, stage)

    @staticmethod
    def _add_completion(
        db: Connection, key: bytes, completion: Completion, now: float, stage: str
    ) -> None:
        row = (
            key,
            completion.sample,
            completion.request.max_tokens,
            completion.text,
            completion.thinking,
            completion.finish_reason,
            completion.error,
            completion.prompt_tokens,
            completion.completion_tokens,
            completion.cost,
            now,
            stage,
        )
        cursor = db.execute(
            "INSERT OR REPLACE INTO completions VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?)", row
        )
        if completion.logprobs is not None:
            packed = pack(completion.logprobs)
            db.execute(
                "INSERT INTO logprobs VALUES (?,?,?,?,?,?,?,?,?)", (cursor.lastrowid, *packed)
            )

    def missing(self, model: str, requests: Iterable[Request]) -> Iterator[Request]:
        """The requests, narrowed to the samples that still have to be asked for.

        A sample is there if it ended by itself, or was cut off at no less than the
        ``max_tokens`` asked for now. One that failed is asked for again.
        """
        for request in requests:
            there = self._best(request_key(model, request), request)
            wanted = tuple(sample for sample in request.samples if sample not in there)
            if wanted:
                yield replace(request, samples=wanted)

    def completions(
        self, model: str, request: Request, *, logprobs: bool = False
    ) -> list[StoredCompletion]:
        """The stored answers to one request, by sample; failed samples are left out.

        Args:
            model: ``Model.name`` of the model that was asked.
            request: What was asked.
            logprobs: Read the token probabilities as well.
        """
        best = self._best(request_key(model, request), request)
        found = []
        for sample in request.samples:
            if sample in best:
                id_, completion = stored_completion(request, best[sample])
                if logprobs:
                    completion = replace(completion, logprobs=self.logprobs(id_))
                found.append(StoredCompletion(id_, completion))
        return found

    def _best(self, key: bytes, request: Request) -> dict[int, tuple[Any, ...]]:
        """By sample, the stored row that serves the request: the longest if several do."""
        with explained(self.path):
            rows = self._db.execute(
                "SELECT id, sample, text, thinking, finish_reason, prompt_tokens,"
                " completion_tokens, cost FROM completions WHERE request_key = ? AND"
                " (finish_reason = 'length' AND max_tokens >= ?"
                " OR finish_reason NOT IN ('length', 'error')) ORDER BY max_tokens",
                (key, request.max_tokens),
            )
            return {row[1]: row for row in rows}

    def logprobs(self, completion_id: int) -> TokenLogprobs | None:
        """The token probabilities of a completion, by its row number; None where there are none."""
        with explained(self.path):
            row = self._db.execute(
                "SELECT tokens, top, logprobs, ids, token_bytes, lengths FROM logprobs"
                " WHERE completion_id = ?",
                (completion_id,),
            ).fetchone()
        return None if row is None else unpack(PackedLogprobs(*row))

    def failures(self) -> dict[str, int]:
        """How many samples failed and have not been answered since, by reason."""
        with explained(self.path):
            return dict(
                self._db.execute(
                    "SELECT coalesce(error, finish_reason), count(*) FROM completions AS failed"
                    " WHERE finish_reason = 'error' AND NOT EXISTS (SELECT 1 FROM completions"
                    " AS other WHERE other.request_key = failed.request_key AND"
                    " other.sample = failed.sample AND other.finish_reason != 'error')"
                    " GROUP BY 1 ORDER BY 2 DESC"
                ).fetchall()
            )

    def spent(self) -> Amount:
        """What the stored answers of servers came to.

        Those that were replaced are not in it, nor those from a file: another run paid for them.
        """
        with explained(self.path):
            tokens, usd = self._db.execute(
                "SELECT coalesce(sum(written + read), 0), coalesce(sum(cost), 0.0) FROM"
                " (SELECT sum(completion_tokens) AS written, max(prompt_tokens) AS read,"
                " sum(cost) AS cost FROM completions JOIN requests ON request_key = key"
                " WHERE (model LIKE 'openai:%' OR model LIKE 'vllm:%') AND stage != 'import'"
                " GROUP BY request_key)"
            ).fetchone()
        return Amount(tokens, usd)


def stored_completion(request: Request, row: Sequence[Any]) -> StoredCompletion:
    """A row as a completion, without its probabilities.

    Args:
        request: What was asked.
        row: ``id, sample, text, thinking, finish_reason, prompt_tokens, completion_tokens, cost``.
    """
    id_, sample, text, thinking, finish_reason, prompt_tokens, completion_tokens, cost = row
    completion = Completion(
        request=request,
        sample=sample,
        text=text,
        thinking=thinking,
        finish_reason=finish_reason,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost=cost,
    )
    return StoredCompletion(id_, completion)
