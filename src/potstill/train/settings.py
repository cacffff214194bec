"""The ``train`` section of a recipe: the students, the length and the manner of training."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from potstill.errors import ConfigError
from potstill.models.settings import LocalSettings, student_settings
from potstill.plugins import Registry, unknown_name
from potstill.prompts.decomposition import Role
from potstill.prompts.formats import (
    BY_TEMPLATE,
    FORMATS,
    AnyFormat,
    AnyMixture,
    DataFormat,
    FormatSettings,
    format_named,
    shares,
    with_system,
)
from potstill.records import System
from potstill.setting_names import NameOf
from potstill.settings import Settings
from potstill.tasks import AnyTask
from potstill.train.on_policy.settings import OnPolicySettings, check_on_policy
from potstill.train.wrong_chains import UnlikelihoodSettings

BY_BYTES = "offsets"
"""The name of potstill's own alignment among the alignments."""

ALIGNMENTS = Registry[Callable[..., Any]](
    "alignment",
    {},
    group="potstill.alignments",
    by_reference=True,
    fits=callable,
    calls={"": ("ids", "teacher_tokens", "vocabulary")},
)
"""Other ways to align tokens, each a ``train.alignment.align.Alignment``."""


LOSSES = Registry[Callable[..., Any]](
    "loss",
    {},
    group="potstill.losses",
    by_reference=True,
    fits=callable,
    calls={"": ("logits_NV", "targets")},
)
"""Losses of one's own by ``module:name`` or entry point, each a ``train.losses.Loss``."""


def _start(raw: object) -> LocalSettings:
    return student_settings(raw, at="start")


AnyStart = Annotated[LocalSettings, BeforeValidator(_start)]
"""A model to start from, as kind:where or a mapping."""


def _one_length(steps: int | None, epochs: float | None) -> None:
    if steps is not None and epochs is not None:
        raise ValueError("steps and epochs are both given; give one of them")


class LoraSettings(Settings):
    """Train low-rank additions to the weights, or their kin, in place of the weights themselves."""

    kind: Literal["lora", "rslora", "dora", "ia3"] = "lora"
    """``lora`` (arXiv 2106.09685); ``rslora``, scaled by alpha / sqrt(rank) (arXiv 2312.03732);
    ``dora``, with lengths apart from directions (arXiv 2402.09353); ``ia3``, factors of keys,
    values and inner activations (arXiv 2205.05638), for which rank, alpha and dropout do not count.
    """

    quantize: Literal["4bit"] | None = None
    """Hold the weights in 4 bits (NF4) while they are trained (QLoRA, arXiv 2305.14314); needs the
    extra ``qlora``. What is merged are these weights, rounded to the start's number format."""

    rank: int = Field(default=16, ge=1)
    """Rank of each addition."""

    alpha: float = Field(default=32.0, gt=0)
    """The additions are scaled by alpha / rank."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of an addition's inputs set to zero while training."""

    target_modules: tuple[str, ...] | None = None
    """Names of the layers that get an addition; by default every linear layer but the head."""

    @model_validator(mode="after")
    def _parts_fit(self) -> "LoraSettings":
        if self.kind == "ia3" and self.target_modules is not None:
            raise ValueError("kind ia3 has layers of its own; leave target_modules out")
        if self.quantize and self.kind not in ("lora", "rslora"):
            raise ValueError(f"quantize goes with kind lora or rslora; kind is {self.kind}")
        return self


class PrefixSettings(Settings):
    """Train keys and values that every token reads beside the text, in place of the weights."""

    tokens: int = Field(default=20, ge=1)
    """Tokens that the prefix stands for, in each layer."""


class MatchingSettings(Settings):
    """The part of the teacher that a student matches: its texts, its probabilities, or both."""

    distribution: float = Field(default=1.0, ge=0, le=1)
    """Weight of distribution matching; the rest is sample matching (cross-entropy)."""

    divergence: Literal["forward_kl", "reverse_kl", "jsd"] = "forward_kl"
    """The divergence that is minimised between the teacher's and the student's probabilities."""

    beta: float = Field(default=0.5, gt=0, lt=1)
    """Weight of the teacher in the generalised Jensen-Shannon divergence ``jsd``."""

    temperature: float = Field(default=1.0, gt=0)
    """Softens both distributions; the loss is multiplied by its square."""

    tail: Literal["drop", "renormalise", "uniform_tail"] = "uniform_tail"
    """The treatment of the teacher's mass outside its top K."""

    alignment: Annotated[str, NameOf(ALIGNMENTS, further=(BY_BYTES,))] = BY_BYTES
    """How teacher tokens meet student tokens: by byte offsets, or as arXiv 2301.12726 did."""

    @model_validator(mode="after")
    def _reverse_needs_a_tail(self) -> "MatchingSettings":
        if self.divergence == "reverse_kl" and self.tail != "uniform_tail":
            raise ValueError(
                f"reverse_kl is infinite where the teacher has no mass, as with tail {self.tail}. "
                "Set tail to uniform_tail, or divergence to forward_kl or jsd"
            )
        return self


