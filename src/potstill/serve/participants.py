"""Words a client's request for the student and for the teacher, and says what else is asked."""

from dataclasses import dataclass

from potstill.guide.types import Participant, lead_after
from potstill.prompts.formats import format_named
from potstill.prompts.styles import prompt_for, style_named
from potstill.records import Message, Question, Request
from potstill.serve.conversation import ClientPrompt
from potstill.serve.request import ClientRequest
from potstill.serve.settings import ServeSettings
from potstill.serve.upstreams import StudentOptions, Upstream


@dataclass(frozen=True, slots=True)
class ParticipantBuilder:
    """Words a client's request for the student and for the teacher."""

    settings: ServeSettings
    student_upstream: Upstream
    teacher_upstream: Upstream | None
    """The teacher's upstream; None: nobody steps in."""

    def student(self, request: ClientRequest, asked: ClientPrompt) -> Participant:
        """How the student is asked for its answer."""
        prompt, stop = asked.text, request.stop
        lead = lead_after(prompt)
        if self.settings.student_format and not isinstance(prompt, str):
            data_format = format_named(self.settings.student_format)
            encoder_decoder = self.student_upstream.encoder_decoder
            style = data_format.style(encoder_decoder=encoder_decoder)
            lead = data_format.lead(encoder_decoder=encoder_decoder)
            prompt, stop = prompt_for(style, _question(prompt)), (*stop, *style.stop)
        whole_answer = Request(
            prompt=_prompt_for(self.student_upstream, prompt),
            samples=tuple(range(request.samples)),
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=request.max_tokens,
            thinking_tokens=self.settings.thinking_tokens,
            stop=stop,
            seed=request.seed,
        )
        return Participant(request=whole_answer, lead=lead)

    def options(self, request: ClientRequest, asked: ClientPrompt) -> StudentOptions:
        """Returns the client's further wishes for the student, see :class:`StudentOptions`."""
        return StudentOptions(
            fields=request.fields,
            ids=asked.ids,
            # Turns are passed on as they came only where nothing is worded.
            turns=() if self._words_chats(request) else asked.turns,
            echo=request.echo,
            logprobs=request.logprobs,
            by_chat=request.by_chat,
            worded=request.by_chat and self.settings.student_format is not None,
        )

    def _words_chats(self, request: ClientRequest) -> bool:
        return bool(self.settings.student_format) or not request.is_alone

    def teacher(self, request: ClientRequest, asked: ClientPrompt) -> Participant:
        """How the teacher is asked for a step; it stops at its step's end alone."""
        prompt = asked.text
        if self.settings.teacher_style:
            prompt = prompt_for(style_named(self.settings.teacher_style), _question(prompt))
        if self.teacher_upstream is not None:
            prompt = _prompt_for(self.teacher_upstream, prompt)
        whole_answer = Request(prompt=prompt, max_tokens=request.max_tokens, seed=request.seed)
        return Participant(request=whole_answer, lead=lead_after(prompt))


def _question(prompt: str | tuple[Message, ...]) -> Question:
    """The last turn of the user, or the prompt as it is."""
    if isinstance(prompt, str):
        return Question(id="", text=prompt, answer="")
    turns = [turn.content for turn in prompt if turn.role == "user"] or [prompt[-1].content]
    return Question(id="", text=turns[-1], answer="")


def _prompt_for(upstream: Upstream, prompt: str | tuple[Message, ...]) -> str | tuple[Message, ...]:
    """A prompt that this upstream takes: a chat is text for one that knows no chats."""
    if isinstance(prompt, str) or upstream.chat:
        return prompt
    return "\n\n".join(turn.content for turn in prompt)
