r"""Data formats: what a student is trained on, and how the trained student is then asked.

A format is data: a prompt with a place for the question, and a target with places for rationale
and answer. The ordinary ones stand here, those of published students in ``papers/``, and a recipe
gives its own as a mapping::

    data_format: {prompt: "Problem: {question}\nSolution:", target: " {rationale} So: {answer}"}
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple, Self

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, model_validator

from potstill.errors import ConfigError
from potstill.plugins import Registry
from potstill.prompts.decomposition import Role
from potstill.prompts.styles import (
    Exemplar,
    OwnTexts,
    PromptStyle,
    check_placeholders,
    filled,
    prompt_for,
)
from potstill.records import Message, Question
from potstill.setting_names import NameOf


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFormat:
    """One wording of prompt and target.

    Encoder-decoder students get ``template`` and ``reply`` as they stand. What a decoder-only
    student writes follows its prompt directly, so its prompt gets ``mark`` at the end and its
    target ``separator`` at the beginning.
    """

    name: str
    template: str
    """The prompt, with ``{question}`` and, for in-context formats, ``{exemplars}``."""

    reply: str
    """The target, with ``{rationale}``, ``{answer}`` or both."""

    reading: str
    """A student's text in this format in words, for its model card."""

    mark: str = ""
    """Ends a decoder-only student's prompt."""

    separator: str = ""
    """Begins a decoder-only student's target."""

    exemplar: str = ""
    """The form of one worked question in an in-context prompt."""

    stop: tuple[str, ...] = ()
    """Strings that end what the student writes."""

    chat: bool = False
    """Whether the prompt is the user's turn of a chat, by the tokenizer's own template."""

    system: str = ""
    """The system turn before a chat's first one; empty: none of its own."""

    role: Role | None = None
    """The role whose turns in a decomposition are its targets; None: they are whole answers."""

    verbatim: bool = False
    """Whether question and rationale keep the white space around them."""

    @property
    def needs_rationale(self) -> bool:
        """Whether its targets hold a rationale."""
        return "{rationale}" in self.reply

    @property
    def needs_exemplars(self) -> bool:
        """Whether its prompts begin with worked questions."""
        return "{exemplars}" in self.template

    @property
    def states_answer(self) -> bool:
        """Whether its targets hold the answer, so that a student can be asked in it."""
        return "{answer}" in self.reply

    @property
    def is_bare(self) -> bool:
        """Whether it words a question and its answer alone."""
        return not self.needs_rationale and not self.needs_exemplars

    def style(self, *, encoder_decoder: bool) -> PromptStyle:
        """The prompt style in which a student trained on this format is asked."""
        return PromptStyle(
            name=self.name,
            template=self.template if encoder_decoder else self.template + self.mark,
            exemplar=self.exemplar,
            between=BLANK_LINE,
            stop=self.stop,
            chat=self.chat,
            system=self.system,
            verbatim=self.verbatim,
        )

    def prompt(
        self, question: Question, *, encoder_decoder: bool, exemplars: Sequence[Exemplar] = ()
    ) -> str | tuple[Message, ...]:
        """The input that the student continues or encodes, the same as when it is asked."""
        return prompt_for(self.style(encoder_decoder=encoder_decoder), question, exemplars)

    def target(self, rationale: str, answer: str, *, encoder_decoder: bool) -> str:
        """The text that the student learns to write, without its end-of-sequence token.

        Args:
            rationale: With the white space around it where the format keeps that, see
                :func:`potstill.text.own_space.with_own_space`.
            answer: The gold answer.
            encoder_decoder: Whether the student reads its prompt with an encoder.
        """
        template = self.reply if encoder_decoder else self.separator + self.reply
        shown = rationale if self.verbatim else rationale.strip()
        return filled(template, {"rationale": shown, "answer": answer})

    def lead(self, *, encoder_decoder: bool) -> str:
        """The text of a target before its rationale."""
        before = self.reply.partition("{rationale}")[0]
        return before if encoder_decoder else self.separator + before


