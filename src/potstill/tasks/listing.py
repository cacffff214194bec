"""The output of ``potstill tasks``: all tasks as tables, or one with three graded samples."""

from pathlib import Path

import yaml
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from potstill.errors import ConfigError
from potstill.grading.grade import grade
from potstill.records import Grade, Question
from potstill.tasks.datasets import DATASETS
from potstill.tasks.datasets.bbh import BBH
from potstill.tasks.datasets.pool import Dataset
from potstill.tasks.procedural import FAMILIES, FAMILY_COUNTS, Family
from potstill.tasks.settings import TASKS, spelt, task_named, unknown

SAMPLES = Path(__file__).with_name("samples.yaml")
_BESIDE_BBH = [dataset for dataset in DATASETS.values() if dataset not in BBH]


def tasks_table() -> RenderableType:
    """Returns all tasks with their answer types, sizes, sources and licences, kind by kind."""
    published = _table("task", "answers", "train", "test", "source (licence)")
    for dataset in _BESIDE_BBH:
        published.add_row(dataset.name, dataset.answer_type, *_sizes(dataset), _origin(dataset))
    hard = _table("task", "answers", "test")
    for dataset in BBH:
        hard.add_row(dataset.name, dataset.answer_type, _sizes(dataset)[1])
    drawn = _table("task", "answers", "train", "test")
    for family in FAMILIES.values():
        drawn.add_row(family.name, family.answer_type, "any", "any")
    return Group(
        Text("Published sets, split as published or, by default, by a hash", style="bold"),
        published,
        Text(f"\nBIG-Bench Hard, {_origin(BBH[0])}", style="bold"),
        hard,
        Text("\nProcedural families, drawn by potstill (Apache-2.0)", style="bold"),
        drawn,
        *_added(),
        Text("\npotstill tasks NAME shows a task with three graded samples."),
    )


def _added() -> list[RenderableType]:
    """The tasks that installed distributions add, with what is wrong where one cannot be used."""
    added = _table("task", "answers", "train", "test", "source (licence)")
    for name in TASKS:
        if name in DATASETS or name in FAMILIES:
            continue
        try:
            listed = TASKS[name]
        except ConfigError as error:
            added.add_row(name, "-", "-", "-", str(error))
            continue
        if isinstance(listed, Family):
            added.add_row(name, listed.answer_type, "any", "any", "drawn")
        else:
            added.add_row(name, listed.answer_type, *_sizes(listed), _origin(listed))
    return [Text("\nOf installed extensions", style="bold"), added] if added.row_count else []


def task_page(name: str) -> RenderableType:
    """Returns the facts about one task, and three answers to it with the grader's verdicts.

    Raises:
        ConfigError: There is no such task.
    """
    known = spelt(name)
    if known is None:
        raise ConfigError(unknown(name))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for label, fact in _facts(known):
        facts.add_row(label, Text(fact))
    parts: list[RenderableType] = [Text(known, style="bold"), facts]
    for number, (question, completion, _) in enumerate(samples(known), start=1):
        parts += [Text(f"\nsample {number}", style="bold"), _sample(known, question, completion)]
    return Group(*parts)


def tasks_values() -> dict[str, object]:
    """Returns the same as plain values: every task by its name, or why it cannot be used."""
    return {name: _listed_values(name) for name in TASKS}


def _listed_values(name: str) -> dict[str, object]:
    try:
        listed = TASKS[name]
    except ConfigError as error:
        return {"error": str(error)}
    if isinstance(listed, Family):
        return {"answer_type": listed.answer_type, "drawn": True}
    train, test = listed.sizes
    return {
        "answer_type": listed.answer_type,
        "drawn": False,
        "train": train,
        "test": test,
        "source": listed.source,
        "licence": listed.licence,
    }


