"""Whether a stage's stored results are of today's recipe: what determined them, then and now.

Each stage keeps the inputs of its results in the store, by name, and :func:`stale_stages` holds
them against what the same stage would take today::

    curate:    teacher was openai:a@..., is openai:b@...   -> potstill generate, potstill curate
    train:     train.learning_rate was 0.0003, is 0.001    -> potstill train

Only inputs that change the results count: not how many requests are in flight, nor a further task
to measure on when a student is guided. What an older potstill made says little of its inputs; of
its rationales, the stored requests tell the teacher and how it was asked.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import orjson

from potstill.errors import OutdatedError, repeat_commands
from potstill.pipeline.stage_inputs import (
    GOLD,
    QUESTIONS,
    READING,
    STAGE_INPUTS,
    Inputs,
    learns_rationales,
    reading_then,
)
from potstill.store import Provenance, Stage, Store

if TYPE_CHECKING:
    from potstill.pipeline.run import Run

RESULTS: Mapping[Stage, str] = {
    "curate": "the rationales",
    "train": "the students",
    "evaluate": "the scores",
    "guide": "the guided scores",
}
"""The words for each stage's results, in a sentence."""

_OF_CHOICE = (
    "the checkpoints", "evaluate.select", "evaluate.max_tokens", "the development questions",
    "judge", *READING,
)  # fmt: skip
"""Inputs of evaluation by which it chooses the checkpoint that is guided."""


class StaleStage(NamedTuple):
    """A stage whose stored results are not what today's recipe would give."""

    stage: Stage
    inputs: tuple[str, ...]
    """The names of the inputs that differ; none where only an earlier stage is stale."""

    reasons: tuple[str, ...]
    """The differences, e.g. ``generate.temperature was 0.7, is 1.0``."""

    repeat: tuple[str, ...]
    """The commands that bring its results up to date, in their order."""

    def note(self, arguments: str = "") -> str:
        """Returns what is stale and why, with the commands to repeat.

        Args:
            arguments: The text behind each of the commands, where it is known.
        """
        sentence = f"{str(self)[:1].upper()}{str(self)[1:]}"
        return f"{sentence}. Run: {repeat_commands(self.repeat, arguments)}"

    def __str__(self) -> str:
        """Returns what is stale and why, in a sentence without its full stop."""
        return f"{RESULTS[self.stage]} are not of this recipe: {'; '.join(self.reasons)}"


def stale_stages(run: "Run", stages: Collection[Stage] = tuple(RESULTS)) -> list[StaleStage]:
    """Returns the stages whose results are not of today's recipe, in the order of the stages.

    A stage without results is not stale. Nobody is asked, and nothing is written.

    Args:
        run: Opened for reading or writing.
        stages: The stages that are looked at; those that they build on have to be among them.

    Raises:
        PotstillError: A task of the recipe cannot be read.
    """
    stale: dict[Stage, StaleStage] = {}
    for stage, inputs_of in STAGE_INPUTS.items():
        made = run.store.provenance(stage) if stage in stages else None
        if made is None:
            continue
        then, now = _inputs_then(run.store, stage, made), inputs_of(run)
        names = tuple(_differing(then, now, complete=made.is_known))
        reasons = [reason for name in names for reason in _told(name, then, now)]
        if stage == "curate" and (not made.is_known or {*names} & {QUESTIONS, GOLD}):
            reasons += _outdated(run)
        reasons += [
            f"{RESULTS[earlier.stage]} are stale"
            for earlier in stale.values()
            if _builds_on(run, stage, earlier)
        ]
        if reasons:
            stale[stage] = StaleStage(stage, names, tuple(reasons), _repeated(stage, names))
    return list(stale.values())


def is_stale(run: "Run", stage: Stage) -> bool:
    """Whether a stage has results that are not of today's recipe."""
    return any(stale.stage == stage for stale in stale_stages(run))


def reading_changes(run: "Run") -> tuple[str, ...]:
    """Returns how the recipe has answers read otherwise than when rationales were curated."""
    made = run.store.provenance("curate")
    if made is None:
        return ()
    then, now = _inputs_then(run.store, "curate", made), STAGE_INPUTS["curate"](run).values
    return tuple(
        f"{name} {was_and_is(then[name], now[name])}"
        for name in (*READING, "judge")
        if name in then and name in now and not _same(name, then[name], now[name])
    )


