"""Answers that begin with the beginning that the server was given.

Asked to go on from a begun answer, most servers send what they add; some (llama.cpp's, in answers
that are not streamed) send the whole. A text may also repeat its beginning of itself, and is left
as it is then. What tells the two apart, the surest first:

- Listed probabilities: the tokens spell what was written.
- The server's habit: one that ever answered without the beginning does not repeat it.
- The count of tokens: a text of more words than tokens was not all written now.
- A probe: one token cannot repeat a beginning of several words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from potstill.models.openai.choice_text import content_of, message_in
from potstill.models.openai.logprobs import positions, spelled
from potstill.models.openai.usage import least_words, written_tokens
from potstill.records import Request
from potstill.text.common_prefix import rest_after

Json = dict[str, Any]

PROBE = Request(
    prompt="Count from one to ten, in words.", answer_prefix="One, two, three, and", max_tokens=1
)
"""A request whose answer begins with its prefix only where the server repeats it."""


@dataclass(slots=True)
class PrefixHabit:
    """Whether a server's answers begin with what it was given."""

    repeats: bool | None = None
    """None: nothing has shown it yet."""

    def learn(self, given: str, reply: Json) -> None:
        """Learn from an answer's choices, where they show it."""
        if not given:
            return
        choices = _texts(reply)
        for choice, text in choices:
            proof = _proof(given, choice, text)
            if proof is None and self.repeats is None and rest_after(given, text) is not None:
                written = written_tokens(reply) if len(choices) == 1 else None
                proof = True if written and least_words(text) > written else None
            if proof is not None and (proof or self.repeats is None):
                self.repeats = proof

    def learn_from_probe(self, given: str, reply: Json) -> None:
        """Learn from the answer to :data:`PROBE`.

        Some servers cut it within what they repeat. One of several words has not kept to its one
        token, and shows nothing.
        """
        for _, text in _texts(reply):
            begun = text.strip()
            if text.startswith(given) or (begun and given.startswith(begun)):
                self.repeats = True
            elif least_words(text) <= 1:
                self.repeats = False

    def is_unclear(self, given: str, reply: Json) -> bool:
        """Whether an answer begins with what was given, and nothing says of whose accord."""
        return self.repeats is None and any(
            rest_after(given, text) is not None for _, text in _texts(reply)
        )

    def written(self, given: str, text: str, choice: Json) -> str:
        """Returns the part of a text that was not given.

        Where nothing is known a beginning counts as repeated: hardly a text goes on with the very
        words before it.
        """
        rest = rest_after(given, text)
        if rest is None:
            return text
        proof = _proof(given, choice, text)
        repeats = self.repeats is not False if proof is None else proof
        return rest if repeats else text


def _texts(reply: Json) -> Sequence[tuple[Json, str]]:
    """Returns the choices that have a text, with it."""
    texts = []
    for choice in reply["choices"]:
        try:
            text = content_of(message_in(choice).get("content")).text
        except (LookupError, TypeError, ValueError, AttributeError):
            continue
        if text:
            texts.append((choice, text))
    return texts


def _proof(given: str, choice: Json, text: str) -> bool | None:
    """Returns whether one choice repeats what was given; None where it does not tell by itself."""
    rest = rest_after(given, text)
    if rest is None:
        return False
    try:
        listed = positions(choice.get("logprobs") or {})
        tokens = spelled(listed) if listed else b""
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
    if not tokens:
        return None
    if text.encode().startswith(tokens) or tokens.startswith(text.encode()):
        return False
    whole = rest.encode()
    return True if whole.startswith(tokens) or tokens.startswith(whole) else None
