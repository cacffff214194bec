"""The message that holds an answer with its thinking, as one chat template reads it."""

from typing import NamedTuple

from potstill.text.thinking_marks import END_THINK, THINK


class ThinkingMessages(NamedTuple):
    """The way to put thinking into a message."""

    opening: str
    closing: str
    """The marks around it in the content; both empty where a field holds it."""

    field: str = ""
    """The field that holds it; empty where the content does."""

    differs: str = ""
    """Why the template renders it otherwise than it is trained on; empty where it does not."""

    def message(self, answer: str, thinking: str | None) -> dict[str, str]:
        """Returns the assistant's turn."""
        turn = {"role": "assistant", "content": answer}
        if thinking is None:
            return turn
        if self.field:
            return turn | {self.field: thinking}
        content = self.opening + thinking + self.closing + answer.lstrip(" ")
        return turn | {"content": content}


PLAIN_MESSAGES = ThinkingMessages(THINK, END_THINK)
"""The way where no template is known."""
