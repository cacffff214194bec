"""Likely causes why a served student answers otherwise than it did when it was measured.

The causes are looked for one after the other, those that can be seen for certain first: the prompt
(by its tokens, as the server tells or counts them), the end of the answer (stop strings, length),
chance (the same question once more), and then the weights' number format.
"""

from typing import NamedTuple

from potstill.deploy.served_answers import Rendering, ServedAnswer, ServedStudent
from potstill.errors import shortened
from potstill.pipeline.measured_student import MeasuredStudent
from potstill.records import Prediction, Question
from potstill.runtime.number_formats import served_format
from potstill.text.common_prefix import common_prefix_items
from potstill.text.terminal_text import terminal_text

SHOWN = 60
"""Characters shown on either side of the place where two texts part."""

SIXTEEN_BITS = ("f16", "bf16", "f32", "float16", "bfloat16", "float32")
"""Number formats that are no quantisation, in lower case."""


ROUNDED_SHARE = 0.5
"""The least share of answers that keep their words where rounding alone differs: a real student had
84% in other programs and formats (docs/deploying.md)."""


class Difference(NamedTuple):
    """A question that is answered otherwise than it was."""

    question: Question
    measured: Prediction
    served: ServedAnswer
    is_equal: bool
    """Whether the prediction is the same all the same, in other words."""

    def lines(self) -> list[str]:
        """Returns the lines that show it."""
        what = "the first other wording (the prediction is the same)"
        head = what if self.is_equal else "the first other prediction"
        lines = [f"{head}: question {self.question.id}: {shortened(self.question.text)}"]
        if self.served.error is not None:
            return [*lines, f"  measured: {_shown(self.measured.text, 0)}",
                    f"  served:   no answer: {terminal_text(self.served.error)}"]  # fmt: skip
        one, two = self.measured.text.strip(), self.served.text.strip()
        at = common_prefix_items(one, two)
        return [
            *lines,
            f"  measured: {_shown(one, at)}",
            f"  served:   {_shown(two, at)}",
            f"  they part at character {at:,}; measured {len(one):,} characters "
            f"({self.measured.finish_reason}), served {len(two):,} ({self.served.finish_reason})",
        ]


def _shown(text: str, at: int) -> str:
    begin = max(at - SHOWN, 0)
    part = text[begin : at + SHOWN]
    lead, tail = "..." if begin else "", "..." if at + SHOWN < len(text) else ""
    return terminal_text(f"{lead}{part!r}{tail}")


def likely_cause(
    student: MeasuredStudent, served: ServedStudent, difference: Difference, *, same_share: float
) -> str:
    """Returns why a served student is likely to answer otherwise, found by looking.

    Args:
        student: The student as it was measured.
        served: The student that is served; it is asked once more.
        difference: The first difference.
        same_share: The share of the questions that it answers in the very words.
    """
    if difference.served.error is not None:
        return "the server failed on this question"
    causes = (
        _prompt(student, served, difference),
        _thinking(student, difference),
        _end(student, difference),
        _chance(served, difference),
        _weights(student, served, same_share),
    )
    return next(cause for cause in causes if cause)


def _prompt(student: MeasuredStudent, served: ServedStudent, difference: Difference) -> str | None:
    """Returns how the server's prompt differs from the measured one."""
    from transformers import AutoTokenizer

    from potstill.models.local.loading import quietly
    from potstill.models.local.prompt_encoding import PromptEncoder

    with quietly():
        tokenizer = AutoTokenizer.from_pretrained(student.model)
    request = student.asking.request(difference.question)
    wanted = PromptEncoder(tokenizer, str(student.model)).prompt_ids(request)
    told = served.rendering(difference.question)
    if told.ids is not None and list(told.ids) == wanted:
        return None
    count = difference.served.prompt_tokens
    if told == Rendering() and count in (0, len(wanted)):
        return None  # all that is told agrees
    words = str(tokenizer.decode(wanted, skip_special_tokens=False))
    if told.ids is not None:
        theirs = str(tokenizer.decode(list(told.ids), skip_special_tokens=False))
    elif told.text is not None:
        theirs = told.text
    else:
        return (
            f"the template: the server counts {count:,} tokens of the prompt, and the measured one "
            f"has {len(wanted):,}. It was asked with {_shown(words, len(words))}"
        )
    at = common_prefix_items(words, theirs)
    if words == theirs and told.ids is None:
        return None
    lengths = f" ({len(told.ids):,} tokens, measured {len(wanted):,})" if told.ids else ""
    return (
        f"the template: the server's prompt is another{lengths}. Measured with "
        f"{_shown(words, at)}, the server has {_shown(theirs, at)}"
    )


