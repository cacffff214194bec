"""Data formats: what a student is trained on, and how the trained student is then asked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from potstill.errors import ConfigError
from potstill.prompts.decomposition import Role
from potstill.prompts.styles import Exemplar, PromptStyle, filled, prompt_for
from potstill.records import Message, Question


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
    """What a student of this format writes, for its model card."""

    mark: str = ""
    """Ends a decoder-only student's prompt."""

    separator: str = ""
    """Begins a decoder-only student's target."""

    exemplar: str = ""
    """How one worked question of an in-context prompt is written."""

    stop: tuple[str, ...] = ()
    """Strings that end what the student writes."""

    chat: bool = False
    """Whether the prompt is the user's turn of a chat, by the tokenizer's own template."""

    role: Role | None = None
    """Whose turns in a decomposition its targets are; None: they are whole answers."""

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

    def style(self, *, encoder_decoder: bool) -> PromptStyle:
        """How a student trained on this format is asked."""
        return PromptStyle(
            name=self.name,
            template=self.template if encoder_decoder else self.template + self.mark,
            exemplar=self.exemplar,
            between=BLANK_LINE,
            stop=self.stop,
            chat=self.chat,
        )

    def prompt(
        self, question: Question, *, encoder_decoder: bool, exemplars: Sequence[Exemplar] = ()
    ) -> str | tuple[Message, ...]:
        """The input that the student continues or encodes, the same as when it is asked."""
        return prompt_for(self.style(encoder_decoder=encoder_decoder), question, exemplars)

    def target(self, rationale: str, answer: str, *, encoder_decoder: bool) -> str:
        """What the student learns to write, end-of-sequence token left out."""
        template = self.reply if encoder_decoder else self.separator + self.reply
        return filled(template, {"rationale": rationale.strip(), "answer": answer})

    def lead(self, *, encoder_decoder: bool) -> str:
        """What a target says before its rationale."""
        before = self.reply.partition("{rationale}")[0]
        return before if encoder_decoder else self.separator + before


BLANK_LINE = "\n\n"

_THEN_STATES = "the reasoning, then a line with `The answer is` and the answer."
_STATES = "`The answer is` and the answer, without reasoning."

FORMATS: dict[str, DataFormat] = {
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
        # Model specialization (arXiv 2301.12726), process_data_format; written for FlanT5.
        DataFormat(
            name="in_context_cot",
            template="{exemplars}\n\nQ: {question}\nLet's think step by step",
            exemplar="Q: {question}\nLet's think step by step\n{rationale}\nThe answer is {answer}",
            separator="\n",
            reply="{rationale}\nThe answer is {answer}",
            stop=("\nQ:",),
            reading=_THEN_STATES,
        ),
        DataFormat(
            name="zero_shot_cot",
            template="Q: {question}\nLet's think step by step",
            separator="\n",
            reply="{rationale}\nThe answer is {answer}",
            reading=_THEN_STATES,
        ),
        DataFormat(
            name="in_context_answer",
            template="{exemplars}\n\nQ: {question}\nA:",
            exemplar="Q: {question}\nA: The answer is {answer}",
            separator=" ",
            reply="The answer is {answer}",
            stop=("\nQ:",),
            reading=_STATES,
        ),
        DataFormat(
            name="zero_shot_answer",
            template="Q: {question} A:",
            separator=" ",
            reply="The answer is {answer}",
            reading=_STATES,
        ),
        # For students that were trained on chats: the answer stands where instruct_cot asks for it.
        DataFormat(
            name="chat",
            template="{question}",
            reply="{rationale}\nThe answer is {answer}.",
            chat=True,
            reading=_THEN_STATES,
        ),
        DataFormat(
            name="chat_think",
            template="{question}",
            reply="<think>\n{rationale}\n</think>\n\nThe answer is {answer}.",
            chat=True,
            reading="the reasoning between `<think>` and `</think>`, then `The answer is` and the "
            "answer.",
        ),
        # Distilling step-by-step (arXiv 2305.02301): two tasks, told apart by their first word. The
        # line break is the prompt's: many tokenizers join it with a question mark before it.
        DataFormat(
            name="predict",
            template="predict: {question}",
            mark="\n",
            reply="{answer}",
            reading="the answer alone.",
        ),
        DataFormat(
            name="explain",
            template="explain: {question}",
            mark="\n",
            reply="{rationale}",
            reading="the reasoning alone.",
        ),
        # Socratic chains of thought (arXiv 2212.00193): turns, whose questions are worded in
        # potstill.prompts.decomposition. The role stands last, so that turns share beginnings.
        DataFormat(
            name="socratic_questioner",
            template="{question}\nQ:",
            separator=" ",
            reply="{rationale}",
            stop=("\n",),
            role="questioner",
            reading="the next sub-question, or `Done.`",
        ),
        DataFormat(
            name="socratic_counted_questioner",
            template="{question}:",
            separator=" ",
            reply="{rationale}",
            stop=("\n",),
            role="counted_questioner",
            reading="the next sub-question of as many as the prompt says.",
        ),
        DataFormat(
            name="socratic_counter",
            template="{question}\nNumber of questions:",
            separator=" ",
            reply="{rationale}",
            stop=("\n",),
            role="counter",
            reading="how many sub-questions the question takes.",
        ),
        DataFormat(
            name="socratic_solver",
            template="{question}\nA:",
            separator=" ",
            reply="{rationale}",
            stop=("\nQ:",),
            role="solver",
            reading="the solution of the sub-question; of the last one with `The answer is`.",
        ),
    )
}

