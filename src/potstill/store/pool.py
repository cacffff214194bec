"""The stored pool read from end to end and added to, as files of completions need it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from potstill.keys import request_key, stored_request
from potstill.records import Completion, FinishReason, Rationale, Request
from potstill.store.completions import CompletionTables, stored_completion
from potstill.store.database import explained


class PooledCompletion(NamedTuple):
    """A completion with all that is stored beside it."""

    id: int
    model: str
    """``Model.name`` of the model that was asked."""

    completion: Completion
    """Failed ones as well; its request is for this one sample."""

    stage: str
    question_id: str | None
    """The question whose rationale was read in it; None before curation."""

    verdict: str | None


class PooledRationale(NamedTuple):
    """A rationale, and what its completion tells of it."""

    rationale: Rationale
    model: str
    """By what name its teacher's completions are stored."""

    finish_reason: FinishReason


class PoolTables(CompletionTables):
    """Reads the whole pool in one pass, and adds to it what it lacks."""

    def pool(self, stages: Sequence[str], *, logprobs: bool = False) -> Iterator[PooledCompletion]:
        """Every completion that these stages stored, oldest first, as it is at the first one.

        One is held at a time. A writer beside it goes on; what it adds meanwhile is not seen.

        Args:
            stages: As in :meth:`add_completions`.
            logprobs: Read the token probabilities as well.
        """
        marks = ", ".join("?" * len(stages))
        with explained(self.path):
            rows = self._db.execute(
                "SELECT completions.id, body, sample, max_tokens, completions.text, thinking,"
                " finish_reason, prompt_tokens, completion_tokens, cost, error, stage,"
                " question_id, verdict FROM completions JOIN requests ON request_key = key"
                " LEFT JOIN (SELECT completion_id, min(question_id) AS question_id, verdict"
                " FROM rationales GROUP BY completion_id) ON completion_id = completions.id"
                f" WHERE stage IN ({marks}) ORDER BY completions.id",
                stages,
            )
            for id_, body, sample, max_tokens, *answer, error, stage, question_id, verdict in rows:
                model, request = stored_request(body, max_tokens=max_tokens, samples=(sample,))
                _, completion = stored_completion(request, (id_, sample, *answer))
                probabilities = self.logprobs(id_) if logprobs else None
                completion = replace(completion, error=error, logprobs=probabilities)
                yield PooledCompletion(id_, model, completion, stage, question_id, verdict)

    def pool_size(self, stages: Sequence[str]) -> int:
        """How many completions :meth:`pool` gives."""
        marks = ", ".join("?" * len(stages))
        with explained(self.path):
            (count,) = self._db.execute(
                f"SELECT count(*) FROM completions WHERE stage IN ({marks})", stages
            ).fetchone()
        return int(count)

    def pooled_rationales(self) -> Iterator[PooledRationale]:
        """Every rationale with its verdict, in the order they were curated in; one at a time."""
        with explained(self.path):
            rows = self._db.execute(
                "SELECT question_id, completion_id, rationales.sample, rationales.text, answer,"
                " verdict, teacher, model, finish_reason FROM rationales"
                " JOIN completions ON completion_id = completions.id"
                " JOIN requests ON request_key = key ORDER BY rationales.rowid"
            )
            names = ("question_id", "completion_id", "sample", "text", "answer", "verdict")
            for *values, teacher, model, reason in rows:
                fields = dict(zip(names, values, strict=True))
                yield PooledRationale(Rationale(**fields, teacher=teacher), model, reason)

    def verdicts(self) -> dict[str, int]:
        """How many rationales have each verdict, the most frequent first."""
        with explained(self.path):
            return dict(
                self._db.execute(
                    "SELECT verdict, count(*) FROM rationales GROUP BY 1 ORDER BY 2 DESC, 1"
                ).fetchall()
            )

    def samples(self, model: str, request: Request) -> dict[int, str]:
        """The stored texts that serve a request, by sample, whichever samples it asks for."""
        best = self._best(request_key(model, request), request)
        return {sample: row[2] for sample, row in best.items()}

    def add_absent(self, model: str, completions: Iterable[Completion], *, stage: str) -> int:
        """Store those completions whose sample is not there with the same ``max_tokens``.

        What is there stays; only a failed one gives way to one that has not failed.

        Returns:
            How many were stored.
        """
        absent = [each for each in completions if not self._is_there(model, each)]
        if absent:
            self.add_completions(model, absent, stage=stage)
        return len(absent)

    def _is_there(self, model: str, completion: Completion) -> bool:
        request = completion.request
        with explained(self.path):
            found = self._db.execute(
                "SELECT finish_reason FROM completions WHERE request_key = ? AND sample = ?"
                " AND max_tokens = ?",
                (request_key(model, request), completion.sample, request.max_tokens),
            ).fetchone()
        return found is not None and (found[0] != "error" or completion.finish_reason == "error")
