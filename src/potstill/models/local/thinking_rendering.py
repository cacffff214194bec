"""How a message holds an answer's thinking, so that a chat template renders it as it is trained on.

Trainers render rows of messages by the student's template. Most templates render marks that stand
in the content as they are, or find the thinking between them; some leave it out of the content and
take it from a field of its own.
"""

from transformers import PreTrainedTokenizerBase

from potstill.models.local.answer_layout import (
    ANSWER,
    THINKING,
    USER,
    TemplateRefusal,
    answer_layout,
    renderer,
    thinking_template,
)
from potstill.text.thinking_marks import THINK
from potstill.text.thinking_message import PLAIN_MESSAGES, ThinkingMessages

THINKING_FIELDS = ("reasoning_content", "reasoning", "thinking")
"""The fields of a message that templates take thinking from."""


def thinking_messages(tokenizer: PreTrainedTokenizerBase) -> ThinkingMessages:
    """Returns the first way whose rendering is what a student of this tokenizer is trained on.

    Args:
        tokenizer: The tokenizer that the student starts with.
    """
    if tokenizer.chat_template is None:
        return PLAIN_MESSAGES
    own = tokenizer.chat_template
    try:
        tokenizer.chat_template = thinking_template(tokenizer) or own  # as it is trained in
        return _found(tokenizer)
    except TemplateRefusal:
        return PLAIN_MESSAGES
    finally:
        tokenizer.chat_template = own


def _found(tokenizer: PreTrainedTokenizerBase) -> ThinkingMessages:
    render, layout = renderer(tokenizer), answer_layout(tokenizer)
    prompt = render([USER], add_generation_prompt=True)
    trained = prompt + layout.written(ANSWER, THINKING)
    by_marks = ThinkingMessages(layout.opening or THINK, layout.closing)
    by_field = [ThinkingMessages("", "", field) for field in THINKING_FIELDS]
    partly: ThinkingMessages | None = None
    for way in (by_marks, PLAIN_MESSAGES, *by_field):
        try:
            whole = render([USER, way.message(ANSWER, THINKING)])
        except TemplateRefusal:
            continue
        if whole.startswith(trained):
            return way
        if partly is None and THINKING in whole and whole.rindex(ANSWER) > whole.rindex(THINKING):
            partly = way
    differs = layout.thinking_differs or "the template lays such answers out otherwise"
    return (partly or PLAIN_MESSAGES)._replace(differs=differs)
