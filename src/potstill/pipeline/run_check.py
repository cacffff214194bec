"""Whether a run is whole: its store, account, recipe, checkpoints and model, and what is stale.

Nothing is written and nobody is asked, so a run at work or on a medium that cannot be written can
be checked too.
"""

import shlex
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from potstill.checksums import CHECKSUMS, damage, is_removed
from potstill.errors import ConfigError, PotstillError, repeat_commands
from potstill.pipeline.chosen_student import offered_checkpoints
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import stored_run
from potstill.pipeline.settings_file import merged_runs, read_settings
from potstill.pipeline.stale import stale_stages, unknown_stages
from potstill.pipeline.verdict_checks import (
    VerdictFault,
    unknown_ends,
    verdict_faults,
    word_faults,
)
from potstill.runtime.progress import Meter
from potstill.runtime.spending import read_spending
from potstill.store import Stage, Store
from potstill.store.integrity import MOST_TOLD, store_faults
from potstill.text.chosen_on_test import CHOSEN_ON_TEST, is_chosen_on_test

NEW_STORE = "restore the file from a copy, or begin a new run"
ROWS = (
    "restore the file from a copy, or begin a new run; potstill export saves what can be read "
    "of the completions, and potstill import takes it in"
)


class RunFault(NamedTuple):
    """Something wrong with a run."""

    where: str
    """A file or folder of the run, or a table of its store."""

    fault: str
    way_out: str
    """The remedy, a command first where one mends it."""


class CheckedRun(NamedTuple):
    """The outcome of a check."""

    faults: list[RunFault]
    completions: int
    """Completions in the store, where it can be read."""

    checkpoints: int
    """Checkpoints that the store names, those included that were removed on purpose."""

    removed: int
    """Checkpoints whose weights ``potstill clean`` removed."""

    notes: list[str]
    """Facts that are no faults and should be known."""


def check_run(folder: Path) -> CheckedRun:
    """Look a run over.

    Args:
        folder: The run's folder.

    Raises:
        ConfigError: It holds no run.
    """
    path = folder / "run.sqlite"
    if not path.is_file():
        raise ConfigError(f"{folder} is no run: it holds no run.sqlite. Give a run's folder.")
    in_file = [
        RunFault(f"run.sqlite, {one.table}" if one.table else "run.sqlite", one.fault,
                 ROWS if one.table else NEW_STORE)
        for one in store_faults(path)
    ]  # fmt: skip
    is_merge = _is_merge(folder)
    faults = [*in_file, *_account_faults(folder), *([] if is_merge else _recipe_faults(folder))]
    if any(fault.where == "run.sqlite" for fault in in_file):
        return CheckedRun(faults, 0, 0, 0, [])
    with Store(path, read_only=True) as store:
        checkpoints = [folder / checkpoint.folder for checkpoint in store.checkpoints()]
        completions, unknown = sum(store.finish_reasons().values()), unknown_stages(store)
        faults += [_of_row(fault) for fault in word_faults(store)]
        ends = [*unknown_ends(store)]
        ends += [CHOSEN_ON_TEST] if is_chosen_on_test(store.choices()) else []
        faults += _missing_files(folder, store)
        unsummed = [*_unsummed(folder, store)]
    faults += [*_checkpoint_faults(folder, checkpoints), *(one for one in unsummed if one.way_out)]
    if not is_merge and not any(fault.where == "recipe.yaml" for fault in faults):
        faults += _result_faults(folder, are_rows_whole=not in_file)
    notes = [f"an older potstill made the results of {stage}; of which recipe is not known"
             for stage in unknown if not is_merge]  # fmt: skip
    notes += [*ends, *(f"{one.where}: {one.fault}" for one in unsummed if not one.way_out)]
    return CheckedRun(
        faults, completions, len(checkpoints), sum(map(is_removed, checkpoints)), notes
    )


def _missing_files(folder: Path, store: Store) -> Iterator[RunFault]:
    """Yields what the folder has to hold by what the store says: the account, and ``model/``."""
    spent = store.spent()
    if (spent.tokens or spent.usd) and not (folder / "spending.jsonl").exists():
        yield RunFault(
            "spending.jsonl",
            f"the file is missing, though answers were bought ({spent.tokens:,} tokens and "
            f"${spent.usd:,.4f} by the store)",
            "restore it from a copy; without it the account goes on from these sums, so lower a "
            "budget by what was paid for lost tries and replaced answers",
        )
    if offered_checkpoints(store) and not (folder / "model").is_dir():
        evaluate = repeat_commands(["evaluate"], _quoted(folder))
        yield RunFault(
            "model",
            "the folder is missing, though a student was chosen",
            f"{evaluate}, which writes it again and asks for nothing that is stored",
        )


