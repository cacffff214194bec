"""The commands of a run: one for each stage, then run, demo and plan.

For each stage: the command; ``run_STAGE``, which does the work; ``print_STAGE``, which shows it.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from potstill.cli.app import (
    arguments_of,
    main,
    open_run,
    progress_meter,
    quiet_option,
    recipe_command,
    recipe_of,
    set_option,
)
from potstill.cli.documents import add_to_document, plain, write_document
from potstill.cli.printing import print_table
from potstill.cli.terminal import echo
from potstill.errors import ConfigError
from potstill.text.chosen_on_test import BEST_ON_TEST, CHOSEN_ON_TEST, is_chosen_on_test

if TYPE_CHECKING:
    from collections import Counter

    from potstill.evaluate import Evaluation
    from potstill.generate import GenerateResult
    from potstill.guide import GuidanceResult
    from potstill.pipeline.run import Run
    from potstill.records import Checkpoint
    from potstill.report import ReportFiles
    from potstill.tasks.part import TaskPart


# generate ----------------------------------------------------------------------------------------


@recipe_command("generate", asks=True)
@click.option(
    "--part",
    metavar="NUMBER/COUNT",
    help="Ask about one part of the training questions, such as 3/8, into a run of its own beside "
    "the recipe's, with its share of the budget and of the rates; potstill join brings them "
    "together.",
)
def generate_command(recipe: Path, changes: tuple[str, ...], part: str | None) -> None:
    """Ask the teacher for rationales."""
    from potstill.tasks.part import TaskPart

    if part is None:
        with open_run(recipe, changes) as run:
            run_generate(run)
            print_next("curate", recipe, changes)
        return
    own = TaskPart.parsed(part)
    with open_run(recipe, changes, part=own) as run:
        run_generate(run, own)
        whole = run.recipe.run.removesuffix(own.suffix)
        parts = f"{shlex.quote(whole)}-part-*-of-{own.count}"
        echo(f"next, with the other parts: potstill join {parts} --into {shlex.quote(whole)}")


def run_generate(run: "Run", part: "TaskPart | None" = None) -> None:
    """Draw rationales from every teacher, for all training questions or a part of them."""
    run.identity.require_consent()
    print_task_notes(run)
    drawn = run.generate(part)
    print_generated(run, drawn)
    add_to_document(generate=drawn, failures=run.store.failures())


def print_task_notes(run: "Run") -> None:
    """Show what is to be known of the task and the students, before a teacher is asked."""
    from potstill.pipeline.stage_inputs import learns_rationales

    for note in run.task.notes:
        echo(f"{run.task.name}: {note}")
    for note in run.few_shot.notes if run.few_shot else ():
        echo(f"exemplars: {note}")
    shared = ", ".join(
        f"{overlap.training:,} with {overlap.task} {overlap.split}"
        for overlap in run.overlaps
        if overlap.training
    )
    if not learns_rationales(run.recipe.train.students.values()):
        echo("generate: no student of this recipe learns the rationales that are asked for now")
    if shared:
        outcome = "left out" if run.recipe.overlap.drop else "kept; overlap.drop leaves them out"
        echo(f"overlap: of the training questions {shared} ({outcome})")


def print_generated(run: "Run", results: Mapping[str, "GenerateResult"]) -> None:
    """Show how many completions came from each teacher, and why others failed."""
    for teacher, result in results.items():
        label = f"generate, {teacher}" if len(results) > 1 else "generate"
        counts, settings = result.counts, run.recipe.generate
        echo(
            f"{label}: {counts.stored:,} completions stored, {counts.there:,} already there"
            + (f", {counts.failed:,} failed" if counts.failed else "")
            + (f", {counts.absent:,} not to be had" if counts.absent else "")
        )
        if result.enough is not None:
            questions = len(run.task.splits["train"])
            echo(
                f"  {result.enough:,} of {questions:,} questions have {settings.enough_right} "
                f"right rationales; {counts.wanted:,} samples in place of "
                f"{questions * settings.samples:,}, of which {result.right:,} are right"
            )
        if result.after_wrong:
            echo(
                f"  {result.after_wrong:,} of them had as many wrong answers or more; where an "
                "answer can be guessed, a right one may then be luck. generate.most_wrong leaves "
                "such questions earlier"
            )
    for reason, count in run.store.failures().items():
        echo(f"  {count:,} failed: {reason}", err=True)


# curate ------------------------------------------------------------------------------------------


@recipe_command("curate", asks=True)
def curate_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Keep the rationales that are worth training on."""
    with open_run(recipe, changes) as run:
        run_curate(run)
        print_next("train", recipe, changes)


