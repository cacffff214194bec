"""The store: everything a run has paid for or worked out, in one SQLite file; the only SQL.

One process writes, any number read at the same time. A completion is committed, and flushed to the
disk, before it counts, so kill -9, a power cut or a full disk loses nothing that was stored.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, Literal, NamedTuple, TypeVar

from potstill.database import Connection, Database, explained
from potstill.keys import request_body, request_key
from potstill.logprobs import PackedLogprobs, pack, unpack
from potstill.records import (
    Checkpoint,
    Choice,
    Comparison,
    Completion,
    GuidedPrediction,
    GuidedScore,
    Prediction,
    Rationale,
    Request,
    Score,
    StageRecord,
    Teacher,
    TokenLogprobs,
    TrainingStep,
)
from potstill.spending import Amount

R = TypeVar("R")


class StoredCompletion(NamedTuple):
    """A completion and its row number."""

    id: int
    completion: Completion


class Store(Database):
    """The store of one run.

    Use as a context manager. A second writer on the same file is refused at once.

    Raises:
        StoreError: Another process writes this run, the file is of a newer version, or it is not
            a store. Every method raises it when the disk is full or the file is damaged.
    """

    # completions ---------------------------------------------------------------------------------

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
            for completion in completions:
                key = request_key(model, completion.request)
                body = request_body(model, completion.request).decode()
                db.execute("INSERT OR IGNORE INTO requests VALUES (?, ?, ?)", (key, model, body))
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
                        "INSERT INTO logprobs VALUES (?,?,?,?,?,?,?,?,?)",
                        (cursor.lastrowid, *packed),
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
                id_, completion = _completion(request, best[sample])
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
        """What the stored answers of servers came to; those that were replaced are not in it."""
        with explained(self.path):
            tokens, usd = self._db.execute(
                "SELECT coalesce(sum(written + read), 0), coalesce(sum(cost), 0.0) FROM"
                " (SELECT sum(completion_tokens) AS written, max(prompt_tokens) AS read,"
                " sum(cost) AS cost FROM completions JOIN requests ON request_key = key"
                " WHERE model LIKE 'openai:%' OR model LIKE 'vllm:%' GROUP BY request_key)"
            ).fetchone()
        return Amount(tokens, usd)

    # what the stages work out --------------------------------------------------------------------

    def replace_rationales(
        self, rationales: Sequence[Rationale], *, grader: str, settings_hash: str
    ) -> None:
        """Put these rationales in the place of all that were there."""
        with self._transaction() as db:
            db.execute("DELETE FROM rationales")
            _insert(db, "rationales", rationales, grader=grader, settings_hash=settings_hash)

    def rationales(self) -> list[Rationale]:
        """Every rationale with its verdict, in the order they were curated in."""
        return self._records(Rationale, "rationales")

    def graders(
        self, table: Literal["rationales", "predictions", "guided_predictions"]
    ) -> list[str]:
        """The versions of the grader behind the stored verdicts; mostly one."""
        with explained(self.path):
            found = self._db.execute(f"SELECT DISTINCT grader FROM {table} ORDER BY 1")
            return [version for (version,) in found]

    def remember_teacher(self, teacher: Teacher, *, settings_hash: str) -> None:
        """Keep by what name a teacher's completions are stored.

        What is stored can then be read without opening the model again.
        """
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO teachers VALUES (?, ?, ?)",
                (settings_hash, teacher.name, teacher.chat),
            )

    def teacher(self, *, settings_hash: str) -> Teacher | None:
        """The teacher that was remembered for these settings."""
        with explained(self.path):
            found = self._db.execute(
                "SELECT name, chat FROM teachers WHERE settings_hash = ?", (settings_hash,)
            ).fetchone()
        return Teacher(name=found[0], chat=bool(found[1])) if found else None

    def replace_training(
        self,
        steps: Sequence[TrainingStep],
        checkpoints: Sequence[Checkpoint],
        *,
        settings_hash: str,
    ) -> None:
        """Put the students' logs and checkpoints in the place of all that were there."""
        with self._transaction() as db:
            db.execute("DELETE FROM training")
            db.execute("DELETE FROM checkpoints")
            _insert(db, "training", steps, settings_hash=settings_hash)
            _insert(db, "checkpoints", checkpoints, settings_hash=settings_hash)

    def training(self) -> list[TrainingStep]:
        """The training logs of all students."""
        return self._records(TrainingStep, "training")

    def checkpoints(self) -> list[Checkpoint]:
        """The checkpoints of all students, student by student in the order they were trained in."""
        return self._records(Checkpoint, "checkpoints")

    def replace_evaluation(
        self,
        scores: Sequence[Score],
        predictions: Sequence[Prediction],
        comparisons: Sequence[Comparison],
        choices: Sequence[Choice] = (),
        *,
        grader: str,
        settings_hash: str,
    ) -> None:
        """Put one evaluation in the place of the one that was there."""
        with self._transaction() as db:
            for table in ("scores", "predictions", "comparisons", "choices"):
                db.execute(f"DELETE FROM {table}")
            _insert(db, "scores", scores, settings_hash=settings_hash)
            _insert(db, "predictions", predictions, grader=grader, settings_hash=settings_hash)
            _insert(db, "comparisons", comparisons, settings_hash=settings_hash)
            _insert(db, "choices", choices, settings_hash=settings_hash)

    def scores(self) -> list[Score]:
        """Every score of the last evaluation, in the order it was given."""
        return self._records(Score, "scores")

    def predictions(self) -> list[Prediction]:
        """Every test prediction of the last evaluation."""
        return self._records(Prediction, "predictions")

    def comparisons(self) -> list[Comparison]:
        """Every paired comparison of the last evaluation."""
        return self._records(Comparison, "comparisons")

    def choices(self) -> list[Choice]:
        """Which checkpoint each selection rule chose, student by student."""
        return self._records(Choice, "choices")

    def replace_guidance(
        self,
        scores: Sequence[GuidedScore],
        predictions: Sequence[GuidedPrediction],
        *,
        grader: str,
        settings_hash: str,
    ) -> None:
        """Put one experiment with guidance in the place of the one that was there."""
        with self._transaction() as db:
            db.execute("DELETE FROM guided_scores")
            db.execute("DELETE FROM guided_predictions")
            _insert(db, "guided_scores", scores, settings_hash=settings_hash)
            _insert(
                db, "guided_predictions", predictions, grader=grader, settings_hash=settings_hash
            )

    def regrade_guidance(self, predictions: Iterable[GuidedPrediction], *, grader: str) -> None:
        """Put these verdicts in the place of those of the same answers; all else stays as it is."""
        with self._transaction() as db:
            for each in predictions:
                db.execute(
                    "UPDATE guided_predictions SET answer = :answer, correct = :correct,"
                    " grader = :grader WHERE policy = :policy AND task = :task AND"
                    " split = :split AND question_id = :question_id",
                    {**asdict(each), "grader": grader},
                )

    def guided_scores(self) -> list[GuidedScore]:
        """Every score of the last experiment with guidance, in the order it was given."""
        return self._records(GuidedScore, "guided_scores")

    def guided_predictions(self) -> list[GuidedPrediction]:
        """Every graded answer of the last experiment with guidance."""
        return self._records(GuidedPrediction, "guided_predictions")

    def add_stage_time(self, name: str, seconds: float) -> None:
        """Add to the time that a stage has taken."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO stages VALUES (?, ?) ON CONFLICT (name)"
                " DO UPDATE SET seconds = seconds + excluded.seconds",
                (name, seconds),
            )

    def stages(self) -> list[StageRecord]:
        """What each stage has taken so far, in the order they first ran.

        Tokens are those of the stored completions, and of the training logs, so a stage that was
        killed and repeated shows all it was paid for. The time of a killed attempt is not known.
        """
        with explained(self.path):
            asked = self._db.execute(
                "SELECT stage, sum(completion_tokens), sum(cost) FROM completions GROUP BY stage"
            )
            paid = {stage: (tokens, cost) for stage, tokens, cost in asked}
            (trained,) = self._db.execute(
                "SELECT coalesce(sum(most), 0) FROM"
                " (SELECT max(tokens) AS most FROM training GROUP BY student)"
            ).fetchone()
            paid["train"] = (trained, 0.0)
            times = self._db.execute("SELECT name, seconds FROM stages ORDER BY rowid").fetchall()
        return [
            StageRecord(name=name, seconds=seconds, tokens=tokens, cost=cost)
            for name, seconds in times
            for tokens, cost in [paid.get(name, (0, 0.0))]
        ]

    def _records(self, cls: type[R], table: str) -> list[R]:
        """All rows of a table whose columns are named like the record's fields."""
        kinds = {field.name: field.type for field in fields(cls)}  # type: ignore[arg-type]
        with explained(self.path):
            rows = self._db.execute(f"SELECT {', '.join(kinds)} FROM {table} ORDER BY rowid")
            return [
                cls(
                    **{
                        n: bool(v) if kinds[n] is bool else v
                        for n, v in zip(kinds, row, strict=True)
                    }
                )
                for row in rows
            ]


def _insert(db: Connection, table: str, records: Sequence[object], **columns: str) -> None:
    """Insert records into the columns named like their fields, and one value into others."""
    for record in records:
        names = [field.name for field in fields(record)]  # type: ignore[arg-type]
        values = [getattr(record, name) for name in names]
        marks = ", ".join("?" * (len(names) + len(columns)))
        db.execute(
            f"INSERT INTO {table} ({', '.join([*names, *columns])}) VALUES ({marks})",
            (*values, *columns.values()),
        )


def _completion(request: Request, row: Sequence[Any]) -> StoredCompletion:
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
