"""``recorded:`` models: rationales that were published or bought before, from a file.

A line of such a file holds a question and one rationale, or a list of them::

    {"question": "Ann has 3 pens and buys 4 more. How many has she?", "rationale": "3 + 4 = 7 ..."}
"""

import gzip
import hashlib
import io
import logging
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

import orjson

from potstill.errors import DataError, ModelError, extra
from potstill.models.interface import Model
from potstill.models.settings import RecordedSettings
from potstill.records import Completion, Request
from potstill.text.thinking import answer_and_thinking

logger = logging.getLogger(__name__)


class RecordedModel(Model):
    """Answers from a file: JSONL, a JSON array, either of them gzipped, or Parquet.

    Sample i of a question is its i-th rationale in the file; samples that the file lacks are not
    answered. Questions are matched by their bare text, white space aside. The name stands for the
    file's content, so moving it changes nothing and editing it starts anew.
    """

    chat = True

    def __init__(self, settings: RecordedSettings) -> None:
        path = Path(settings.where)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"{settings.model}: cannot read {path}: {error.strerror}.") from error
        columns = settings.question_field, settings.rationale_field
        digest = hashlib.blake2b(data, digest_size=4, salt=_salt(columns)).hexdigest()
        self.name = f"recorded:{path.name}@{digest}"
        self._path = path
        self._rationales = _rationales(_rows(data, path), *columns, path=path)

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answers requests; see :class:`potstill.models.interface.Model`."""
        unknown = 0
        for request in requests:
            if request.top_logprobs:
                raise ModelError(
                    f"{self.name}: a file of rationales has no token probabilities; "
                    "set top_logprobs to 0, or ask a live model."
                )
            texts = self._rationales.get(_normalised(request.question), [])
            unknown += not texts
            yield from _completions(request, texts)
        if unknown:
            logger.warning("%s has no rationale for %d of the questions", self._path, unknown)


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


def _normalised(question: str) -> str:
    return " ".join(question.split())


def _rationales(
    rows: Iterable[tuple[str, object]], question_field: str, rationale_field: str, *, path: Path
) -> dict[str, list[str]]:
    """Returns every question's rationales, in the file's order."""
    rationales: dict[str, list[str]] = {}
    for place, row in rows:
        if not isinstance(row, dict):
            raise DataError(f"{path}, {place}: a {type(row).__name__} where an object should be.")
        for field in (question_field, rationale_field):
            if field not in row:
                raise DataError(f"{path}, {place}: {_no_such_column(field, [*row])}")
        question, rationale = row[question_field], row[rationale_field]
        texts = rationale if isinstance(rationale, list) else [rationale]
        if not isinstance(question, str) or not all(isinstance(text, str) for text in texts):
            raise DataError(
                f"{path}, {place}: {question_field!r} must hold text and {rationale_field!r} "
                "text or a list of texts."
            )
        rationales.setdefault(_normalised(question), []).extend(texts)
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


def _rows(data: bytes, path: Path) -> Iterator[tuple[str, object]]:
    """Yields each row with its place, such as ``line 3``."""
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise DataError(f"{path}: damaged gzip data: {error}.") from error
    data = data.removeprefix(b"\xef\xbb\xbf")
    if data.startswith(b"PAR1"):
        return _numbered(_parquet(data, path))
    if data.lstrip().startswith(b"["):
        try:
            return _numbered(orjson.loads(data))
        except orjson.JSONDecodeError as error:
            raise DataError(f"{path}, line {error.lineno}: broken JSON: {error.msg}.") from error
    return _lines(data, path)


def _numbered(rows: list[object]) -> Iterator[tuple[str, object]]:
    return ((f"row {number}", row) for number, row in enumerate(rows, 1))


def _lines(data: bytes, path: Path) -> Iterator[tuple[str, object]]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            try:
                yield f"line {number}", orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise DataError(f"{path}, line {number}: broken JSON: {error.msg}.") from error


def _parquet(data: bytes, path: Path) -> list[object]:
    with extra("parquet", needed_for=f"reading {path}"):
        import pyarrow
        from pyarrow import parquet
    try:
        rows: list[object] = parquet.read_table(io.BytesIO(data)).to_pylist()
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: damaged Parquet data: {error}.") from error
    return rows
