"""The scores that on-policy students need of their teachers: rounds, texts, and their tokens.

A scored text is read with its prompt, and nothing is written behind it. Its tokens are estimated by
the stored rationales, and are at most as many as the student may write, one of the student's tokens
taken for one of the teacher's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from potstill.errors import MissingExtraError, PotstillError
from potstill.pipeline.run import Run
from potstill.pipeline.training_models import student_trainings
from potstill.plan.needs import Later, Ledger, Need
from potstill.records import System
from potstill.sampling.debate import AskedTeacher
from potstill.train.checkpoints import read_finished
from potstill.train.defaults import LARGE_BATCH, Work, resolve
from potstill.train.on_policy.settings import OnPolicySettings
from potstill.train.on_policy.work import RoundPlan, answers_of
from potstill.train.settings import StudentSettings


def scoring_needs(run: Run, ledger: Ledger, teachers: Sequence[AskedTeacher]) -> Iterator[Need]:
    """Yields what each on-policy student has scored; what its finished steps took is left out.

    Args:
        run: Opened for reading.
        ledger: Counts against the run's store.
        teachers: The teachers of the recipe.
    """
    by_name = {teacher.name: teacher for teacher in teachers}
    for system, student in run.recipe.train.sweep().items():
        if student.on_policy is not None:
            teacher = by_name[student.on_policy.teacher]
            yield _scoring_need(run, ledger, teacher, system, student, student.on_policy)


def _scoring_need(
    run: Run,
    ledger: Ledger,
    teacher: AskedTeacher,
    system: System,
    student: StudentSettings,
    on_policy: OnPolicySettings,
) -> Need:
    plan = planned_rounds(run, system, student, on_policy)
    questions = run.task.splits["train"]
    need = Need(
        stage="train",
        what=f"scores for {system.label}, {plan.rounds:,} rounds",
        teacher=teacher,
        questions=len(questions),
    )
    answers = plan.answers_from(0)
    folders = _trainings(run, system)
    need.there = min(_scored(ledger, system, folders), answers)
    is_done = any(read_finished(folder) is not None for folder in folders)
    left = 0 if is_done else answers - need.there
    # Every question is asked about as often; a text that was scored before is not scored again.
    for place, question in enumerate(questions):
        samples = left // len(questions) + (place < left % len(questions))
        like = replace(teacher.asking.request(question), max_tokens=on_policy.longest)
        if samples:
            need.later.append(Later(like, samples, 1, after=1))
    return need


def planned_rounds(
    run: Run, system: System, student: StudentSettings, on_policy: OnPolicySettings
) -> RoundPlan:
    """Returns the sizes of a student's rounds."""
    steps = run.recipe.train.for_student(student).steps
    assert steps is not None, "the recipe has seen to it"
    return RoundPlan.of(on_policy, steps=steps, batch_size=_batch_size(run, system, student))


def _trainings(run: Run, system: System) -> list[Path]:
    """Returns the folders of a student's training as it is set now; none where it cannot begin."""
    try:
        return list(student_trainings(run, system))
    except (PotstillError, MissingExtraError, ImportError):  # told where students are planned
        return []


def _scored(ledger: Ledger, system: System, folders: Sequence[Path]) -> int:
    """Returns how many answers are stored that a student wrote in these trainings."""
    identities = (folder.name.rpartition("-")[2] for folder in folders)
    begins = tuple(answers_of(system.label) + identity for identity in identities)
    return sum(one.model.startswith(begins) for one in ledger.store.pool(("train",)))


def _batch_size(run: Run, system: System, student: StudentSettings) -> int:
    """Returns the examples of a step, filled in by the start where the recipe leaves them open."""
    training = run.recipe.train
    if training.batch_size is not None:
        return training.batch_size
    try:
        from potstill.train.resolution import start_facts

        facts = start_facts(run.students.starts[system].settings)
    except (PotstillError, MissingExtraError, ImportError):  # told where students are planned
        return LARGE_BATCH
    return resolve(training.for_student(student), facts, Work(0.0, 0.0)).batch_size
