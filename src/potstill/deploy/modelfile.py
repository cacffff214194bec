r"""Ollama's Modelfile for a student: its template, its stop strings, greedy answers.

Ollama words chats by a template of Go, not by the tokenizer's of Jinja. It is found by rendering
chats of marked turns with the tokenizer's template, and taking what stands around the marks::

    <|im_start|>system\nSYSTEM<|im_end|>\n<|im_start|>user\nUSER<|im_end|>\n<|im_start|>assistant\n
"""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from potstill.errors import ModelError
from potstill.text.common_prefix import common_prefix_items

Turns = Sequence[tuple[str, str]]
"""The turns of a chat, each a role and a content."""

Render = Callable[[Turns], str]
"""Renders turns by a model's chat template, up to the first word of the assistant's answer."""

_SYSTEM, _USER, _ANSWER = "\ue000system\ue001", "\ue000user\ue001", "\ue000answer\ue001"
"""Marks in the place of contents."""


class GoTemplate(NamedTuple):
    """How Ollama words a chat."""

    template: str
    system: str | None
    """The system turn where a chat has none; None: there is none then."""


def go_template(render: Render) -> GoTemplate:
    """Returns Ollama's template of a model whose chat template renders so.

    Raises:
        ModelError: The text around a question depends on the question, or on more.
    """
    before, _, behind = render([("user", _USER)]).partition(_USER)
    turn, closing = before, ""
    system, opening, between = None, "", ""
    if (with_system := _around_system(render)) is not None:
        opening, between = with_system
        if opening and before.startswith(opening) and before.endswith(between):
            system, turn = before[len(opening) : len(before) - len(between)], between
    if (following := _behind_answer(render)) is not None:
        if system:
            turn = _common_end(between, following)
        closing = following.removesuffix(turn)
    head = ""
    if with_system is not None and between.endswith(turn):
        head = _literal(opening) + "{{ .System }}" + _literal(between.removesuffix(turn))
        if system != "":  # else the turn is there without a content, too
            head = "{{ if .System }}" + head + "{{ end }}"
    prompt = _literal(turn) + "{{ .Prompt }}" + _literal(behind)
    template = head + prompt + "{{ .Response }}" + _literal(closing)
    found = GoTemplate(template, system)
    for text in ("What is 2 + 3?", 'Is "a" {b}?\n\nSay so.'):
        if worded(found, text) != render([("user", text)]):
            raise ModelError("its chat template words a question by what stands in it")
    return found


def worded(template: GoTemplate, question: str) -> str:
    """Returns the prompt that Ollama makes of a question by a template of :func:`go_template`."""
    text = template.template.partition("{{ .Response }}")[0].replace(_BRACES_IN_GO, _BRACES)
    opening, condition, rest = text.partition("{{ if .System }}")
    if condition:
        turn, _, rest = rest.partition("{{ end }}")
        text = opening + (turn if template.system else "") + rest
    parts = [
        part.replace("{{ .System }}", template.system or "") for part in text.split("{{ .Prompt }}")
    ]
    return question.join(parts).replace(_BRACES, "{{")


def modelfile(
    source: str, template: GoTemplate, *, stop: Sequence[str], max_tokens: int, context: int
) -> str:
    """Returns a Modelfile.

    Args:
        source: The file or folder of the model's weights, seen from the Modelfile.
        template: How it is asked.
        stop: Strings that end an answer.
        max_tokens: The longest answer, in tokens.
        context: The longest prompt and answer together, in tokens.

    Raises:
        ModelError: A text cannot stand in a Modelfile.
    """
    lines = [f"FROM {source}", f"TEMPLATE {_quoted(template.template)}"]
    if template.system:
        lines.append(f"SYSTEM {_quoted(template.system)}")
    parameters = {
        "temperature": 0,
        "repeat_penalty": 1,
        "top_k": 1,
        "num_predict": max_tokens,
        "num_ctx": context,
    }
    lines += [f"PARAMETER {name} {value}" for name, value in parameters.items()]
    lines += [f"PARAMETER stop {json.dumps(string, ensure_ascii=False)}" for string in stop]
    return "\n".join(lines) + "\n"


def _around_system(render: Render) -> tuple[str, str] | None:
    """Returns what stands before a system turn, and between it and the question behind it.

    Returns:
        None where the template has no place for a system turn.
    """
    try:
        rendered = render([("system", _SYSTEM), ("user", _USER)])
    except ModelError:  # it refuses such turns
        return None
    opening, told, rest = rendered.partition(_SYSTEM)
    return (opening, rest.partition(_USER)[0]) if told and _USER in rest else None


def _behind_answer(render: Render) -> str | None:
    """Returns what stands between an answer and a further question; None where nothing may."""
    try:
        rendered = render([("user", _USER), ("assistant", _ANSWER), ("user", _USER)])
    except ModelError:
        return None
    _, answered, rest = rendered.partition(_ANSWER)
    return rest.partition(_USER)[0] if answered and _USER in rest else None


def _common_end(one: str, two: str) -> str:
    shared = common_prefix_items(one[::-1], two[::-1])
    return one[len(one) - shared :]


_BRACES = "\ue002"
"""Stands for two braces of a template's text while its actions are filled in."""

_BRACES_IN_GO = '{{ "{{" }}'


def _literal(text: str) -> str:
    """Returns a text as it stands in a template of Go, whose actions begin with two braces."""
    return text.replace("{{", _BRACES_IN_GO)


def _quoted(text: str) -> str:
    if '"""' in text:
        raise ModelError('its template holds """, which ends a text in a Modelfile')
    return f'"""{text}"""'
