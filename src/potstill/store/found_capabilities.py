"""The table of what servers were found to be able to do."""

from collections.abc import Iterable

from potstill.records import Capability
from potstill.store.database import Rows, columns_of, explained, row_of

_KEY = ("address", "model", "route")


class CapabilityTables(Rows):
    """Keeps the newest finding on each ability of each model behind each server."""

    def keep_capabilities(self, found: Iterable[Capability]) -> None:
        """Store findings, in the place of older ones."""
        columns = columns_of(Capability)
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT OR REPLACE INTO capabilities ({', '.join(columns)}) VALUES ({marks})"
        with self._transaction() as db:
            db.executemany(statement, [tuple(row_of(one).values()) for one in found])

    def capabilities(self, *, address: str, model: str, route: str) -> dict[str, Capability]:
        """Returns what is known of one model behind one server, by the ability's name."""
        columns = columns_of(Capability)
        condition = " AND ".join(f"{column} = ?" for column in _KEY)
        with explained(self.path):
            rows = self._db.execute(
                f"SELECT {', '.join(columns)} FROM capabilities WHERE {condition} ORDER BY rowid",
                (address, model, route),
            ).fetchall()
        found = [Capability(**dict(zip(columns, row, strict=True))) for row in rows]
        return {capability.name: capability for capability in found}
