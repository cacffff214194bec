"""The part of a plan's page that says what training the students takes."""

from collections.abc import Iterator

from potstill.plan.student_plans import Bound, PlannedStudent, StudentPlans
from potstill.runtime.tally import clock
from potstill.text.number_of import number_of


def student_facts(plans: StudentPlans) -> Iterator[tuple[str, str]]:
    """Yields a line for each student, and what holds for all; and what they take of the disk."""
    further = [_further(student) for student in plans.students]
    shared: list[str] = []
    if len(further) > 1:
        shared = [one for one in further[0] if all(one in other for other in further)]
    for student, clauses in zip(plans.students, further, strict=True):
        own = [_work(student), *(clause for clause in clauses if clause not in shared)]
        yield student.system.label, "; ".join(own)
    if shared:
        yield "each", "; ".join(shared)
    if not plans.students:
        return
    if not plans.measured_here:
        yield "measuring", "starts and students are measured already"
    else:
        answers = f"about {plans.measured_here:,} answers of starts and students"
        yield "measuring", f"{answers}, written on this machine"
    untrained = [student for student in plans.students if not _is_trained(student)]
    if not (untrained or plans.measured_here):
        yield "disk", f"nothing more; {size_in_words(plans.free_disk)} are free"
        return
    model = max(student.disk / max(student.checkpoints, 1) for student in plans.students)
    disk = sum(student.disk for student in untrained) + model
    disk += max((student.disk_meanwhile for student in untrained), default=0.0)
    short = "" if disk <= plans.free_disk else ", WHICH IS NOT ENOUGH"
    free = f"{size_in_words(plans.free_disk)} are free{short}"
    yield "disk", f"at most {size_in_words(disk)} with model/; {free}"


def _work(student: PlannedStudent) -> str:
    """Returns what a student learns, and how long that takes."""
    learned = f"{_bound(student.examples)} examples, {_bound(student.steps)} steps"
    if _is_trained(student):
        return f"{learned}; trained already"
    taken = f", {student.done:,} of them taken" if student.done else ""
    bound = "about" if student.steps.known else "at most about"
    return (
        f"{learned} of about {student.step_tokens:,.0f} tokens{taken}; "
        f"training {bound} {clock(student.seconds)}"
    )


def _further(student: PlannedStudent) -> list[str]:
    """Returns what may well hold for other students, too."""
    weights = _weights(student.parameters)
    if student.trained < student.parameters:
        weights += f", of which {_weights(student.trained)} are added and trained"
    start = f"from {student.start}, {weights}"
    if _is_trained(student):
        return [start]
    checkpoints = number_of(student.checkpoints, "checkpoint")
    return [
        start,
        f"trained {student.how}",
        *student.training.split(", "),
        f"about {size_in_words(student.memory)} of memory at most, {student.memory_how}",
        f"{size_in_words(student.disk)} on the disk in {checkpoints}, and "
        f"{size_in_words(student.disk_meanwhile)} while it is trained",
    ]


def _is_trained(student: PlannedStudent) -> bool:
    return student.done >= student.steps.number


def _bound(amount: Bound) -> str:
    return f"{amount.number:,}" if amount.known else f"at most {amount.number:,}"


def _weights(count: int) -> str:
    for size, unit in ((1e9, " billion"), (1e6, " million"), (1e3, " thousand")):
        if count >= size:
            return f"{count / size:.3g}{unit} weights"
    return f"{count} weights"


def size_in_words(amount: float) -> str:
    """Bytes in GB, or MB where they are few."""
    return f"{amount / 1e9:.1f} GB" if amount >= 1e8 else f"{amount / 1e6:.1f} MB"