def _matching(raw: object) -> object:
    """Returns the settings that ``sample`` and ``distribution`` are short for."""
    short = {"sample": {"distribution": 0.0}, "distribution": {}}
    own = "a mapping with distribution and divergence"
    if isinstance(raw, str):
        if raw not in short:
            raise ValueError(unknown_name("matching", raw, list(short), own=own))
        return short[raw]
    if not isinstance(raw, Mapping | MatchingSettings):
        raise ValueError(f"give {', '.join(short)}, or {own}")
    return raw


def _bare(data_format: str | FormatSettings) -> str | FormatSettings:
    """A format without rationales."""
    known = format_named(data_format)
    if not known.is_bare:
        bare = [other for other, listed in FORMATS.items() if listed.is_bare]
        raise ValueError(
            f"replayed questions have gold answers alone, which {known.name!r} does not "
            f"word. Take one of {', '.join(bare)}"
        )
    return data_format


class ReplaySettings(Settings):
    """Further examples of other tasks, so that what the student could do is not forgotten."""

    tasks: tuple[AnyTask, ...] = Field(min_length=1)
    """The tasks; their training questions with their gold answers are replayed."""

    share: float = Field(default=0.1, gt=0, lt=1)
    """Share of all examples that are replayed."""

    data_format: Annotated[AnyFormat, AfterValidator(_bare)] = "zero_shot_answer"
    """The format that they are worded in; one without rationales."""


class ThinkingMix(Settings):
    """The shares of rationales that are learned with the teacher's thinking and without it.

    Short ones with a fifth of long ones suit models of fewer than 3 billion weights better than
    long ones alone (arXiv 2502.12143).
    """

    long: float = Field(gt=0)
    """Weight of rationales with the teacher's thinking."""

    short: float = Field(gt=0)
    """Weight of rationales without it."""


def _thinking(raw: object) -> object:
    """One of the two words, or a mixture; so either has only its own faults told."""
    if isinstance(raw, Mapping):
        return ThinkingMix.model_validate(raw)
    if raw not in ("keep", "drop") and not isinstance(raw, ThinkingMix):
        mixture = "a mixture, such as {long: 0.2, short: 0.8}"
        raise ValueError(
            unknown_name("treatment of thinking", str(raw), ["keep", "drop"], own=mixture)
        )
    return raw