BLANK_LINE = "\n\n"

THEN_STATES = "the reasoning, then a line with `The answer is` and the answer."
STATES = "`The answer is` and the answer, without reasoning."

FORMAT_OF: dict[Role, str] = {
    "questioner": "socratic_questioner",
    "counted_questioner": "socratic_counted_questioner",
    "counter": "socratic_counter",
    "solver": "socratic_solver",
}
"""The data format in which a student takes a role."""


def _turn(role: Role, cue: str, *, stop: str = "\n", reading: str) -> DataFormat:
    """The format of a role's turns in Socratic chains of thought (arXiv 2212.00193).

    Their questions are worded in :mod:`potstill.prompts.decomposition`. The role's cue stands last,
    so that turns share beginnings.
    """
    return DataFormat(
        name=FORMAT_OF[role],
        template="{question}" + cue,
        separator=" ",
        reply="{rationale}",
        stop=(stop,),
        role=role,
        reading=reading,
    )


FORMATS = Registry[DataFormat](
    "data format",
    {
        data_format.name: data_format
        for data_format in (
            # Fine-tune-CoT, ft_cot_token: src/data/format.py of reasoning-teacher @ a2ca4d28.
            DataFormat(
                name="fine_tune_cot",
                template="{question}",
                mark=" ###",
                separator=" ",
                reply="{rationale} --> {answer}",
                reading="the reasoning, then `-->`, then the answer.",
            ),
            # Fine-tune-CoT, ft_token: its answer-only baseline.
            DataFormat(
                name="fine_tune_answer",
                template="{question}",
                mark=" ###",
                separator=" ",
                reply="{answer}",
                reading="the answer alone.",
            ),
            # The wording of replayed questions: a FlanT5 format of arXiv 2301.12726.
            DataFormat(
                name="zero_shot_answer",
                template="Q: {question} A:",
                separator=" ",
                reply="The answer is {answer}",
                reading=STATES,
            ),
            # For students that were trained on chats: the answer stands where instruct_cot asks.
            DataFormat(
                name="chat",
                template="{question}",
                reply="{rationale}\nThe answer is {answer}.",
                chat=True,
                reading=THEN_STATES,
            ),
            # The same without reasoning, for its baseline.
            DataFormat(
                name="chat_answer",
                template="{question}",
                reply="The answer is {answer}.",
                chat=True,
                reading=STATES,
            ),
            DataFormat(
                name="chat_think",
                template="{question}",
                reply="<think>\n{rationale}\n</think>\n\nThe answer is {answer}.",
                chat=True,
                reading="the reasoning between `<think>` and `</think>`, then `The answer is` and "
                "the answer.",
            ),
            _turn("questioner", "\nQ:", reading="the next sub-question, or `Done.`"),
            _turn(
                "counted_questioner",
                ":",
                reading="the next sub-question of as many as the prompt says.",
            ),
            _turn(
                "counter",
                "\nNumber of questions:",
                reading="how many sub-questions the question takes.",
            ),
            _turn(
                "solver",
                "\nA:",
                stop="\nQ:",
                reading="the solution of the sub-question; of the last one with `The answer is`.",
            ),
        )
    },
    group="potstill.data_formats",
    fits=lambda thing: isinstance(thing, DataFormat),
    in_place="a mapping with prompt and target",
)


class ByTemplate(NamedTuple):
    """The two data formats of which the tokenizer of a student's start settles one."""

    chat: str
    """The format's name where the tokenizer has a chat template."""

    plain: str
    """The format's name where it has none."""


BY_TEMPLATE: Mapping[str, ByTemplate] = {
    "auto": ByTemplate("chat", "fine_tune_cot"),
    "auto_answer": ByTemplate("chat_answer", "fine_tune_answer"),
}
"""Names that a student gives in the place of a format, with and without rationales."""

