"""Stores as they were before a step of the schema."""

import sqlite3
from contextlib import closing
from pathlib import Path

UNPROMISED = 23
"""The last schema in which a promised accuracy told no policy apart."""


def forget_promised_accuracies(store: Path) -> None:
    """Take a store back to :data:`UNPROMISED`; of policies that were alike then the first stays."""
    key = "kind, name, ifnull(signal, ''), ifnull(number, 0), task, split"
    with closing(sqlite3.connect(store)) as db, db:
        for table, more in (("guided_scores", ""), ("guided_predictions", ", question_id")):
            db.execute(f"DROP INDEX {table}_once")
            db.execute(
                f"DELETE FROM {table} WHERE rowid NOT IN"
                f" (SELECT min(rowid) FROM {table} GROUP BY {key}{more})"
            )
            db.execute(f"ALTER TABLE {table} DROP COLUMN accuracy_at_least")
            db.execute(f"CREATE UNIQUE INDEX {table}_once ON {table} ({key}{more})")
        db.execute(f"PRAGMA user_version = {UNPROMISED}")
