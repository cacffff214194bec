"""Whether a store is whole: its file, its tables, and what their rows say of each other.

:func:`store_faults` reads the file and writes nothing; whatever it finds is a phrase. SQLite's own
check comes first: where that fails, rows are not looked at.
"""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from potstill.errors import shortened
from potstill.keys import body_key, settings_hash, stored_request
from potstill.store.database import connect_to_read
from potstill.store.packed_logprobs import PackedLogprobs, collisions, missing_mass, unpack
from potstill.store.schema import MIGRATIONS

MOST_TOLD = 5
"""Rows that are told of each kind of fault."""

CONTRADICTIONS = {
    "completions": (
        "sample < 0 OR max_tokens < 1 OR prompt_tokens < 0 OR completion_tokens < 0"
        " OR NOT cost BETWEEN 0 AND 1e9 OR created_at < 0 OR stage = ''"
        " OR finish_reason = ''"
        " OR (error IS NOT NULL AND finish_reason != 'error')"
    ),
    "rationales": (
        "verdict = '' OR ifnull(mark, 0) NOT IN (0, 1) OR ifnull(right, 0) NOT IN (0, 1)"
        " OR (verdict = 'rejected' AND ifnull(mark, 1) != 0)"
        " OR NOT EXISTS (SELECT 1 FROM completions WHERE id = completion_id)"
        " OR sample != (SELECT sample FROM completions WHERE id = completion_id)"
        " OR EXISTS (SELECT 1 FROM completions WHERE id = completion_id"
        " AND finish_reason = 'error')"
        " OR (verdict IN ('unfinished', 'unknown_end'))"
        " != ((SELECT finish_reason FROM completions WHERE id = completion_id) != 'stop')"
        " OR (trim(text) != '' AND EXISTS (SELECT 1 FROM completions AS own"
        " WHERE id = completion_id AND trim(own.text) = '' AND ifnull(thinking, '') = ''))"
    ),
    "likelihoods": (
        "tokens < 1 OR NOT mean_logprob BETWEEN -1e9 AND 1e-6 OR ifnull(mean_rank, 1) < 1"
        " OR NOT ifnull(local_naturalness, 0) BETWEEN -1e9 AND 1e-6"
    ),
    "training": (
        "step < 1 OR tokens < 0 OR seconds < 0 OR NOT loss BETWEEN -1e-6 AND 1e9"
        " OR EXISTS (SELECT 1 FROM training AS earlier WHERE earlier.student = training.student"
        " AND earlier.start IS training.start AND earlier.step < training.step"
        " AND earlier.tokens > training.tokens)"
    ),
    "checkpoints": (
        "step < 1 OR examples < 1 OR too_long < 0 OR parameters < 0 OR folder = ''"
        " OR folder LIKE '/%' OR '/' || folder || '/' LIKE '%/../%'"
        " OR NOT ifnull(soft_share, 0) BETWEEN 0 AND 1"
    ),
    "scores": (
        "total < 1 OR NOT correct BETWEEN 0 AND total OR NOT no_answer BETWEEN 0 AND total"
        " OR NOT truncated BETWEEN 0 AND total OR no_answer + correct > total"
        " OR NOT ifnull(thinking_ended, 0) BETWEEN 0 AND total"
        " OR NOT (0 <= low AND low <= 1.0 * correct / total + 1e-9"
        " AND 1.0 * correct / total <= high + 1e-9 AND high <= 1 + 1e-9)"
    ),
    "predictions": (
        "completion_tokens < 0 OR correct NOT IN (0, 1) OR ifnull(thinking_ended, 0) NOT IN (0, 1)"
    ),
    "comparisons": (
        "total < 1 OR only_first < 0 OR only_second < 0 OR only_first + only_second > total"
        " OR NOT p_value BETWEEN 0 AND 1 + 1e-9 OR low > high"
        " OR abs(difference - 1.0 * (only_first - only_second) / total) > 1e-6"
    ),
    "choices": "step < 1 OR used NOT IN (0, 1)",
    "guided_scores": (
        "total < 1 OR NOT accuracy BETWEEN 0 AND 1 OR NOT low BETWEEN 0 AND 1"
        " OR NOT high BETWEEN 0 AND 1 OR low > high OR cost < 0"
    ),
    "guided_predictions": "correct NOT IN (0, 1) OR student_tokens < 0 OR teacher_tokens < 0",
    "stages": "seconds < 0",
}
"""Conditions that no row written by potstill meets, by table."""

_UNPREDICTED = """
    SELECT scores.rowid, correct, total, told, rights FROM scores JOIN (
        SELECT model, start, variant, step, task, count(*) AS told, sum(correct) AS rights
        FROM predictions GROUP BY model, start, variant, step, task
    ) AS own USING (model, variant, task)
    WHERE split = 'test' AND own.start IS scores.start AND own.step IS scores.step
    AND (told != total OR rights != correct)
"""
"""Test scores that are not those of the predictions beside them."""

