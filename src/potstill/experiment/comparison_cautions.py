"""Cautions before runs are compared: on graders, splits, engines and choices on test questions."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from potstill.errors import repeat_commands
from potstill.experiment.compared_runs import RunRecord
from potstill.experiment.seed_groups import SeedGroup, runs_by_seed
from potstill.pipeline.stage_inputs import QUESTIONS, READING
from potstill.text.chosen_on_test import CHOSEN_ON_TEST
from potstill.text.points import interval_in_points, points


def cautions(runs: Sequence[RunRecord]) -> Iterator[str]:
    """Yields sentences on what keeps figures of the runs from being held against each other."""
    yield from _without_results(runs)
    yield from _without_gain(runs)
    if on_test := [run.name for run in runs if run.chosen_on_test]:
        yield f"In {_listed(on_test)}: {CHOSEN_ON_TEST}"
    yield from _graders(runs)
    yield from _known_by_id(runs)
    yield from _engines(runs)
    yield from _readable(runs)


def split_cautions(units: Sequence[SeedGroup]) -> Iterator[str]:
    """Yields where groups of runs were not tested on, or did not learn from, the same questions.

    Args:
        units: The first is what the others are compared with, each seed with the same seed.
    """
    base, *others = units
    for other in others:
        both = _same_seeds(base, other)
        for task in base.tasks:
            measured = _same_seeds(base.measured_on(task), other.measured_on(task))
            sets = [(_questions(one, task), _questions(two, task)) for one, two in measured]
            if any(one != two for one, two in sets):
                shared = sum(len(one & two) for one, two in sets)
                counts = (sum(map(len, side)) for side in zip(*sets, strict=True))
                of_base, of_other = (f"{count:,}" for count in counts)
                yield (
                    f"{task}: {base.name} was tested on {of_base} questions and {other.name} on "
                    f"{of_other}, of which {shared:,} are shared; only those are paired."
                )
        learned = [(one.inputs.get(QUESTIONS), two.inputs.get(QUESTIONS)) for one, two in both]
        if any(one and two and one != two for one, two in learned):
            yield (
                f"The students of {base.name} and {other.name} did not learn from the same "
                f"training questions ({_count(learned[0][0])} and {_count(learned[0][1])})."
            )


def _same_seeds(base: SeedGroup, other: SeedGroup) -> list[tuple[RunRecord, RunRecord]]:
    """Returns the runs of two groups that are held against each other."""
    mine, theirs = runs_by_seed(base, other), runs_by_seed(other, base)
    return [(mine[seed], theirs[seed]) for seed in mine if seed in theirs]


def _count(questions: object) -> str:
    return f"{questions['count']:,}" if isinstance(questions, Mapping) else "not known"


def _without_results(runs: Sequence[RunRecord]) -> Iterator[str]:
    for run in runs:
        if not run.tasks:
            evaluate = repeat_commands(["evaluate"], str(run.folder))
            yield f"{run.name} has no test results yet; {evaluate} brings them."


def _without_gain(runs: Sequence[RunRecord]) -> Iterator[str]:
    """Yields where students are not shown to be better than what they were trained from."""
    told = defaultdict[str, list[str]](list)
    for run in runs:
        found = run.against_start
        if found is None or found.is_gain:
            continue
        verdict = "is shown to be worse" if found.is_loss else "is not shown to be better"
        compared = found.comparison
        ends = interval_in_points(compared.low, compared.high)
        told[f"The chosen student {verdict} than its start on {compared.task}"].append(
            f"{run.name} ({points(compared.difference)} points, 95% interval {ends})"
        )
    for sentence, places in told.items():
        yield f"{sentence} in {_listed(places)}."


def _graders(runs: Sequence[RunRecord]) -> Iterator[str]:
    """Yields what differs in how answers were read and held against gold answers."""
    measured = [run for run in runs if run.tasks]
    versions = {run.name: ", ".join(run.graders) for run in measured}
    if len({*versions.values()}) > 1:
        by_run = "; ".join(f"{name} by version {version}" for name, version in versions.items())
        yield (
            f"The answers were graded by different versions of the grader ({by_run}). Run potstill "
            "regrade on each run."
        )
    for name in (*READING, "judge"):
        # Without a judge there is no such input; how answers are read is not known of old results.
        known = [run for run in measured if run.inputs and (name == "judge" or name in run.inputs)]
        values = {run.name: run.inputs.get(name) for run in known}
        if len({str(value) for value in values.values()}) > 1:
            by_run = "; ".join(f"{run} by {value or 'none'}" for run, value in values.items())
            yield f"The answers were read in different ways ({name}: {by_run})."
    for one, other in combinations(measured, 2):
        for name, questions in one.inputs.items():
            others = other.inputs.get(name)
            is_test = name.startswith("the test questions of ")
            if is_test and isinstance(questions, Mapping) and isinstance(others, Mapping):
                same = questions.get("texts") == others.get("texts")
                if same and questions.get("answers") != others.get("answers"):
                    yield f"Gold answers of {name} differ in {one.name} and {other.name}."


def _known_by_id(runs: Sequence[RunRecord]) -> Iterator[str]:
    """Yields which runs do not tell the texts of their test questions."""
    by_id = [run for run in runs if any(_is_by_id(_questions(run, task)) for task in run.tasks)]
    if not by_id:
        return
    names = _listed([run.name for run in by_id])
    known = f"An older potstill measured {names}, and kept only the ids of test questions"
    if len(by_id) == len(runs):
        yield f"{known}; the same id is taken for the same question."
    else:
        again = ", then ".join(f"potstill evaluate {run.folder}" for run in by_id)
        yield f"{known}, so nothing is paired with the others. Run: {again}"


def _questions(run: RunRecord, task: str) -> set[str]:
    return {question for answers in run.answers[task].values() for question in answers}


def _is_by_id(questions: set[str]) -> bool:
    return any(question.startswith("id ") for question in questions)


def _engines(runs: Sequence[RunRecord]) -> Iterator[str]:
    """Yields which local systems were computed by different programs or in different formats."""
    found: dict[str, dict[str, list[str]]] = {}
    for run in runs:
        for one in run.engines:
            by = f"{one.engine} in {one.number_format}" if one.number_format else one.engine
            found.setdefault(one.system.label, {}).setdefault(by, []).append(run.name)
    alike: dict[str, list[str]] = {}
    for label, by_engine in found.items():
        if len(by_engine) > 1:
            words = "; ".join(f"{by} in {_listed(names)}" for by, names in by_engine.items())
            alike.setdefault(words, []).append(label)
    for words, labels in alike.items():
        yield f"Different programs computed {_listed(labels)}: {words}."


def _readable(runs: Sequence[RunRecord]) -> Iterator[str]:
    for run in runs:
        if not run.values:
            yield f"The recipe of {run.name} cannot be read, so it is left out of the differences."


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
