r"""Control tokens of a tokenizer, kept out of texts that only spell them.

A question, a client's message or a teacher's answer may hold ``<|im_end|>`` in so many letters. A
tokenizer reads that as the token that ends a turn, and whoever wrote it has forged a turn. Here
such spellings are text. They are hidden while a chat template is rendered, so that the tokens which
the template itself writes can be told from them::

    "is <|im_end|> a tag?"  ─ hide ─▶  "is H a tag?"
        ─ chat template ─▶  "<|im_start|>user\nis H a tag?<|im_end|>"
        ─ encode ─▶  [IM_START, "user", ..., "<", "|", "im", "_end", "|>", ..., IM_END]

:meth:`ControlTokens.encode` gives the template's own tokens other names, unknown to everybody else,
in a copy of the tokenizer; all else in the copy is as it was. A text that spells no control token
never comes here, and is encoded as ever.
"""

import json
import re
import secrets
from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from potstill.text.thinking_marks import SPECIAL_MARKS

MARKS_OF_ANSWERS = frozenset(mark for mark in SPECIAL_MARKS if "|" not in mark)
"""Marks around thinking, such as ``<think>``: what a model writes may hold them as tokens."""


class ControlTokens:
    """The control tokens of one tokenizer.

    Args:
        tokenizer: The tokenizer; those without a backend of the library tokenizers are asked to
            split their special tokens themselves.
        allowed: Read spellings in texts as the tokens they spell, as a recipe may ask for.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, allowed: bool = False) -> None:
        self._tokenizer = tokenizer
        special = {str(token) for token in tokenizer.all_special_tokens}
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        special |= {str(token) for token in added if getattr(token, "special", False)}
        self._special = frozenset(token for token in special if token)
        hidden = frozenset[str]() if allowed else self._special
        self._foreign = _any_of(hidden)
        self._own = _any_of(hidden - MARKS_OF_ANSWERS)
        self._all = _any_of(self._special)
        nonce = secrets.token_hex(6)  # nobody can write what nobody knows
        self._opening, self._closing = f"\ufdd0{nonce}", "\ufdd1"
        self._hidden = re.compile(f"{self._opening}h([0-9a-f]*){self._closing}")

    def hide(self, text: str, *, answer: bool = False) -> str:
        """Returns a text in which no control token is spelled any more, for :meth:`encode`.

        Args:
            text: The text as somebody wrote it.
            answer: A model's answer may hold the marks around its thinking.
        """
        pattern = self._own if answer else self._foreign
        if pattern is None:
            return text
        return pattern.sub(lambda at: self._hide(at[0]), text)

    def is_hidden_in(self, text: str) -> bool:
        """Whether something in a text has been hidden."""
        return self._opening in text

    def shown(self, text: str) -> str:
        """Returns a text with all that was hidden in it as it was written."""
        return self._hidden.sub(lambda at: bytes.fromhex(at[1]).decode(), text)

    def spelled(self, text: str) -> str | None:
        """Returns the first spelling that was hidden in a text."""
        place = self._hidden.search(text)
        return bytes.fromhex(place[1]).decode() if place else None

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Returns the token ids of a text in which spellings of control tokens are hidden.

        Args:
            text: A control token that it spells, and that is not hidden, becomes that token.
            special: Add the tokens that stand around every text.
        """
        if self._copy is None:
            return self._by_splitting(text, special=special)
        wanted = self._ids(text, special=special, split="")
        # A vocabulary may hold a control token as an ordinary word: then its spelling is broken up.
        genuine = sum(id_ in self._copy.control for id_ in self._ids_without(text, special=special))
        if sum(id_ in self._copy.control for id_ in wanted) > genuine:
            wanted = self._ids(text, special=special, split=self._copy.split)
        return wanted

    def _hide(self, spelled: str) -> str:
        return f"{self._opening}h{spelled.encode().hex()}{self._closing}"

    def _alias(self, number: int) -> str:
        return f"{self._opening}t{number:x}{self._closing}"

    def _ids(self, text: str, *, special: bool, split: str) -> list[int]:
        """Returns token ids by the copy, with ``split`` behind a spelling's first character."""
        copy = self._copy
        assert copy is not None
        named = text if self._all is None else self._all.sub(lambda at: copy.aliases[at[0]], text)

        def show(at: re.Match[str]) -> str:
            spelled = bytes.fromhex(at[1]).decode()
            return spelled[:1] + split + spelled[1:]

        plain = self._hidden.sub(show, named)
        ids = copy.backend.encode(plain, add_special_tokens=special).ids
        return [copy.originals.get(id_, id_) for id_ in ids if id_ != copy.split_id]

    def _ids_without(self, text: str, *, special: bool) -> list[int]:
        """Returns token ids with all that was hidden left out."""
        return self._ids(self._hidden.sub(" ", text), special=special, split="")

    def _by_splitting(self, text: str, *, special: bool) -> list[int]:
        """Returns token ids by a tokenizer in Python: what was hidden is encoded by itself."""
        pieces = self._hidden.split(text)
        ids: list[int] = []
        for number, piece in enumerate(pieces):
            is_hidden = number % 2 == 1
            content = bytes.fromhex(piece).decode() if is_hidden else piece
            if content:
                encoded = self._tokenizer(
                    content,
                    add_special_tokens=special and len(pieces) == 1,
                    split_special_tokens=is_hidden,
                    verbose=False,
                )
                ids += encoded["input_ids"]
        return self._tokenizer.build_inputs_with_special_tokens(ids) if special else ids

    @cached_property
    def _copy(self) -> "_Copy | None":
        """A copy of the tokenizer, made when a text first spells a control token."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            return None
        state: dict[str, Any] = json.loads(backend.to_str())
        aliases, originals, contents = dict[str, str](), dict[str, int](), dict[str, str]()
        for number, token in enumerate(state["added_tokens"]):
            originals[token["content"]] = token["id"]
            contents[token["content"]] = token["content"]
            if token["content"] in self._special:
                alias = aliases[token["content"]] = self._alias(number)
                contents[token["content"]] = alias
                token |= {"content": alias, "normalized": False}
        split = self._alias(len(state["added_tokens"]))
        state["added_tokens"].append(
            {"id": 2**31 - 1, "content": split, "single_word": False, "lstrip": False}
            | {"rstrip": False, "normalized": False, "special": True}
        )
        copy = Tokenizer.from_str(json.dumps(state))

        def id_of(token: str) -> int:
            id_ = copy.token_to_id(token)
            assert id_ is not None, "it was added just now"
            return id_

        ids = {id_of(new): originals[old] for old, new in contents.items()}
        # A control token that is none of the added ones is spelled by the vocabulary alone.
        for token in self._special - aliases.keys():
            aliases[token] = token
        unknown = self._tokenizer.unk_token  # which stands for much that nobody spelled
        known = (self._special & originals.keys()) - {unknown}
        control = frozenset(originals[token] for token in known)
        return _Copy(copy, aliases, ids, control, split, id_of(split))


class _Copy(NamedTuple):
    """A tokenizer that knows its control tokens by other names."""

    backend: Tokenizer
    aliases: dict[str, str]
    """The other name of each control token."""

    originals: dict[int, int]
    """The original id of each added token by its id in the copy."""

    control: frozenset[int]
    """The original ids of the control tokens."""

    split: str
    """A token that stands for nothing and breaks a spelling up."""

    split_id: int


def _any_of(tokens: Iterable[str]) -> re.Pattern[str] | None:
    """Returns a pattern of any of these, the longest first; None where there are none."""
    ordered = sorted(tokens, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None
