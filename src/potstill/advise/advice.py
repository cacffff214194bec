"""``potstill advise``: which teacher, which lengths, thinking or not, before the many are paid for.

:func:`plan_advice` says what the trial asks and what it costs; :func:`advise` asks it as the
generate stage would, so that nothing is bought twice, measures what is kept under the student's
start, and puts the outcome into words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from potstill.advise.advice_words import Caution, cautions, sentences
from potstill.advise.groups import GroupComparison, by_length, by_teacher, by_thinking
from potstill.advise.trial import (
    TrialRequests,
    TriedRationale,
    ask_trial,
    check_trial_keys,
    read_trial,
    trial_requests,
)
from potstill.advise.ways import thinking_pairs, ways_of_asking
from potstill.errors import ModelError
from potstill.models.settings import ServerSettings
from potstill.pipeline.run import Run
from potstill.pipeline.student_likelihood import MeasuredBy
from potstill.pipeline.unknown_costs import without_prices
from potstill.records import Amount
from potstill.runtime.budget import BudgetSettings
from potstill.setting_names import resolve_names

MOST_RATIONALES = 100
"""The most rationales of a trial, over all teachers."""

STAGE = "advise"
"""The stage that takes the time of grading and measuring."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdvicePlan:
    """The requests of a trial and its budget, found without asking anybody."""

    trial: list[TrialRequests]
    budget: BudgetSettings
    spent: Amount
    """The spending so far, by the run's account."""

    judge: str | None
    """The model that reads what the rules cannot, which is asked as well."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """The outcome of a trial."""

    run: str
    student: str
    """The start that the rationales are measured under."""

    rationales: list[TriedRationale]
    comparisons: list[GroupComparison]
    """Comparisons of teachers, of thinking for each model that has both ways, and of lengths."""

    spent: Amount
    """The amount that the command was charged."""

    sentences: list[str]
    """The advice."""

    cautions: list[str]
    """The evidence for the advice and its limits, a sentence each."""


def plan_advice(run: Run, rationales: int = MOST_RATIONALES) -> AdvicePlan:
    """Plan a trial. Nobody is asked.

    Args:
        run: Opened for writing.
        rationales: The most rationales, over all teachers.

    Raises:
        PotstillError: The recipe, its task, its student or a key would stop the trial.
    """
    run.identity.require_consent()
    resolve_names(run.recipe)
    question = run.task.splits["train"][0]
    run.teachers.scorer(_ALL).check(question)  # before a teacher is paid for nothing
    ways = ways_of_asking(run.recipe.named_teachers)
    trial = trial_requests(run, ways, rationales)
    check_trial_keys(run, trial)
    budget, judge = run.runtime.budget, run.recipe.judge
    return AdvicePlan(
        trial=trial,
        budget=budget.limit,
        spent=budget.spent,
        judge=None if run.teachers.judge is None or judge is None else judge.model,
    )


def advise(run: Run, plan: AdvicePlan) -> Advice:
    """Ask what a trial still lacks, and say what the answers advise.

    Args:
        run: Opened for writing.
        plan: From :func:`plan_advice`, on the same run.

    Raises:
        ModelError: No teacher could be asked, or the student cannot be loaded.
        ConfigError: A teacher's server cannot do what a setting needs.
    """
    run.identity.claim()
    before, notes = run.runtime.budget.spent, list[str]()
    if any(one.missing for one in plan.trial):
        run.teachers.check_servers(run.task)
        with run.timed("generate"):  # which pays, and finds the answers
            notes = ask_trial(run, plan.trial)
    with run.timed(STAGE):
        tried = read_trial(run, plan.trial, run.teachers.scorer(_ALL))
    if not tried:
        raise ModelError("; ".join(notes) or "no teacher has answered any question of the trial.")
    comparisons = _comparisons(plan.trial, tried)
    caution = Caution(
        notes=notes,
        labels=[one.way.label for one in plan.trial],
        no_switch=[
            way.label
            for way in (one.way for one in plan.trial)
            if way.thinking is None and isinstance(way.settings, ServerSettings)
        ],
        student=run.recipe.student.model,
    )
    return Advice(
        run=run.recipe.run,
        student=run.recipe.student.model,
        rationales=tried,
        comparisons=comparisons,
        spent=run.runtime.budget.spent.minus(before),
        sentences=list(sentences(comparisons)),
        cautions=list(cautions(comparisons, tried, caution)),
    )


_ALL = MeasuredBy(ranks=True, steps=True)


def _comparisons(
    trial: Sequence[TrialRequests], tried: Sequence[TriedRationale]
) -> list[GroupComparison]:
    ways = [one.way for one in trial]
    priced = {way.label: not without_prices([way.settings]) for way in ways}
    return [
        by_teacher(tried, ways, priced),
        *(by_thinking(tried, pair, priced) for pair in thinking_pairs(ways)),
        by_length(tried, ways, priced),
    ]
