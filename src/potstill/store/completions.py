"""The tables of what models answered: requests, completions and their token probabilities.

A request is stored once under :func:`potstill.keys.request_key`, and each sample of it is one
completion. ``request_questions`` says which questions of which tasks it was asked for: two rows of
a task with one text share a request, and so do the rows of a file and of its renamed copy.

:class:`CompletionTables` adds and looks up answers to known requests, as the stages do;
``pooled.py`` reads everything from end to end.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from potstill.keys import body_key, request_body, request_key
from potstill.records import Amount, Completion, Request, TokenLogprobs
from potstill.store.database import Connection, explained
from potstill.store.packed_logprobs import (
    PackedLogprobs,
    packed_logprobs,
    unpack,
    with_likeliest,
)
from potstill.store.probability_codec import KeptPositions, ProbabilityForm
from potstill.store.scored_texts import ScoredTexts, add_scored_text


class StoredCompletion(NamedTuple):
    """A completion and its row number."""

    id: int
    completion: Completion


_ADD_REQUEST = "INSERT OR IGNORE INTO requests (key, model, body) VALUES (?, ?, ?)"
_ADD_QUESTION = """
    INSERT OR IGNORE INTO request_questions (request_key, task, question_id) VALUES (?, ?, ?)
"""


class CompletionTables(ScoredTexts):
    """Adds and reads completions.

    Attributes:
        probability_form: How the token probabilities are kept that are added from now on.
        kept_positions: At which tokens of an on-policy student's answers.
    """

    probability_form: ProbabilityForm = "exact"
    kept_positions: KeptPositions = "all"

    def add_completions(self, model: str, completions: Iterable[Completion], *, stage: str) -> None:
        """Store what a model answered, in one transaction.

        A sample that is there already with the same ``max_tokens`` is replaced; a shorter one,
        cut off by its limit, stays beside it.

        Args:
            model: ``Model.name`` of the model that was asked.
            completions: The completions it answered with.
            stage: The stage that pays for them.
        """
        now = time.time()
        with self._transaction() as db:
            for request, answers in groupby(completions, key=attrgetter("request")):
                body = request_body(model, request)
                key = body_key(body)
                db.execute(_ADD_REQUEST, (key, model, body.decode()))
                if _has_question(request):
                    db.execute(_ADD_QUESTION, (key, request.task, request.question_id))
                for completion in answers:
                    self._add_completion(db, key, completion, now, stage, self.probability_form)
                    if request.given is not None and completion.error is None:
                        add_scored_text(db, model, request)

    @staticmethod
    def _add_completion(
        db: Connection,
        key: bytes,
        completion: Completion,
        now: float,
        stage: str,
        form: ProbabilityForm,
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
            completion.thinking_ended,
        )
        cursor = db.execute(
            f"INSERT OR REPLACE INTO completions VALUES (NULL{',?' * len(row)})", row
        )
        packed = packed_logprobs(completion, form)
        if packed is not None:
            db.execute(
                "INSERT INTO logprobs VALUES (?,?,?,?,?,?,?,?,?)", (cursor.lastrowid, *packed)
            )

    def name_questions(self, model: str, requests: Iterable[Request]) -> None:
        """Store which questions these requests ask, whether they are answered yet or not.

        Nothing is written where all of it is there already.

        Args:
            model: ``Model.name`` of the model that is asked.
            requests: The requests put to it; those that name no question are passed over.
        """
        if self.read_only:
            return
        with self._transaction() as db:
            db.executemany(
                _ADD_QUESTION,
                (
                    (request_key(model, request), request.task, request.question_id)
                    for request in requests
                    if _has_question(request)
                ),
            )

    def missing(self, model: str, requests: Iterable[Request]) -> Iterator[Request]:
        """Yields the requests, narrowed to the samples that still have to be asked for.

        A sample is there if it ended by itself, or was cut off (or ended for a reason that is not
        known) at no less than the ``max_tokens`` asked for now. One that failed is asked for again.
        """
        for request in requests:
            there = self._best(self.serving_key(model, request), request)
            wanted = tuple(sample for sample in request.samples if sample not in there)
            if wanted:
                yield replace(request, samples=wanted)

    def completions(
        self, model: str, request: Request, *, logprobs: bool = False
    ) -> list[StoredCompletion]:
        """Returns the stored answers to a request, by sample; failed samples are left out.

        Args:
            model: ``Model.name`` of the model that was asked.
            request: The request that was asked.
            logprobs: Read the token probabilities as well.
        """
        best = self._best(self.serving_key(model, request), request)
        stored = []
        for sample in request.samples:
            if sample in best:
                id_, completion = stored_completion(request, best[sample])
                record = self.logprobs(id_) if logprobs else None
                if record is not None and request.given is not None:
                    record = with_likeliest(record, request.top_logprobs)
                completion = replace(completion, logprobs=record)
                stored.append(StoredCompletion(id_, completion))
        return stored

    def _best(self, key: bytes, request: Request) -> dict[int, tuple[Any, ...]]:
        """Returns, by sample, the stored row that serves the request: the longest if several do."""
        with explained(self.path):
            rows = self._db.execute(
                "SELECT id, sample, text, thinking, finish_reason, prompt_tokens,"
                " completion_tokens, cost, thinking_ended FROM completions WHERE request_key = ?"
                " AND (finish_reason IN ('stop', 'content_filter', 'tool_calls')"
                " OR finish_reason != 'error' AND max_tokens >= ?) ORDER BY max_tokens",
                (key, request.max_tokens),
            )
            return {row[1]: row for row in rows}

    def logprobs(self, completion_id: int) -> TokenLogprobs | None:
        """Returns a completion's token probabilities by its row number; None where it has none."""
        with explained(self.path):
            row = self._db.execute(
                "SELECT tokens, top, logprobs, ids, token_bytes, lengths FROM logprobs"
                " WHERE completion_id = ?",
                (completion_id,),
            ).fetchone()
        return None if row is None else unpack(PackedLogprobs(*row))

    def failures(self, model: str | None = None) -> dict[str, int]:
        """Counts the samples that failed and have not been answered since, by reason.

        Args:
            model: The one whose samples are counted; None: every model's.
        """
        with explained(self.path):
            return dict(
                self._db.execute(
                    "SELECT coalesce(error, finish_reason), count(*) FROM completions AS failed"
                    " JOIN requests ON requests.key = failed.request_key"
                    " WHERE finish_reason = 'error' AND coalesce(?, model) = model"
                    " AND NOT EXISTS (SELECT 1 FROM completions"
                    " AS other WHERE other.request_key = failed.request_key AND"
                    " other.sample = failed.sample AND other.finish_reason != 'error')"
                    " GROUP BY 1 ORDER BY 2 DESC",
                    (model,),
                ).fetchall()
            )

    def has_text_of(self, model: str) -> bool:
        """Whether any answer of a model says something."""
        with explained(self.path):
            row = self._db.execute(
                "SELECT 1 FROM completions JOIN requests ON requests.key = request_key"
                " WHERE model = ? AND trim(text, char(9, 10, 13, 32)) != '' LIMIT 1",
                (model,),
            ).fetchone()
        return row is not None

    def has_answers_of(self, kind: str) -> bool:
        """Whether a model of this kind has answered, such as ``hf``."""
        with explained(self.path):
            row = self._db.execute(
                "SELECT 1 FROM requests WHERE model LIKE ? || ':%' LIMIT 1", (kind,)
            ).fetchone()
        return row is not None

    def spent(self) -> Amount:
        """Returns what the stored answers of servers cost.

        Those that were replaced are not counted, nor those from a file: another run paid for them.
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


def _has_question(request: Request) -> bool:
    """Whether a request says which question of which task it asks."""
    return request.question_id is not None and request.task is not None


def stored_completion(request: Request, row: Sequence[Any]) -> StoredCompletion:
    """Returns a row as a completion, without its probabilities.

    Args:
        request: The request that was asked.
        row: The columns as :meth:`CompletionTables.completions` selects them.
    """
    id_, sample, text, thinking, reason, prompt_tokens, completion_tokens, cost, ended = row
    completion = Completion(
        request=request,
        sample=sample,
        text=text,
        thinking=thinking,
        finish_reason=reason,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost=cost,
        thinking_ended=None if ended is None else bool(ended),
    )
    return StoredCompletion(id_, completion)
