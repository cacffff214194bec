r"""Chat templates that word a question as a student was trained to be asked.

A student of a plain format, such as ``fine_tune_cot``, is asked in text. Servers put what a user
says into the chat template of the tokenizer; with the template made here, that is the very prompt::

    [{"role": "user", "content": "What is 2 + 3?"}]  ─▶  "What is 2 + 3? ###"

The last question is put to the student, as it was trained to be asked: earlier turns are no part
of its format. The beginning of an answer, as a last turn of the assistant, stands behind the
prompt. A question that stands in its format already is left as it is.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

from potstill.prompts.styles import Exemplar, PromptStyle, prompt_for
from potstill.records import Question

_PLACE = "\ue000QUESTION\ue001"
"""The placeholder of the question in a prompt; nobody writes it."""


class WordedQuestion(NamedTuple):
    """How a style words a question, apart from the question itself."""

    system: str | None
    """The system turn of a chat; None where there is none."""

    parts: tuple[str, ...]
    """The texts before, between and behind the places in which the question stands."""

    chat: bool
    """Whether they are the user's turn of a chat."""

    verbatim: bool = False
    """Whether a question keeps the white space around it."""

    @property
    def is_bare(self) -> bool:
        """Whether the prompt is the user's turn with the question alone, without a system turn."""
        return self.chat and self.system is None and self.parts == ("", "")


def worded_question(style: PromptStyle, exemplars: Sequence[Exemplar] = ()) -> WordedQuestion:
    """Returns how a style words its questions.

    Args:
        style: The style.
        exemplars: The worked questions that its prompts begin with.
    """
    prompt = prompt_for(style, Question(id="", text=_PLACE, answer=""), exemplars)
    if isinstance(prompt, str):
        parts = tuple(prompt.split(_PLACE))
        return WordedQuestion(None, parts, chat=False, verbatim=style.verbatim)
    system = "\n\n".join(turn.content for turn in prompt if turn.role == "system") or None
    (user,) = (turn.content for turn in prompt if turn.role == "user")
    return WordedQuestion(system, tuple(user.split(_PLACE)), chat=True, verbatim=style.verbatim)


def format_template(worded: WordedQuestion, own: str | None, *, first: str = "") -> str | None:
    """Returns the chat template by which a question is worded so; None where the own one does.

    Args:
        worded: How questions are worded.
        own: The tokenizer's own chat template, into which the turns of a chat go.
        first: The text of the tokens that the tokenizer puts before every plain text.
    """
    if worded.is_bare:
        return None
    if worded.chat:
        return None if own is None else _in_chat(worded, own)
    turns = _READ_TURNS.replace(_TRIMMED, "") if worded.verbatim else _READ_TURNS
    return turns + _worded_in_jinja("ns.question", worded.parts) + _plain_end(first)


_MARK = "{#- Made by potstill: words a question as the student was trained to be asked. -#}\n"

_TRIMMED = " | trim"

_READ_TURNS = (
    _MARK + "{%- set ns = namespace(question='', begun='') -%}\n"
    "{%- for message in messages -%}\n"
    "{%- if message['role'] == 'user' -%}\n"
    f"{{%- set ns.question = message['content']{_TRIMMED} -%}}{{%- set ns.begun = '' -%}}\n"
    "{%- elif message['role'] == 'assistant' -%}\n"
    "{%- set ns.begun = message['content'] -%}\n"
    "{%- endif -%}\n"
    "{%- endfor -%}\n"
)


def _plain_end(first: str) -> str:
    return "{{- " + (f"{_literal(first)} + " if first else "") + "ns.question + ns.begun -}}\n"


def _worded_in_jinja(name: str, parts: Sequence[str]) -> str:
    """Returns the statement that puts these texts around a question, unless they stand there."""
    if set(parts) == {""} and len(parts) == 2:
        return ""
    pieces: list[str] = []
    for place, part in enumerate(parts):
        pieces += [name] if place else []
        pieces += [_literal(part)] if part else []
    before, behind = parts[0], parts[-1]
    told = [f"{name}.startswith({_literal(before)})"] if before else []
    told += [f"{name}.endswith({_literal(behind)})"] if behind else []
    wording = f"{{%- set {name} = {' + '.join(pieces)} -%}}"
    return f"{{%- if not ({' and '.join(told)}) -%}}{wording}{{%- endif -%}}\n" if told else wording


def _in_chat(worded: WordedQuestion, own: str) -> str:
    """Returns the tokenizer's own template with the last question worded, and the system turn."""
    if own.startswith(_MARK):  # made before
        own = own.partition(_OWN)[2]
    system = ""
    if worded.system is not None:
        turn = f"{{'role': 'system', 'content': {_literal(worded.system)}}}"
        system = (
            "{%- if messages[0]['role'] != 'system' -%}"
            f"{{%- set messages = [{turn}] + messages -%}}{{%- endif -%}}\n"
        )
    words = _worded_in_jinja("ns.text", worded.parts)
    turns = (
        "{%- set ns = namespace(last=-1, turns=[], text='') -%}\n"
        "{%- for message in messages -%}"
        "{%- if message['role'] == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}"
        "{%- endfor -%}\n"
        "{%- for message in messages -%}\n"
        "{%- if loop.index0 == ns.last -%}\n"
        f"{{%- set ns.text = message['content']{'' if worded.verbatim else _TRIMMED} -%}}\n"
        f"{words}"
        "{%- set ns.turns = ns.turns + [{'role': 'user', 'content': ns.text}] -%}\n"
        "{%- else -%}{%- set ns.turns = ns.turns + [message] -%}{%- endif -%}\n"
        "{%- endfor -%}\n"
        "{%- set messages = ns.turns -%}\n"
    )
    return _MARK + system + (turns if words else "") + _OWN + own


_OWN = "{#- The model's own template: -#}"


def _literal(text: str) -> str:
    """Returns a text as a string of Jinja, in which JSON's escapes are read alike."""
    return json.dumps(text, ensure_ascii=False)