MIXTURES = Registry[Mapping[str, float]](
    "mixture of data formats",
    {},
    group="potstill.mixtures",
    fits=lambda thing: isinstance(thing, Mapping),
)
"""Mixtures as weights by format; their students are asked in the first one."""


class FormatSettings(OwnTexts):
    """A data format of your own."""

    prompt: str
    """The prompt, with ``{question}``, and with ``{exemplars}`` where worked questions are shown
    before it."""

    target: str
    """The text to learn, with ``{rationale}``, ``{answer}`` or both; a decoder-only student writes
    it directly behind the prompt."""

    exemplar: str = "{question}\n{rationale}\n{answer}"
    """The form of one worked question, with ``{question}``, ``{rationale}``, ``{answer}``."""

    stop: tuple[str, ...] = ()
    """Strings that end what the student writes."""

    chat: bool = False
    """The prompt is the user's turn of a chat, by the tokenizer's own template."""

    @model_validator(mode="after")
    def _placeholders_are_known(self) -> Self:
        check_placeholders(self.prompt, "prompt", needed=("question",), known=("exemplars",))
        check_placeholders(self.target, "target", known=("rationale", "answer"))
        check_placeholders(self.exemplar, "exemplar", known=("question", "rationale", "answer"))
        if "{rationale}" not in self.target and "{answer}" not in self.target:
            raise ValueError("target lacks {rationale} and {answer}; give one of them, or both")
        FORMATS.add(self.key, self.data_format)
        return self

    @property
    def data_format(self) -> DataFormat:
        """The format itself."""
        return DataFormat(
            name=self.key,
            template=self.prompt,
            reply=self.target,
            reading=f"text of this form: {self.target!r}.",
            exemplar=self.exemplar,
            stop=self.stop,
            chat=self.chat,
        )


class _FormatName(NameOf):
    """The name of one data format, which none of several is."""

    def check(self, name: str) -> str:
        """The name itself; a mixture is told as such."""
        if name not in FORMATS and name in MIXTURES:
            raise ValueError(mixture_refused(name))
        return super().check(name)


def mixture_refused(name: str) -> str:
    """The sentence, without its full stop, that a mixture stands where one format has to."""
    return (
        f"{name!r} is a mixture of data formats, and mixtures cannot stand here. Its formats are "
        f"{', '.join(MIXTURES[name])}"
    )


class _MixtureName(NameOf):
    """The name of a data format, of a mixture, or of what the start's tokenizer settles."""

    def knows(self, name: str) -> bool:
        """Whether there is such a one."""
        return name in BY_TEMPLATE or super().knows(name)

    def check(self, name: str) -> str:
        """The name itself."""
        if not self.knows(name):
            further = [*BY_TEMPLATE, *self.further]
            raise ValueError(self.registry.unknown(name, further=further))
        return name

    def resolve(self, name: str) -> None:
        """Load the format of a name; those of a mixture are loaded with it."""
        if name not in BY_TEMPLATE:
            super().resolve(name)

    def json_schema(self) -> dict[str, Any]:
        """The names as a JSON schema."""
        return {"enum": [*BY_TEMPLATE, *self.further, *self.registry.names()]}


_FORMAT_NAME = _FormatName(FORMATS)
_MIXTURE_NAME = _MixtureName(FORMATS, further=MIXTURES)


def _weight(weight: float) -> float:
    if not (math.isfinite(weight) and weight > 0):
        raise ValueError("give a number above 0, or leave the format out")
    return weight


def _weights(weights: dict[str, float]) -> dict[str, float]:
    if not weights:
        raise ValueError(NO_FORMATS)
    return weights


def _weights_schema(schema: dict[str, Any]) -> None:
    schema.update(propertyNames=_FORMAT_NAME.json_schema(), minProperties=1)
    schema["additionalProperties"] = {"type": "number", "exclusiveMinimum": 0}


