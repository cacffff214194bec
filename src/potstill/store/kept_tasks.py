"""The tables of tasks: every question that a run works with, so that it outlives its file."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace

import orjson

from potstill.keys import listed_hash
from potstill.records import Question, Split, Task
from potstill.store.database import Rows, explained

_SPLITS: tuple[Split, ...] = ("train", "dev", "test")


class TaskTables(Rows):
    """Keeps tasks with their questions."""

    def keep_task(self, task: Task, *, key: str, places: Mapping[str, str]) -> None:
        """Keep a task and its questions in the place of an earlier reading.

        Args:
            task: The task as it was read.
            key: Stands for its settings.
            places: The whole paths of its files, by the name of the setting.
        """
        digest = listed_hash(_rows(task))
        facts = asdict(replace(task, splits={}))
        row = (key, digest, orjson.dumps(facts).decode(), orjson.dumps(places).decode())
        if self._kept(key) == row:
            return
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?)", (*row, time.time()))
            db.execute("DELETE FROM questions WHERE task NOT IN (SELECT digest FROM tasks)")
            db.executemany(
                "INSERT OR IGNORE INTO questions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                ((digest, *question) for question in _rows(task)),
            )

    def task_places(self, key: str) -> Mapping[str, str]:
        """Returns where the files of the task that was kept for these settings were.

        Empty where none was kept, or it has no files.
        """
        row = self._kept(key)
        places: Mapping[str, str] = orjson.loads(row[3]) if row else {}
        return places

    def task(self, key: str) -> Task | None:
        """Returns the task that was kept for these settings, as read last; None: none was."""
        row = self._kept(key)
        if row is None:
            return None
        _, digest, facts, _ = row
        splits: dict[Split, list[Question]] = {split: [] for split in _SPLITS}
        with explained(self.path):
            rows = self._db.execute(
                "SELECT split, id, text, answer, choices, template_id FROM questions"
                " WHERE task = ? ORDER BY place",
                (digest,),
            )
            for split, id_, text, answer, choices, template_id in rows:
                question = Question(
                    id=id_, text=text, answer=answer, choices=tuple(orjson.loads(choices)),
                    template_id=template_id,
                )  # fmt: skip
                splits[split].append(question)
        values = orjson.loads(facts)
        values["notes"] = tuple(values["notes"])
        values["splits"] = {split: tuple(members) for split, members in splits.items()}
        return Task(**values)

    def _kept(self, key: str) -> tuple[str, str, str, str] | None:
        with explained(self.path):
            row = self._db.execute(
                "SELECT settings_hash, digest, facts, places FROM tasks WHERE settings_hash = ?",
                (key,),
            ).fetchone()
        return None if row is None else (row[0], row[1], row[2], row[3])


def _rows(task: Task) -> Iterator[tuple[object, ...]]:
    """Yields the questions as rows: split, place, id, text, answer, choices, template."""
    place = 0
    for split in _SPLITS:
        for question in task.splits.get(split, ()):
            choices = orjson.dumps(question.choices).decode()
            yield (
                split, place, question.id, question.text, question.answer, choices,
                question.template_id,
            )  # fmt: skip
            place += 1
