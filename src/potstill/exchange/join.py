"""``potstill join``: the answers of several runs in one, as those of a job without a driver.

Each worker of such a job has a run of its own, since one process writes a store::

    potstill generate recipe.yaml --part 1/8 --set run=runs/part-1     eight of these, anywhere
    potstill join runs/part-* --into runs/whole
    potstill run recipe.yaml --set run=runs/whole                      asks what is still missing
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from potstill.errors import ConfigError
from potstill.records import Amount
from potstill.runtime.progress import Meter
from potstill.runtime.spending import spent_in_all
from potstill.store import Store, lock_holder
from potstill.store.joined import JoinedAnswers

STORE = "run.sqlite"


@dataclass(kw_only=True, slots=True)
class JoinedRuns:
    """The answers that a join took over, and what was paid for them."""

    answers: JoinedAnswers = field(default_factory=JoinedAnswers)
    by_run: dict[str, JoinedAnswers] = field(default_factory=dict)
    """The same for each run that was joined, by its folder."""

    at_work: dict[str, str] = field(default_factory=dict)
    """Runs that somebody writes, and who: what is stored there later is not joined."""

    spent: Amount = field(default_factory=Amount)
    """The cost of the answers in the joined store."""

    lost: Amount = field(default_factory=Amount)
    """The most that was paid beside it for tries without an answer, which no run's store holds."""


def join_runs(folders: Sequence[Path], into: Path, meter: Meter) -> JoinedRuns:
    """Take the answers of several runs into one, which is made where it is not there.

    Repeated, it takes over what came since. Of two answers to one sample the first that did not
    fail is kept: those of ``into``, then those of the runs in their order.

    Args:
        folders: The runs' folders.
        into: The folder of the run that takes them.
        meter: Shows how far it is.

    Raises:
        ConfigError: One of them holds no run, or is ``into`` itself.
        StoreError: A store cannot be read or written.
    """
    places = {folder.resolve(): folder for folder in folders}
    if into.resolve() in places:
        raise ConfigError(f"{into} is to be joined into itself. Leave it out of the runs.")
    for folder in places.values():
        if not (folder / STORE).is_file():
            raise ConfigError(f"{folder} holds no run: there is no {STORE} in it.")
    joined = JoinedRuns()
    with Store(into / STORE) as whole:
        for folder in places.values():
            if (writer := lock_holder(folder / STORE)) is not None:
                joined.at_work[str(folder)] = writer
            with Store(folder / STORE, read_only=True, untouched=True) as source:
                answers = joined.by_run[str(folder)] = _taken(whole, source, f"{folder}", meter)
                joined.lost = joined.lost.plus(_lost(folder, source))
            joined.answers.add(answers)
        joined.spent = whole.spent()
    return joined


def _taken(whole: Store, source: Store, name: str, meter: Meter) -> JoinedAnswers:
    """Take over one store's answers, with their progress shown."""
    answers = JoinedAnswers()
    label = f"joining {name}"
    with meter.stage(label, total=source.count_answers(), unit="answers") as advance:
        for part in whole.join(source):
            answers.add(part)
            advance(part.stored + part.there + part.differing, 0, 0.0)
    return answers


def _lost(folder: Path, store: Store) -> Amount:
    """Returns what a run paid beyond its stored answers, tries without an end at their most."""
    stored = store.spent()
    paid = spent_in_all(folder / "spending.jsonl", stored)
    return Amount(paid.tokens - stored.tokens, paid.usd - stored.usd)
