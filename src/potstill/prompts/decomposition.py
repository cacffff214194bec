"""Decompositions: a problem as sub-questions with their solutions, and the turns they are made of.

Socratic chains of thought (arXiv 2212.00193, section 3): a teacher's rationale is taken apart into
parts; one student learns to ask the next sub-question, another, or the same, to answer it. Every
turn is put to a student as a question of its own, which says what was asked and answered so far.
The paper's prompts are not published; the wording is ours.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from potstill.prompts.styles import question_text
from potstill.records import Question
from potstill.text.sentences import CLOSERS
from potstill.text.steps import split_steps

Role = Literal["questioner", "counted_questioner", "counter", "solver"]
"""The kinds of turns: the next sub-question, without or with their number known; that number; a
solution."""

END = "Done."
"""A questioner's last turn, when everything has been asked."""

_MARK = " ** "
_ASKS = ("?", "？")  # noqa: RUF001
_LISTED = r"[\s>*_#(-]{0,9}(?:(?:step\s)?\d{1,3}[.:)]\s{0,3})?[*_]{0,3}"
_QUESTION_LABEL = re.compile(
    rf"{_LISTED}(?:(?:sub[- ]?)?question|q)"
    r"(?:[ ]?\d{0,3}[*_]{0,3}[.:)]|[ ]?\d{1,3}(?=[*_]{0,3}$))[*_]{0,3}\s{0,3}",
    re.IGNORECASE,
)
_LAST_LABEL = re.compile(rf"{_LISTED}final (?:question|answer)[*_:]{{1,4}}\s{{0,3}}", re.IGNORECASE)
_ANSWER_LABEL = re.compile(
    r"[\s>*_#-]{0,9}(?:(?:sub[- ]?)?(?:answer|solution)|a)[ ]?\d{0,3}[*_]{0,3}[.:)][*_]{0,3}\s",
    re.IGNORECASE,
)
_PLAIN_LABEL = re.compile(r"[\s>*_#(-]{0,9}(?:step\s)?\d{1,3}[.:)]\s", re.IGNORECASE)
_MARKED = re.compile(r"[^\W\d_]{2}[^\w\n]{0,3} \*\* ")
_NUMBER = re.compile(r"\d+")


class Part(NamedTuple):
    """A sub-question and its solution."""

    question: str
    """The sub-question, on one line."""

    solution: str


class Turn(NamedTuple):
    """An example of what a student says at one point of a decomposition."""

    question: Question
    """The problem with all that was said before, as it is put to the student."""

    target: str
    own: str
    """The part of the target that the rationale itself says."""


def decomposed(text: str) -> tuple[Part, ...]:
    """Take a rationale apart into its sub-questions and their solutions.

    The first of these layouts that the text has is read: GSM8K's socratic one, a ``question **
    solution`` a line; questions with labels such as ``Q2.``, ``Sub-question 2:`` or ``Final
    answer:``, each on a line; questions among the sentences. What stands before the first question
    is left out, and so is a question that another one follows at once. The last may be unanswered:
    a rationale stands without the statement of its answer.

    Args:
        text: A rationale, or a whole answer.

    Returns:
        The parts; none where nothing is asked, or most of what is asked is not answered.
    """
    lines = list(filter(str.strip, text.splitlines()))
    all_marked = len(lines) > 1 and all(map(_MARKED.search, lines))
    marked = all_marked or any(map(_asks_by_mark, lines))
    labelled = not marked and any(map(_QUESTION_LABEL.match, lines))
    units = _by_line(text, marked=marked) if marked or labelled else _by_sentence(text)
    stretches: list[Part] = []
    for is_question, stretch in units:
        if is_question:
            stretches.append(Part(_one_line(stretch), ""))
        elif stretches:
            question, before = stretches[-1]
            stretches[-1] = Part(question, f"{before}\n{stretch}" if before else stretch)
    parts = [Part(question, _plain_solution(solution)) for question, solution in stretches]
    answered = [part for part in parts if part.solution]
    whole = answered if parts[-1:] == answered[-1:] else [*answered, parts[-1]]
    return tuple(whole) if answered and 2 * len(whole) > len(parts) else ()


def concluded(parts: Sequence[Part], answer: str) -> tuple[Part, ...]:
    """The same parts, the last solution closed by the statement of the final answer."""
    *first, last = parts
    closing = f"The answer is {answer}."
    return (*first, Part(last.question, f"{last.solution}\n{closing}".strip()))