_JSON = {"provenance": "inputs", "tasks": "facts", "questions": "choices"}
"""Columns that hold JSON."""


class StoreFault(NamedTuple):
    """Something wrong with a store."""

    table: str
    """Empty: the file as a whole."""

    fault: str
    """A phrase."""


def store_faults(path: Path) -> list[StoreFault]:
    """Returns what is wrong with a store; nothing where it is whole. Nothing is written.

    A store of an older schema is looked at as it is after it was brought up to date, in a copy.

    Args:
        path: The file ``run.sqlite``.
    """
    if not path.is_file() or not path.stat().st_size:
        return [StoreFault("", "the file is empty" if path.is_file() else "there is no such file")]
    try:
        with closing(connect_to_read(path)) as db:
            faults = [StoreFault("", fault) for fault in _file_faults(db)]
            if faults:
                return faults
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version == len(MIGRATIONS):
                return list(_row_faults(db))
            with tempfile.TemporaryDirectory() as folder:
                return _faults_of_older(db, version, Path(folder) / path.name, path.parent)
    except sqlite3.Error as error:
        return [StoreFault("", f"it cannot be read: {error}")]


def _faults_of_older(
    db: sqlite3.Connection, version: int, place: Path, run_folder: Path
) -> list[StoreFault]:
    """Returns the faults of a store of an older schema, by a copy that is brought up to date."""
    with closing(sqlite3.connect(place, isolation_level=None)) as copy:
        db.backup(copy)
        copy.execute("PRAGMA synchronous = OFF")
        copy.execute("PRAGMA journal_mode = MEMORY")
        _bring_up_to_date(copy, version, run_folder)
        return list(_row_faults(copy))


def _bring_up_to_date(db: sqlite3.Connection, version: int, folder: Path) -> None:
    for step in MIGRATIONS[version:]:
        if isinstance(step, str):
            db.executescript(step)
        else:
            step(db, folder)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _file_faults(db: sqlite3.Connection) -> Iterator[str]:
    """Yields what makes rows not worth looking at: broken pages, or tables that are not there."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        yield f"it is of schema {version}; this potstill knows up to {len(MIGRATIONS)}"
        return
    told = [str(line) for (line,) in db.execute("PRAGMA integrity_check(20)")]
    if told != ["ok"]:
        yield from told
        return
    if 0 < version < len(MIGRATIONS):
        return  # its tables are looked at once they are today's
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        _bring_up_to_date(model, 0, Path())
        expected, there = _columns(model), _columns(db)
    for table, columns in expected.items():
        if table not in there:
            yield f"the table {table} is missing"
        elif lacking := columns - there[table]:
            yield f"the table {table} lacks {', '.join(sorted(lacking))}"


def _columns(db: sqlite3.Connection) -> dict[str, set[str]]:
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {table: {row[1] for row in db.execute(f"PRAGMA table_info({table})")} for table in names}


def _row_faults(db: sqlite3.Connection) -> Iterator[StoreFault]:
    db.execute("PRAGMA query_only = ON")
    for table, rowid, parent, _ in db.execute("PRAGMA foreign_key_check").fetchall()[:MOST_TOLD]:
        yield StoreFault(table, f"row {rowid} belongs to a row of {parent} that is not there")
    for table in sorted(_columns(db)):
        yield from _told(table, _ill_typed(db, table))
    for table, condition in CONTRADICTIONS.items():
        query = f"SELECT rowid FROM {table} WHERE {condition}"
        if table == "likelihoods":  # without row numbers
            query = f"SELECT completion_id FROM {table} WHERE {condition}"
        faults = (f"row {row} contradicts itself or another" for (row,) in db.execute(query))
        yield from _told(table, faults)
    for table, column in _JSON.items():
        yield from _told(table, _no_json(db, table, column))
    yield from _told("requests", _wrong_requests(db))
    yield from _told("logprobs", _wrong_logprobs(db))
    yield from _told("questions", _wrong_questions(db))
    unpredicted = (
        f"row {row} says {correct} of {total}; its predictions say {rights} of {told}"
        for row, correct, total, told, rights in db.execute(_UNPREDICTED)
    )
    yield from _told("scores", unpredicted)


def _told(table: str, faults: Iterator[str]) -> Iterator[StoreFault]:
    """Yields the first faults of a table, and how many more there are."""
    listed = list(faults)
    yield from (StoreFault(table, fault) for fault in listed[:MOST_TOLD])
    if len(listed) > MOST_TOLD:
        yield StoreFault(table, f"and {len(listed) - MOST_TOLD:,} more rows")


_TYPES: dict[str, tuple[str, ...]] = {
    "TEXT": ("text",),
    "INTEGER": ("integer",),
    "REAL": ("real", "integer"),
    "NUMERIC": ("real", "integer"),
    "BLOB": ("blob",),
}


def _ill_typed(db: sqlite3.Connection, table: str) -> Iterator[str]:
    """Yields values that are not of their column's type, and texts that are no UTF-8."""
    for _, column, declared, *_ in db.execute(f"PRAGMA table_info({table})").fetchall():
        wanted = _TYPES.get(declared.upper())
        if wanted is None:
            continue
        marks = ", ".join("?" * len(wanted))
        (wrong,) = db.execute(
            f"SELECT count(*) FROM {table} WHERE {column} IS NOT NULL"
            f" AND typeof({column}) NOT IN ({marks})",
            wanted,
        ).fetchone()
        if wrong:
            yield f"{column} is not of the type {declared} in {wrong:,} rows"
        if wanted == ("text",):
            cells = db.execute(f"SELECT CAST({column} AS BLOB) FROM {table}")
            bad = sum(not _is_utf8(cell) for (cell,) in cells if cell is not None)
            if bad:
                yield f"{column} is no text in {bad:,} rows"


