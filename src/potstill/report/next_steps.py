"""The next steps worth taking with a run: rules over its results, the most pressing first."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from potstill.report.accuracy import Results
from potstill.report.cautions import is_chosen_last
from potstill.report.routing_findings import routing_findings
from potstill.report.run_progress import missing_stages
from potstill.report.text import percent
from potstill.report.tradeoff import candidates, followed

FEW_FIT = 0.5
"""Share of rationales fit to be learned, below which it is worth to look at why the others are not.
"""


@dataclass(frozen=True, slots=True)
class NextStep:
    """One thing to do."""

    kind: str
    text: str
    """The step in words."""

    code: str = ""
    """The setting, command or path that does it; empty where there is none."""

    place: str = ""
    """The place on the page where it begins, such as ``#guidance``; empty for nowhere."""


def next_steps(results: Results) -> list[NextStep]:
    """Returns the steps worth taking, at least one at any stage of a run."""
    missing = missing_stages(results)
    if missing:
        return [_wait(results) if results.facts.is_at_work else _finish(results, *missing)]
    steps = [step for rule in RULES for step in rule(results)]
    return [*steps, *_use(results, is_last=not steps)]


def _wait(results: Results) -> NextStep:
    return NextStep(
        "wait", "The run is at work. See how far it is:", f"potstill status {run_argument(results)}"
    )


def _finish(results: Results, first: str, *others: str) -> NextStep:
    command = "run" if others else first
    return NextStep(
        "finish", "The run is not complete. Go on:", f"potstill {command} {run_argument(results)}"
    )


def run_argument(results: Results) -> str:
    """Returns what commands name the run by: its folder, or its recipe where that is not known."""
    return shlex.quote(results.facts.folder) if results.facts.folder else "recipe.yaml"


def _not_better(results: Results) -> Iterator[NextStep]:
    gained = results.against_start.get(results.leading.name)
    if gained is not None and not gained.is_gain:
        yield NextStep(
            "not_better",
            "No gain is shown: see how the training went before the student is used",
            place="#training",
        )


def _not_converged(results: Results) -> Iterator[NextStep]:
    if not is_chosen_last(results):
        return
    train = results.settings.get("train")
    epochs = train.get("epochs") if isinstance(train, Mapping) else None
    last = max(one.step for one in results.checkpoints if one.system == results.chosen)
    longer = f"train.epochs={2 * epochs:g}" if epochs else f"train.steps={2 * last}"
    yield NextStep("not_converged", "Train longer, as the last checkpoint was the best:", longer)


def _losses(results: Results) -> Iterator[NextStep]:
    losses = [one for one in results.against_start.values() if one.is_loss]
    if not losses:
        return
    lost = sum(one.comparison.only_second for one in losses)
    worst = min(losses, key=lambda one: one.comparison.difference).comparison
    text = f"Read the {lost:,} answers lost"
    if len(losses) > 1:
        text += f", first the {worst.only_second:,} on {worst.task}"
    yield NextStep("losses", text, place="#questions")
    if not followed(results):
        yield NextStep("follow_price", "Follow the price along training:", "evaluate.generic")
        return
    rules = {choice.rule for choice in results.choices if choice.used}
    if "pareto" not in rules and _may_gain_by_pareto(results):
        yield NextStep(
            "weigh_price", "Choose the checkpoint by both abilities:", "evaluate.select=pareto"
        )
    else:
        yield from _replay(results)


def _may_gain_by_pareto(results: Results) -> bool:
    """Returns whether nothing in this run speaks against choosing by the rule ``pareto``.

    Two things do: it chooses the checkpoint that is used already, or one that is shown to lose more
    on the target than it is shown to gain in another ability, both on test questions.
    """
    if results.chosen is None:
        return True
    for candidate in candidates(results, results.chosen):
        if "pareto" not in candidate.rules:
            continue
        target = candidate.gained.get("target")
        shown = [
            ability.value
            for role, ability in candidate.gained.items()
            if role != "target" and ability.low > 0
        ]
        is_lost = target is not None and target.high < 0 and -target.value > max(shown, default=0)
        return not candidate.used and not is_lost
    return True


def _replay(results: Results) -> Iterator[NextStep]:
    train = results.settings.get("train")
    students = train.get("students") if isinstance(train, Mapping) else None
    name = results.chosen.model if results.chosen else ""
    student = students.get(name) if isinstance(students, Mapping) else None
    if isinstance(student, Mapping) and not student.get("replay"):
        yield NextStep(
            "replay",
            "See whether less is lost with examples of other tasks mixed in:",
            f"train.students.{name}.replay",
        )


def _overlap(results: Results) -> Iterator[NextStep]:
    tested = [one for one in results.overlaps if one.split == "test"]
    if any(one.training for one in tested):
        yield NextStep("overlap", "Leave shared texts out:", "overlap.drop=true")
    if any(one.same_template for one in tested if one.task == results.leading.name):
        yield NextStep("template", "Rule out the template:", "task.split=template")


def _few_kept(results: Results) -> Iterator[NextStep]:
    counts = results.rationale_counts
    total = counts.verdicts.total()
    if total and counts.fit / total < FEW_FIT:
        yield NextStep(
            "few_kept",
            f"Only {percent(counts.fit / total)} of the rationales are fit to be learned; see why",
            place="#curation",
        )


def _routing(results: Results) -> Iterator[NextStep]:
    beaten = [one for one in routing_findings(results) if one.is_beaten or one.is_beaten_by_doubt]
    if beaten:
        yield NextStep(
            "routing",
            "Send whole questions to the teacher in place of its steps: see what that reaches",
            place="#guidance",
        )


def _seeds(results: Results) -> Iterator[NextStep]:
    yield NextStep("seeds", "Two more seeds:", "potstill experiment RECIPE --seeds 3")


RULES: tuple[Callable[[Results], Iterator[NextStep]], ...] = (
    _not_better,
    _not_converged,
    _losses,
    _overlap,
    _few_kept,
    _routing,
)
"""The rules, each of which yields steps worth taking; the most pressing first."""


def _use(results: Results, *, is_last: bool) -> Iterator[NextStep]:
    """Yields further seeds, and how the student is used: in full where nothing else is to do."""
    yield from _seeds(results)
    if not results.facts.has_model:
        return
    folder = run_argument(results)
    if not is_last:
        yield NextStep("use", "Use it:", f"{folder}/model")
        yield NextStep("serve", "Serve it:", f"potstill serve {folder}")
        return
    yield NextStep("ask", "Ask it:", f'potstill ask {folder} "QUESTION"')
    yield NextStep("serve", "Serve it:", f"potstill serve {folder}")
    yield NextStep("load", "Load it by transformers:", f"{folder}/model")
