"""The parts that an on-policy training is made of, and its sizes; nothing here loads torch."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from potstill.errors import ConfigError
from potstill.keys import question_digest, settings_hash
from potstill.models.interface import Model
from potstill.models.served.serving import served_name
from potstill.models.settings import LocalSettings, ModelSettings
from potstill.prompts.formats import DataFormat, format_named
from potstill.prompts.styles import PromptStyle
from potstill.records import GivenText, Message, Question, Request, System
from potstill.runtime.context import RunContext
from potstill.sampling.ask import PromptConfig
from potstill.train.on_policy.settings import OnPolicySettings

ENTROPY_TOKENS = 20
"""The student's likeliest tokens that are kept where its entropy is looked at."""

Prompt = str | tuple[Message, ...]
"""Plain text, or the turns of a chat."""

SEEDS_APART = 1_000_003
"""The distance of two runs' seeds, so that no round of the one draws as one of the other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoringTeacher:
    """The teacher that scores."""

    settings: ModelSettings
    model: Model
    """Opened when it is first asked."""

    asking: PromptConfig
    """How it is asked for rationales: it scores behind the same prompt."""

    def request(
        self,
        question: Question,
        text: str,
        *,
        written_behind: Prompt,
        ends: bool,
        top: int,
        task: str,
        ids: Sequence[int] = (),
        kept_at: str = "",
    ) -> Request:
        """Returns what it is asked for the scores of an answer.

        Args:
            question: The question.
            text: The answer. Behind another prompt than the student's, white space before it is
                what that prompt asks for.
            written_behind: The prompt that the student has answered.
            ends: Whether the answer ends behind the text.
            top: How many of its likeliest tokens are kept at each place.
            task: The name of the question's task.
            ids: The tokens that the student wrote, where the teacher's tokenizer is its own; of an
                answer behind another prompt they may be others, and are left to the tokenizer.
            kept_at: See :attr:`potstill.records.GivenText.kept_at`.
        """
        prompt = self.asking.request(question).prompt
        if prompt != written_behind:
            text, ids = text.lstrip(), ()
            open_ended = isinstance(prompt, str) and prompt[-1:].strip() != ""
            text = f" {text}" if open_ended and text else text
        return Request(
            prompt=prompt,
            max_tokens=1,
            top_logprobs=top,
            given=GivenText(text=text, ends=ends, ids=tuple(ids), kept_at=kept_at),
            question=question.text,
            question_id=question.id,
            task=task,
        )


@dataclass(frozen=True, kw_only=True)
class OnPolicyWork:
    """The parts that the rounds of one student's training are made of."""

    system: System
    """The student."""

    settings: OnPolicySettings
    data_format: str
    """The data format that the student is asked in."""

    start: LocalSettings
    """The model that it started from; where ``serve`` is set, that program writes the student's
    answers from its weights."""

    teacher: ScoringTeacher
    questions: tuple[Question, ...]
    """The training questions that it may be asked."""

    task: str
    context: RunContext
    seed: int
    right: Callable[[str, Question], bool] | None = None
    """Whether an answer is the gold answer of its question; None: that is not looked at."""

    @property
    def label(self) -> str:
        """The student's name in the recipe, with its start's."""
        return self.system.label

    @property
    def note(self) -> str:
        """The key of the note that shows its last round while it trains."""
        return f"on-policy {self.label}"

    @cached_property
    def format(self) -> DataFormat:
        """The data format itself."""
        return format_named(self.data_format)

    @property
    def closing(self) -> str:
        """The words from which on answers are not scored; empty: they are scored to the end."""
        return unscored_closing(self.format, self.teacher.asking.style)

    def identity(self) -> list[object]:
        """Returns plain values that stand for all that determines the rounds, weights aside."""
        wording = self.teacher.asking.request(Question(id="", text="QUESTION", answer="")).prompt
        values = self.settings.model_dump(mode="json", exclude={"start_from", "limits"})
        questions = [question_digest(question) for question in self.questions]
        own: list[object] = [
            values,
            self.teacher.model.name,
            settings_hash(str(wording)),
            settings_hash(questions),
        ]
        return own if self.start.serve is None else [*own, served_name(self.start, "")]

    def round_questions(self, counts: Iterable[int]) -> Iterator[list[Question]]:
        """Yields the questions of each round: pass after pass in random order.

        Args:
            counts: The questions of each; where there are fewer, some come several times.
        """
        generator, waiting = random.Random(f"on-policy {self.seed}"), list[Question]()
        for count in counts:
            while len(waiting) < count:
                waiting += generator.sample(self.questions, len(self.questions))
            yield waiting[:count]
            del waiting[:count]

    def requests(
        self, questions: Sequence[Question], number: int, encoder_decoder: bool
    ) -> list[Request]:
        """Returns what the student is asked in a round; a question that comes twice is drawn twice.

        Args:
            questions: The round's.
            number: The round, from 0.
            encoder_decoder: Whether the student reads its prompt with an encoder.
        """
        times = Counter(question.id for question in questions)
        distinct = {question.id: question for question in questions}
        ranked = self.settings.score.share < 1 and self.settings.score.by == "entropy"
        return [
            Request(
                prompt=self.format.prompt(question, encoder_decoder=encoder_decoder),
                samples=tuple(range(self.settings.samples * times[id_])),
                temperature=self.settings.temperature,
                max_tokens=self.settings.longest,
                top_logprobs=ENTROPY_TOKENS if ranked else 1,
                seed=self.seed * SEEDS_APART + number,
                question=question.text,
                question_id=id_,
                task=self.task,
            )
            for id_, question in distinct.items()
        ]