NO_FORMATS = "a mixture of data formats needs one or more, such as {fine_tune_cot: 1}"

Weights = Annotated[
    dict[Annotated[str, _FORMAT_NAME], Annotated[float, AfterValidator(_weight)]],
    AfterValidator(_weights),
    Field(json_schema_extra=_weights_schema),
]
"""Weights by data format."""

_WEIGHTS = TypeAdapter[dict[str, float]](Weights)


def _name_or_texts(raw: object) -> object:
    """A known name as it is, and a mapping as a format; so either has only its own faults told."""
    if isinstance(raw, Mapping):
        return FormatSettings.model_validate(raw)
    if not isinstance(raw, str | FormatSettings):
        raise ValueError("give a name, or a mapping with prompt and target")
    return _FORMAT_NAME.check(raw) if isinstance(raw, str) else raw


def _name_texts_or_weights(raw: object) -> object:
    """The same where also a mixture may stand: a mapping without ``prompt`` and ``target``."""
    if isinstance(raw, Mapping) and {"prompt", "target"}.isdisjoint(raw):
        return _WEIGHTS.validate_python(raw)
    if not isinstance(raw, str | Mapping | FormatSettings):
        raise ValueError("give a name, or a mapping with prompt and target, or weights by format")
    return _MIXTURE_NAME.check(raw) if isinstance(raw, str) else _name_or_texts(raw)


AnyFormat = Annotated[
    Annotated[str, _FORMAT_NAME] | FormatSettings, BeforeValidator(_name_or_texts)
]
"""A data format in a recipe: the name of one, or one of its own."""

AnyMixture = Annotated[
    Annotated[str, _MIXTURE_NAME] | FormatSettings | Weights,
    BeforeValidator(_name_texts_or_weights),
]
"""The formats of a student: one of them, a mixture that is known, weights by format, or the one
that its start's tokenizer settles."""


def format_named(name: str | FormatSettings) -> DataFormat:
    """The data format of this name, or of a recipe's own.

    Raises:
        ConfigError: There is none.
    """
    if not isinstance(name, str):
        return name.data_format
    try:
        return FORMATS.named(_FORMAT_NAME.check(name))
    except ValueError as error:
        raise error if isinstance(error, ConfigError) else ConfigError(f"{error}.") from None


def with_system(name: str, system: str | None) -> str:
    """Returns the name of a format with a system prompt: its own name where it is no chat.

    The format is known by that name from then on; it is the same for the same two.
    """
    known = format_named(name)
    if not system or not known.chat:
        return name
    digest = hashlib.blake2b(f"{name}\0{system}".encode(), digest_size=4).hexdigest()
    worded = replace(known, name=f"{name}_{digest}", system=system)
    FORMATS.add(worded.name, worded)
    return worded.name


def shares(data_format: str | FormatSettings | Mapping[str, float]) -> dict[str, float]:
    """The share of each data format by name; they sum to 1.

    Args:
        data_format: A format, a known mixture, or weights by format.

    Raises:
        ConfigError: One of the names is unknown, or a weight is not a positive number.
    """
    if isinstance(data_format, FormatSettings):
        return {data_format.key: 1.0}
    if isinstance(data_format, str):
        if data_format not in FORMATS and data_format not in MIXTURES:
            raise ConfigError(f"{FORMATS.unknown(data_format, further=MIXTURES)}.")
        mixture = MIXTURES.get(data_format)
        data_format = {data_format: 1.0} if mixture is None else mixture
    if not data_format:
        raise ConfigError(f"{NO_FORMATS}.")
    for name, weight in data_format.items():
        format_named(name)
        if not (math.isfinite(weight) and weight > 0):
            raise ConfigError(
                f"the weight of data format {name} is {weight:g}; give a number above 0, or leave "
                "the format out."
            )
    total = sum(data_format.values())
    return {name: weight / total for name, weight in data_format.items()}