def unknown_stages(store: Store) -> list[Stage]:
    """Returns the stages with results of which the store does not say what determined them."""
    made = {stage: store.provenance(stage) for stage in STAGE_INPUTS}
    return [stage for stage, known in made.items() if known and not known.is_known]


def unknown_note(store: Store) -> str:
    """Returns a sentence on results of which it is not known what determined them; or nothing."""
    unknown = [RESULTS[stage] for stage in unknown_stages(store)]
    if not unknown:
        return ""
    *others, last = unknown
    names = f"{', '.join(others)} and {last}" if others else last
    return (
        f"An older potstill made {names}; of their recipe no more is known than the teachers and "
        "how they were sampled."
    )


def stale_notes(store: Store, stale: Sequence[StaleStage], arguments: str = "") -> list[str]:
    """Returns a sentence on each stage not of today's recipe, or perhaps; see ``note``.

    Args:
        store: The run's.
        stale: The run's stale stages.
        arguments: The arguments that name the recipe in the commands to repeat.
    """
    notes = [one.note(arguments) for one in stale]
    return [*notes, *filter(None, [unknown_note(store)])]


def unsure_results(store: Store, stale: Sequence[StaleStage]) -> list[str]:
    """Returns the results that are not, or not known to be, of today's recipe, in a few words.

    Args:
        store: The run's.
        stale: The run's stale stages.
    """
    stages = [*(one.stage for one in stale), *unknown_stages(store)]
    return [RESULTS[stage] for stage in dict.fromkeys(stages)]


def require_current(run: "Run", stage: Stage) -> None:
    """Refuse to build on results that are not of today's recipe.

    Args:
        run: The run.
        stage: The stage that is about to begin.

    Raises:
        OutdatedError: What it builds on has to be made again first.
    """
    needed = [stale for stale in stale_stages(run) if _is_needed(run, stale, stage)]
    if needed:
        commands = dict.fromkeys(command for stale in needed for command in stale.repeat)
        raise OutdatedError("; ".join(map(str, needed)), [*commands])


def untrained_students(run: "Run") -> list[str]:
    """Returns the labels of the recipe's students that have no checkpoint, where any has one."""
    trained = {checkpoint.system for checkpoint in run.store.checkpoints()}
    students = run.recipe.train.sweep() if trained else ()
    return [system.label for system in students if system not in trained]


def outdated_students(run: "Run") -> set[str]:
    """Returns the labels of trained students that the recipe would train again as others."""
    trained = {checkpoint.system.label for checkpoint in run.store.checkpoints()}
    stale = [stage for stage in stale_stages(run) if stage.stage == "train"]
    own = "train.students."
    for stage in stale:
        if stage.inputs and all(name.startswith(own) for name in stage.inputs):
            return trained & {name.removeprefix(own) for name in stage.inputs}
    return trained if stale else set()


def _inputs_then(store: Store, stage: Stage, made: Provenance) -> Mapping[str, object]:
    """Returns what determined a stage's results, as far as the store can tell."""
    if made.is_known:
        # Older versions kept the recipe whole, and of how answers are read only a part as inputs.
        return made.inputs if stage == "train" else {**reading_then(made.recipe), **made.inputs}
    if stage != "curate":
        return made.inputs
    derived: dict[str, object] = {}
    for writer in store.writers():  # the name alone: older versions made it in other ways
        name = "teacher" if writer.teacher == "teacher" else f"teachers.{writer.teacher}"
        derived.setdefault(name, writer.model.partition("@")[0])
        derived.setdefault("generate.temperature", writer.temperature)
        derived.setdefault("generate.top_p", writer.top_p)
        if writer.seed is not None:
            derived.setdefault("seed", writer.seed)
    return derived


# then and now ------------------------------------------------------------------------------------

_SETTINGS = ("teachers.", "generate.", "curate.", "train.", "evaluate.", "guide.")

_COME_AND_GO = ("teachers.", "train.students.")
"""Inputs that a recipe may have any number of, by name."""


def _differing(then: Mapping[str, object], now: Inputs, *, complete: bool) -> Iterator[str]:
    """Yields the names of inputs that differ.

    A setting that the results do not name is from after them, and agrees if it has its default. A
    student that is new is no fault of those that are there.

    Args:
        then: The inputs of the results.
        now: The inputs today.
        complete: Whether ``then`` holds all that were inputs then.
    """
    for name, was in then.items():
        if name == GOLD and then[QUESTIONS] != now.values[QUESTIONS]:
            continue  # of other questions the gold answers are others too
        if name in now.values:
            if not _same(name, was, now.values[name]):
                yield name
        elif name.startswith(_COME_AND_GO):
            yield name
    if complete:
        for name in now.values:
            is_setting = name.startswith(_SETTINGS) and not name.startswith("train.students.")
            if is_setting and name not in then and name not in now.defaults:
                yield name


