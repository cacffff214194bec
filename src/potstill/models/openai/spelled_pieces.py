r"""The bytes of tokens that a server names by texts, found by the text that they spell.

A token that is part of a character has no text of its own: servers name it U+FFFD, or not at all.
What they name of a text is enough to tell its tokens apart where one division of the text alone
agrees with all names. For the tokens "\ufffd", "\ufffd" of an emoji's four bytes that is three
bytes and one: any other second piece would be named by more than one U+FFFD.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

UNREADABLE = "\ufffd"

LONGEST_PIECE = 4
"""Bytes of a piece that U+FFFD stands for at most, letters before and behind it aside."""


class Spelling(NamedTuple):
    """The tokens at the end of a list that spell a text."""

    first: int
    """The place of the first of them."""

    names: list[bytes]
    """Their bytes."""


class Misspelled(ValueError):
    """The tokens at the end of a list do not spell the text, or may do so in several ways."""


def spelled_at_end(
    names: Sequence[str], text: str, is_before: Callable[[int], bool] = lambda _: True
) -> Spelling:
    """Returns the last tokens, which spell a text, with their bytes.

    Args:
        names: The texts by which a server names the tokens.
        text: The text that the last of them spell; not empty.
        is_before: Whether so many tokens are all that stand before the text. It is asked only
            where several places may be the text's first.

    Raises:
        Misspelled: They do not, or nothing tells in which of several ways.
    """
    found, fault = _spellings(names, text.encode())
    if len(found) > 1:
        found = [spelling for spelling in found if is_before(spelling.first)]
    if not found:
        raise Misspelled(fault or f"the listed tokens spell the end of {text[:40]!r} alone")
    if len(found) > 1:
        raise Misspelled(f"its tokens' names tell the bytes of {text[:40]!r} in two ways")
    return found[0]


def spells(names: Sequence[str], text: str) -> bool:
    """Whether tokens may spell a text, all of them."""
    data = text.encode()
    ends = {len(data)}
    for name in reversed(names):
        ends = {end - len(piece) for end in ends for piece in _pieces(name, data, end)}
    return 0 in ends


def _spellings(names: Sequence[str], data: bytes) -> tuple[list[Spelling], str]:
    """Returns all ways in which the last tokens may be a text, two of a kind at most.

    Returns:
        The ways, and why there are no more.
    """
    found: list[Spelling] = []
    # From the end backwards: the bytes at which a token may begin, and the tokens from there on.
    reached: dict[int, list[tuple[bytes, ...]]] = {len(data): [()]}
    for place in range(len(names) - 1, -1, -1):
        before: dict[int, list[tuple[bytes, ...]]] = {}
        for end, ways in reached.items():
            for piece in _pieces(names[place], data, end):
                begun = before.setdefault(end - len(piece), [])
                begun += [(piece, *behind) for behind in ways]
                del begun[2:]
        found += [Spelling(place, list(way)) for way in before.pop(0, [])]
        if not before:
            return found, _mismatch(names, place, data, max(reached))
        reached = before
    return found, ""


def _pieces(name: str, data: bytes, end: int) -> list[bytes]:
    """Returns the bytes before a place that a name may stand for."""
    if UNREADABLE not in name:
        own = name.encode()
        return [own] if own and data.endswith(own, 0, end) else []
    rest = len(name.replace(UNREADABLE, "").encode())
    most = rest + LONGEST_PIECE * name.count(UNREADABLE)
    pieces = [data[max(end - count, 0) : end] for count in range(1, min(most, end) + 1)]
    return [piece for piece in pieces if piece.decode(errors="replace") == name]


def _mismatch(names: Sequence[str], place: int, data: bytes, end: int) -> str:
    """Returns what is wrong with the token at a place, before which nothing fits."""
    name, rest = names[place], data[:end]
    if not name:
        return "it does not name a token that is part of a character"
    if UNREADABLE not in name and name.encode().endswith(rest) and len(name.encode()) > end:
        return f"its token {name!r} runs over the seam between prompt and text"
    spelled = rest[-len(name.encode()) :].decode(errors="replace")
    return f"it lists the token {name[:40]!r} where the text has {spelled!r}"
