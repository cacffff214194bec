"""Tasks: questions with splits, read from files and hubs or drawn, and their grading by name."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from potstill.errors import ConfigError, DataError
from potstill.grading import grade as grading
from potstill.grading.grade import GRADER_VERSION, split_rationale
from potstill.grading.rules import measured_as
from potstill.records import Grade, Question, Split, Task
from potstill.statistics import accuracy_interval
from potstill.tasks import splits
from potstill.tasks.datasets.pool import Dataset, Pool
from potstill.tasks.files import answer_type_of, read_file
from potstill.tasks.procedural import FAMILY_COUNTS, Family
from potstill.tasks.settings import (
    TASKS,
    AnyTask,
    TaskSettings,
    task_named,
    task_names,
    task_settings,
)
from potstill.text.number_of import number_of

__all__ = [
    "GRADER_VERSION",
    "AnyTask",
    "TaskSettings",
    "grade",
    "load_task",
    "measured_as",
    "split_rationale",
    "task_named",
    "task_names",
    "task_settings",
]

_FEW_TEST, _FEW_DEV = 30, 10
"""Questions of a file's test and development split below which a note says how little they tell."""


def grade(
    task: Task | str, text: str, gold: Question | str, *, choices: Sequence[str] = ()
) -> Grade:
    """Read the final answer of a text and compare it to the gold answer.

    Args:
        task: The task, which says what counts as an answer and by which rule it is read; or the
            name of one that potstill knows, or an answer type such as ``number``.
        text: The model's text, unchanged.
        gold: The gold answer; or the question, which holds it and the options of a choice.
        choices: The texts of options A, B, C ..., where ``gold`` is the answer alone.

    Returns:
        The same as :func:`potstill.grading.grade.grade`, which every stage calls.

    Raises:
        ConfigError: There is no such task.
        DataError: The gold answer does not fit the answer type.
    """
    task = task_named(task) if isinstance(task, str) else task
    if isinstance(gold, str):
        gold = Question(id=task.name, text="", answer=gold, choices=tuple(choices))
    return grading.grade(task, text, gold)


def load_task(settings: TaskSettings) -> Task:
    """Read or draw a task's questions and split them.

    No text stands in two splits, and the same settings give the same splits on every machine.

    Raises:
        ConfigError: More questions are asked for than there are.
        DataError: The data is missing or malformed, or a split is empty.
        MissingExtraError: The hub or Parquet is to be read without the package for it.
    """
    if settings.file is not None:
        return _own(settings)
    assert settings.name is not None  # TaskSettings has seen to it
    listed = TASKS[settings.name]
    if isinstance(listed, Family):
        return _drawn(listed, settings)
    return _published(listed, settings)


def _own(settings: TaskSettings) -> Task:
    """A task from a user's file."""
    path = settings.file
    assert path is not None
    divided = read_file(path, settings)
    _refuse_empty(divided, settings)
    task = _finished(
        Task(
            name=path.stem,
            answer_type=answer_type_of(settings),
            splits=divided,
            rule=settings.rule,
            source=str(path),
        ),
        settings,
    )
    return replace(task, notes=(*task.notes, *_repeated(task), *_small_splits(task)))


def _refuse_empty(divided: splits.Splits, settings: TaskSettings) -> None:
    """Refuses a file that leaves a split empty which its recipe needs, with what would fill it.

    Raises:
        DataError: It does.
    """
    limits = {"train": settings.train, "dev": settings.dev, "test": settings.test}
    empty = [name for name, members in divided.items() if not members and limits[name] != 0]
    if not empty:
        return
    everything = [question for members in divided.values() for question in members]
    counts = ", ".join(f"{len(members)} {name}" for name, members in divided.items())
    told = (
        f"{settings.file}: of its {len(everything)} questions {counts}, and the {empty[0]} split "
        "is empty: a student learns from train, is chosen by dev and measured on test."
    )
    seed = splits.fitting_seed(everything) if settings.split != "template" else None
    by_seed = f", or set task.split_seed: {seed} to divide these few otherwise" if seed else ""
    raise DataError(
        f"{told} Give more questions (some hundreds are a good start){by_seed}, or say each row's "
        "split in a column 'split'. Where the recipe only measures on this task, set "
        f"{empty[0]}: 0 there."
    )


def _repeated(task: Task) -> Iterator[str]:
    """Yields how many questions stand more than once, as each counts as often as it stands."""
    for name, members in task.splits.items():
        texts = Counter(splits.normalised(" ".join([one.text, *one.choices])) for one in members)
        again = len(members) - len(texts)
        if again:
            stand = "1 stands" if again == 1 else f"{again:,} stand"
            yield (
                f"of the {len(members):,} {name} questions {stand} there already, with the same "
                "text and answer; each row counts"
            )