def _same(name: str, was: object, now: object) -> bool:
    """Whether two values of an input are the same, as far as both are known."""
    if name.startswith("the prompt style") and (was is None or now is None):
        return True
    if name in ("teacher", "judge") or name.startswith("teachers."):
        names = str(was), str(now)
        if not all("@" in one for one in names):  # of one of them no more is known than kind:where
            return names[0].partition("@")[0] == names[1].partition("@")[0]
    return was == now


def _told(name: str, then: Mapping[str, object], now: Inputs) -> Iterator[str]:
    """Yields what is different in an input, in words."""
    if name not in now.values:
        yield f"{name} is not in it any more"
    elif name not in then:
        yield f"{name} is new: {shown(now.values[name])}"
    elif name.startswith("the "):
        yield _data_told(name, then[name], now.values[name])
    elif name.startswith("train.students."):
        was, is_ = then[name], now.values[name]
        assert isinstance(was, Mapping) and isinstance(is_, Mapping)
        for part in dict.fromkeys((*was, *is_)):
            if was.get(part) != is_.get(part):
                yield f"{name}.{part} {was_and_is(was.get(part), is_.get(part))}"
    elif name in READING:
        changed = was_and_is(then[name], now.values[name])
        yield f"{name} {changed} (stored answers are graded again, not asked again)"
    else:
        yield f"{name} {was_and_is(then[name], now.values[name])}"


def _data_told(name: str, was: object, now: object) -> str:
    """Returns what has changed in data of which the digests are known."""
    assert isinstance(was, Mapping) and isinstance(now, Mapping)
    if name.startswith("the prompt style"):
        names = was["name"], now["name"]
        return f"{name} " + (was_and_is(*names) if len({*names}) > 1 else "has another text")
    if was["count"] != now["count"]:
        return f"{name} were {was['count']:,}, are {now['count']:,}"
    edited = was["texts"] == now["texts"]
    return f"gold answers of {name} were edited" if edited else f"{name} are others than then"


def _outdated(run: "Run") -> Iterator[str]:
    """Yields how many rationales answer questions that the task has not now, if any do."""
    current = run.store.current_rationales(run.task.splits["train"])
    if current.outdated:
        yield (
            f"{current.outdated:,} of {len(current.rationales) + current.outdated:,} rationales "
            "were curated for other training questions or gold answers than "
            f"{run.task.name} has now"
        )


def was_and_is(was: object, now: object) -> str:
    """Returns two values of a setting in words."""
    return f"was {shown(was)}, is {shown(now)}"


def shown(value: object) -> str:
    """Returns a value of a setting on one line, cut where it is long."""
    if isinstance(value, str):
        return value
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else f"{text[:40]} ... {text[-15:]}"


# what depends on what ----------------------------------------------------------------------------


def _builds_on(run: "Run", stage: Stage, earlier: StaleStage) -> bool:
    """Whether a stage builds by itself on what is stale in an earlier one."""
    if stage == "guide" and earlier.stage == "evaluate":
        return any(name.startswith(_OF_CHOICE) for name in earlier.inputs)
    return earlier.stage in _foundations(run, stage)


def _foundations(run: "Run", stage: Stage) -> tuple[Stage, ...]:
    """Returns the stages whose results a stage builds on by itself."""
    match stage:
        case "train":
            learning = learns_rationales(run.recipe.train.students.values())
            return ("curate",) if learning else ()
        case "evaluate":
            return ("train",)
        case "guide":
            return ("train", "evaluate")
        case _:
            return ()


def _is_needed(run: "Run", stale: StaleStage, stage: Stage) -> bool:
    """Whether a stage cannot be built on what is stale."""
    if _builds_on(run, stage, stale):
        return True
    return "train" in _foundations(run, stage) and stale.stage in _foundations(run, "train")


def _repeated(stage: Stage, names: Iterable[str]) -> tuple[str, ...]:
    """Returns the commands that make a stage's results anew."""
    asked = ("teacher", "generate.", "seed", "the prompt style", "the training questions")
    if stage == "curate" and any(name.startswith(asked) for name in names):
        return ("generate", "curate")
    return (stage,)
