"""``recorded:`` models: rationales that were published or bought before, from a file.

A line of such a file holds a question and one rationale, or a list of them::

    {"question": "Ann has 3 pens and buys 4 more. How many has she?", "rationale": "3 + 4 = 7 ..."}
"""

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from potstill.errors import DataError, ModelError, shortened, unread_file
from potstill.models.interface import Model, cannot_score
from potstill.models.settings import RecordedSettings
from potstill.records import Completion, Request
from potstill.tables import SourceRow, listed_faults, source_rows
from potstill.text.thinking import answer_and_thinking

_SHOWN = 3
"""Questions that are shown where none of a file's fits."""

_LABEL = re.compile(r"(?:Q|Question)\s*:\s*", re.IGNORECASE)
"""The label that a published prompt puts before a question."""

_OPTIONS = re.compile(
    r"\s*\b(?:Which choice is true\?$|(?:Answer choices|Options)\s*:\s*(?=\(?A\b).*)",
    re.IGNORECASE | re.DOTALL,
)
"""The end of a question in a published prompt: its options, or a request to choose one."""

logger = logging.getLogger(__name__)


class RecordedModel(Model):
    """Answers from a file: JSON lines, a JSON array, CSV, each of them maybe gzipped, or Parquet.

    Sample i of a question is its i-th rationale in the file; samples that the file lacks are not
    answered. Questions are matched by their text, white space aside; where the file has none such,
    by the bare question, without a label before it (``Q:``) and options behind it (``Answer
    choices: A: ...``), unless several of the file's questions are the same then. The name stands
    for the file's content, so moving it changes nothing and editing it starts anew.
    """

    chat = True

    def __init__(self, settings: RecordedSettings) -> None:
        path = Path(settings.where)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"{settings.model}: {unread_file(path, error)}") from error
        columns = settings.question_field, settings.rationale_field
        digest = hashlib.blake2b(data, digest_size=4, salt=_salt(columns)).hexdigest()
        self.name = f"recorded:{path.name}@{digest}"
        self._path = path
        self._rationales = _rationales(source_rows(path), *columns, path=path)
        self._by_bare_text = _by_bare_text(self._rationales)

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answers requests; see :class:`potstill.models.interface.Model`."""
        unknown = 0
        for request in requests:
            if request.given is not None:
                raise ModelError(cannot_score(self.name))
            if request.top_logprobs:
                raise ModelError(
                    f"{self.name}: a file of rationales has no token probabilities; "
                    "set top_logprobs to 0, or ask a live model."
                )
            texts = self.recorded(request.question)
            unknown += not texts
            yield from _completions(request, texts)
        if unknown:
            logger.warning("%s has no rationale for %d of the questions", self._path, unknown)

    def require_match(self, questions: Sequence[str]) -> None:
        """Refuses a file that holds a rationale of none of these questions.

        Raises:
            DataError: None is there; the message shows questions of both.
        """
        if not questions or any(map(self.recorded, questions)):
            return
        theirs = ", ".join(shortened(text) for text in [*self._rationales][:_SHOWN])
        ours = ", ".join(shortened(text) for text in questions[:_SHOWN])
        raise DataError(
            f"{self._path} has no rationale for any of the {len(questions):,} training questions. "
            f"They are matched by their text, white space aside. The file asks: {theirs}. The task "
            f"asks: {ours}. Name the file's column with question_field, or give the file of "
            "rationales that belongs to the task."
        )

    def recorded(self, question: str) -> list[str]:
        """Returns the rationales of a question, none where the file lacks it."""
        text = one_line(question)
        return self._rationales.get(text) or self._by_bare_text.get(bare_question(text), [])


def _by_bare_text(rationales: dict[str, list[str]]) -> dict[str, list[str]]:
    """Returns the rationales by bare question, but for those that several questions share."""
    questions: dict[str, list[str]] = {}
    for question in rationales:
        questions.setdefault(bare_question(question), []).append(question)
    return {bare: rationales[same[0]] for bare, same in questions.items() if len(same) == 1}


def bare_question(question: str) -> str:
    """Returns a normalised question without a label before it and options behind it."""
    label = _LABEL.match(question)
    return _OPTIONS.sub("", question[label.end() :] if label else question)


def _completions(request: Request, texts: list[str]) -> Iterator[Completion]:
    for sample in request.samples:
        if sample >= len(texts):
            continue
        text, thinking = answer_and_thinking(texts[sample])
        if text.startswith(request.answer_prefix):
            yield Completion(
                request=request,
                sample=sample,
                text=text.removeprefix(request.answer_prefix),
                thinking=thinking,
                finish_reason="stop",
            )


def _salt(columns: tuple[str, str]) -> bytes:
    """Returns a salt for the digest: another column of the same file is another model."""
    return hashlib.blake2b("\0".join(columns).encode(), digest_size=16).digest()


def one_line(text: str) -> str:
    """Returns a text with single spaces in the place of any white space."""
    return " ".join(text.split())


def _rationales(
    rows: Iterable[SourceRow], question_field: str, rationale_field: str, *, path: Path
) -> dict[str, list[str]]:
    """Returns every question's rationales, in the file's order.

    Raises:
        DataError: Rows cannot be read or lack a text, all of which are told; or there are none.
    """
    rationales: dict[str, list[str]] = {}
    faults = []
    for place, row, fault in rows:
        if row is None:
            faults.append(f"{path}, {place}: {fault}.")
            continue
        missing = [field for field in (question_field, rationale_field) if field not in row]
        if missing:
            faults.append(f"{path}, {place}: {_no_such_column(missing[0], [*row])}")
            continue
        question, rationale = row[question_field], row[rationale_field]
        listed = rationale if isinstance(rationale, list) else [rationale]
        texts = [text for text in listed if isinstance(text, str)]
        if not isinstance(question, str) or len(texts) < len(listed):
            faults.append(
                f"{path}, {place}: {question_field!r} must hold text and {rationale_field!r} "
                "text or a list of texts."
            )
            continue
        rationales.setdefault(one_line(question), []).extend(texts)
    if faults:
        raise listed_faults(path, faults)
    if not rationales:
        raise DataError(f"{path}: there is no rationale in it.")
    return rationales


def _no_such_column(field: str, present: list[str]) -> str:
    near = get_close_matches(field, present, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    names = ", ".join(repr(name) for name in present)
    return (
        f"no column {field!r}; there are {names}.{hint} "
        "Name the columns with question_field and rationale_field."
    )
