"""The results of the stages: one table for each kind of record, replaced as a whole.

:class:`CurationTables` holds rationales, scores and names of teachers; :class:`ResultTables` holds
training logs, checkpoints, evaluation and guidance, and what each stage has taken. Each row keeps
the hash of the settings that made it, and each verdict the version of its grader.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from potstill.records import (
    Checkpoint,
    Choice,
    Collapse,
    Comparison,
    GuidedPrediction,
    GuidedScore,
    JudgeFigures,
    Likelihood,
    Prediction,
    Rationale,
    Score,
    StageMachine,
    StageRecord,
    System,
    SystemEngine,
    Teacher,
    TeacherScore,
    TrainingRound,
    TrainingStep,
)
from potstill.store.database import Rows, columns_of, explained, insert, record_of, row_of


class ResultTables(Rows):
    """Replaces and reads the results of training, evaluation and guidance."""

    def replace_training(
        self,
        steps: Sequence[TrainingStep],
        checkpoints: Sequence[Checkpoint],
        collapses: Sequence[Collapse] = (),
        *,
        settings_hash: str,
    ) -> None:
        """Put the students' logs and checkpoints in the place of all that were there.

        Args:
            steps: The lines of their logs.
            checkpoints: Their checkpoints.
            collapses: The trainings among them that a limit has ended.
            settings_hash: Stands for the settings that made them.
        """
        with self._transaction() as db:
            db.execute("DELETE FROM training")
            db.execute("DELETE FROM checkpoints")
            db.execute("DELETE FROM collapses")
            insert(db, "training", steps, settings_hash=settings_hash)
            insert(db, "checkpoints", checkpoints, settings_hash=settings_hash)
            insert(db, "collapses", collapses, settings_hash=settings_hash)

    def begin_training_log(
        self, system: System, steps: Sequence[TrainingStep], *, settings_hash: str
    ) -> None:
        """Put the log of a training that begins, or goes on, in the place of the student's log.

        Args:
            system: The student.
            steps: The lines of its log so far.
            settings_hash: Stands for the settings that made them.
        """
        with self._transaction() as db:
            db.execute(
                "DELETE FROM training WHERE student = ? AND start IS ?",
                (system.model, system.start),
            )
            insert(db, "training", steps, settings_hash=settings_hash)

    def add_to_training_log(self, steps: Sequence[TrainingStep], *, settings_hash: str) -> None:
        """Add lines to the log of a training at work; see :meth:`begin_training_log`."""
        with self._transaction() as db:
            insert(db, "training", steps, settings_hash=settings_hash)

    def training(self) -> list[TrainingStep]:
        """Returns the training logs of all students."""
        return self._records(TrainingStep, "training")

    def checkpoints(self) -> list[Checkpoint]:
        """Returns all checkpoints, student by student in the order they were trained in."""
        return self._records(Checkpoint, "checkpoints")

    def collapses(self) -> list[Collapse]:
        """Returns the on-policy trainings that a limit has ended."""
        return self._records(Collapse, "collapses")

    def keep_round(self, own: TrainingRound, *, training: str) -> None:
        """Keep what came of a round, in the place of it and of all after it.

        Args:
            own: The round.
            training: Stands for all that determines the training.
        """
        with self._transaction() as db:
            db.execute(
                "DELETE FROM rounds WHERE training = ? AND number >= ?", (training, own.number)
            )
            insert(db, "rounds", [own], training=training)

    def rounds_of(self, training: str) -> list[TrainingRound]:
        """Returns the rounds of one training so far, oldest first."""
        return self._rounds("training = ? ORDER BY number", training)

    def rounds(self) -> list[TrainingRound]:
        """Returns the rounds of the students that have checkpoints, student by student."""
        place = (
            "(SELECT min(rowid) FROM checkpoints"
            " WHERE folder LIKE '%-' || substr(rounds.training, 1, 8) || '/%')"
        )
        return self._rounds(f"{place} IS NOT NULL ORDER BY {place}, number")

    def _rounds(self, condition: str, *values: str) -> list[TrainingRound]:
        """Returns the rounds that a condition holds for, in the order that stands behind it."""
        columns = ", ".join(columns_of(TrainingRound))
        with explained(self.path):
            rows = self._db.execute(f"SELECT {columns} FROM rounds WHERE {condition}", values)
            return [record_of(TrainingRound, iter(row)) for row in rows]

    def replace_evaluation(
        self,
        scores: Sequence[Score],
        predictions: Iterable[Prediction],
        comparisons: Sequence[Comparison],
        choices: Sequence[Choice] = (),
        engines: Sequence[SystemEngine] = (),
        *,
        grader: str,
        settings_hash: str,
    ) -> None:
        """Put one evaluation in the place of the one that was there."""
        with self._transaction() as db:
            for table in ("scores", "predictions", "comparisons", "choices", "engines"):
                db.execute(f"DELETE FROM {table}")
            insert(db, "scores", scores, settings_hash=settings_hash)
            insert(db, "predictions", predictions, grader=grader, settings_hash=settings_hash)
            insert(db, "comparisons", comparisons, settings_hash=settings_hash)
            insert(db, "choices", choices, settings_hash=settings_hash)
            insert(db, "engines", engines, settings_hash=settings_hash)

    def scores(self) -> list[Score]:
        """Returns every score of the last evaluation, in the order it was given."""
        return self._records(Score, "scores")

    def predictions(self) -> Sequence[Prediction]:
        """Returns every test prediction of the last evaluation; of many, each is read anew."""
        return self._many(Prediction, "predictions")

    def comparisons(self) -> list[Comparison]:
        """Returns every paired comparison of the last evaluation."""
        return self._records(Comparison, "comparisons")

    def choices(self) -> list[Choice]:
        """Returns which checkpoint each selection rule chose, student by student."""
        return self._records(Choice, "choices")

    def engines(self) -> list[SystemEngine]:
        """Returns the program that computed each local system in the last evaluation."""
        return self._records(SystemEngine, "engines")

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
            insert(db, "guided_scores", scores, settings_hash=settings_hash)
            insert(
                db, "guided_predictions", predictions, grader=grader, settings_hash=settings_hash
            )

    def regrade_guidance(self, predictions: Iterable[GuidedPrediction], *, grader: str) -> None:
        """Put these verdicts in the place of those of the same answers; all else stays as it is."""
        with self._transaction() as db:
            for prediction in predictions:
                db.execute(
                    "UPDATE guided_predictions SET answer = :answer, correct = :correct,"
                    " grader = :grader WHERE kind = :kind AND name = :name AND signal IS :signal"
                    " AND number IS :number AND accuracy_at_least IS :accuracy_at_least"
                    " AND task = :task AND split = :split AND question_id = :question_id",
                    row_of(prediction) | {"grader": grader},
                )

    def guided_scores(self) -> list[GuidedScore]:
        """Returns every score of the last guidance, in the order it was given."""
        return self._records(GuidedScore, "guided_scores")

    def guided_predictions(self) -> list[GuidedPrediction]:
        """Returns every graded answer of the last experiment with guidance."""
        return self._records(GuidedPrediction, "guided_predictions")

    def keep_judge_figures(self, figures: JudgeFigures) -> None:
        """Keep how a judge did, in the place of what it did before for the stage and task."""
        with self._transaction() as db:
            db.execute(
                "DELETE FROM judge_figures WHERE stage = ? AND task = ?",
                (figures.stage, figures.task),
            )
            insert(db, "judge_figures", [figures])

    def judge_figures(self) -> list[JudgeFigures]:
        """Returns how the judge did, by stage and task."""
        return self._records(JudgeFigures, "judge_figures")

    def add_stage_time(self, name: str, seconds: float) -> None:
        """Add to the time that a stage has taken."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO stages VALUES (?, ?) ON CONFLICT (name)"
                " DO UPDATE SET seconds = seconds + excluded.seconds",
                (name, seconds),
            )

    def keep_machine(self, machine: StageMachine) -> None:
        """Keep the machine that a stage has worked on; one that is known already stays once."""
        row = row_of(machine)
        with self._transaction() as db:
            db.execute(
                f"INSERT OR IGNORE INTO machines ({', '.join(row)})"
                f" VALUES ({', '.join('?' * len(row))})",
                tuple(row.values()),
            )

    def machines(self) -> list[StageMachine]:
        """Returns the machines that the stages have worked on, in the order of their first use."""
        return self._records(StageMachine, "machines")

    def tokens_of(self, stage: str) -> int:
        """Returns the tokens that models have read and written for a stage's answers."""
        with explained(self.path):
            (count,) = self._db.execute(
                "SELECT coalesce(sum(prompt_tokens + completion_tokens), 0) FROM completions"
                " WHERE stage = ?",
                (stage,),
            ).fetchone()
        return int(count)

    def uncounted(self, stage: str | None = None) -> int:
        """Returns how many paid answers, all or of one stage, came without some count of tokens.

        Their cost, and what the budget counts, is the most that they can have been.
        """
        with explained(self.path):
            (count,) = self._db.execute(
                "SELECT count(*) FROM completions WHERE cost > 0"
                " AND (prompt_tokens = 0 OR (completion_tokens = 0 AND text != ''))"
                " AND stage = coalesce(?, stage)",
                (stage,),
            ).fetchone()
        return int(count)

    def stages(self) -> list[StageRecord]:
        """Returns what each stage has taken so far, in the order they first ran.

        Tokens are those of the stored completions, and of the training logs, so a stage that was
        killed and repeated shows all it was paid for. The time of a killed attempt is not known.
        """
        with explained(self.path):
            rows = self._db.execute(
                "SELECT stage, sum(completion_tokens), sum(cost) FROM completions GROUP BY stage"
            )
            paid = {stage: (tokens, cost) for stage, tokens, cost in rows}
            (trained,) = self._db.execute(
                "SELECT coalesce(sum(most), 0) FROM"
                " (SELECT max(tokens) AS most FROM training GROUP BY student, start)"
            ).fetchone()
            paid["train"] = (trained, 0.0)
            times = self._db.execute("SELECT name, seconds FROM stages ORDER BY rowid").fetchall()
        return [
            StageRecord(name=name, seconds=seconds, tokens=tokens, cost=cost)
            for name, seconds in times
            for tokens, cost in [paid.get(name, (0, 0.0))]
        ]


