r"""Thinking told from the answer, in a text that a model wrote with both in it.

Of "<think>\n6 * 7 is 42.\n</think>\n\nThe answer is 42." the answer is the last sentence. Models
mark their thinking in many ways (:mod:`thinking_marks`, the channels of gpt-oss). A chat template
may write the opening mark, so that the text has the closing one alone. Thinking that has not ended
is followed by no answer. A text that only speaks of such marks ("the tag </think> ends it") has no
thinking: an opening mark counts where it begins the text, and a lone closing one where nobody would
quote it.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from potstill.text.thinking_marks import (
    ANY_CLOSING,
    ANY_OPENING,
    BEGINNINGS,
    BEGUN_TAG,
    BLOCKS,
    BLOCKS_AT_THE_START,
    END_THINK,
    ENDS_OF_OPENINGS,
    LEAD,
    THINK,
    WRAPPERS,
    Block,
    may_hold_marks,
)

_LONGEST_MARK = 400
"""Characters of an opening mark with its attributes at most."""

_MOST_TRIED = 100
"""Closing marks that are looked at; a text with more of them loops."""


class Separated(NamedTuple):
    """A text's thinking and answer."""

    thinking: str | None
    """None where the text has none; several blocks are joined by an empty line."""

    start: int
    """The index in the text at which the answer begins."""

    end: int
    closed: bool
    """Whether the thinking has ended; without thinking it has."""

    def answer(self, text: str) -> str:
        """Returns the answer within the text that was taken apart; empty where it has not come."""
        return text[self.start : self.end]


# Gemma 4 and MedGemma name the channel first: "<|channel>thought\n".
_LABEL = re.compile(r"(?:(?<=<\|channel>)|(?<=<unused94>))thought\n")
# Text behind a mark that is only mentioned: "<think> and </think> are tags".
_SPOKEN_OF = re.compile(r"\s(?:and|or)\s.{0,3}</|\s?tags?\b")
# Text before such a mark: "the tag </think>".
_SPEAKS = re.compile(
    r"\b(?:tags?|tokens?|marks?|markers?|elements?|strings?|the|an?|with|by|use[sd]?|using|writes?"
    r"|writing|called|named|is|as|like|and|or|of|see|sees|until|after|before)[:,]?\s\Z",
    re.IGNORECASE,
)

# gpt-oss: "<|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>".
_MESSAGE = re.compile(
    r"(?:<\|start\|>[^<\n]{0,80})?<\|channel\|>\s?(?P<channel>\w+)[^<\n]{0,80}"
    r"(?:<\|constrain\|>[^<\n]{0,40})?<\|message\|>"
)
_MESSAGE_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
# The same without its special tokens: "analysis...assistantfinal...".
_BARE_CHANNELS = re.compile(r"\s*analysis(?P<thinking>.*?)assistantfinal\s*", re.DOTALL)


def separate(text: str, *, prompt: str = "", begun: str = "") -> Separated:
    """Returns the places of thinking and answer in a text.

    Args:
        text: The text as a model wrote it.
        prompt: The end of what the model was asked, as far as it is known. Where it ends in an
            opening mark, the text begins inside the thinking.
        begun: The beginning of the answer that the model was to continue. It may hold the opening
            mark of a closing one in the text, which therefore says nothing alone.
    """
    before = prompt + begun
    if not may_hold_marks(text) and not before.endswith(ENDS_OF_OPENINGS):
        return Separated(None, 0, len(text), closed=True)
    channels = _by_channels(text, before)
    opened = _opened_by(before)
    return channels or _by_blocks(text, opened, lone=opened is not None or not begun.strip())


def answer_and_thinking(
    text: str, *, prompt: str = "", begun: str = "", apart: str | None = None
) -> tuple[str, str | None]:
    """Returns the answer and the thinking of a text beside which thinking may have come apart.

    Args:
        text: The text as a model wrote it.
        prompt: The end of what the model was asked, see :func:`separate`.
        begun: The beginning of the answer that it was to continue.
        apart: Thinking that a server sent in a field of its own. A block in the text that says
            the same is not repeated.
    """
    separated = separate(text, prompt=prompt, begun=begun)
    inside = separated.thinking
    if inside and apart and inside.strip() not in apart:
        thinking: str | None = f"{apart}\n\n{inside}"
    else:
        thinking = apart or inside
    return separated.answer(text), thinking


def worded_thinking(target: str) -> tuple[str, str | None]:
    """Returns the answer and the thinking of a text that words both, as ``chat_think`` does."""
    if target.startswith(THINK):
        thinking, mark, answer = target.removeprefix(THINK).partition(END_THINK)
        if mark:
            return answer, thinking
    return target, None


def may_open(begun: str) -> bool:
    """Says whether a text of which this much has come may yet begin with thinking."""
    lead = LEAD.match(begun)
    rest = begun[lead.end() if lead else 0 :]
    if len(rest) > _LONGEST_MARK:
        return False
    low = rest.casefold()
    if low.startswith(("<|channel|>", "<|start|>")):
        return "<|message|>" not in low
    return BEGUN_TAG.match(low) is not None or any(mark.startswith(low) for mark in BEGINNINGS)


def may_close(piece: str) -> bool:
    """Says whether a closing mark may end in a piece of a text, one of words aside."""
    return not _LAST_SIGNS.isdisjoint(piece)


_LAST_SIGNS = frozenset(">]▷")


