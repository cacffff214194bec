"""A published completion, and what reading the authors' files needs."""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from potstill.records import AnswerType

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """One completion as its authors published it."""

    id: str
    answer_type: AnswerType
    question: str
    text: str
    gold: str
    choices: tuple[str, ...] = ()
    theirs: bool | None = None
    """The authors' verdict; None where they gave neither a verdict nor a prediction."""

    predicted: str = ""
    """The answers that the authors read, where they say."""


def load(path: Path) -> Any:
    """JSON, or JSON lines as a list; either may be compressed."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    try:
        return json.loads(raw)
    except json.JSONDecodeError:
        return [json.loads(line) for line in raw.splitlines()]


def files(folder: Path, pattern: str = "*") -> Iterator[tuple[str, Any]]:
    """The files of a folder with the first part of an id, in order."""
    for path in sorted(folder.rglob(pattern)):
        if path.is_file():
            name = re.sub(r"\.(jsonl?|log)(\.gz)?$", "", str(path.relative_to(folder)))
            yield f"{folder.name}/{name}", load(path)


def number(text: object) -> float | None:
    """The last number, as the authors' predictions are written: "$7,000", "30 - 20 = 10"."""
    numbers = re.findall(r"-?\$?(?:\d[\d,]*(?:\.\d*)?|\.\d+)(?:/\d+)?", str(text))
    over, _, under = re.sub(r"[$,]", "", numbers[-1] if numbers else "").partition("/")
    return float(over) / float(under or 1) if over else None


def same(predicted: object, gold: object) -> bool:
    """Whether two strings are the same, or two numbers."""
    if str(predicted).strip().casefold() == str(gold).strip().casefold():
        return True
    try:
        return abs(float(str(predicted)) - float(str(gold))) < 1e-6
    except ValueError:
        return False


def same_number(predicted: object, gold: object) -> bool:
    """Whether the last numbers of both are the same."""
    first, second = number(predicted), number(gold)
    return first is not None and second is not None and abs(first - second) < 1e-6


def options(text: str) -> tuple[str, ...]:
    """The options that a prompt lists: "(A) 7 (B) 8", "A: 7, B: 8"."""
    rest = text.rpartition("hoices:")[2]
    pattern = r"\(%s\)" if rest.strip().startswith("(A)") else r"\b%s:"
    signs = [re.search(pattern % letter, rest) for letter in "ABCDE"]
    starts = [sign.end() for sign in signs if sign]
    ends = [sign.start() for sign in signs[1:] if sign] + [len(rest)]
    return tuple(rest[start:end].strip(" ,\n") for start, end in zip(starts, ends, strict=True))


def boxed(solution: str) -> str:
    r"""Returns the text inside the last ``\boxed`` of a MATH solution."""
    _, _, rest = solution.rpartition("\\boxed")
    if not rest.startswith("{"):
        return rest.split("$")[0].strip()
    depth = 0
    for place, sign in enumerate(rest):
        depth += (sign == "{") - (sign == "}")
        if depth == 0:
            return rest[1:place]
    raise ValueError(f"{solution!r} has an open box.")


def value(equation: str) -> str:
    """The value of an equation such as "( 10.0 - ( 6.0 + 3.0 ) )"."""
    if not re.fullmatch(r"[\d\s.()+*/-]+", equation):
        raise ValueError(f"{equation!r} is no equation.")
    result = eval(equation, {"__builtins__": {}})
    return f"{result:.10g}"