def _small_splits(task: Task) -> Iterator[str]:
    """Yields what is to be known of splits so small that their figures say little."""
    test, dev = len(task.splits["test"]), len(task.splits["dev"])
    if 0 < test < _FEW_TEST:
        low, high = accuracy_interval(test // 2, test)
        yield (
            f"only {number_of(test, 'test question')}: the 95% interval of an accuracy "
            f"is about {100 * (high - low):.0f} points wide, so hardly any difference will show. "
            "Some hundreds of questions are a good start"
        )
    if 0 < dev < _FEW_DEV:
        few = (
            "1 development question chooses" if dev == 1 else f"{dev} development questions choose"
        )
        yield f"only {few} the checkpoint"


def _published(dataset: Dataset, settings: TaskSettings) -> Task:
    """A task from a published set, in the authors' files or on the hub."""
    if settings.path is not None:
        read = dataset.read(settings.path)
    elif dataset.read_hub is not None:
        read = dataset.read_hub()
    else:
        raise ConfigError(
            f"{dataset.name} is not on the hub in a plain format. Get {dataset.files} from "
            f"{dataset.source} and give its place as path."
        )
    pool = _divided(dataset, read, settings)
    if not pool.train:
        if settings.train or settings.dev:
            raise ConfigError(
                f"{dataset.name} is published for testing only. For training questions, divide it "
                "with split: hash or split: fine_tune_cot."
            )
        settings = settings.model_copy(update={"train": 0, "dev": 0})
    return _finished(
        Task(
            name=dataset.name,
            answer_type=dataset.answer_type,
            splits=splits.three_ways(pool, seed=settings.split_seed, dev=settings.dev),
            rule=settings.rule,
            source=dataset.source,
            licence=dataset.licence,
            notes=read.notes,
        ),
        settings,
    )


def _divided(dataset: Dataset, pool: Pool, settings: TaskSettings) -> Pool:
    """The questions as ``split`` or ``split_file`` divides them."""
    everything = (*pool.train, *pool.dev, *pool.test)
    if settings.split_file is not None:
        if pool.test:
            raise ConfigError(f"{dataset.name} has a published split; leave split_file out.")
        return splits.split_file(settings.split_file, pool.train)
    match settings.split:
        case "published":
            return pool
        case "hash":
            return Pool(train=everything)
        case "template":
            return splits.by_template(everything, seed=settings.split_seed, at=dataset.name)
        case "fine_tune_cot":
            if pool.train and dataset.own_split:
                return pool  # it keeps the authors' split
            if not dataset.own_split and settings.path is None:
                raise ConfigError(
                    f"{dataset.name}: split: fine_tune_cot counts positions in {dataset.files}, "
                    f"and the hub may list others. Give that file's place as path; it is at "
                    f"{dataset.source}."
                )
            return splits.fine_tune_cot(everything)


def _drawn(family: Family, settings: TaskSettings) -> Task:
    """A task from a procedural family; its splits cannot overlap."""
    counts = {"train": settings.train, "dev": settings.dev, "test": settings.test}
    draw = _draw_by_template if settings.split == "template" else _draw
    return Task(
        name=family.name,
        answer_type=family.answer_type,
        rule=settings.rule,
        splits={
            name: draw(
                family,
                name,
                default if counts[name] is None else counts[name] or 0,
                settings.split_seed,
            )
            for name, default in FAMILY_COUNTS.items()
        },
        source="potstill",
        licence="Apache-2.0",
    )


def _draw(family: Family, split: Split, count: int, seed: int) -> tuple[Question, ...]:
    """Questions of one split."""
    return tuple(problem.question for problem in family.problems(split, count, seed))


def _draw_by_template(family: Family, split: Split, count: int, seed: int) -> tuple[Question, ...]:
    """Questions of the templates that are for this split: test has its own, dev has train's."""
    known = _draw(family, "train", 500, 0)  # enough to see every template of a family
    in_test = {
        splits.template_of(question)
        for question in splits.by_template(known, seed=seed, at=family.name).test
    }
    drawn: tuple[Question, ...] = ()
    wanted = count
    while len(drawn) < count:
        drawn = tuple(
            question
            for question in _draw(family, split, wanted, seed)
            if (splits.template_of(question) in in_test) == (split == "test")
        )
        wanted *= 2
    return drawn[:count]


def _finished(task: Task, settings: TaskSettings) -> Task:
    """The task without overlap, and with as many questions as the settings ask for."""
    disjoint, notes = splits.without_overlap(dict(task.splits))
    counts: dict[Split, int | None] = {
        "train": settings.train,
        "dev": settings.dev,
        "test": settings.test,
    }
    return Task(
        name=task.name,
        answer_type=task.answer_type,
        splits=splits.limited(disjoint, counts, seed=settings.split_seed, at=task.name),
        rule=task.rule,
        source=task.source,
        licence=task.licence,
        notes=(*task.notes, *notes),
    )
