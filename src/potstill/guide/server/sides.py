"""How the student and the teacher are asked what a client asks."""

from dataclasses import dataclass

from potstill.guide.parts import Side, lead_after
from potstill.guide.server.asked import Asked
from potstill.guide.server.settings import ServeSettings
from potstill.guide.server.upstreams import Upstream
from potstill.prompts.formats import format_named
from potstill.prompts.styles import prompt_for, style_named
from potstill.records import Message, Question, Request


@dataclass(frozen=True, slots=True)
class Sides:
    """The wording of both sides.

    Args:
        settings: Of the server.
        student: Who answers.
        teacher: Who steps in; None: nobody.
    """

    settings: ServeSettings
    student: Upstream
    teacher: Upstream | None

    def of_student(self, asked: Asked) -> Side:
        """How the student is asked for its answer."""
        prompt, stop = asked.prompt, asked.stop
        lead = lead_after(prompt)
        if self.settings.student_format and not isinstance(prompt, str):
            data_format = format_named(self.settings.student_format)
            encoder_decoder = self.student.encoder_decoder
            style = data_format.style(encoder_decoder=encoder_decoder)
            lead = data_format.lead(encoder_decoder=encoder_decoder)
            prompt, stop = prompt_for(style, _question(prompt)), (*stop, *style.stop)
        request = Request(
            prompt=_for(self.student, prompt),
            samples=tuple(range(asked.samples)),
            temperature=asked.temperature,
            top_p=asked.top_p,
            max_tokens=asked.max_tokens,
            stop=stop,
            seed=asked.seed,
        )
        return Side(request=request, lead=lead)

    def of_teacher(self, asked: Asked) -> Side:
        """How the teacher is asked for a step; what it may stop at is its step's end alone."""
        prompt = asked.prompt
        if self.settings.teacher_style:
            prompt = prompt_for(style_named(self.settings.teacher_style), _question(prompt))
        if self.teacher is not None:
            prompt = _for(self.teacher, prompt)
        request = Request(prompt=prompt, max_tokens=asked.max_tokens, seed=asked.seed)
        return Side(request=request, lead=lead_after(prompt))


def _question(prompt: str | tuple[Message, ...]) -> Question:
    """What is asked last."""
    if isinstance(prompt, str):
        return Question(id="", text=prompt, answer="")
    turns = [turn.content for turn in prompt if turn.role == "user"] or [prompt[-1].content]
    return Question(id="", text=turns[-1], answer="")


def _for(upstream: Upstream, prompt: str | tuple[Message, ...]) -> str | tuple[Message, ...]:
    """A prompt that this upstream takes: a chat is text for one that knows no chats."""
    if isinstance(prompt, str) or upstream.chat:
        return prompt
    return "\n\n".join(turn.content for turn in prompt)
