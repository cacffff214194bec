"""Answer types: what can be an answer in a text, and when two answers are the same.

Each type has a reader, in a file of its own. A task of a user's own may name another by
``module:name``, or an installed distribution may declare one in ``potstill.answer_types``.
"""

from potstill.grading.answers.base import AnswerCandidate, Reader, TextReader
from potstill.grading.answers.choice import ChoiceReader
from potstill.grading.answers.date import DateReader
from potstill.grading.answers.list import ListReader
from potstill.grading.answers.math import MathReader
from potstill.grading.answers.number import NumberReader
from potstill.grading.answers.yes_no import YesNoReader
from potstill.plugins import Registry

__all__ = ["READERS", "AnswerCandidate", "Reader"]


def _is_reader(thing: object) -> bool:
    """Whether an object has all that a reader has; a class is none, an object of it may be."""
    return not isinstance(thing, type) and all(
        hasattr(thing, name) for name in ("concludes", "marked", "last", "gold", "same")
    )


READERS = Registry[Reader](
    "answer type",
    {
        "number": NumberReader(),
        "choice": ChoiceReader(),
        "yes_no": YesNoReader(),
        "text": TextReader(),
        "date": DateReader(),
        "list": ListReader(),
        "math": MathReader(),
    },
    group="potstill.answer_types",
    by_reference=True,
    fits=_is_reader,
    calls={
        "marked": ("text", "start", "end", "question"),
        "last": ("text", "end", "question"),
        "gold": ("question",),
        "same": ("answer", "gold"),
    },
)
"""The readers by answer type."""
