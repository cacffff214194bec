"""A model's folder as servers read it: its chat template and its generation settings.

Whoever loads the folder puts what a user says into the chat template, and takes from
``generation_config.json`` how tokens are drawn, of which the start's maker may have had other
ideas: Qwen's has a temperature and a repetition penalty. Here both are made to give what was
measured: the prompt that the student was trained on, and greedy answers.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from potstill.models.local.loading import quietly
from potstill.models.local.prompt_encoding import PromptEncoder
from potstill.prompts.format_templates import format_template, worded_question
from potstill.prompts.styles import Exemplar, PromptStyle, prompt_for
from potstill.records import Question, Request
from potstill.whole_files import write_whole

TEMPLATE_FILE = "chat_template.jinja"

DRAWING = frozenset(
    {
        "temperature", "top_k", "top_p", "min_p", "typical_p", "top_h", "epsilon_cutoff",
        "eta_cutoff", "repetition_penalty", "encoder_repetition_penalty", "length_penalty",
        "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "num_beams",
        "num_beam_groups", "diversity_penalty", "penalty_alpha", "presence_penalty",
        "frequency_penalty", "suppress_tokens", "begin_suppress_tokens", "sequence_bias",
        "max_length", "max_new_tokens", "min_length", "min_new_tokens", "stop_strings",
        "exponential_decay_length_penalty", "guidance_scale", "early_stopping", "max_time",
    }
)  # fmt: skip
"""Settings of generation by which an answer would be another than the greedy one."""

TRIED = ("Ann has 3 pens & buys 4. How many?", "1 + 1?", "Is {it} so?\nSay “yes”.")
"""Questions by which a template is tried."""

SPACED = " What is 2 + 3?\n"
"""One more for styles that keep the white space around a question."""


class ChatForm(NamedTuple):
    """How a folder's chat route words a question."""

    template: str | None
    """The chat template that the folder has now; None: it has none."""

    exact: bool
    """Whether the route gives the very tokens that the student was measured with."""


def set_greedy(folder: Path) -> None:
    """Take out of ``generation_config.json`` what would make an answer another than the greedy one.

    The tokens that begin and end texts stay.
    """
    path = folder / "generation_config.json"
    if not path.is_file():
        return
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    kept = {name: value for name, value in values.items() if name not in DRAWING}
    write_whole(path, json.dumps({**kept, "do_sample": False}, indent=2) + "\n")


def set_chat_template(
    folder: Path, style: PromptStyle, exemplars: Sequence[Exemplar] = ()
) -> ChatForm:
    """Give a decoder-only model's folder a chat template that words questions in a style.

    A tokenizer whose own template does so keeps it.

    Args:
        folder: The model's; it is changed.
        style: How the student is asked.
        exemplars: The worked questions that its prompts begin with.
    """
    with quietly():
        tokenizer = AutoTokenizer.from_pretrained(folder)
    worded, first = worded_question(style, exemplars), first_text(tokenizer)
    own = tokenizer.chat_template
    if isinstance(own, dict):  # several by name, of which chats take this one
        own = own.get("default")
    template, exact = own, False
    # Some tokenizers put a space before a text's first word, but not behind a control token.
    for gap in ("", " "):
        template = format_template(worded, own, first=first + gap) or own
        if template is None:
            return ChatForm(None, exact=False)
        tokenizer.chat_template = template
        exact = is_exact(tokenizer, style, exemplars)
        if exact or worded.chat:
            break
    if template != own:
        _write_template(folder, template)
    return ChatForm(template, exact)


def is_exact(
    tokenizer: PreTrainedTokenizerBase, style: PromptStyle, exemplars: Sequence[Exemplar] = ()
) -> bool:
    """Whether a tokenizer's chat template gives the tokens that a style's prompts have."""
    prompts = PromptEncoder(tokenizer, "the student")
    for text in (*TRIED, SPACED) if style.verbatim else TRIED:
        asked = prompt_for(style, Question(id="", text=text, answer=""), exemplars)
        wanted = prompts.prompt_ids(Request(prompt=asked))
        rendered = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
        )
        given = tokenizer(rendered, add_special_tokens=False, verbose=False)["input_ids"]
        if list(given) != wanted:
            return False
    return True


def first_text(tokenizer: PreTrainedTokenizerBase) -> str:
    """Returns the text of the tokens that a tokenizer puts before every plain text, mostly none."""
    whole = list(tokenizer("a", verbose=False)["input_ids"])
    alone = list(tokenizer("a", add_special_tokens=False, verbose=False)["input_ids"])
    places = (at for at in range(len(whole)) if whole[at : at + len(alone)] == alone)
    first = next(places, 0)
    return "".join(str(token) for token in tokenizer.convert_ids_to_tokens(whole[:first]))


def _write_template(folder: Path, template: str) -> None:
    """Write a chat template where transformers 4 and 5, vLLM and llama.cpp look for it."""
    write_whole(folder / TEMPLATE_FILE, template)
    path = folder / "tokenizer_config.json"
    if path.is_file():
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("chat_template", None) is not None:
            write_whole(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