def answers_of(label: str) -> str:
    """Returns what the names begin with by which a student's answers are stored.

    Behind it stand what determines the training, and the round, counted from 1.
    """
    return f"on_policy:{label}@"


class RoundPlan(NamedTuple):
    """The sizes of rounds and steps."""

    steps: int
    """Optimiser steps of the training."""

    steps_per_round: int
    own: int
    """The student's own answers in a step."""

    further: int
    """Rationales of the teacher's in a step."""

    samples: int
    """Answers to each question of a round."""

    questions: int | None
    """Questions of each round; None: as many as have each of its answers learned once."""

    @classmethod
    def of(cls, settings: OnPolicySettings, *, steps: int, batch_size: int) -> "RoundPlan":
        """Returns the sizes that the settings come to.

        Raises:
            ConfigError: A round has more answers than its steps learn.
        """
        further = min(round(settings.mix * batch_size), batch_size - 1)
        if settings.mix and not further:
            further = int(batch_size > 1)
        plan = cls(
            steps=steps,
            steps_per_round=settings.steps_per_round,
            own=batch_size - further,
            further=further,
            samples=settings.samples,
            questions=None,
        )
        enough = plan.questions_of(0)
        if settings.questions is not None and settings.questions > enough:
            raise ConfigError(
                f"on_policy.questions is {settings.questions:,}, and a round of "
                f"{plan.steps_of(0):,} steps learns the answers to {enough:,}; the others would be "
                f"scored for nothing. Set it to {enough} or less, or leave it out"
            )
        return plan._replace(questions=settings.questions)

    @property
    def rounds(self) -> int:
        """The number of rounds."""
        return -(-self.steps // self.steps_per_round)

    def steps_of(self, number: int) -> int:
        """Returns the optimiser steps of a round."""
        return min(self.steps_per_round, self.steps - number * self.steps_per_round)

    def questions_of(self, number: int) -> int:
        """Returns the questions of a round; the last has fewer where it has fewer steps."""
        return self.questions or -(-self.steps_of(number) * self.own // self.samples)

    def answers_from(self, number: int) -> int:
        """Returns how many answers are written from a round on."""
        rounds = range(number, self.rounds)
        return self.samples * sum(self.questions_of(later) for later in rounds)


def unscored_closing(data_format: DataFormat, style: PromptStyle) -> str:
    """Returns the words by which a format closes an answer, if the teacher is not asked for them.

    Args:
        data_format: The student's.
        style: How the teacher is asked.
    """
    closing = data_format.reply.partition("{rationale}")[2].partition("{answer}")[0]
    asked_for = closing.strip() in style.template + style.answer_cue
    return "" if asked_for or not closing.strip() else closing
