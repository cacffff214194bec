r"""Stop strings, found at the token that ends them without decoding the text at every token.

As in transformers' ``StopStringCriteria``, the vocabulary is gone through once for each stop
string: a token can end the string if its bytes contain it, or begin with one of the string's own
ends. Only after such a token are the bytes of the last tokens compared, and only where they hold
the string is text decoded. For the stop string ``"s\n\nQ"``::

    token      can end it?   because
    "Q: Tom"   yes           begins with the end "Q"
    "\n\nQ"    yes           begins with the end "\n\nQ"
    "\n"       no            the string has to go on with "\nQ" or "Q"
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from itertools import accumulate

from transformers import PreTrainedTokenizerBase

from potstill.models.local.token_bytes import spells_alone, token_bytes

UNREADABLE = "\N{REPLACEMENT CHARACTER}"
"""Stands in a text for bytes that are no character, whichever they are."""


class StopStrings:
    """Finds stop strings in what is written with a tokenizer.

    Args:
        tokenizer: If its decoder does more than put the tokens' bytes together, the text is
            decoded at every token.
        decode: Returns the text of some tokens that follow others.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        decode: Callable[[Sequence[int], Sequence[int]], str],
    ) -> None:
        self._tokenizer = tokenizer
        self._decode = decode
        self.ends = cache(self._ends)

    def find(
        self, tokens: Sequence[int], anchor: Sequence[int], stop: tuple[str, ...]
    ) -> int | None:
        """The place in the text where the first stop string begins, if the last token ended one.

        Args:
            tokens: The tokens written so far, the last one new.
            anchor: The tokens before them, in which no stop string begins.
            stop: The stop strings; an empty one stops nothing.
        """
        if not any(string and self._may_have_ended(tokens, string) for string in stop):
            return None
        text = self._decode(tokens, anchor)
        places = [text.find(string) for string in stop if string and string in text]
        return min(places, default=None)

    def _may_have_ended(self, tokens: Sequence[int], string: str) -> bool:
        """Whether the last tokens hold the bytes of a stop string, or these are not known."""
        if self._bytes is None or UNREADABLE in string:
            return True
        if tokens[-1] not in self.ends(string):
            return False
        wanted = string.encode()
        written = self._bytes[tokens[-1]]
        # Some of the last token's bytes are new, so no match reaches further back than this.
        enough = len(written) + len(wanted) - 1
        for token in reversed(tokens[:-1]):
            if len(written) >= enough:
                break
            written = self._bytes.get(token, b"") + written
        return wanted in written

    def _ends(self, string: str) -> frozenset[int]:
        """The tokens with which a stop string can have come to its end."""
        wanted = string.encode()
        pieces = self._bytes or {}
        tails = tuple(wanted[start:] for start in range(1, len(wanted)))
        beginning = {
            token
            for first in frozenset(wanted[1:])
            for token in self._tokens_by_first_byte.get(first, ())
            if pieces[token].startswith(tails)
        }
        return frozenset(beginning | self._tokens_with(wanted))

    def _tokens_with(self, wanted: bytes) -> set[int]:
        """The tokens whose bytes contain these."""
        tokens, text, ends = self._one_text
        found = set[int]()
        at = text.find(wanted)
        while at >= 0:
            place = bisect_right(ends, at)
            if at + len(wanted) <= ends[place]:  # else it reaches into the next token
                found.add(tokens[place])
            at = text.find(wanted, at + 1)
        return found

    @cached_property
    def _one_text(self) -> tuple[Sequence[int], bytes, Sequence[int]]:
        """The tokens that have bytes, these one after the other, and where those of each end.

        One search through it takes a hundredth of the time that one through every token takes.
        """
        pieces = self._bytes or {}
        ends = accumulate(len(piece) for piece in pieces.values())
        return [*pieces], b"".join(pieces.values()), [*ends]

    @cached_property
    def _tokens_by_first_byte(self) -> Mapping[int, Sequence[int]]:
        """The tokens that have bytes, by the first of these."""
        tokens = defaultdict[int, list[int]](list)
        for token, piece in (self._bytes or {}).items():
            tokens[piece[0]].append(token)
        return tokens

    @cached_property
    def _bytes(self) -> Mapping[int, bytes] | None:
        """The bytes of the tokens that have any; None if they depend on their neighbours."""
        if not spells_alone(self._tokenizer):
            return None
        table = token_bytes(self._tokenizer)
        return {token: piece for token, piece in enumerate(table) if piece}
