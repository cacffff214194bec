r"""Inequalities in one variable as intervals: "1 \le x < 5" is "[1,5)", "x > 2" is "(2,\infty)".

"1 < x and x < 5" is one interval as well, "x < 1 or x > 5" two that are joined.
"""

import re

_RELATIONS = (
    (re.compile(r"\\(?:leqslant|leq|le)(?![A-Za-z])"), "≤"),
    (re.compile(r"\\(?:geqslant|geq|ge)(?![A-Za-z])"), "≥"),
    (re.compile(r"\\lt(?![A-Za-z])"), "<"),
    (re.compile(r"\\gt(?![A-Za-z])"), ">"),
)
_SPLIT = re.compile("([<>≤≥])")
_OR = re.compile(r"\\text\{\s?or\s?\}|\\(?:lor|vee)(?![A-Za-z])|\bor\b|,")
_AND = re.compile(r"\\text\{\s?and\s?\}|\\(?:land|wedge)(?![A-Za-z])|and")
_VARIABLE = re.compile(r"\\?[A-Za-z]\w*")
_INTERVAL = re.compile(r"(?:[A-Za-z]\\in ?)?[(\[][^()\[\]]{1,80},[^()\[\]]{1,80}[)\]].{0,200}")


def is_interval(latex: str) -> bool:
    """Says whether an expression in normal form begins with an interval."""
    return _INTERVAL.fullmatch(latex) is not None


def interval_of(latex: str) -> str | None:
    r"""Returns an inequality's solutions as intervals joined by ``\cup``; None for anything else.

    Args:
        latex: An expression in normal form.
    """
    for pattern, sign in _RELATIONS:
        latex = pattern.sub(sign, latex)
    if len(latex) > 200 or not _SPLIT.search(latex):
        return None
    intervals = [_one_interval(_as_chain(part.strip())) for part in _OR.split(latex)]
    if not intervals or any(interval is None for interval in intervals):
        return None
    return r"\cup ".join(filter(None, intervals))


def _as_chain(inequality: str) -> str:
    """Returns "1<x<5" for "1<x and x<5", whatever the order; other parts as they are."""
    parts = [_with_variable_first(part.strip()) for part in _AND.split(inequality)]
    if len(parts) != 2 or None in parts:
        return inequality
    (name, relation, bound), (other, second, further) = (part for part in parts if part)
    if name != other or (relation in "<≤") == (second in "<≤"):
        return inequality
    if relation in "<≤":
        relation, bound, second, further = second, further, relation, bound
    return f"{bound}{_mirrored(relation)}{name}{second}{further}"


def _with_variable_first(inequality: str) -> tuple[str, str, str] | None:
    """Returns the variable, relation and bound of an inequality; None where it is none."""
    parts = [part.strip() for part in _SPLIT.split(inequality)]
    if len(parts) != 3 or not all(parts):
        return None
    left, relation, right = parts
    if _VARIABLE.fullmatch(right) and not _VARIABLE.fullmatch(left):
        left, right, relation = right, left, _mirrored(relation)
    return (left, relation, right) if _VARIABLE.fullmatch(left) else None


def _one_interval(inequality: str) -> str | None:
    """Returns one interval for "1≤x<5" or "x>2"; None where it is none."""
    parts = [part.strip() for part in _SPLIT.split(inequality)]
    if not all(parts):
        return None
    if len(parts) == 3:
        simple = _with_variable_first(inequality)
        if simple is None:
            return None
        _, relation, right = simple
        if relation in "<≤":
            return rf"(-\infty,{right}{_closing(relation)}"
        return rf"{_opening(relation)}{right},\infty)"
    if len(parts) != 5 or not _VARIABLE.fullmatch(parts[2]):
        return None
    low, first, _, second, high = parts
    if (first in ">≥") != (second in ">≥"):
        return None
    if first in ">≥":
        low, first, second, high = high, _mirrored(second), _mirrored(first), low
    return f"{_opening(first)}{low},{high}{_closing(second)}"


def _mirrored(relation: str) -> str:
    """Returns a relation read from the right."""
    return {"<": ">", ">": "<", "≤": "≥", "≥": "≤"}[relation]


def _opening(relation: str) -> str:
    return "[" if relation in "≤≥" else "("


def _closing(relation: str) -> str:
    return "]" if relation in "≤≥" else ")"
