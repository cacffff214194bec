"""Data formats: what a student is trained on, and how the trained student is then asked."""

from dataclasses import dataclass

from potstill.errors import ConfigError
from potstill.prompts.styles import PromptStyle, question_text
from potstill.records import Question


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFormat:
    """One wording of prompt and target, for decoder-only and for encoder-decoder students."""

    name: str
    causal_prompt: str
    causal_target: str
    seq2seq_prompt: str
    seq2seq_target: str
    needs_rationale: bool

    def prompt(self, question: Question, *, encoder_decoder: bool) -> str:
        """The input that the student continues or encodes."""
        template = self.seq2seq_prompt if encoder_decoder else self.causal_prompt
        return template.replace("{question}", question_text(question))

    def style(self, *, encoder_decoder: bool) -> PromptStyle:
        """How a student trained on this format is asked."""
        template = self.seq2seq_prompt if encoder_decoder else self.causal_prompt
        return PromptStyle(name=self.name, template=template)

    def target(self, rationale: str, answer: str, *, encoder_decoder: bool) -> str:
        """What the student learns to write, end-of-sequence token left out."""
        template = self.seq2seq_target if encoder_decoder else self.causal_target
        return template.replace("{answer}", answer).replace("{rationale}", rationale.strip())


FORMATS: dict[str, DataFormat] = {
    data_format.name: data_format
    for data_format in (
        # Fine-tune-CoT, ft_cot_token: src/data/format.py of reasoning-teacher @ a2ca4d28.
        DataFormat(
            name="fine_tune_cot",
            causal_prompt="{question} ###",
            causal_target=" {rationale} --> {answer}",
            seq2seq_prompt="{question}",
            seq2seq_target="{rationale} --> {answer}",
            needs_rationale=True,
        ),
        # Fine-tune-CoT, ft_token: its answer-only baseline.
        DataFormat(
            name="fine_tune_answer",
            causal_prompt="{question} ###",
            causal_target=" {answer}",
            seq2seq_prompt="{question}",
            seq2seq_target="{answer}",
            needs_rationale=False,
        ),
    )
}


def format_named(name: str) -> DataFormat:
    """The data format of this name.

    Raises:
        ConfigError: There is none.
    """
    if name not in FORMATS:
        raise ConfigError(f"there is no data format {name!r}; known: {', '.join(FORMATS)}.")
    return FORMATS[name]