def turns(role: Role, question: Question, parts: Sequence[Part]) -> Iterator[Turn]:
    """Yields the turns of a decomposition that a student of a role is trained on.

    Args:
        role: The student's role.
        question: The problem, whose gold answer closes the last solution.
        parts: The rationale's parts, at least one.
    """
    if role == "counter":
        yield Turn(told(question, ()), str(len(parts)), "")
        return
    whole = concluded(parts, question.answer)
    for place, part in enumerate(parts):
        before = whole[:place]
        if role == "solver":
            solution = whole[place].solution
            yield Turn(to_solve(question, before, part.question), solution, part.solution)
        else:
            count = len(parts) if role == "counted_questioner" else None
            yield Turn(told(question, before, count=count), part.question, part.question)
    if role == "questioner":
        yield Turn(told(question, whole), END, "")


def told(question: Question, parts: Sequence[Part], *, count: int | None = None) -> Question:
    """The problem with what was asked and solved so far, as a questioner is asked for the next.

    Args:
        question: The problem.
        parts: The sub-questions and solutions so far.
        count: The number of sub-questions there will be, where the questioner is told.
    """
    so_far = "".join(f"\nQ: {part.question}\nA: {part.solution}" for part in parts)
    place = "" if count is None else f"\nQuestion {len(parts) + 1} of {count}"
    return replace(question, text=question_text(question) + so_far + place, choices=())


def to_solve(question: Question, parts: Sequence[Part], asked: str) -> Question:
    """The problem with what was said so far and a sub-question, as a solver is asked."""
    before = told(question, parts)
    return replace(before, text=f"{before.text}\nQ: {asked}")


def asked_next(text: str) -> str | None:
    """The sub-question that a questioner wrote, on one line; None where it ends or says nothing."""
    question = _one_line(text)
    ended = question.casefold().rstrip(" .") in ("", END.casefold().rstrip("."))
    return None if ended else question


def counted(text: str) -> int:
    """The number of sub-questions that a counter wrote, at least 1; 1 where it is none."""
    number = _NUMBER.search(text)
    return max(int(number[0]), 1) if number else 1


def transcript(parts: Sequence[Part]) -> str:
    """A decomposition as one text, a part a line; a question without a solution is left out."""
    return "\n".join(f"{part.question} {part.solution}" for part in parts if part.solution)


def _asks_by_mark(line: str) -> bool:
    question, mark, _ = line.partition(_MARK)
    return bool(mark) and question.rstrip(CLOSERS).endswith(_ASKS)


def _by_line(text: str, *, marked: bool) -> Iterator[tuple[bool, str]]:
    """The lines of a text, each question apart from what follows on its line, and which it is."""
    waits = False
    for line in filter(str.strip, text.splitlines()):
        rest = line.strip() if waits else _after_mark(line) if marked else _after_label(line)
        waits = rest == ""
        if rest is None:
            yield False, line.strip()
        elif rest:
            has_mark = marked and _MARK in rest
            question, solution = rest.split(_MARK, 1) if has_mark else _opening(rest)
            yield True, question
            if solution.strip():
                yield False, solution.strip()


def _after_mark(line: str) -> str | None:
    return line.strip() if _MARK in line or line.rstrip().endswith(_MARK.rstrip()) else None


def _after_label(line: str) -> str | None:
    """The rest of a line behind a question's label; None where the line has none."""
    label = _QUESTION_LABEL.match(line)
    if label:
        return line[label.end() :].strip()
    last = _LAST_LABEL.match(line)
    rest = line[last.end() :].strip() if last else ""
    return rest if _opening(rest)[0].rstrip(CLOSERS).endswith(_ASKS) else None


def _opening(line: str) -> tuple[str, str]:
    """The question that a line opens with, and the rest of it; all of it where none ends there."""
    for sentence in split_steps(line, "sentences")[:1]:
        if sentence.rstrip(CLOSERS).endswith(_ASKS):
            return sentence, line[line.index(sentence) + len(sentence) :]
    return line, ""


def _by_sentence(text: str) -> Iterator[tuple[bool, str]]:
    """The questions of a text, and each stretch between them as it stands there."""
    start = end = 0
    for sentence in split_steps(text, "sentences"):
        at = text.index(sentence, end)
        end = at + len(sentence)
        if sentence.rstrip(CLOSERS).endswith(_ASKS):
            if text[start:at].strip():
                yield False, text[start:at].strip()
            yield True, sentence
            start = end
    if text[start:].strip():
        yield False, text[start:].strip()


def _one_line(question: str) -> str:
    """A question on one line, without a number or a label before it, or marks around it."""
    for label in (_QUESTION_LABEL, _LAST_LABEL, _PLAIN_LABEL):
        if match := label.match(question):
            question = question[match.end() :]
    return " ".join(question.strip(" \n\t*_").split())


def _plain_solution(solution: str) -> str:
    """A solution without the label or mark before it."""
    solution = solution.strip().removeprefix(_MARK.lstrip())
    label = _ANSWER_LABEL.match(f"{solution} ")
    return solution[label.end() :].strip() if label else solution
