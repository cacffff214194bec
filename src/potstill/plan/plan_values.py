"""A plan as plain values, for programs."""

from potstill.plan.needs import Figures
from potstill.plan.plan import Plan, PlannedTeacher


def plan_values(plan: Plan) -> dict[str, object]:
    """Returns a plan as records, amounts and texts by name; of requests only how many they are."""
    return {
        "run": plan.run,
        "begun": plan.begun,
        "task": plan.task,
        "questions": plan.questions,
        "teachers": [_teacher(teacher) for teacher in plan.teachers],
        "asks": [_ask(figures) for figures in plan.figures],
        "usd": plan.usd,
        "tokens": plan.tokens,
        "budget": plan.budget,
        "spent": plan.spent,
        "seconds": plan.seconds,
        "students": plan.students,
        "faults": plan.faults,
        "keys": plan.keys,
        "lacks": plan.lacks,
        "warnings": plan.warnings,
        "judge": plan.judge,
        "workers": plan.workers,
    }


def _teacher(teacher: PlannedTeacher) -> dict[str, object]:
    return {
        "name": teacher.name,
        "model": teacher.settings.model,
        "seconds": teacher.throughput.seconds,
        "how": teacher.throughput.how,
        "absent": teacher.absent,
        "capabilities": {name: one.value for name, one in teacher.capabilities.items()},
    }


def _ask(figures: Figures) -> dict[str, object]:
    need = figures.need
    amounts = {
        name: value
        for name, value in figures._asdict().items()
        if name not in ("need", "is_priced")
    }
    return {
        "stage": need.stage,
        "what": need.what,
        "teacher": need.teacher.name,
        "stored": need.there,
        "missing_at_most": need.missing,
        "is_priced": figures.is_priced,
        **amounts,
    }
