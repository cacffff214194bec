"""The schema step from names to typed systems: the one place that reads a system's name apart.

Runs made before it spell a measured system into one text. The step writes each as the columns of
:class:`potstill.records.System`::

    rationales@400                 -> model rationales, step 400, not taken
    start_small_zero_shot          -> model start, start small, variant zero_shot
    rationales_small_vote          -> model rationales, start small, variant vote

What a text alone leaves open is decided by the rest of the file: every start was measured both in
its own way and by ``zero_shot``, and every student has a checkpoint or a choice. Where a student's
name ends and its start's begins is decided by the ``recipe.yaml`` beside the file, if it is there.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from potstill.records import System
from potstill.yaml_text import parse_yaml

SYSTEM = """
    model TEXT NOT NULL, start TEXT, variant TEXT NOT NULL, step INTEGER, taken INTEGER NOT NULL"""


def _system_key(prefix: str = "") -> str:
    """The expressions that tell systems apart in an index, which takes no two NULLs for equal."""
    return f"{prefix}model, ifnull({prefix}start, ''), {prefix}variant, ifnull({prefix}step, -1)"


TABLES = f"""
ALTER TABLE training RENAME TO old_training;
CREATE TABLE training (
    student TEXT NOT NULL, start TEXT, step INTEGER NOT NULL, loss REAL NOT NULL,
    tokens INTEGER NOT NULL, seconds REAL NOT NULL, settings_hash TEXT NOT NULL
);
CREATE UNIQUE INDEX training_key ON training (student, ifnull(start, ''), step);

ALTER TABLE checkpoints RENAME TO old_checkpoints;
CREATE TABLE checkpoints (
    student TEXT NOT NULL, start TEXT, step INTEGER NOT NULL, folder TEXT NOT NULL,
    data_format TEXT NOT NULL, encoder_decoder INTEGER NOT NULL, examples INTEGER NOT NULL,
    too_long INTEGER NOT NULL, parameters INTEGER NOT NULL DEFAULT 0, soft_share REAL,
    settings_hash TEXT NOT NULL
);
CREATE UNIQUE INDEX checkpoints_key ON checkpoints (student, ifnull(start, ''), step);

ALTER TABLE choices RENAME TO old_choices;
CREATE TABLE choices (
    student TEXT NOT NULL, start TEXT, rule TEXT NOT NULL, step INTEGER NOT NULL,
    used INTEGER NOT NULL, settings_hash TEXT NOT NULL
);
CREATE UNIQUE INDEX choices_key ON choices (student, ifnull(start, ''), rule);

ALTER TABLE scores RENAME TO old_scores;
CREATE TABLE scores (
    {SYSTEM}, task TEXT NOT NULL, split TEXT NOT NULL, correct INTEGER NOT NULL,
    total INTEGER NOT NULL, low REAL NOT NULL, high REAL NOT NULL, no_answer INTEGER NOT NULL,
    truncated INTEGER NOT NULL, settings_hash TEXT NOT NULL
);
CREATE UNIQUE INDEX scores_key ON scores ({_system_key()}, task, split);

ALTER TABLE predictions RENAME TO old_predictions;
CREATE TABLE predictions (
    {SYSTEM}, task TEXT NOT NULL, question_id TEXT NOT NULL, text TEXT NOT NULL, answer TEXT,
    correct INTEGER NOT NULL, finish_reason TEXT NOT NULL, completion_tokens INTEGER NOT NULL,
    grader TEXT NOT NULL, settings_hash TEXT NOT NULL
);
CREATE UNIQUE INDEX predictions_key ON predictions ({_system_key()}, task, question_id);

ALTER TABLE comparisons RENAME TO old_comparisons;
CREATE TABLE comparisons (
    task TEXT NOT NULL,
    first_model TEXT NOT NULL, first_start TEXT, first_variant TEXT NOT NULL, first_step INTEGER,
    first_taken INTEGER NOT NULL,
    second_model TEXT NOT NULL, second_start TEXT, second_variant TEXT NOT NULL,
    second_step INTEGER, second_taken INTEGER NOT NULL,
    only_first INTEGER NOT NULL, only_second INTEGER NOT NULL, total INTEGER NOT NULL,
    difference REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL, p_value REAL NOT NULL,
    settings_hash TEXT NOT NULL
);
CREATE UNIQUE INDEX comparisons_key ON comparisons
    (task, {_system_key("first_")}, {_system_key("second_")});
