"""ASDiv: 2,305 diverse word problems of elementary school (arXiv 2106.15772)."""

from pathlib import Path
from xml.etree import ElementTree

from potstill.errors import DataError
from potstill.grading.answers import number_spans
from potstill.records import Question
from potstill.tasks.datasets.pool import Dataset, Pool, Row, field, hub_rows, named_file, read_text


def read(path: Path) -> Pool:
    """Read ``ASDiv.xml``. The authors publish no split of it.

    Problems whose answer is not one number (names, ratios, several numbers) are left out, and the
    note says how many.
    """
    file = named_file(path, "ASDiv.xml")
    return _pool([_question(_parts(problem, file)) for problem in _root(file).iter("Problem")])


def read_hub() -> Pool:
    """Read ``EleutherAI/asdiv``, which keeps all problems in its split ``validation``."""
    rows = hub_rows("EleutherAI/asdiv", split="validation")
    return _pool([_question(_columns(row, number)) for number, row in enumerate(rows)])


def _pool(made: list[Question | None]) -> Pool:
    """The problems that one number answers."""
    kept = tuple(question for question in made if question is not None)
    left_out = len(made) - len(kept)
    notes = (f"asdiv: {left_out} of {len(made)} problems left out: no single number answers.",)
    return Pool(train=kept, notes=notes if left_out else ())


def _root(file: Path) -> ElementTree.Element:
    """The document, without the definitions by which a small file can fill the memory."""
    text = read_text(file)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"{file} defines entities (DOCTYPE), which ASDiv.xml does not; not read.")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"{file} is not XML: {error}.") from error


def _parts(problem: ElementTree.Element, file: Path) -> tuple[str, str, str]:
    """A problem's name, text and answer."""
    name = problem.get("ID")
    body, asked, answer = (
        " ".join((problem.findtext(tag) or "").split()) for tag in ("Body", "Question", "Answer")
    )
    if name is None or not (body and asked and answer):
        raise DataError(f"{file}: problem {name!r} lacks an ID, a Body, a Question or an Answer.")
    return name, f"{body} {asked}", answer


def _columns(row: Row, number: int) -> tuple[str, str, str]:
    """The same of a row of the hub, which has no ids."""
    at = f"EleutherAI/asdiv row {number}"
    body, asked, answer = (field(row, name, at=at) for name in ("body", "question", "answer"))
    return str(number), " ".join(f"{body} {asked}".split()), answer


def _question(parts: tuple[str, str, str]) -> Question | None:
    """One problem; None where no single number answers it."""
    name, text, answer = parts
    gold = number_spans.parse(answer.partition("(")[0])
    if gold is None:
        return None
    return Question(id=f"asdiv/{name}", text=text, answer=number_spans.written(gold))


ASDIV = Dataset(
    name="asdiv",
    source="https://github.com/chaochun/nlu-asdiv-dataset",
    licence="CC-BY-NC-4.0",
    files="ASDiv.xml",
    read=read,
    read_hub=read_hub,
    hub="EleutherAI/asdiv",
    sizes=(2305, 0),
)