def _by_channels(text: str, before: str) -> Separated | None:
    """Returns the parts of a text in channels; None where it has none."""
    bare = _BARE_CHANNELS.match(text)
    if bare:
        return Separated(bare["thinking"].strip(), bare.end(), len(text), closed=True)
    if "<|channel|>" not in text and "<|message|>" not in before[-20:]:
        return None
    messages = list(_messages(text, before))
    if not messages:
        return None
    thinking = [text[start:end].strip() for name, start, end in messages if name != "final"]
    final = [(start, end) for name, start, end in messages if name == "final"]
    joined = "\n\n".join(part for part in thinking if part) or ("" if thinking else None)
    if not final:
        return Separated(joined or "", len(text), len(text), closed=False)
    return Separated(joined, *final[-1], closed=True)


def _messages(text: str, before: str) -> Iterator[tuple[str, int, int]]:
    """Yields the channel of each message and where its text stands."""
    at = len(text) - len(text.lstrip())
    header = _MESSAGE.match(text, at)
    channel, start = "analysis", at
    if header is None:
        # Begun by the prompt, or by what a server took away: it ends where the next one opens.
        following = _MESSAGE.search(text)
        inside = before.endswith("<|message|>")
        if following is None or (not inside and following["channel"] != "final"):
            if inside:
                yield channel, start, len(text)
            return
    else:
        channel, start = header["channel"], header.end()
    while True:
        stop = _MESSAGE_END.search(text, start)
        end = stop.start() if stop else len(text)
        yield channel, start, end
        following = _MESSAGE.search(text, end) if stop else None
        if following is None:
            return
        channel, start = following["channel"], following.end()


def _by_blocks(text: str, opened: Block | None, *, lone: bool) -> Separated:
    """Returns the parts of a text with blocks of thinking in front of its answer.

    Args:
        text: The text.
        opened: The block that its prompt opens.
        lone: Whether a closing mark without an opening one may end thinking.
    """
    thinking = list[str]()
    at, closed = 0, True
    for _ in range(_MOST_TRIED):
        if opened is None and (opening := _opening_at(text, at)):
            opened, at = opening
        if opened:
            closing = _closing_of(opened, text, at)
        else:
            closing = _lone_closing(text, at) if lone else None
            if closing is None:
                break
        thinking.append(text[at : closing.start() if closing else None].strip())
        at, closed, opened = closing.end() if closing else len(text), closing is not None, None
    if not thinking:
        return Separated(None, 0, len(text), closed=True)
    start, end = _unwrapped(text, at)
    return Separated("\n\n".join(part for part in thinking if part), start, end, closed)


def _opening_at(text: str, at: int) -> tuple[Block, int] | None:
    """Returns the block that opens at a place, and where its thinking begins; None without one."""
    lead = LEAD.match(text, at)
    begin = lead.end() if lead else at
    for block in BLOCKS_AT_THE_START:
        mark = block.opening.match(text, begin)
        if mark and not _SPOKEN_OF.match(text, mark.end()):
            label = _LABEL.match(text, mark.end())
            return block, label.end() if label else mark.end()
    return None


def _opened_by(before: str) -> Block | None:
    """Returns the block that the end of a prompt opens; None where it opens none."""
    tail = before[-_LONGEST_MARK:].rstrip()
    for block in BLOCKS:
        for mark in block.opening.finditer(tail):
            if mark.end() == len(tail):
                return block
    return None


def _closing_of(block: Block, text: str, at: int) -> re.Match[str] | None:
    """Returns the mark that ends a block: its own first one, or the lone one of another kind."""
    for mark in block.closing.finditer(text, at):
        if not _is_quoted(text, mark):
            return mark
    return _lone_closing(text, at)


def _lone_closing(text: str, at: int) -> re.Match[str] | None:
    """Returns the first closing mark from a place on that ends thinking without an opening one."""
    closings = [*islice(ANY_CLOSING.finditer(text, at), _MOST_TRIED)]
    last = closings[-1].start() if closings else at
    openings = [mark.start() for mark in ANY_OPENING.finditer(text, at, last)]
    for before, mark in enumerate(closings):
        if bisect_left(openings, mark.start()) <= before and _ends_thinking(text, at, mark):
            return mark
    return None


def _ends_thinking(text: str, at: int, mark: re.Match[str]) -> bool:
    """Says whether a closing mark is used at its place, and not spoken of.

    It is used on a line of its own, glued to the end of the thinking, or ahead of a new line or a
    new sentence. In "the tag </think> ends it" it is spoken of.

    Args:
        text: The text.
        at: The index at which the possible thinking begins.
        mark: The mark behind it.
    """
    if _is_quoted(text, mark) or text.count("```", at, mark.start()) % 2:
        return False
    line = text[max(at, text.rfind("\n", at, mark.start()) + 1) : mark.start()]
    behind = text[mark.end() : mark.end() + 40].lstrip(" ")
    if not line.strip():
        return True
    if _SPEAKS.search(line[-40:]):
        return False
    if not behind or behind[0] == "\n":
        return True
    if behind[0] in ".,;:!?)":
        return False
    return not line[-1].isspace() or not behind[0].islower()


_QUOTES = "`\"'\u2018\u2019\u201c\u201d\u00ab\u00bb"


def _is_quoted(text: str, mark: re.Match[str]) -> bool:
    """Says whether quotes or backticks stand around a mark."""
    before, after = text[max(0, mark.start() - 1) : mark.start()], text[mark.end() : mark.end() + 1]
    return bool(before and after) and before in _QUOTES and after in _QUOTES


def _unwrapped(text: str, start: int) -> tuple[int, int]:
    """Returns the range of an answer without the white space and the marks around it."""
    end = len(text)
    for one, other in WRAPPERS:
        behind = start + len(text[start:end]) - len(text[start:end].lstrip())
        if text.startswith(one, behind) if one else text[behind:end].rstrip().endswith(other):
            start = behind + len(one)
            stop = text.rfind(other, start, end)
            end = start + len(text[start : stop if stop >= 0 else end].rstrip())
    start += len(text[start:end]) - len(text[start:end].lstrip())
    return start, max(start, end)