def task_values(name: str) -> dict[str, object]:
    """Returns the facts about one task as plain values, with its samples as they are graded.

    Raises:
        ConfigError: There is no such task.
    """
    known = spelt(name)
    if known is None:
        raise ConfigError(unknown(name))
    task = task_named(known)
    read = [
        (question, completion, grade(task, completion, question))
        for question, completion, _ in samples(known)
    ]
    return {
        "name": known,
        **_listed_values(known),
        "samples": [
            {
                "question": question.text,
                "choices": question.choices,
                "gold": question.answer,
                "completion": completion,
                "answer": graded.answer,
                "correct": graded.correct,
            }
            for question, completion, graded in read
        ],
    }


def samples(task: str) -> list[tuple[Question, str, str]]:
    """Returns a task's samples: a question, an answer, and its verdict as ``verdict`` words it."""
    rows = yaml.safe_load(SAMPLES.read_text(encoding="utf-8")).get(task, [])
    return [
        (
            Question(
                id=f"{task}/sample/{number}",
                text=row["question"],
                answer=row["gold"],
                choices=tuple(row.get("choices", ())),
            ),
            row["completion"],
            row["verdict"],
        )
        for number, row in enumerate(rows, start=1)
    ]


def verdict(graded: Grade) -> str:
    """Returns a grade in one word: ``right``, ``wrong``, or ``none`` where no answer was found."""
    return "right" if graded.correct else "none" if graded.answer is None else "wrong"


def _table(*columns: str) -> Table:
    """Returns an empty table; the columns of counts are set to the right."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for name in columns:
        is_size = name in ("train", "test")
        table.add_column(name, justify="right" if is_size else "left", overflow="fold")
    return table


def _sizes(dataset: Dataset) -> tuple[str, str]:
    """Returns the counts of training and test questions; a dash for none."""
    train, test = (f"{size:,}" if size else "-" for size in dataset.sizes)
    return train, test


def _origin(dataset: Dataset) -> str:
    """Returns where a set is published, and its licence."""
    licence = "no licence stated" if dataset.licence == "none" else dataset.licence
    return f"{dataset.source.removeprefix('https://github.com/')} ({licence})"


def _facts(name: str) -> list[tuple[str, str]]:
    """Returns the facts about a task, as labels and texts."""
    answers = ("answers", task_named(name).answer_type)
    listed = TASKS[name]
    if isinstance(listed, Family):
        counts = ", ".join(f"{split} {count}" for split, count in FAMILY_COUNTS.items())
        return [
            answers,
            ("questions", f"drawn without end; by default {counts}"),
            *([("source", "potstill (Apache-2.0)")] if name in FAMILIES else []),
            ("to use it", f"task: {name}"),
        ]
    dataset = listed
    train, test = _sizes(dataset)
    by = "its authors" if dataset.own_split else "Fine-tune-CoT (split: fine_tune_cot)"
    split = f"train {train}, test {test}, by {by}"
    if "-" in (train, test):
        split = f"{train}, not split" if test == "-" else f"{test}, published for testing only"
    from_folder = f"{{name: {name}, path: FOLDER}}"
    return [
        answers,
        ("questions", split),
        ("source", dataset.source),
        ("licence", "none stated" if dataset.licence == "none" else dataset.licence),
        ("files", dataset.files),
        ("on the hub", dataset.hub or "not in a plain format; give the files"),
        ("to use it", f"task: {name}, or {from_folder}" if dataset.hub else f"task: {from_folder}"),
    ]


def _sample(task: str, question: Question, completion: str) -> Table:
    """Returns a question, an answer to it, and how the answer is graded."""
    graded = grade(task_named(task), completion, question)
    options = "".join(
        f"\n({chr(ord('A') + index)}) {option}" for index, option in enumerate(question.choices)
    )
    outcome = verdict(graded)
    read = "no answer: wrong"
    if graded.answer:
        read = f"{graded.answer} (rule {graded.rule}): {outcome}"
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("question", Text(question.text.strip() + options))
    table.add_row("gold", Text(question.answer))
    table.add_row("answer", Text(completion))
    table.add_row("read", Text(read, style="green" if outcome == "right" else "red"))
    return table