MIXTURES: dict[str, dict[str, float]] = {
    # Optimiser steps an epoch in arXiv 2301.12726's 3B configuration. Its loss is a mean over each
    # micro-batch, all of one format, so these are the formats' shares of the loss: about 79/20/1.
    "specialization": {
        "in_context_cot": 3452,
        "zero_shot_cot": 863,
        "in_context_answer": 24,
        "zero_shot_answer": 12,
    },
    "in_context": {"in_context_cot": 3452, "in_context_answer": 24},
    "zero_shot": {"zero_shot_cot": 863, "zero_shot_answer": 12},
    # The published loss gives both tasks one half.
    "predict_explain": {"predict": 0.5, "explain": 0.5},
    # Both roles in one student, and a questioner that plans: shares of our own.
    "socratic": {"socratic_questioner": 0.5, "socratic_solver": 0.5},
    "socratic_planner": {"socratic_counted_questioner": 0.75, "socratic_counter": 0.25},
}
"""Known mixtures as weights by format; their students are asked in the first one."""

FORMAT_OF: dict[Role, str] = {each.role: each.name for each in FORMATS.values() if each.role}
"""The data format in which a student takes a role."""


def format_named(name: str) -> DataFormat:
    """The data format of this name.

    Raises:
        ConfigError: There is none.
    """
    if name not in FORMATS:
        raise ConfigError(f"there is no data format {name!r}; known: {', '.join(FORMATS)}.")
    return FORMATS[name]


def shares(data_format: str | Mapping[str, float]) -> dict[str, float]:
    """The share of each data format; they sum to 1.

    Args:
        data_format: A format, a published mixture, or weights by format.

    Raises:
        ConfigError: One of the names is unknown, or a weight is not a positive number.
    """
    if isinstance(data_format, str):
        if data_format not in FORMATS and data_format not in MIXTURES:
            raise ConfigError(
                f"there is no data format {data_format!r}; known: {', '.join(FORMATS)}, "
                f"and the mixtures {', '.join(MIXTURES)}."
            )
        data_format = MIXTURES.get(data_format, {data_format: 1.0})
    if not data_format:
        raise ConfigError("a mixture of data formats needs one or more, such as {fine_tune_cot: 1}")
    for name, weight in data_format.items():
        format_named(name)
        if not (math.isfinite(weight) and weight > 0):
            raise ConfigError(
                f"the weight of data format {name} is {weight:g}; give a number above 0, or leave "
                "the format out."
            )
    total = sum(data_format.values())
    return {name: weight / total for name, weight in data_format.items()}
