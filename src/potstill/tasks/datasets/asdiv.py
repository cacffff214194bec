"""ASDiv: 2,305 diverse word problems of elementary school (arXiv 2106.15772).

In the authors' XML a problem is ``<Problem ID="nluds-0001"> <Body>Seven red apples and two green
apples are in the basket.</Body> <Question>How many apples are in the basket?</Question> <Answer>9
(apples)</Answer> </Problem>``; body and question are the text, the gold answer is "9".
"""

from pathlib import Path
from xml.etree import ElementTree

from potstill.errors import DataError
from potstill.grading.answers import number_spans
from potstill.records import Question
from potstill.tasks.datasets.pool import Dataset, Pool, Row, field, hub_rows, named_file, read_text


def read(path: Path) -> Pool:
    """Reads ``ASDiv.xml``. The authors publish no split of it.

    Problems whose answer is not one number (names, ratios, several numbers) are left out, and the
    note says how many.
    """
    file = named_file(path, "ASDiv.xml")
    problems = _root(file).iter("Problem")
    return _pool([_question(*_problem_parts(problem, file)) for problem in problems])


def read_hub() -> Pool:
    """Reads ``EleutherAI/asdiv``, which keeps all problems in its split ``validation``."""
    rows = hub_rows("EleutherAI/asdiv", split="validation")
    return _pool([_question(*_row_parts(row, number)) for number, row in enumerate(rows)])


def _pool(problems: list[Question | None]) -> Pool:
    """Returns the problems that one number answers, with a note of how many are left out."""
    kept = tuple(question for question in problems if question is not None)
    left_out = len(problems) - len(kept)
    notes = (f"asdiv: {left_out} of {len(problems)} problems left out: no single number answers.",)
    return Pool(train=kept, notes=notes if left_out else ())


def _root(file: Path) -> ElementTree.Element:
    """Returns the document; one with definitions, by which it could fill the memory, is refused."""
    text = read_text(file)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"{file} defines entities (DOCTYPE), which ASDiv.xml does not; not read.")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"{file} is not XML: {error}.") from error


def _problem_parts(problem: ElementTree.Element, file: Path) -> tuple[str, str, str]:
    """Returns the name, the text and the answer of a problem in the file."""
    name = problem.get("ID")
    body, question, answer = (
        " ".join((problem.findtext(tag) or "").split()) for tag in ("Body", "Question", "Answer")
    )
    if name is None or not (body and question and answer):
        raise DataError(f"{file}: problem {name!r} lacks an ID, a Body, a Question or an Answer.")
    return name, f"{body} {question}", answer


def _row_parts(row: Row, number: int) -> tuple[str, str, str]:
    """Returns the name, the text and the answer of a row on the hub, where problems have no ids."""
    at = f"EleutherAI/asdiv row {number}"
    body, question, answer = (field(row, name, at=at) for name in ("body", "question", "answer"))
    return str(number), " ".join(f"{body} {question}".split()), answer


def _question(name: str, text: str, answer: str) -> Question | None:
    """Returns one problem; None where no single number answers it."""
    gold = number_spans.parse(answer.partition("(")[0])
    if gold is None:
        return None
    return Question(id=f"asdiv/{name}", text=text, answer=number_spans.format_number(gold))


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