def _unsummed(folder: Path, store: Store) -> Iterator[RunFault]:
    """Yields folders of weights without checksums; with no way out where there may be none.

    A version that kept no inputs of results wrote no checksums either.
    """
    train, evaluate = (repeat_commands([name], _quoted(folder)) for name in ("train", "evaluate"))
    places: dict[Path, tuple[Stage, str]]
    places = {folder / one.folder: ("train", f"remove the folder; {train} trains it again")
              for one in store.checkpoints()}  # fmt: skip
    places[folder / "model"] = ("evaluate", f"{evaluate}, which writes it again")
    for place, (stage, way_out) in places.items():
        if not place.is_dir() or (place / CHECKSUMS).exists():
            continue
        made = store.provenance(stage)
        is_fault = made is not None and made.is_known
        yield RunFault(
            place.relative_to(folder).as_posix(),
            f"{CHECKSUMS} is missing, so nothing tells whether its files are those that were "
            "written" + ("" if is_fault else "; an older potstill wrote none"),
            way_out if is_fault else "",
        )


def _account_faults(folder: Path) -> Iterator[RunFault]:
    """Yields the lines of the account that cannot be read."""
    way_out = "with a budget: lower it by what those lines said, then remove the file"
    try:
        for fault in read_spending(folder / "spending.jsonl").faults:
            yield RunFault("spending.jsonl", fault, way_out)
    except PotstillError as error:
        yield RunFault("spending.jsonl", str(error), way_out)


def _is_merge(folder: Path) -> bool:
    """Whether ``potstill merge`` made the folder, in which there is no recipe of a run."""
    with suppress(PotstillError):
        return bool(merged_runs(read_settings(folder / "recipe.yaml", ())))
    return False


def _recipe_faults(folder: Path) -> Iterator[RunFault]:
    try:
        load_recipe(folder / "recipe.yaml")
    except PotstillError as error:
        yield RunFault(
            "recipe.yaml", str(error), "repeat any command with the recipe that began the run"
        )


def _checkpoint_faults(folder: Path, checkpoints: list[Path]) -> Iterator[RunFault]:
    """Yields checkpoints that are missing or damaged, and the same of ``model/``."""
    train, evaluate = (repeat_commands([name], _quoted(folder)) for name in ("train", "evaluate"))
    for checkpoint in checkpoints:
        where = checkpoint.relative_to(folder).as_posix()
        for fault in damage(checkpoint) or _bare(checkpoint):
            yield RunFault(where, fault, f"{train}, which trains it again")
    for finished in sorted((folder / "checkpoints").glob("*/finished.json")):
        if not finished.read_bytes().strip():
            where = finished.relative_to(folder).as_posix()
            yield RunFault(where, "the file is empty", f"{train}, which trains the student again")
    model = folder / "model"
    if model.is_dir():
        for fault in damage(model) or _bare(model):
            yield RunFault("model", fault, f"{evaluate}, which writes it again")


def _bare(folder: Path) -> list[str]:
    """Returns what a folder without checksums lacks of a model, at least."""
    if is_removed(folder):
        return []
    lacking = [] if (folder / "config.json").is_file() else ["config.json is missing"]
    return lacking if any(folder.glob("*.safetensors")) else [*lacking, "it has no weights"]


def _quoted(folder: Path) -> str:
    """Returns a folder as it is typed behind a command."""
    return shlex.quote(str(folder))


def _of_row(fault: VerdictFault) -> RunFault:
    return RunFault(f"run.sqlite, {fault.table}", fault.fault, ROWS)


def _result_faults(folder: Path, *, are_rows_whole: bool) -> Iterator[RunFault]:
    """Yields stages whose results are not of the run's recipe, and verdicts of no text.

    Args:
        folder: The run's.
        are_rows_whole: Whether verdicts are looked at.
    """
    again = repeat_commands(["regrade"], _quoted(folder))
    mended = f"{again}, which grades what is stored again; if a text was changed, restore the file"
    try:
        with stored_run(folder, Meter(None), read_only=True) as run:
            stale = stale_stages(run)
            for one in stale:
                yield RunFault(one.stage, str(one), repeat_commands(one.repeat, _quoted(folder)))
            if are_rows_whole:
                differing = Counter[str]()
                for fault in verdict_faults(run, [one.stage for one in stale]):
                    differing[fault.table] += 1
                    if differing[fault.table] <= MOST_TOLD:
                        yield RunFault(f"run.sqlite, {fault.table}", fault.fault, mended)
                for table, count in differing.items():
                    if count > MOST_TOLD:
                        more = f"and {count - MOST_TOLD:,} more rows"
                        yield RunFault(f"run.sqlite, {table}", more, mended)
    except PotstillError as error:
        yield RunFault("recipe.yaml", str(error), "mend what the recipe names, then check again")