def _is_utf8(cell: bytes) -> bool:
    try:
        cell.decode()
    except UnicodeDecodeError:
        return False
    return True


def _no_json(db: sqlite3.Connection, table: str, column: str) -> Iterator[str]:
    for (cell,) in db.execute(f"SELECT CAST({column} AS BLOB) FROM {table}"):
        try:
            orjson.loads(cell)
        except (orjson.JSONDecodeError, TypeError):
            yield f"{column} is no JSON: {shortened(cell)}"


def _wrong_requests(db: sqlite3.Connection) -> Iterator[str]:
    """Yields requests that are not those that their keys stand for."""
    for key, model, body in db.execute(
        "SELECT key, CAST(model AS BLOB), CAST(body AS BLOB) FROM requests"
    ):
        name = f"request {bytes(key).hex()}"
        if body_key(body) != key:
            yield f"{name} is not the one that its key stands for"
            continue
        fault = _failure(partial(stored_request, body, max_tokens=1, samples=(0,)))
        if fault:
            yield f"{name} cannot be read ({fault})"
        elif orjson.loads(body)["model"].encode() != model:
            yield f"{name} is of another model than it says"


def _wrong_questions(db: sqlite3.Connection) -> Iterator[str]:
    """Yields tasks whose questions are not those that were read."""
    for (digest,) in db.execute("SELECT DISTINCT digest FROM tasks").fetchall():
        rows = db.execute(
            "SELECT split, place, id, text, answer, choices, template_id FROM questions"
            " WHERE task = ? ORDER BY place",
            (digest,),
        ).fetchall()
        if settings_hash(rows) != digest:
            yield f"the {len(rows):,} of {digest} are not those that were read"


def _wrong_logprobs(db: sqlite3.Connection) -> Iterator[str]:
    """Yields token probabilities that cannot be unpacked, or are none."""
    rows = db.execute(
        "SELECT completion_id, tokens, top, logprobs, ids, token_bytes, lengths, collisions,"
        " missing_mass FROM logprobs"
    )
    for id_, *columns in rows:
        packed = PackedLogprobs(*columns)
        fault = _logprobs_fault(packed)
        if fault:
            yield f"those of completion {id_} {fault}"


def _logprobs_fault(packed: PackedLogprobs) -> str | None:
    """Returns what is wrong with token probabilities, in words; None where nothing is."""
    if packed.ids is not None and packed.lengths is not None:
        return "name their tokens by ids and by bytes"
    if isinstance(packed.token_bytes, str):
        return "have names that are no bytes"
    fault = _failure(partial(unpack, packed))
    if fault:
        return f"cannot be unpacked ({fault})"
    record = unpack(packed)
    if record.lengths is not None and int(record.lengths.sum()) != len(record.token_bytes):
        return "have names of other lengths than they say"
    unknown = np.isnan(record.logprobs)
    unknown[:1, :1] = False  # of a first token that nothing stands before
    if unknown.any() or (record.logprobs > 1e-3).any():
        return "are no logarithms of probabilities"
    if packed.collisions != collisions(record):
        return "count other collisions than they have"
    bound = 0.0003 * record.logprobs.shape[1] if packed.form == "compact" else 1e-6
    if not abs(packed.missing_mass - missing_mass(record)) < bound:
        return "leave out another mass than they say"
    return None


def _failure(work: Callable[[], Any]) -> str | None:
    """Returns why something cannot be read; None where it can."""
    try:
        work()
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        return f"{type(error).__name__}: {error}"
    return None