def run_curate(run: "Run") -> None:
    """Give every rationale a verdict; where none is kept, tell why and end here."""
    from potstill.pipeline.nothing_kept import few_kept_lines, require_kept

    verdicts = run.curate()
    print_curated(run, verdicts)
    require_kept(run)
    for line in few_kept_lines(run):
        echo(f"note: {line}", err=True)
    add_to_document(curate={"verdicts": verdicts, "total": verdicts.total()})


def print_curated(run: "Run", verdicts: "Counter[str]") -> None:
    """Show how many rationales were kept, and for which reasons the others were dropped."""
    dropped = ", ".join(
        f"{count:,} {verdict}" for verdict, count in verdicts.most_common() if verdict != "kept"
    )
    kept = f"curate: {verdicts['kept']:,} of {verdicts.total():,} rationales kept"
    echo(f"{kept}; dropped: {dropped}" if dropped else kept)
    for judged in run.judge_lines():
        echo(judged)
    if run.recipe.curate.marks:
        from potstill.report.rationale_counts import count_rationales
        from potstill.report.text import marks_finding

        if marked := marks_finding(count_rationales(run.store.rationales())):
            echo(f"curate: {marked[:1].lower()}{marked[1:]}")
    thinking = run.store.thinking_counts()
    if thinking.thought:
        line = f"curate: {thinking.thought:,} of {thinking.total:,} completions think before they"
        line += " answer; their thinking is kept apart"
        if thinking.unanswered:
            line += f". {thinking.unanswered:,} give no answer behind it"
        echo(line)
    if run.recipe.teachers:
        from potstill.report import teachers_table

        print_table(teachers_table(run.store))


# train -------------------------------------------------------------------------------------------


@recipe_command("train", asks=True)
def train_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Train the students."""
    from potstill.launched import one_in_place_of_several

    if note := one_in_place_of_several():
        echo(f"note: {note}", err=True)
    with open_run(recipe, changes) as run:
        run_train(run)
        print_next("evaluate", recipe, changes)


def run_train(run: "Run") -> None:
    """Train every student."""
    checkpoints = run.train()
    print_trained(checkpoints)
    add_to_document(train=checkpoints)


def print_trained(checkpoints: "list[Checkpoint]") -> None:
    """Show how long each student was trained, and on how many examples."""
    newest = {checkpoint.system.label: checkpoint for checkpoint in checkpoints}
    for student, checkpoint in newest.items():
        too_long = f"; {checkpoint.too_long:,} too long" if checkpoint.too_long else ""
        trained = f"{checkpoint.step:,} steps on {checkpoint.examples:,} examples"
        added, weights = checkpoint.trained_parameters, checkpoint.parameters
        low_rank = f"; {added:,} weights added to {weights:,}" if 0 < added < weights else ""
        echo(f"train: {student}, {trained}{low_rank}{too_long}")


# evaluate ----------------------------------------------------------------------------------------


@recipe_command("evaluate", asks=True)
def evaluate_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Measure every system; choose the checkpoint."""
    with open_run(recipe, changes) as run:
        print_no_gain(run_evaluate(run), run.recipe.evaluate.select)
        print_next("guide" if run.recipe.guide else "report", recipe, changes)


def run_evaluate(run: "Run") -> "Evaluation":
    """Measure every system and choose the checkpoint."""
    evaluation = run.evaluate()
    print_evaluated(run, evaluation)
    add_to_document(evaluate=evaluation)
    return evaluation


