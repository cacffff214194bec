r"""Steps: where one thought of a rationale ends and the next begins.

A text is first cut into pieces, at line breaks or also at the ends of sentences, never inside a
formula or a calculator mark. Then pieces that are no thought of their own join a neighbour: a
heading or what ends in a colon belongs to what it announces, a rule or a lone bracket to what
stands before it::

    "**Step 1:**\nTom has 3.5 kg.\n---\nSo 2 * 3.5 = 7. He needs 7 kg."   in sentences:
    ["**Step 1:**\nTom has 3.5 kg.\n---", "So 2 * 3.5 = 7.", "He needs 7 kg."]

Guidance counts, replaces and asks for steps (arXiv 2311.07945), so a model that is stopped after
one has to be stopped where this module sees its end.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from potstill.text.sentences import CLOSERS, Span, protected, sentence_ends

StepKind = Literal["lines", "sentences"]

STOPS: dict[StepKind, tuple[str, ...]] = {
    "lines": ("\n",),
    "sentences": (". ", "? ", "! ", "\n"),
}
"""Strings at which a model that is asked for one step stops."""

_HEADING = re.compile(r"\#{1,6}\s[^\n]*|[-\#>\s\d.)]{0,20}\*\*[^*\n]+\*\*")
_UNSPACED = ("。", "？", "！", "｡")  # noqa: RUF001
_ENDED = (".", "?", "!", "…", ":", "：", "$$", "\\]", *_UNSPACED)  # noqa: RUF001
_LABEL = re.compile(r"\A[-*#>•(\s]{0,20}(?:step\s+\d+|\d{1,3})[.:)]\s", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?<![\w.,])[$€£]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?%?(?:/\d+(?![\d.,]*\d))?"
    r"(?!\d|(?:st|nd|rd|th)\b)"
)
_RESULT = re.compile(
    r"\b(?:is|are|was|were|equals?|makes?|gives?|leaves?|gets?|has|have|totals?)\b"
)


def step_kind(texts: Iterable[str]) -> StepKind:
    """Returns the layout of rationales: lines where most of them have several, else sentences.

    Paragraphs of several sentences, or a single one with the answer on a line below, are laid out
    in sentences.
    """
    counts = Counter(_in_lines(text) for text in texts)  # none of them is held
    return "lines" if counts[True] > counts[False] else "sentences"


def split_steps(text: str, kind: StepKind) -> list[str]:
    """Returns the steps of a text, in order, without the white space around them."""
    return [text[start:end] for start, end in step_spans(text, kind)]


def step_spans(text: str, kind: StepKind) -> list[Span]:
    """Returns the places where the steps of a text begin and end, white space left out."""
    steps: list[Span] = []
    announced = False
    for start, end in _pieces(text, kind):
        piece = text[start:end]
        has_words = any(map(str.isalnum, piece))
        if steps and (announced or not has_words):
            steps[-1] = (steps[-1][0], end)
        else:
            steps.append((start, end))
            announced = True
        if has_words:
            announced = _announces(piece)
    return steps


def is_whole(step: str, kind: StepKind) -> bool:
    """Whether a step is over, so that what a model writes after it is another one.

    It is not after "1." or "Mr.", where a stop string may have cut it off, nor after a heading.
    """
    after = "\nNext, that." if kind == "lines" else " Next, that."
    return len(split_steps(step + after, kind)) > len(split_steps(step, kind))


def closed(step: str, kind: StepKind, end: str = ".") -> str:
    """Returns a step as it was before a model stopped at its end: a sentence with its mark."""
    step = step.strip()
    if kind == "lines" or not step or step.rstrip(CLOSERS).endswith(_ENDED):
        return step
    return step if step.endswith(_ENDED) else step + end


def joined(steps: Sequence[str], kind: StepKind) -> str:
    """Returns steps as the beginning of an answer that a model goes on from.

    A line is ended, so that what follows is a step of its own; after a sentence the model writes
    the space itself, as its tokens have it. A sentence without an end keeps a line to itself.
    """
    if kind == "lines":
        return "".join(f"{step}\n" for step in steps)
    gaps = [_gap(step) for step in steps[:-1]]
    text = "".join(step + gap for step, gap in zip(steps, [*gaps, ""], strict=False))
    return text if split_steps(text, kind) == list(steps) else "\n".join(steps)


def subquestion_of(step: str) -> tuple[str, str] | None:
    """Returns the question that a step asks itself, and its answer; None where it asks none.

    Both ``question ** answer``, GSM8K's socratic layout, and ``question? answer.`` are read.
    """
    question, mark, answer = step.partition(" ** ")
    if not mark:
        first = split_steps(step, "sentences")[:1]
        question = first[0] if first else ""
        answer = step.strip()[len(question) :]
        if not question.rstrip(CLOSERS).endswith(("?", "？")):  # noqa: RUF001
            return None
    question, answer = question.strip(), answer.strip()
    return (question, answer) if question and answer else None


def hint_of(step: str) -> str:
    """Returns the quantities that a step uses, and no more of it; empty where it names none.

    A number behind ``=``, or behind a verb such as "is" once two quantities were named, may be the
    step's result and is left out. Quantities in words are not looked for.
    """
    numbers = dict.fromkeys(_quantities(_without_result(_LABEL.sub("", step, count=1))))
    return f"Use {' and '.join(numbers)}." if numbers else ""


def _gap(step: str) -> str:
    """Returns the white space between a step and the next one."""
    if step.rstrip(CLOSERS).endswith(_UNSPACED):
        return ""
    return " " if is_whole(step, "sentences") else "\n"


def _in_lines(text: str) -> bool:
    """Whether a text has several lines, of no more than two sentences each on average."""
    lines = len(split_steps(text, "lines"))
    return lines > 1 and len(split_steps(text, "sentences")) <= 2 * lines


def _pieces(text: str, kind: StepKind) -> Iterator[tuple[int, int]]:
    """Yields the places where pieces of a text begin and end, without white space around them."""
    spans = protected(text)
    ends = sentence_ends(text, spans, sentences=kind == "sentences")
    start = 0
    for end in (*ends, len(text)):
        piece = text[start:end]
        if piece.strip():
            yield start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
        start = end


def _announces(piece: str) -> bool:
    """Whether a piece only introduces what follows."""
    plain = piece.rstrip(CLOSERS)
    if plain.endswith((":", "：")):  # noqa: RUF001
        return True
    return not plain.endswith(_ENDED) and _HEADING.fullmatch(piece) is not None


def _without_result(step: str) -> str:
    """Returns the beginning of a step, up to where its result may stand."""
    left, equals, right = step.partition("=")
    if not equals:
        verbs = [verb.start() for verb in _RESULT.finditer(step)]
        places = [number.start() for number in _NUMBER.finditer(step)]
        known = places[1] if len(places) > 1 else len(step)
        return step[: verbs[-1]] if verbs and verbs[-1] > known else step
    if _NUMBER.search(left):
        return left
    middle, again, _ = right.partition("=")
    operands = len(_NUMBER.findall(middle)) > 1
    return middle if again or operands else ""


def _quantities(text: str) -> Iterator[str]:
    """Yields the numbers of a text; a quotient above 1 is a division, and gives two."""
    for number in _NUMBER.findall(text):
        above, bar, below = number.partition("/")
        if bar and above.isdecimal() and int(above) < int(below):
            yield number
        else:
            yield from (part for part in (above, below) if part)
