"""What curation works out, and by what names its teachers are stored."""

from collections.abc import Mapping, Sequence
from typing import Literal

from potstill.records import Likelihood, Rationale, Teacher, TeacherScore
from potstill.store.database import explained
from potstill.store.rows import Rows, insert


class CurationTables(Rows):
    """Adds and reads rationales and teachers."""

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

    def rationales(self) -> list[Rationale]:
        """Every rationale with its verdict, in the order they were curated in."""
        return self._records(Rationale, "rationales")

    def teacher_scores(self) -> list[TeacherScore]:
        """Every score of the last curation, teacher by teacher."""
        return self._records(TeacherScore, "teacher_scores")

    def add_likelihoods(self, found: Mapping[str, Sequence[Likelihood]]) -> None:
        """Keep what was measured, by the hash of all that determines it."""
        with self._transaction() as db:
            for made_by, likelihoods in found.items():
                insert(db, "likelihoods", likelihoods, settings_hash=made_by)

    def likelihood(self, completion_id: int, *, settings_hash: str) -> Likelihood | None:
        """What was measured of a rationale under these settings."""
        with explained(self.path):
            row = self._db.execute(
                "SELECT student, mean_logprob, tokens FROM likelihoods"
                " WHERE completion_id = ? AND settings_hash = ?",
                (completion_id, settings_hash),
            ).fetchone()
        if row is None:
            return None
        student, mean_logprob, tokens = row
        return Likelihood(
            completion_id=completion_id, student=student, mean_logprob=mean_logprob, tokens=tokens
        )

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
