"""A run as it is at one moment, ready to be looked at: its page and the index of its questions.

All of a snapshot's reading is done by one thread of its own, which holds the store's connection.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_args

import orjson

from potstill.pipeline.run import Run, stored_run
from potstill.pipeline.run_report import run_results
from potstill.records import Question
from potstill.report.answer_table import answer_table
from potstill.report.page import page
from potstill.report.question_rows import QuestionRows, Row
from potstill.report.questions import QuestionSet, header, question_sets, set_data
from potstill.runtime.progress import Meter
from potstill.store.question_index import (
    IndexedQuestion,
    QuestionFilter,
    QuestionIndex,
    QuestionOrder,
)

PAGE = 25
"""Questions of one answer, as many as the page shows at once."""

T = TypeVar("T")

Parameters = Mapping[str, list[str]]
"""The parameters of an address; see the beginning of ``report/page.js``."""


@dataclass(frozen=True, slots=True)
class _ReadRun:
    run: Run
    page: bytes
    rows: QuestionRows
    sets: list[QuestionSet]
    index: QuestionIndex
    questions: dict[tuple[int, str], Question]


class UnknownQuestionError(LookupError):
    """An address names a task or a question that the run has not."""


class RunSnapshot:
    """A run as it was at one moment, readable until it is closed.

    Args:
        folder: The run's folder.
        version: Tells it from other snapshots of the run.

    Raises:
        PotstillError: From :meth:`opened`: the run's recipe or store cannot be read.
    """

    def __init__(self, folder: Path, version: int) -> None:
        self.folder, self.version = folder, version
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="view")
        self._opened: _ReadRun | None = None
        self._readers, self._is_left = 0, False

    async def opened(self) -> bytes:
        """Returns the page; the first call reads the run."""
        return await self._do(lambda: self._read().page)

    async def questions(self, asked: Parameters) -> bytes:
        """Returns a page of the questions that parameters ask for, as JSON."""
        return await self._do(lambda: self._found(self._read(), asked))

    async def question(self, asked: Parameters) -> bytes:
        """Returns one question with all that was answered to it, as JSON."""
        return await self._do(lambda: self._whole(self._read(), asked))

    async def answers(self) -> AsyncIterator[str]:
        """Yields every answer to every question as CSV, in pieces; the snapshot stays so long."""
        self._readers += 1
        try:
            pieces = await self._do(self._answers)
            while (piece := await self._do(lambda: next(pieces, None))) is not None:
                yield piece
        finally:
            self._readers -= 1
            if self._is_left:
                await self.close()

    async def close(self) -> None:
        """Close the store, once what is asked for is answered."""
        self._is_left = True
        if self._readers:
            return  # the last of them closes it
        await self._do(self._close)
        self._thread.shutdown(wait=False)

    def _answers(self) -> Iterator[str]:
        opened = self._read()
        return answer_table(opened.rows, opened.sets)

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _read(self) -> _ReadRun:
        if self._opened is None:
            self._opened = _read_run(self.folder, self.version)
        return self._opened

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.index.close()
            self._opened.run.__exit__()
            self._opened = None

    @staticmethod
    def _found(opened: _ReadRun, asked: Parameters) -> bytes:
        number = _set_number(opened, asked)
        found = opened.index.find(number, _filter(opened, number, asked))
        wanted = _one(asked, "question")
        at = next((place for place, (_, id_) in enumerate(found) if id_ == wanted), None)
        last = max(-(-len(found) // PAGE), 1)
        wanted_page = min(max(_whole_number(_one(asked, "page")), 1), last)
        shown = at // PAGE if at is not None else wanted_page - 1
        places = [place for place, _ in found[shown * PAGE : (shown + 1) * PAGE]]
        rows = b",".join(opened.index.rows(number, places))
        return b'{"total":%d,"page":%d,"rows":[%s]}' % (len(found), shown, rows)

    @staticmethod
    def _whole(opened: _ReadRun, asked: Parameters) -> bytes:
        number = _set_number(opened, asked)
        question = opened.questions.get((number, _one(asked, "question") or ""))
        if question is None:
            raise UnknownQuestionError("the run has no such question")
        one = opened.sets[number]
        return orjson.dumps(opened.rows.whole(one.task, one.split, question))


def _read_run(folder: Path, version: int) -> _ReadRun:
    """Reads a run."""
    run = stored_run(folder, Meter(None), read_only=True, untouched=True)
    index = QuestionIndex()
    try:
        results = run_results(run)
        rows = QuestionRows(results, run.store)
        sets = question_sets(results, rows)
        for number, one in enumerate(sets):
            index.add(number, _indexed(one, rows))
        browser = {
            **header(results),
            "sets": [set_data(one) for one in sets],
            "served": True,
            "version": version,
        }
        questions = {
            (number, question.id): question
            for number, one in enumerate(sets)
            for question in one.questions
        }
        html = page(results, browser=browser).encode()
    except BaseException:
        index.close()
        run.__exit__()
        raise
    return _ReadRun(run, html, rows, sets, index, questions)


def _indexed(one: QuestionSet, rows: QuestionRows) -> Iterator[IndexedQuestion]:
    for place, question in enumerate(one.questions):
        row = rows.listed(one.task, one.split, question)
        answers = row["answers"]
        verdicts = row["verdicts"]
        assert isinstance(answers, list) and isinstance(verdicts, list)
        yield IndexedQuestion(
            place=place,
            id=question.id,
            template=None if row["template"] is None else str(row["template"]),
            length=_number(row, "length"),
            split_by=_number(row, "split_by"),
            cut=any(answer["finish"] == "length" for answer in answers),
            unanswered=any(answer["answer"] is None for answer in answers),
            none_kept=bool(verdicts) and "kept" not in verdicts,
            right=[(answer["system"], answer["right"]) for answer in answers],
            verdicts=verdicts,
            words=rows.words(one.task, one.split, question),
            row=orjson.dumps(row | {"place": place}),
        )


def _number(row: Row, name: str) -> int:
    value = row[name]
    assert isinstance(value, int)
    return value


def _one(asked: Parameters, name: str) -> str | None:
    values = asked.get(name, [])
    return values[0] if values else None


def _whole_number(text: str | None) -> int:
    """Returns the number of a page that an address names, 1 where it names none."""
    if not (text and text.isascii() and text.isdigit()):
        return 1
    return int(text[-9:]) if not text[:-9].strip("0") else 10**9


def _set_number(opened: _ReadRun, asked: Parameters) -> int:
    """Returns which set an address is about.

    Raises:
        UnknownQuestionError: The run has no such task, or nothing was answered there.
    """
    wanted = (_one(asked, "task"), _one(asked, "split") or "test")
    for number, one in enumerate(opened.sets):
        if (one.task, one.split) == wanted:
            return number
    raise UnknownQuestionError("the run has no such questions")


def _filter(opened: _ReadRun, number: int, asked: Parameters) -> QuestionFilter:
    """Returns what the parameters of an address look for; see ``report/page.js``."""
    right, wrong = list(asked.get("right", [])), list(asked.get("wrong", []))
    measured = opened.sets[number].facets["systems"]
    assert isinstance(measured, Mapping)
    pair = opened.rows.pairs.get(opened.sets[number].task) or ()
    for role, system in zip(("start", "student"), pair, strict=False):
        verdict = _one(asked, role)
        if verdict in ("right", "wrong"):
            (right if verdict == "right" else wrong).append(system)
    length, thirds = _one(asked, "length"), opened.sets[number].facets["thirds"]
    above = up_to = None
    if isinstance(thirds, tuple) and length in ("short", "middle", "long"):
        above = {"middle": thirds[0], "long": thirds[1]}.get(length)
        up_to = {"short": thirds[0], "middle": thirds[1]}.get(length)
    order = _one(asked, "sort")
    return QuestionFilter(
        right=[system for system in right if system in measured],
        wrong=[system for system in wrong if system in measured],
        verdict=_one(asked, "verdict") or None,
        cut="cut" in asked,
        unanswered="unanswered" in asked,
        above=above,
        up_to=up_to,
        template=_one(asked, "template") or None,
        words=(_one(asked, "q") or "").strip().lower(),
        order=next((known for known in get_args(QuestionOrder) if known == order), "disagreement"),
    )
