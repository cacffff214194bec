"""The tables of provenance: which recipes a run was given, and what determined its results.

The rows of a stage's results carry a ``settings_hash``. Where today's potstill made them,
``provenance`` holds the values behind that hash by name, and the recipe that they come from::

    curate, 3f2a... -> {"teacher": "openai:big@example.org/v1", "curate.right_answer": true, ...}

It is written before the results are, so that no result is without it, however the process ends.
"""

import time
from collections.abc import Mapping
from typing import Literal, NamedTuple

import orjson

from potstill.store.database import Rows, explained

Stage = Literal["curate", "train", "evaluate", "guide"]
"""The stages whose results stand on a recipe; completions are found by their requests instead."""

_RESULTS: Mapping[Stage, str] = {
    "curate": "rationales",
    "train": "checkpoints",
    "evaluate": "scores",
    "guide": "guided_scores",
}
"""The table that holds each stage's results."""


class Provenance(NamedTuple):
    """The recipe and inputs that determined the results of a stage."""

    inputs: Mapping[str, object]
    """JSON values by name; empty where an older potstill made the results."""

    recipe: str
    """The recipe as YAML; empty likewise."""

    @property
    def is_known(self) -> bool:
        """Whether the results say what determined them."""
        return bool(self.inputs)


class Writer(NamedTuple):
    """A model that wrote rationales, with how it was asked for them."""

    teacher: str
    """Its name in the recipe."""

    model: str
    """The name that its completions are stored under."""

    temperature: float
    top_p: float
    seed: int | None
    """None where it was asked greedily."""

    kept: int
    """Rationales of it that were kept."""

    imported: int
    """Rationales among the kept that a file brought."""

    total: int
    """Rationales of it, whatever their verdict."""


class ProvenanceTables(Rows):
    """Keeps recipes and the inputs of stages, and tells who wrote the rationales."""

    def use_recipe(self, text: str, *, recipe_hash: str) -> None:
        """Keep a recipe as the one that the run goes on with.

        Args:
            text: The recipe as YAML.
            recipe_hash: Stands for all of its settings.
        """
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO recipes VALUES (?, ?, ?)",
                (recipe_hash, text, time.time()),
            )

    def last_recipe(self) -> str:
        """Returns the recipe that the run went on with last, as YAML; empty where none is kept."""
        with explained(self.path):
            row = self._db.execute(
                "SELECT text FROM recipes ORDER BY used_at DESC LIMIT 1"
            ).fetchone()
        return str(row[0]) if row else ""

    def last_used(self) -> float | None:
        """Returns when a recipe was last gone on with, in seconds since 1970; None: not known."""
        with explained(self.path):
            (moment,) = self._db.execute("SELECT max(used_at) FROM recipes").fetchone()
        return None if moment is None else float(moment)

    def has_results(self) -> bool:
        """Whether a model has answered anything, or a stage left anything; failures are nothing."""
        tables = ("completions WHERE finish_reason != 'error'", *_RESULTS.values())
        exists = " OR ".join(f"EXISTS (SELECT 1 FROM {table})" for table in tables)
        with explained(self.path):
            (found,) = self._db.execute(f"SELECT {exists}").fetchone()
        return bool(found)

    def keep_provenance(
        self, stage: Stage, inputs: Mapping[str, object], *, settings_hash: str, recipe_hash: str
    ) -> None:
        """Keep what determines the results that a stage is about to store.

        Args:
            stage: The stage.
            inputs: JSON values by name.
            settings_hash: Stands for the inputs; the results are stored with it.
            recipe_hash: See :meth:`use_recipe`.
        """
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO provenance VALUES (?, ?, ?, ?)",
                (stage, settings_hash, recipe_hash, orjson.dumps(inputs).decode()),
            )

    def provenance(self, stage: Stage) -> Provenance | None:
        """Returns what determined a stage's results; None where it has none."""
        table = _RESULTS[stage]
        with explained(self.path):
            row = self._db.execute(
                "SELECT inputs, text FROM"
                f" (SELECT settings_hash FROM {table} ORDER BY rowid DESC LIMIT 1)"
                " LEFT JOIN (SELECT settings_hash AS made_by, inputs, text FROM provenance"
                " LEFT JOIN recipes ON recipe = hash WHERE stage = ?)"
                " ON made_by = settings_hash",
                (stage,),
            ).fetchone()
        if row is None:
            return None
        inputs, text = row
        return Provenance(orjson.loads(inputs or "{}"), text or "")

    def training_inputs(self) -> Mapping[str, object]:
        """Returns what determines the students of the training that was begun last, by name.

        Empty where none was begun, or only by a version that did not keep it.
        """
        with explained(self.path):
            row = self._db.execute(
                "SELECT inputs FROM provenance LEFT JOIN recipes ON recipe = hash"
                " WHERE stage = 'train' ORDER BY used_at DESC LIMIT 1"
            ).fetchone()
        inputs: Mapping[str, object] = orjson.loads(row[0]) if row else {}
        return inputs

    def writers(self) -> list[Writer]:
        """Returns who wrote the rationales that are stored, in the order of curation.

        It is read from the requests that were really asked, whatever the recipe says today.
        """
        with explained(self.path):
            rows = self._db.execute(
                "SELECT teacher, model, json_extract(body, '$.temperature'),"
                " json_extract(body, '$.top_p'), json_extract(body, '$.seed'),"
                " sum(verdict = 'kept'), sum(verdict = 'kept' AND stage = 'import'), count(*)"
                " FROM rationales JOIN completions ON completion_id = completions.id"
                " JOIN requests ON request_key = key GROUP BY 1, 2, 3, 4, 5"
                " ORDER BY min(rationales.rowid)"
            ).fetchall()
        return [Writer(*row) for row in rows]
