"""The tables of what models answered: requests, completions and their token probabilities.

A request is stored once under :func:`potstill.keys.request_key`, and each sample of it is one
completion. ``request_questions`` says which questions of which tasks it was asked for: two rows of
a task with one text share a request, and so do the rows of a file and of its renamed copy.

:class:`CompletionTables` adds and looks up answers to known requests, as the stages do;
:class:`PoolTables` reads everything from end to end and adds what a file brings, as ``potstill
export`` and ``potstill import`` do.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import orjson

from potstill.errors import DataError
from potstill.keys import body_key, request_body, request_key, stored_request
from potstill.records import (
    Amount,
    Completion,
    FinishReason,
    Question,
    Rationale,
    Request,
    Task,
    TokenLogprobs,
)
from potstill.store.asked_questions import graded_on
from potstill.store.database import Connection, columns_of, explained, record_of
from potstill.store.packed_logprobs import PackedLogprobs, pack, unpack, with_likeliest
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
    """Adds and reads completions."""

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
                    self._add_completion(db, key, completion, now, stage)
                    if request.given is not None and completion.error is None:
                        add_scored_text(db, model, request)

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
            completion.thinking_ended,
        )
        cursor = db.execute(
            f"INSERT OR REPLACE INTO completions VALUES (NULL{',?' * len(row)})", row
        )
        if completion.logprobs is not None:
            packed = pack(completion.logprobs)
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


class AskedQuestion(NamedTuple):
    """A question that a request was asked for."""

    task: str
    """The name of its task."""

    id: str


class ThinkingCounts(NamedTuple):
    """How many completions thought before they answered."""

    total: int
    thought: int
    unanswered: int
    """Of these, how many gave no answer behind their thinking."""


class GradedQuestion(NamedTuple):
    """A question that a completion was curated as answering, and the verdict on it."""

    id: str
    digest: str
    """As :attr:`potstill.records.Rationale.question_digest`."""

    gold: str | None
    verdict: str


class PooledCompletion(NamedTuple):
    """A completion with everything that is stored beside it."""

    id: int
    model: str
    """``Model.name`` of the model that was asked."""

    completion: Completion
    """Failed ones as well; its request is for this one sample."""

    stage: str
    questions: tuple[AskedQuestion, ...]
    """The questions that its request was asked for; none where only an older potstill asked."""

    verdicts: tuple[GradedQuestion, ...]
    """The verdicts of curation on it, one for each question that it was read as answering."""


class PooledRationale(NamedTuple):
    """A rationale, with the model that wrote it and the reason for which it ended."""

    rationale: Rationale
    question: Question | None
    """The question that it was graded on; None where the task has it no more, or has changed it."""

    model: str
    """By what name its teacher's completions are stored."""

    finish_reason: FinishReason


class CurrentRationales(NamedTuple):
    """The rationales that were graded on questions as a task has them now."""

    rationales: list[Rationale]
    outdated: int
    """Rationales whose question the task has no more, or has changed since."""