class StudentSettings(Settings):
    """One student: what it learns, from whom and from which start."""

    data_format: AnyMixture = "auto"
    """The wording of examples: a format, one of your own, a known mixture, or weights by format.
    ``auto`` is ``chat`` where the start's tokenizer has a chat template, else ``fine_tune_cot``;
    ``auto_answer`` is ``chat_answer``, else ``fine_tune_answer``."""

    system: str | None = Field(default=None, min_length=1)
    """The system prompt of its chats, in training and when it is asked; null: the template's own,
    if it has one."""

    thinking: Annotated[Literal["keep", "drop"] | ThinkingMix, BeforeValidator(_thinking)] = "drop"
    """The teacher's thinking: learned before the rationale (``keep``), left out (``drop``), or kept
    for a share of the rationales, as in ``{long: 0.2, short: 0.8}``."""

    exemplars: int = Field(default=4, ge=1)
    """Worked training questions that in-context formats show."""

    exemplars_per: Literal["question", "example"] = "question"
    """Draw them for each question, whose examples then share a prompt, or for each example."""

    matching: Annotated[MatchingSettings, BeforeValidator(_matching)] = MatchingSettings(
        distribution=0.0
    )
    """``sample``, ``distribution``, or settings; the latter need ``generate.top_logprobs``."""

    loss: Annotated[str, NameOf(LOSSES)] | None = None
    """``module:name`` of a loss of your own in the place of matching's; it is given the teacher's
    probabilities where matching has a share of distribution matching."""

    replay: ReplaySettings | None = None
    """Mix examples of other tasks in; null mixes none."""

    start: AnyStart | None = None
    """The model to start from, where it is not the recipe's student."""

    questions: int | None = Field(default=None, ge=1)
    """Learn only so many training questions; fewer are always some of more. Null takes all."""

    samples: int | None = Field(default=None, ge=1)
    """D of this student: learn only from the first so many samples of each teacher's."""

    max_rationales: int | None = Field(default=None, ge=1)
    """Most rationales of one question that are trained on; null takes all that were kept."""

    take: Literal["first", "shortest", "longest"] = "first"
    """The rationales of a question that ``max_rationales`` takes; the length is in words."""

    wrong_answers: bool = False
    """Learn also from rationales with a wrong answer or none; the gold answer closes them too.
    Repeated texts are all learned, as ``curate.duplicates`` keeps those of right ones."""

    ignore_marks: bool = False
    """Learn also from rationales that people rejected or did not mark, see ``curate.marks``.
    Repeated texts are all learned, as ``curate.duplicates`` keeps those of the others."""

    unlikelihood: UnlikelihoodSettings | None = None
    """Learn not to write what rationales with a wrong answer write; null learns from right ones."""

    on_policy: OnPolicySettings | None = None
    """Have the student write and a teacher score; null learns from rationales alone."""

    steps: int | None = Field(default=None, ge=1)
    """Optimiser steps of this student, in place of the recipe's ``steps`` or ``epochs``."""

    epochs: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Passes over this student's examples, in place of the recipe's ``steps`` or ``epochs``."""

    learning_rate: float | None = Field(default=None, gt=0)
    """Highest step size of this student's training, in place of the recipe's."""

    @model_validator(mode="after")
    def _check(self) -> "StudentSettings":
        try:
            _ = self.settled(chat=True).formats  # which a checkpoint names, with its system prompt
            asked_in = format_named(self.asked_in)
        except ConfigError as error:
            raise ValueError(str(error).removesuffix(".")) from error
        if not asked_in.states_answer and asked_in.role is None:
            raise ValueError(
                f"a student is asked in its first data format, and {asked_in.name} gives no "
                "answer. Put another one first, such as predict"
            )
        roles = [known.role for known in map(format_named, self.formats) if known.role]
        bare = not any(format_named(name).needs_rationale for name in self.formats)
        if self.thinking != "drop" and (roles or bare):
            learned = "turns of a decomposition" if roles else "answers without rationales"
            raise ValueError(
                f"thinking stands before a rationale, and the student learns {learned}"
            )
        if self.system is not None and self.is_settled and not self._is_chat:
            raise ValueError(
                "system is the first turn of a chat, and no data format of the student is one. "
                "Leave system out, or take chat"
            )
        self._check_unlikelihood(asked_in)
        check_on_policy(self)
        if self.take != "first" and self.max_rationales is None:
            raise ValueError(f"take: {self.take} needs max_rationales, which says how many")
        _one_length(self.steps, self.epochs)
        return self

    def _check_unlikelihood(self, asked_in: DataFormat) -> None:
        """Refuse what has no wrong rationale to learn from, or would learn it both ways."""
        if self.unlikelihood is None:
            return
        if not asked_in.needs_rationale or asked_in.role is not None:
            raise ValueError(
                f"unlikelihood is learned from wrong rationales, and a student asked in "
                f"{asked_in.name} writes none. Leave it out, or take a format with rationales first"
            )
        if self.wrong_answers:
            raise ValueError(
                "wrong_answers has wrong rationales learned, unlikelihood has them unlearned; "
                "give one of them"
            )
        if self.thinking != "drop":
            raise ValueError(
                "unlikelihood looks for the place where a rationale goes wrong, which may be in "
                "the thinking before it. Set thinking to drop, or leave unlikelihood out"
            )
        if self.replay is not None and self.replay.share + self.unlikelihood.share >= 1:
            raise ValueError(
                f"replay.share {self.replay.share:g} and unlikelihood.share "
                f"{self.unlikelihood.share:g} leave no examples of the student's own"
            )

    @property
    def is_settled(self) -> bool:
        """Whether it names its data formats, so that no tokenizer settles them."""
        return not (isinstance(self.data_format, str) and self.data_format in BY_TEMPLATE)

    def settled(self, *, chat: bool) -> "StudentSettings":
        """Returns the same student with the data format that its start's tokenizer settles.

        Args:
            chat: Whether the tokenizer has a chat template.
        """
        if self.is_settled:
            return self
        known = BY_TEMPLATE[str(self.data_format)]
        return self.model_copy(update={"data_format": known.chat if chat else known.plain})

    @property
    def formats(self) -> dict[str, float]:
        """The share of each data format in its own examples; they sum to 1.

        Of a student that is not settled it is the format without a chat template, which has the
        same parts as the one with it, and is another wording.
        """
        named = shares(self.settled(chat=False).data_format)
        return {with_system(name, self.system): share for name, share in named.items()}

    @property
    def _is_chat(self) -> bool:
        return any(format_named(name).chat for name in shares(self.data_format))

    @property
    def long_share(self) -> float:
        """The share of its rationales that are learned with the teacher's thinking."""
        if isinstance(self.thinking, ThinkingMix):
            return self.thinking.long / (self.thinking.long + self.thinking.short)
        return float(self.thinking == "keep")

    @property
    def asked_in(self) -> str:
        """The data format in which it is asked after training."""
        return next(iter(self.formats))

    @property
    def roles(self) -> frozenset[Role]:
        """The roles that it learns in the decomposition of questions; mostly none."""
        return frozenset(filter(None, (format_named(name).role for name in self.formats)))

    @property
    def answers_alone(self) -> bool:
        """Whether it answers by itself; one that has a role alone needs another student."""
        return format_named(self.asked_in).states_answer


