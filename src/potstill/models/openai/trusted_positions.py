r"""Listed probabilities that are of another token than the one they stand at, found and put right.

A server names its tokens by the text that each adds, and that is not always what the token is:

- llama.cpp's completions route holds back what may begin a stop string. The held-back token comes
  without a name, and the next as ``"\nB"``, with the probability and the candidates of ``"B"``.
- Where a character is made of several tokens, vLLM names all but the last ``""``, and the last by
  the whole character; llama.cpp leaves all but the last out.
- Others name the pieces of a character U+FFFD, or by their byte, as ``<0xE2>``.

What gives such a position away is the chosen token's identity among its candidates: by its id where
the server tells ids, else by its log-probability. Held-back tokens get their own names back. What
cannot be put right keeps its place in the text and loses its probabilities, so that training goes
by the text there.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potstill.records import TokenLogprobs

Json = dict[str, Any]

UNREADABLE = "\ufffd".encode()

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")

_CHARACTER_MASK, _WITHIN_CHARACTER = 0xC0, 0x80
"""The upper bits of a byte, and what they are in all bytes of a character but the first."""


def doubtful_rows(record: TokenLogprobs) -> NDArray[np.bool_]:
    """Returns, for each position, whether the chosen token may be another than its name says.

    It is where it has no name, where it has the probability of a candidate and no candidate of that
    probability has a name as long, or where the likeliest candidate goes on within a character and
    it does not.
    """
    assert record.lengths is not None
    chosen, others = record.logprobs[:, :1], record.logprobs[:, 1:]
    alike = (others == chosen) & np.isfinite(others)
    named = (alike & (record.lengths[:, 1:] == record.lengths[:, :1])).any(axis=1)
    letters = np.frombuffer(record.token_bytes + b"\0", np.uint8)
    begins = (record.lengths.cumsum(dtype=np.int64).reshape(record.lengths.shape))[:, :2]
    begins = begins - record.lengths[:, :2]
    within = (letters[begins] & _CHARACTER_MASK == _WITHIN_CHARACTER) & (record.lengths[:, :2] > 0)
    doubtful: NDArray[np.bool_] = record.lengths[:, 0] == 0
    doubtful |= alike.any(axis=1) & ~named
    doubtful |= within[:, -1] & ~within[:, 0]
    return doubtful


def has_odd_names(record: TokenLogprobs) -> bool:
    """Whether any token may be named otherwise than by its bytes."""
    return UNREADABLE in record.token_bytes or b"<0x" in record.token_bytes


def by_text(record: TokenLogprobs | None) -> int:
    """Returns how many positions have lost their probabilities, and go by the text alone."""
    if record is None or record.lengths is None:
        return 0
    lost = ~np.isfinite(record.logprobs).any(axis=1) & (record.lengths[:, 0] > 0)
    return int(lost.sum())


def name_of(entry: Json) -> bytes:
    """Returns a token's bytes; those of its text where they are not told.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: It has neither.
    """
    data = entry.get("bytes")
    if data is not None:
        return bytes(data)
    text = entry["token"]
    byte = _BYTE.fullmatch(text)
    return bytes.fromhex(byte[1]) if byte else text.encode()


def trusted(positions: Sequence[Json], text: str) -> list[Json]:
    """Returns the positions with names that are right, and without probabilities that are not.

    Args:
        positions: The positions as the chat route lists them.
        text: The text that they are of.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: They are not as documented.
    """
    row = _Row([name_of(entry) for entry in positions])
    for place, entry in enumerate(positions):
        name = row.names[place]
        row.judge(place, _own_name(entry, name), within=_is_within(entry) and _has_letter(name))
    if any(UNREADABLE in name for name in row.names):
        row.spell(text.encode())
    return [
        _renamed(entry, name) if right else {"bytes": name, "logprob": None, "top_logprobs": []}
        for entry, name, right in zip(positions, row.names, row.right, strict=True)
    ]


def _renamed(entry: Json, name: bytes) -> Json:
    top = [{**other, "bytes": name_of(other)} for other in entry["top_logprobs"]]
    return {**entry, "bytes": name, "top_logprobs": top}


def _own_name(entry: Json, name: bytes) -> bytes | None:
    """Returns the name that the candidates have for the chosen token; None if it is none of them.

    A candidate of the same probability is the same token where there is one alone whose name is
    the end of the chosen one's: what was held back stands before it.
    """
    others = [(other, name_of(other)) for other in entry["top_logprobs"]]
    if entry.get("id") is not None:
        return next((own for other, own in others if other.get("id") == entry["id"]), None)
    if any(own == name for _, own in others):
        return name
    alike = [own for other, own in others if other["logprob"] == entry["logprob"]]
    alike = [own for own in alike if name.endswith(own)] if name else alike
    return alike[0] if len(alike) == 1 else None


def _is_within(entry: Json) -> bool:
    """Whether the likeliest candidate goes on within a character."""
    first = name_of(entry["top_logprobs"][0])[:1] if entry["top_logprobs"] else b""
    return bool(first) and first[0] & _CHARACTER_MASK == _WITHIN_CHARACTER


def _has_letter(name: bytes) -> bool:
    """Whether a name begins with a character of several bytes, white space aside."""
    first = name.lstrip()[:1]
    return bool(first) and first[0] & _CHARACTER_MASK == _CHARACTER_MASK


@dataclass(slots=True)
class _Row:
    """The tokens of one text, one after the other."""

    names: list[bytes]
    right: list[bool] = field(init=False)
    """Whether each one's probabilities are its own."""

    _nameless: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Tokens without a name since the last one with one, and what they are called themselves."""

    def __post_init__(self) -> None:
        self.right = [True] * len(self.names)

    def judge(self, place: int, own: bytes | None, *, within: bool) -> None:
        """Judge a token by its own name; those that were held back before it get theirs.

        Args:
            place: The token's index.
            own: The name that its candidates have for it.
            within: Whether it is named by a whole character, and its candidates go on within one.
        """
        name = self.names[place]
        if not name:
            self._nameless.append((place, own))
            return
        held, self._nameless = self._nameless, []
        before = [earlier or b"" for _, earlier in held]
        if own is None:
            self.right[place] = not held and not within
        elif all(before) and name == b"".join([*before, own]):
            for (earlier_place, _), earlier in zip(held, before, strict=True):
                self.names[earlier_place] = earlier
            self.names[place] = own
        else:
            pieces = bool(held) and _has_letter(name)
            self.right[place] = own == name and not pieces

    def spell(self, text: bytes) -> None:
        """Give tokens that are named U+FFFD the bytes that the text has at their place.

        Nothing is changed where the others are not found in the text.
        """
        names, right = list(self.names), list(self.right)
        first = next((name for name in names if name and UNREADABLE not in name), b"")
        at, run = (0 if text.startswith(names[0]) else max(text.find(first), 0)), list[int]()
        if UNREADABLE in names[0]:
            at = 0
        for place, name in enumerate(names):
            if UNREADABLE in name and not text.startswith(name, at):
                run.append(place)
                continue
            found = text.find(name, at) if run else at
            if found < 0 or not text.startswith(name, found):
                return
            self._fill(names, right, run, text[at:found])
            at, run = found + len(name), []
        self._fill(names, right, run, text[at:])
        self.names, self.right = names, right

    @staticmethod
    def _fill(names: list[bytes], right: list[bool], run: Sequence[int], gap: bytes) -> None:
        for place in run:
            names[place], right[place] = b"", False
        if run:
            names[run[-1]] = gap