def print_evaluated(run: "Run", evaluation: "Evaluation") -> None:
    """Show what could not be measured, and which checkpoint was chosen."""
    for reason in evaluation.left_out:
        echo(f"evaluate: {reason}")
    chosen, rule = evaluation.chosen, run.recipe.evaluate.select
    if chosen is not None:
        by_rule = f"is chosen by {rule} on" if rule != "in_distribution" else "is best on"
        tie, questions = evaluation.tie, "development questions"
        if rule == BEST_ON_TEST:
            questions = "test questions"
        elif tie is not None and tie.is_one:
            by_rule = f"is chosen by {rule}, of equals, on"
        echo(
            f"evaluate: {chosen.system.label} step {chosen.step} {by_rule} {questions}; "
            f"copied to {run.folder / 'model'}"
        )
        if rule == BEST_ON_TEST:
            echo(f"evaluate: {CHOSEN_ON_TEST}")
        if tie is not None and tie.is_one:
            echo(f"evaluate: {tie.described}")


def print_no_gain(evaluation: "Evaluation", rule: str) -> None:
    """Show that no gain over the start is shown, where none is; a whole run's end tells it too."""
    from potstill.evaluate import gain

    against = evaluation.against_start
    if against is not None and not against.is_gain:
        echo(f"evaluate: {gain(against, on_test=rule == BEST_ON_TEST)}")


# guide -------------------------------------------------------------------------------------------


@recipe_command("guide", asks=True)
def guide_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Measure what the teacher's steps bring to a student's answers."""
    with open_run(recipe, changes) as run:
        run_guide(run)
        print_next("report", recipe, changes)


def run_guide(run: "Run") -> None:
    """Measure the student with the teacher's steps."""
    from potstill.pipeline.cost_lines import guide_cost_notes
    from potstill.report.recommendation import recommendations

    result = run.guide()
    print_guided(result, on_test=is_chosen_on_test(run.store.choices()))
    for note in guide_cost_notes(run.recipe, run.store):
        echo(f"guide: {note}")
    tokens = run.recipe.guide.teacher_tokens if run.recipe.guide else None
    advised = list(recommendations(result.scores, run.store.guided_predictions(), tokens))
    for sentence in advised:
        echo(f"guide: {sentence}")
    add_to_document(guide={"scores": result.scores, "notes": [*result.notes, *advised]})


def print_guided(result: "GuidanceResult", *, on_test: bool = False) -> None:
    """Show the accuracy and the cost of every policy.

    Args:
        result: The result of the guide stage.
        on_test: Whether the student's checkpoint was chosen on these questions.
    """
    from potstill.report.tables import guided_table

    print_table(guided_table(result.scores, on_test=on_test))
    for note in result.notes:
        echo(f"guide: {note}")


# report ------------------------------------------------------------------------------------------


