"""The questions of a run in the order in which a browser looks for them, apart from the store.

It is made from what a page lists of each question, and lies in temporary files that are gone with
it, one of SQLite's and one of the texts that are searched; the store itself is only read.
"""

import sqlite3
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from potstill.store.unnamed_file import UnnamedFile

QuestionOrder = Literal["disagreement", "order", "length"]

_ORDERS: dict[QuestionOrder, str] = {
    "disagreement": "split_by DESC, place",
    "order": "place",
    "length": "length DESC, place",
}

_BLOCK = 1 << 18
"""Bytes of texts that are searched at once; larger ones are slower to read."""

_TABLES = """
    CREATE TABLE listed (
        question_set INTEGER NOT NULL, place INTEGER NOT NULL, id TEXT NOT NULL, template TEXT,
        length INTEGER NOT NULL, split_by INTEGER NOT NULL, cut INTEGER NOT NULL,
        unanswered INTEGER NOT NULL, none_kept INTEGER NOT NULL,
        PRIMARY KEY (question_set, place)
    ) WITHOUT ROWID;
    CREATE TABLE answers (
        question_set INTEGER NOT NULL, system TEXT NOT NULL, is_right INTEGER NOT NULL,
        place INTEGER NOT NULL, PRIMARY KEY (question_set, system, is_right, place)
    ) WITHOUT ROWID;
    CREATE TABLE verdicts (
        question_set INTEGER NOT NULL, verdict TEXT NOT NULL, place INTEGER NOT NULL,
        PRIMARY KEY (question_set, verdict, place)
    ) WITHOUT ROWID;
    CREATE TABLE shown (
        question_set INTEGER NOT NULL, place INTEGER NOT NULL, row BLOB NOT NULL,
        PRIMARY KEY (question_set, place)
    );
"""


class IndexedQuestion(NamedTuple):
    """A question as far as filters and orders look at it."""

    place: int
    """Its index among the questions of its set, from 0."""

    id: str
    template: str | None
    length: int
    split_by: int
    """How much is said of it both rightly and wrongly, as a number to order by."""

    cut: bool
    unanswered: bool
    none_kept: bool
    right: Sequence[tuple[str, bool]]
    """Whether each system's answer is right."""

    verdicts: Sequence[str]
    words: str
    """All of its texts, in small letters."""

    row: bytes
    """Its row in a list, in bytes."""


class QuestionFilter(NamedTuple):
    """The conditions on questions that are looked for; all must hold."""

    right: Sequence[str] = ()
    """Systems that are right."""

    wrong: Sequence[str] = ()
    verdict: str | None = None
    """One that a rationale has; ``none_kept``: there are rationales, and none is kept."""

    cut: bool = False
    unanswered: bool = False
    above: int | None = None
    """The length is above this."""

    up_to: int | None = None
    template: str | None = None
    words: str = ""
    order: QuestionOrder = "disagreement"


class QuestionIndex:
    """Finds questions, by sets that are numbered from 0. One thread at a time may use it."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA cache_size = -65536")  # KiB
        self._db.executescript(_TABLES)
        self._texts: dict[int, _JoinedTexts] = {}

    def close(self) -> None:
        """Remove it."""
        self._db.close()
        self._texts.clear()

    def add(self, number: int, questions: Iterable[IndexedQuestion]) -> None:
        """Add the questions of a set."""
        db, texts = self._db, self._texts.setdefault(number, _JoinedTexts())
        db.execute("BEGIN")
        for one in questions:
            place = (number, one.place)
            db.execute(
                "INSERT INTO listed VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*place, one.id, one.template, one.length, one.split_by, one.cut, one.unanswered,
                 one.none_kept),
            )  # fmt: skip
            db.executemany(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)",
                ((number, system, is_right, one.place) for system, is_right in one.right),
            )
            db.executemany(
                "INSERT INTO verdicts VALUES (?, ?, ?)",
                ((number, verdict, one.place) for verdict in one.verdicts),
            )
            texts.add(one.place, one.words)
            db.execute("INSERT INTO shown VALUES (?, ?, ?)", (*place, one.row))
        db.execute("COMMIT")

    def find(self, number: int, sought: QuestionFilter) -> list[tuple[int, str]]:
        """Returns the places and ids of the questions of a set that are looked for, in order."""
        conditions, values = ["question_set = ?"], list[object]([number])
        for is_right, systems in ((1, sought.right), (0, sought.wrong)):
            for system in systems:
                conditions.append(
                    "place IN (SELECT place FROM answers"
                    " WHERE question_set = ? AND system = ? AND is_right = ?)"
                )
                values += [number, system, is_right]
        if sought.verdict == "none_kept":
            conditions.append("none_kept")
        elif sought.verdict is not None:
            conditions.append(
                "place IN (SELECT place FROM verdicts WHERE question_set = ? AND verdict = ?)"
            )
            values += [number, sought.verdict]
        conditions += ["cut"] * sought.cut + ["unanswered"] * sought.unanswered
        for condition, value in (
            ("length > ?", sought.above),
            ("length <= ?", sought.up_to),
            ("template = ?", sought.template),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        found: list[tuple[int, str]] = self._db.execute(
            f"SELECT place, id FROM listed WHERE {' AND '.join(conditions)}"
            f" ORDER BY {_ORDERS[sought.order]}",
            values,
        ).fetchall()
        if not sought.words:
            return found
        with_words = self._texts[number].places(sought.words) if number in self._texts else ()
        return [one for one in found if one[0] in with_words]

    def rows(self, number: int, places: Iterable[int]) -> list[bytes]:
        """Returns what is shown of questions in a list."""
        query = "SELECT row FROM shown WHERE question_set = ? AND place = ?"
        return [self._db.execute(query, (number, place)).fetchone()[0] for place in places]


class _JoinedTexts:
    """Texts one behind the other, in which a word is found almost at the speed of memory.

    They lie in a file, and a block of them at a time is read. SQLite goes through text character by
    character, and an index of all its trigrams is larger than the text and takes many times as long
    to make.
    """

    _END = b"\0"
    """The separator of two texts, which occurs in none of them."""

    def __init__(self) -> None:
        self._places, self._starts, self._size = array("q"), array("q"), 0
        self._blocks, self._last = UnnamedFile(), bytearray()

    def add(self, place: int, text: str) -> None:
        """Add a text."""
        part = text.encode(errors="replace").replace(self._END, b" ") + self._END
        self._places.append(place)
        self._starts.append(self._size)
        self._size += len(part)
        self._last += part
        if len(self._last) >= _BLOCK:
            self._blocks.append(bytes(self._last))
            self._last.clear()

    def places(self, words: str) -> set[int]:
        """Returns the places of the texts that hold these words."""
        sought, found, begin = words.encode(errors="replace"), set[int](), 0
        if not sought:
            return found
        for block in self._read():
            at = 0
            while (at := block.find(sought, at)) >= 0:
                text = bisect_right(self._starts, begin + at) - 1
                found.add(self._places[text])
                at = self._starts[text + 1] - begin if text + 1 < len(self._starts) else len(block)
            begin += len(block)
        return found

    def _read(self) -> Iterator[bytes | bytearray]:
        """Yields the blocks, each of whole texts."""
        for number in range(len(self._blocks)):
            yield self._blocks.read(number)
        yield self._last