class PoolTables(CompletionTables):
    """Reads all completions and rationales in one pass, and adds completions that are not there."""

    def pool(self, stages: Sequence[str], *, logprobs: bool = False) -> Iterator[PooledCompletion]:
        """Yields every completion that these stages stored, oldest first.

        One is held at a time. A writer beside it goes on; what it adds meanwhile is not seen.

        Args:
            stages: As in :meth:`add_completions`.
            logprobs: Read the token probabilities as well.
        """
        marks = ", ".join("?" * len(stages))
        with explained(self.path):
            rows = self._db.execute(
                "SELECT completions.id, body, sample, max_tokens, completions.text, thinking,"
                " finish_reason, prompt_tokens, completion_tokens, cost, thinking_ended, error,"
                " (SELECT json_group_array(json_array(task, question_id)) FROM request_questions"
                " WHERE request_questions.request_key = key), stage, verdicts"
                " FROM completions JOIN requests ON request_key = key"
                " LEFT JOIN (SELECT completion_id, json_group_array(json_array(question_id,"
                " question_digest, gold, verdict)) AS verdicts FROM rationales"
                " GROUP BY completion_id) AS curated"
                " ON completion_id = completions.id"
                f" WHERE stage IN ({marks}) ORDER BY completions.id",
                stages,
            )
            for id_, body, sample, max_tokens, *answer, error, asked, stage, verdicts in rows:
                model, request = stored_request(body, max_tokens=max_tokens, samples=(sample,))
                _, completion = stored_completion(request, (id_, sample, *answer))
                probabilities = self.logprobs(id_) if logprobs else None
                completion = replace(completion, error=error, logprobs=probabilities)
                questions = tuple(AskedQuestion(*names) for names in orjson.loads(asked))
                graded = tuple(GradedQuestion(*values) for values in orjson.loads(verdicts or "[]"))
                yield PooledCompletion(id_, model, completion, stage, questions, graded)

    def pool_size(self, stages: Sequence[str]) -> int:
        """Counts the completions that :meth:`pool` yields."""
        marks = ", ".join("?" * len(stages))
        with explained(self.path):
            (count,) = self._db.execute(
                f"SELECT count(*) FROM completions WHERE stage IN ({marks})", stages
            ).fetchone()
        return int(count)

    def last_answer_at(self, stage: str) -> float | None:
        """Returns when a stage's last answer was stored, in seconds since 1970; None: it has none.

        Args:
            stage: As in :meth:`add_completions`.
        """
        with explained(self.path):
            (at,) = self._db.execute(
                "SELECT max(created_at) FROM completions WHERE stage = ?", (stage,)
            ).fetchone()
        return at  # type: ignore[no-any-return]

    def finish_reasons(self) -> dict[str, int]:
        """Counts all completions, failed ones as well, by the reason for their end."""
        query = "SELECT finish_reason, count(*) FROM completions GROUP BY 1 ORDER BY 1"
        with explained(self.path):
            return dict(self._db.execute(query).fetchall())

    def pooled_rationales(self, questions: Iterable[Question]) -> Iterator[PooledRationale]:
        """Yields every rationale with its verdict, one at a time, in the order of curation.

        Args:
            questions: The questions that the task has now.
        """
        question_by_id = {question.id: question for question in questions}
        columns = columns_of(Rationale)
        selected = ", ".join(f"rationales.{column}" for column in columns)
        with explained(self.path):
            rows = self._db.execute(
                f"SELECT {selected}, body, finish_reason FROM rationales"
                " JOIN completions ON completion_id = completions.id"
                " JOIN requests ON request_key = key ORDER BY rationales.rowid"
            )
            for *values, body, reason in rows:
                rationale = record_of(Rationale, iter(values))
                model, request = stored_request(body, max_tokens=1, samples=(rationale.sample,))
                question = question_by_id.get(rationale.question_id)
                if question is not None and not graded_on(rationale, question, request):
                    question = None
                yield PooledRationale(rationale, question, model, reason)

    def current_rationales(self, questions: Iterable[Question]) -> CurrentRationales:
        """Returns the rationales that were graded on these questions as they are now.

        Args:
            questions: The questions that the task has now.
        """
        pooled = list(self.pooled_rationales(questions))
        current = [one.rationale for one in pooled if one.question is not None]
        return CurrentRationales(current, len(pooled) - len(current))

    def training_rationales(self, task: Task) -> list[Rationale]:
        """Returns the rationales of a task's training questions, in the order of curation.

        Raises:
            DataError: Some were graded on questions, or by gold answers, that the task has not now.
        """
        current = self.current_rationales(task.splits["train"])
        if current.outdated:
            raise DataError(
                f"{current.outdated:,} of {len(current.rationales) + current.outdated:,} rationales"
                " were curated for other training questions or gold answers than those "
                f"{task.name} has now. Run potstill curate again."
            )
        return current.rationales

    def verdicts(self) -> dict[str, int]:
        """Counts the rationales by verdict, the most frequent first."""
        with explained(self.path):
            return dict(
                self._db.execute(
                    "SELECT verdict, count(*) FROM rationales GROUP BY 1 ORDER BY 2 DESC, 1"
                ).fetchall()
            )

    def thinking_counts(self) -> ThinkingCounts:
        """Counts the curated completions in which a model thought before it answered."""
        with explained(self.path):
            row = self._db.execute(
                "SELECT count(*), count(thinking), coalesce(sum(thinking IS NOT NULL AND"
                " trim(completions.text) = ''), 0) FROM completions WHERE id IN"
                " (SELECT completion_id FROM rationales)"
            ).fetchone()
            return ThinkingCounts(*row)

    def samples(self, model: str, request: Request) -> dict[int, str]:
        """Returns the stored texts that serve a request, by sample, whichever it asks for."""
        best = self._best(request_key(model, request), request)
        return {sample: row[2] for sample, row in best.items()}

    def add_absent(self, model: str, completions: Iterable[Completion], *, stage: str) -> int:
        """Store those completions whose sample is not there with the same ``max_tokens``.

        What is there stays; only a failed one gives way to one that has not failed. The questions
        of all of them are kept: one completion may be given once for each.

        Returns:
            How many were stored.
        """
        completions = list(completions)
        absent: dict[tuple[bytes, int, int], Completion] = {}
        for completion in completions:
            request = completion.request
            place = (request_key(model, request), completion.sample, request.max_tokens)
            earlier = absent.get(place)
            if earlier is not None and earlier.finish_reason != "error":
                continue
            if not self._is_there(*place, completion):
                absent[place] = completion
        if absent:
            self.add_completions(model, absent.values(), stage=stage)
        self.name_questions(model, (completion.request for completion in completions))
        return len(absent)

    def _is_there(self, key: bytes, sample: int, max_tokens: int, completion: Completion) -> bool:
        with explained(self.path):
            row = self._db.execute(
                "SELECT finish_reason FROM completions WHERE request_key = ? AND sample = ?"
                " AND max_tokens = ?",
                (key, sample, max_tokens),
            ).fetchone()
        return row is not None and (row[0] != "error" or completion.finish_reason == "error")