class StopSettings(Settings):
    """When a training ends before its last step; looked at after each checkpoint."""

    patience: int | None = Field(default=None, ge=1)
    """End when the target's development accuracy has not risen for so many checkpoints."""

    generic_loss: float | None = Field(default=None, gt=0, le=1)
    """End when generic accuracy has fallen below the start's by this much (0.1: ten points)."""

    @model_validator(mode="after")
    def _some_reason(self) -> "StopSettings":
        if self.patience is None and self.generic_loss is None:
            raise ValueError("stop needs patience, generic_loss or both")
        return self


class TrainSettings(Settings):
    """The students, and the length and manner of their training."""

    students: dict[str, StudentSettings] = Field(
        default={
            "answers_only": StudentSettings(data_format="auto_answer"),
            "rationales": StudentSettings(),
        },
        min_length=1,
    )
    """The students by name; the first default learns the gold answers alone, to compare with."""

    starts: dict[str, AnyStart] = Field(default={})
    """Train each student from each of these, as STUDENT_NAME; empty: from the recipe's student."""

    steps: int | None = Field(default=None, ge=1)
    """Optimiser steps of every student; give this or ``epochs``."""

    epochs: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Passes over a student's examples. Neither this nor ``steps``: by the start and examples."""

    batch_size: int | None = Field(default=None, ge=1)
    """Examples to an optimiser step, over all processes; null: by the start's size."""

    siblings: int | None = Field(default=None, ge=1)
    """Examples of one question that a step takes together, which share work; null: batch / 16."""

    batch_tokens: int = Field(default=16_384, ge=1)
    """Most tokens that a process computes at once; changes memory and speed only."""

    learning_rate: float | None = Field(default=None, gt=0)
    """Highest step size of AdamW; null: by the start's size and what of it is trained."""

    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """The course of the learning rate after its highest value: kept, or lowered to 0 at the end."""

    warmup: float | None = Field(default=None, ge=0, le=1)
    """Share of the steps in which the learning rate rises from 0; null: by the start's size."""

    weight_decay: float | None = Field(default=None, ge=0)
    """AdamW's decay of weight matrices, a step, times the learning rate; null: 0.01, or none."""

    max_length: int | None = Field(default=None, ge=2)
    """Most tokens of prompt and target together; longer examples are dropped and counted. Null: by
    the start's size and the memory."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the products; ``auto`` is bfloat16 on CUDA devices that have it. On a
    processor it is float32 for small models, else the faster by a trial, which the run keeps."""

    lora: LoraSettings | None = None
    """Train low-rank additions only; null trains all weights."""

    prefix: PrefixSettings | None = None
    """Train a prefix only (arXiv 2101.00190); it cannot be merged, and potstill alone loads it."""

    checkpoints: int = Field(default=4, ge=1)
    """Evenly spaced checkpoints to choose from; an interrupted training resumes at the newest."""

    stop: StopSettings | None = None
    """End early on the trade-off between target and generic ability; null: train to the end."""

    gradient_checkpointing: bool = False
    """Compute activations twice to keep fewer of them; saves memory, costs time."""

    @model_validator(mode="after")
    def _check(self) -> "TrainSettings":
        _one_length(self.steps, self.epochs)
        if self.lora is not None and self.prefix is not None:
            raise ValueError("lora and prefix are both given; give one of them")
        own = [name for name, student in self.students.items() if student.start is not None]
        if self.starts and own:
            raise ValueError(f"starts are given, and {own[0]} has a start of its own; give one")
        silent = [name for name, student in self.students.items() if not student.answers_alone]
        if self.stop is not None and silent:
            raise ValueError(
                f"stop looks at the accuracy of each student, and {silent[0]} answers no question "
                "alone. Leave stop out"
            )
        return self

    def sweep(self) -> dict[System, StudentSettings]:
        """Returns every student from every start."""
        if not self.starts:
            return {System(name): student for name, student in self.students.items()}
        return {
            System(name, start_name): student.model_copy(update={"start": start})
            for name, student in self.students.items()
            for start_name, start in self.starts.items()
        }

    def for_student(self, student: StudentSettings) -> "TrainSettings":
        """Returns the same settings with the student's own length and rate, where it has them."""
        own: dict[str, float | None] = {}
        if student.steps is not None or student.epochs is not None:
            own |= {"steps": student.steps, "epochs": student.epochs}
        if student.learning_rate is not None:
            own["learning_rate"] = student.learning_rate
        return self.model_copy(update=own)
