"""Answer types: what can be an answer in a text, and when two answers are the same."""

from collections.abc import Mapping

from potstill.grading.answers.base import AnswerCandidate, Reader, TextReader
from potstill.grading.answers.choice import ChoiceReader
from potstill.grading.answers.date import DateReader
from potstill.grading.answers.list import ListReader
from potstill.grading.answers.math import MathReader
from potstill.grading.answers.number import NumberReader
from potstill.grading.answers.yes_no import YesNoReader
from potstill.records import AnswerType

__all__ = ["READERS", "AnswerCandidate", "Reader"]

READERS: Mapping[AnswerType, Reader] = {
    "number": NumberReader(),
    "choice": ChoiceReader(),
    "yes_no": YesNoReader(),
    "text": TextReader(),
    "date": DateReader(),
    "list": ListReader(),
    "math": MathReader(),
}
