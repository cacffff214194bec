"""People's verdicts on rationales, read from a file and laid beside the rationales of a run.

A right answer does not make the reasoning right: of 170 rationales that the answer filter kept,
people found 47 flawed (Fine-tune-CoT, arXiv 2212.10071, Date Understanding). A row of such a file
holds a question, a rationale and a verdict, as what ``potstill export`` writes does once somebody
has filled in its column ``mark``::

    {"question": "Ann has 3 pens ...", "rationale": "3 + 4 = 7.", "mark": true}

A mark belongs to the rationale with the same question and the same text, white space aside.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from potstill.errors import DataError
from potstill.models.recorded import bare_question, one_line
from potstill.settings import Settings
from potstill.tables import rows
from potstill.tasks.fields import check_fields, field_value, row_verdicts

logger = logging.getLogger(__name__)


class MarkSettings(Settings):
    """A file of people's verdicts on rationales: JSONL, JSON, CSV or Parquet."""

    file: Path
    """The file; a rationale and its verdict a row, or lists of both."""

    question: str = "question"
    """Column with the question's text."""

    rationale: str = "rationale"
    """Column with the rationale, with or without the closing statement of its answer."""

    verdict: str = "mark"
    """Column with the verdict: true or false, 1 or 0, yes or no, right or wrong; empty is none."""

    keep_unmarked: bool = False
    """Keep also rationales that nobody has marked."""


_COLUMNS = ("question", "rationale", "verdict")
"""The settings that name columns."""


class Marks:
    """The verdicts of a file, by question and rationale.

    Where several people marked one rationale, most of them decide; of as many for it as against it
    it counts as rejected.

    Args:
        settings: The file and its columns.

    Raises:
        DataError: The file cannot be read, lacks a column, or a verdict is none that is known.
    """

    def __init__(self, settings: MarkSettings) -> None:
        self._path = settings.file
        self._votes: dict[tuple[str, str], Counter[bool]] = {}
        self._used: set[tuple[str, str]] = set()
        columns = {name: getattr(settings, name) for name in _COLUMNS}
        for at, row in rows(settings.file):
            check_fields(row, columns, at=at, noun="column", setting="curate.marks.{}")
            question, texts = (field_value(row, columns[name]) for name in _COLUMNS[:2])
            listed = texts if isinstance(texts, list) else [texts]
            if not isinstance(question, str) or not all(isinstance(one, str) for one in listed):
                fault = f"{settings.question!r} and {settings.rationale!r} must hold text"
                raise DataError(f"{at}: {fault}.")
            verdicts = row_verdicts(row, settings.verdict, len(listed), at=at)
            for text, verdict in zip(listed, verdicts, strict=True):
                if verdict is not None:
                    key = bare_question(one_line(question)), one_line(text)
                    self._votes.setdefault(key, Counter())[verdict] += 1
        if not self._votes:
            raise DataError(f"{self._path}: no rationale in it is marked ({settings.verdict}).")

    def of(self, question: str, texts: Iterable[str]) -> bool | None:
        """Returns the verdict on a rationale; None where nobody has marked it.

        Args:
            question: The question's text.
            texts: The rationale's text in each of the forms that people may have read.
        """
        asked = bare_question(one_line(question))
        marked = {(asked, one_line(text)) for text in texts} & self._votes.keys()
        if not marked:
            return None
        self._used |= marked
        return sum(self._votes[key][True] - self._votes[key][False] for key in marked) > 0

    def require_used(self) -> None:
        """Warns of marks on rationales that were not asked for.

        Raises:
            DataError: None of the marks is on a rationale that was asked for.
        """
        unused = [key for key in self._votes if key not in self._used]
        if not self._used:
            question, text = unused[0]
            raise DataError(
                f"{self._path}: none of {len(unused):,} marked rationales is one of this run's. "
                "They are matched by the texts of question and rationale, white space aside; the "
                f"first marked one is {text[:60]!r} on {question[:60]!r}."
            )
        if unused:
            logger.warning(
                "%d of %d marked rationales of %s are none of this run's",
                len(unused),
                len(self._votes),
                self._path,
            )


def marks_digest(settings: MarkSettings | None) -> str | None:
    """Returns what stands for a file of marks; None where there is none or it cannot be read."""
    if settings is None:
        return None
    try:
        return hashlib.blake2b(settings.file.read_bytes(), digest_size=8).hexdigest()
    except OSError:
        return None