"""
"""The tables as they are from here on; what was there has ``old_`` before its name."""


Row = dict[str, Any]


def type_systems(db: sqlite3.Connection, folder: Path) -> None:
    """Write the tables of results anew, with every system in columns.

    Args:
        db: The store, in a transaction.
        folder: The run's folder, where ``recipe.yaml`` may be.
    """
    for statement in TABLES.split(";"):
        db.execute(statement)
    names = OldNames(
        systems={name for (name,) in db.execute("SELECT DISTINCT system FROM old_scores")},
        students=list(_old_students(db)),
        recipe=_recipe(folder),
    )
    # A name stands for one checkpoint on test, whose step only the scores say.
    steps = dict(db.execute("SELECT system, step FROM old_scores WHERE split = 'test'"))

    def student(row: Row) -> Row:
        known = names.system(row["student"])
        return {**row, "student": known.model, "start": known.start}

    def system(name: str) -> System:
        return names.system(name, steps.get(name))

    def scored(row: Row) -> Row:
        known = names.system(row.pop("system"), row.pop("step"))
        chosen = bool(row.pop("chosen"))
        taken = known.taken and (chosen or known.step is None)
        return row | asdict(replace(known, taken=taken))

    def predicted(row: Row) -> Row:
        return row | asdict(system(row.pop("system")))

    def compared(row: Row) -> Row:
        for side in ("first", "second"):
            known = asdict(system(row.pop(side)))
            row |= {f"{side}_{column}": value for column, value in known.items()}
        return row

    rewrite = {
        "training": student,
        "checkpoints": student,
        "choices": student,
        "scores": scored,
        "predictions": predicted,
        "comparisons": compared,
    }
    for table, typed in rewrite.items():
        _rewrite(db, table, typed)


class OldNames:
    """Reads the names of one run's systems apart.

    Args:
        systems: All names of systems that have a score.
        students: The names of its students and pairs, ``STUDENT_START`` included.
        recipe: Its recipe's settings; empty where there is none.
    """

    def __init__(
        self, systems: Collection[str], students: Sequence[str], recipe: Mapping[str, Any]
    ) -> None:
        # Every start was measured in its own way and by zero_shot; no other name has that pair.
        starts = [
            name.removeprefix("start_")
            for name in systems
            if name.startswith("start_") and f"{name}_zero_shot" in systems
        ]
        self._models = {"teacher": System("teacher"), "start": System("start")}
        self._models |= {f"start_{name}": System("start", name) for name in starts}
        sweep = _sweep(recipe) if "train" in recipe else _guessed_sweep(students, starts)
        self._models |= {name: sweep.get(name, System(name)) for name in students}

    def system(self, name: str, step: int | None = None) -> System:
        """The system of a name; what no model's name begins is a model of its own.

        Args:
            name: The name in older runs; ``MODEL@STEP`` is a checkpoint that was not taken.
            step: Optimiser steps behind it, where the name does not say them.
        """
        model, _, at = name.rpartition("@")
        if at.isdigit() and model in self._models:
            return replace(self._models[model], step=int(at), taken=False)
        known = [model for model in self._models if f"{name}_".startswith(f"{model}_")]
        if not known:
            return System(name, step=step)
        model = max(known, key=len)
        return replace(self._models[model], variant=name[len(model) + 1 :], step=step)


def _sweep(recipe: Mapping[str, Any]) -> dict[str, System]:
    """A recipe's students from its several starts, as they were named; the last of a name won."""
    train = recipe["train"] if isinstance(recipe["train"], Mapping) else {}
    return {
        f"{student}_{start}": System(str(student), str(start))
        for student in train.get("students") or {}
        for start in train.get("starts") or {}
    }


def _guessed_sweep(students: Sequence[str], starts: Sequence[str]) -> dict[str, System]:
    """The students that end with the name of a start, the longest that fits."""
    several = sorted((name for name in starts if name not in students), key=len)
    return {
        student: System(student.removesuffix(f"_{start}"), start)
        for start in several
        for student in students
        if student.endswith(f"_{start}")
    }


def _old_students(db: sqlite3.Connection) -> Iterator[str]:
    for (name,) in db.execute(
        "SELECT student FROM old_training UNION SELECT student FROM old_checkpoints"
        " UNION SELECT student FROM old_choices"
    ):
        yield name


def _recipe(folder: Path) -> Mapping[str, Any]:
    """The settings in ``recipe.yaml``; empty where there is none that can be read."""
    try:
        values = parse_yaml((folder / "recipe.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, Mapping) else {}


def _rewrite(db: sqlite3.Connection, table: str, typed: Callable[[Row], Row]) -> None:
    """Move the rows of a table, in their order, from the old one to the new one."""
    rows = db.execute(f"SELECT * FROM old_{table} ORDER BY rowid")
    columns = [column for column, *_ in rows.description]
    for values in rows:
        row = typed(dict(zip(columns, values, strict=True)))
        marks = ", ".join("?" * len(row))
        db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
    db.execute(f"DROP TABLE old_{table}")