def _thinking(student: MeasuredStudent, difference: Difference) -> str | None:
    limit = student.asking.sampling.thinking_tokens
    if limit is not None:
        return (
            f"thinking: it was ended after {limit:,} tokens when the student was measured "
            "(evaluate.thinking_tokens), and the server lets it go on"
        )
    served, measured = difference.served, difference.measured
    if served.thinking and not served.text.strip() and measured.text.strip():
        return (
            "thinking: the server takes the answer for thinking and moves it to a field of its "
            "own; start it without a reasoning parser"
        )
    return None


def _end(student: MeasuredStudent, difference: Difference) -> str | None:
    """Returns how the end of the answer differs, where one text is the beginning of the other."""
    one, two = difference.measured.text.strip(), difference.served.text.strip()
    limit = student.asking.sampling.max_tokens
    if two.startswith(one) and len(two) > len(one):
        rest = two[len(one) :]
        stops = [
            stop for stop in student.asking.style.stop if stop.strip() in rest[: len(stop) + 8]
        ]
        if stops:
            return f"stop strings: the server went on past {stops[0]!r}; it has to be told of it"
        if difference.measured.finish_reason == "length":
            return f"the length: measured with at most {limit:,} tokens, the server writes more"
        return (
            "the end: the server went on where the student had ended; it does not know the "
            "token that ends an answer"
        )
    if one.startswith(two) and len(one) > len(two):
        if difference.served.finish_reason == "length":
            return (
                f"the length: the server cut the answer; it was measured with at most {limit:,} "
                "tokens"
            )
        following = one[len(two) :][:20]
        return f"stop strings: the server ended the answer before {following!r}"
    return None


def _chance(served: ServedStudent, difference: Difference) -> str | None:
    """Returns whether the server answers the same question otherwise when it is asked again."""
    (again,) = served.answers([difference.question])
    if again.error is None and again.text.strip() != difference.served.text.strip():
        return (
            "chance: asked again, the server answers otherwise; it draws its tokens. Set its "
            "temperature to 0"
        )
    return None


def _weights(student: MeasuredStudent, served: ServedStudent, same_share: float) -> str:
    told, measured = served.weights(), student.number_format
    computed = f"it was measured in {measured}" if measured else "see what it was measured in"
    if told is not None and not any(told.lower().endswith(name) for name in SIXTEEN_BITS):
        return f"quantisation: the server's weights are {told}; {computed}"
    if same_share < ROUNDED_SHARE:
        return (
            f"the weights: with the same prompt {same_share:.0%} of the answers have the measured "
            "words, and rounding alone leaves most of them; the server has another model, another "
            "checkpoint or run, or quantised weights"
        )
    if told is not None:
        return (
            f"the number format: the server's weights are {told}; {computed}. Two tokens of nearly "
            f"equal probability change places by rounding. {_advice(measured)}"
        )
    return (
        f"the number format, as all else that is told agrees: {computed}, and the server does "
        "not tell its own. A quantised or rounded model answers some questions otherwise. "
        f"{_advice(measured)}"
    )


def _advice(measured: str | None) -> str:
    """Returns how rounding is kept from changing answers."""
    if measured is not None and served_format(measured) == "float32":
        return (
            "Have the server compute in float32 (vLLM: --dtype float32) where it does not yet; "
            "where it does, what is left is the rounding of two programs"
        )
    return (
        "Two programs round otherwise in 16 bits: measure in float32 and serve in it, or measure "
        "by the program that serves (student.serve)"
    )