class CurationTables(Rows):
    """Replaces and reads rationales, and what is known of who wrote them."""

    def replace_rationales(
        self,
        rationales: Sequence[Rationale],
        scores: Sequence[TeacherScore] = (),
        *,
        grader: str,
        settings_hash: str,
    ) -> None:
        """Put rationales, and the scores of who wrote them, in the place of what was there."""
        with self._transaction() as db:
            db.execute("DELETE FROM rationales")
            db.execute("DELETE FROM teacher_scores")
            insert(db, "rationales", rationales, grader=grader, settings_hash=settings_hash)
            insert(db, "teacher_scores", scores, settings_hash=settings_hash)

    def rationales(self) -> Sequence[Rationale]:
        """Returns every rationale with its verdict, in the order they were curated in.

        Of many, each is read anew when it is looked at.
        """
        return self._many(Rationale, "rationales")

    def teacher_scores(self) -> list[TeacherScore]:
        """Returns every score of the last curation, teacher by teacher."""
        return self._records(TeacherScore, "teacher_scores")

    def add_likelihoods(self, measured: Mapping[str, Sequence[Likelihood]]) -> None:
        """Keep likelihoods, by the hash of the settings that determine them.

        One that is there already, with fewer measures, is replaced.
        """
        with self._transaction() as db:
            for made_by, likelihoods in measured.items():
                db.executemany(
                    "DELETE FROM likelihoods WHERE completion_id = ? AND settings_hash = ?",
                    [(likelihood.completion_id, made_by) for likelihood in likelihoods],
                )
                insert(db, "likelihoods", likelihoods, settings_hash=made_by)

    def likelihood(self, completion_id: int, *, settings_hash: str) -> Likelihood | None:
        """Returns a rationale's likelihood under these settings; None if it was not measured."""
        with explained(self.path):
            row = self._db.execute(
                f"SELECT {', '.join(columns_of(Likelihood))} FROM likelihoods"
                " WHERE completion_id = ? AND settings_hash = ?",
                (completion_id, settings_hash),
            ).fetchone()
        return None if row is None else record_of(Likelihood, iter(row))

    def graders(
        self, table: Literal["rationales", "predictions", "guided_predictions"]
    ) -> list[str]:
        """Returns the versions of the grader behind the stored verdicts; mostly one."""
        with explained(self.path):
            rows = self._db.execute(f"SELECT DISTINCT grader FROM {table} ORDER BY 1")
            return [version for (version,) in rows]

    def remember_teacher(self, teacher: Teacher, *, settings_hash: str) -> None:
        """Keep the name under which a teacher's completions are stored.

        They can then be read without opening the model again.
        """
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO teachers VALUES (?, ?, ?)",
                (settings_hash, teacher.name, teacher.chat),
            )

    def teacher(self, *, settings_hash: str) -> Teacher | None:
        """Returns the teacher that was remembered for these settings; None if none was."""
        with explained(self.path):
            row = self._db.execute(
                "SELECT name, chat FROM teachers WHERE settings_hash = ?", (settings_hash,)
            ).fetchone()
        return Teacher(name=row[0], chat=bool(row[1])) if row else None
