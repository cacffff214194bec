"""Everything that was answered, read from end to end: completions, and the rationales among them.

:class:`PoolTables` yields what is stored one row at a time, as ``potstill export`` and curation's
readers take it, and adds what a file brings, as ``potstill import`` does.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import orjson

from potstill.errors import DataError
from potstill.keys import question_digest, request_key, stored_request
from potstill.records import Completion, FinishReason, Question, Rationale, Request, Task
from potstill.store.asked_questions import asks, graded_on
from potstill.store.completions import CompletionTables, stored_completion
from potstill.store.database import columns_of, explained, record_of


class AskedQuestion(NamedTuple):
    """A question that a request was asked for."""

    task: str
    """The name of its task."""

    id: str


class ThinkingCounts(NamedTuple):
    """Numbers of curated completions, and of those that thought before they answered."""

    total: int
    thought: int
    unanswered: int
    """The number among ``thought`` that gave no answer behind their thinking."""


class GradedQuestion(NamedTuple):
    """A question that a completion was curated as answering, and the verdict on it."""

    id: str
    digest: str
    """See :attr:`potstill.records.Rationale.question_digest`."""

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
    """The name that its teacher's completions are stored under."""

    finish_reason: FinishReason


class CurrentRationales(NamedTuple):
    """The rationales that were graded on questions as a task has them now."""

    rationales: Sequence[Rationale]
    """The rationales; if there are many, each is read anew when it is looked at."""

    outdated: int
    """Rationales whose question the task has no more, or has changed since."""


class PoolTables(CompletionTables):
    """Reads all completions and rationales in one pass, and adds completions that are not there."""

    def pool(self, stages: Sequence[str], *, logprobs: bool = False) -> Iterator[PooledCompletion]:
        """Yields every completion that these stages stored, oldest first.

        One is held at a time. A writer beside it goes on; what it adds meanwhile is not seen.

        Args:
            stages: The stages, by name.
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
            stage: The stage's name.
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
        by_id = {question.id: question for question in questions}
        digest_of = lru_cache(maxsize=1)(lambda id_: question_digest(by_id[id_]))
        current, outdated = array("q"), 0
        with explained(self.path):
            rows = self._db.execute(
                "SELECT rowid, question_id, completion_id, question_digest, gold FROM rationales"
                " ORDER BY rowid"
            )
            for row, id_, completion_id, digest, gold in rows:
                question = by_id.get(id_)
                if question is None:
                    is_current = False
                elif digest:
                    is_current = (digest, gold) == (digest_of(id_), question.answer)
                else:  # an older potstill curated
                    is_current = asks(self._request_of(completion_id), question)
                if is_current:
                    current.append(row)
                outdated += not is_current
        return CurrentRationales(self._many(Rationale, "rationales", current), outdated)

    def _request_of(self, completion_id: int) -> Request:
        """Returns the request that a completion answers, for any sample and length."""
        (body,) = self._db.execute(
            "SELECT body FROM completions JOIN requests ON request_key = key WHERE id = ?",
            (completion_id,),
        ).fetchone()
        return stored_request(body, max_tokens=1, samples=(0,))[1]

    def training_rationales(self, task: Task) -> Sequence[Rationale]:
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
