"""A choice among equals: who else has as many right answers, and what decided."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from potstill.records import Checkpoint, Score, System


@dataclass(frozen=True, kw_only=True, slots=True)
class Tie:
    """The equals of a chosen checkpoint on development questions of the task trained for."""

    correct: int
    total: int
    steps: Sequence[int] = ()
    """Later checkpoints of the same student; empty where another rule than that accuracy chose."""

    students: Sequence[str] = ()
    """Other students, by their labels."""

    @property
    def is_one(self) -> bool:
        """Whether there are any."""
        return bool(self.steps or self.students)

    @property
    def described(self) -> str:
        """The equals and the rules that decided, in sentences; empty where there are none."""
        sentences = []
        right = (
            f"right answers to the development questions of its task ({self.correct:,} of "
            f"{self.total:,})"
        )
        if self.steps:
            names = ", ".join(f"step {step}" for step in self.steps)
            verb = "has" if len(self.steps) == 1 else "have"
            sentences.append(f"{names} {verb} as many {right}; of equals the earliest is taken.")
        if self.students:
            verb = "has" if len(self.students) == 1 else "have"
            sentences.append(
                f"{', '.join(self.students)} {verb} as many {right}; of equal students the "
                "one named last is taken."
            )
        return " ".join(sentences)


def tie_of(
    chosen: Checkpoint,
    scores: Sequence[Score],
    *,
    task: str,
    alone: Collection[System],
    by_accuracy: bool,
) -> Tie | None:
    """Returns the equals of a chosen checkpoint; None where its own score is not among these.

    Args:
        chosen: The checkpoint.
        scores: The scores of the evaluation that chose it.
        task: The task that it was trained for.
        alone: The students that answer alone, among which it was chosen.
        by_accuracy: Whether its accuracy on that task chose it among its student's checkpoints.
    """
    scored = [
        score
        for score in scores
        if score.split == "dev" and score.task == task and score.step is not None
    ]
    student = chosen.system.bare
    own = [one for one in scored if one.system.bare == student and one.step == chosen.step]
    if not own:
        return None
    equals = [score for score in scored if score.correct == own[0].correct]
    steps = [one.step for one in equals if one.system.bare == student and one.step is not None]
    names = {system.bare for system in alone} - {student}
    return Tie(
        correct=own[0].correct,
        total=own[0].total,
        steps=[step for step in sorted(steps) if step > chosen.step] if by_accuracy else (),
        students=[
            one.system.bare.label for one in equals if one.chosen and one.system.bare in names
        ],
    )