@recipe_command("report")
def report_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Write the run as a page, also while it is at work."""
    with open_run(recipe, changes, read_only=True) as run:
        print_report(run, run.report(), arguments_of(recipe, changes))


def print_report(run: "Run", files: "ReportFiles", arguments: str = "") -> None:
    """Show the accuracies, what is stale with the commands to repeat, and where the report is."""
    print_accuracies(run, files, arguments)
    echo(f"report: {files.html}", whole=True)


def print_accuracies(run: "Run", files: "ReportFiles", arguments: str = "") -> None:
    """Show the accuracies, and what is stale with the commands to repeat."""
    from potstill.report import accuracy_table

    print_table(accuracy_table(run.store, run.measured_tasks))
    stale = run.stale_notes(arguments)
    for note in stale:
        echo(f"report: {note}")
    add_to_document(report={**plain(files), "stale": stale})


# all stages --------------------------------------------------------------------------------------


@recipe_command("run", asks=True)
def run_command(recipe: Path, changes: tuple[str, ...]) -> None:
    """Do all stages, one after the other.

    They are generate, curate, train, evaluate, guide where the recipe has it, and report.
    """
    with open_run(recipe, changes) as run:
        run_all(run)


@main.command("demo")
@quiet_option
@set_option("the demonstration, e.g. seed=1")
def demo_command(changes: tuple[str, ...]) -> None:
    """Distil the bundled pair; a few minutes on two cores."""
    with open_run(Path(__file__).parents[1] / "demo.yaml", changes) as run:
        run_all(run)


def run_all(run: "Run") -> None:
    """Do all stages, one after the other; what would stop a later one is found first."""
    run.check()
    guided = ["guide"] if run.recipe.guide else []
    run.meter.all_stages(["generate", "curate", "train", "evaluate", *guided])
    run_generate(run)
    run_curate(run)
    run_train(run)
    run_evaluate(run)
    if run.recipe.guide:
        run_guide(run)
    report = run.report()
    print_accuracies(run, report)
    print_end(run, report)


def print_end(run: "Run", report: "ReportFiles") -> None:
    """Show the run's main result, its price, what it cost and took, and how it is used."""
    from potstill.report.text import cost_note, duration
    from potstill.runtime.cost_words import cost_words, missing_prices

    model = run.folder / "model"
    echo(f"\n{report.headline}")
    if model.is_dir():
        figure, *sentences = report.price
        echo(f"price: {figure}")
        for sentence in sentences:
            echo(f"  {sentence}")
    budget = run.runtime.budget
    spent, paid = budget.spent, "no server paid"
    if spent.tokens:
        paid = cost_words(spent.usd, budget.unpriced).removeprefix("cost ")
        paid += f" for {spent.tokens:,} tokens"
    seconds = sum(stage.seconds for stage in run.store.stages())
    echo(f"cost: {paid}; time: {duration(seconds)}")
    add_to_document(usd=spent.usd, tokens=spent.tokens, unpriced=budget.unpriced, seconds=seconds)
    if spent.tokens and budget.unpriced:
        echo(f"  {missing_prices(budget.unpriced)}")
    if note := cost_note(run.store.uncounted()):
        echo(f"  {note}")
    echo(f"report: {report.html}", whole=True)
    if model.is_dir():
        folder, place = shlex.quote(str(run.folder)), shlex.quote(str(model))
        uses = {
            "ask it": f'potstill ask {folder} "QUESTION"',
            "serve it": f"potstill serve {folder}",
            "verify it": f"potstill verify {folder} --folder {place}",
        }
        add_to_document(model=model, use=list(uses.values()))
        echo(f"student: {model}, as transformers loads it", whole=True)
        for use, command in uses.items():
            echo(f"  {use}: {command}", whole=True)


# plan --------------------------------------------------------------------------------------------


@recipe_command("plan")
@click.option(
    "--probe",
    default=0,
    metavar="N",
    type=click.IntRange(min=0),
    help="First ask N of the requests that lack, and go by their answers, which are kept.",
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(min=1),
    help="Plan for N workers that ask at once, too.",
)
def plan_command(recipe: Path, changes: tuple[str, ...], probe: int, workers: int | None) -> None:
    """Say what a run will ask, cost and take, before it begins."""
    from potstill.pipeline.recipe import load_recipe
    from potstill.plan import plan_page, plan_run, plan_values, probe_run

    probes = None
    if probe:
        with open_run(recipe, changes) as run:
            probes = probe_run(run, probe)
    read = load_recipe(*recipe_of(recipe, changes))
    plan = plan_run(read, probes, workers=workers, meter=progress_meter())
    print_table(plan_page(plan))
    add_to_document(**plan_values(plan))
    if plan.faults:
        write_document(click.get_current_context())  # what was found, though it ends with an error
        raise ConfigError(f"the run would stop: {plan.faults[0]}")


# advise ------------------------------------------------------------------------------------------


@recipe_command("advise")
@click.option(
    "--rationales",
    default=100,
    metavar="N",
    show_default=True,
    type=click.IntRange(1, 100),
    help="The most rationales that are asked for, over all teachers.",
)
def advise_command(recipe: Path, changes: tuple[str, ...], rationales: int) -> None:
    """Say which teacher, lengths and thinking suit the student.

    Each teacher is asked for a few rationales, which potstill generate then finds.
    """
    from potstill.advise import advice_json, advice_page, advise, plan_advice, plan_lines

    with open_run(recipe, changes) as run:
        plan = plan_advice(run, rationales)
        for line in plan_lines(plan):
            echo(line)
        advice = advise(run, plan)
    add_to_document(**advice_json(plan, advice))
    for part in advice_page(advice):
        print_table(part)


# shared ------------------------------------------------------------------------------------------


def print_next(stage: str, recipe: Path, changes: tuple[str, ...]) -> None:
    """Show the command that goes on."""
    command = f"potstill {stage} {arguments_of(recipe, changes)}"
    echo(f"next: {command}", whole=True)
    add_to_document(next=command)
