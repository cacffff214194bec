"""The marks that models put around their thinking, as tables and as patterns.

They are those of the chat templates and of the servers' reasoning parsers (vLLM, SGLang, llama.cpp)
and those that instructions ask for. A tag is known in any case, with a name space, attributes or a
suffix (``<seed:think>``, ``<think:opensource>``), and with its brackets escaped as HTML or JSON do.
"""

import re
from typing import NamedTuple

THINK, END_THINK = "<think>\n", "\n</think>\n\n"
"""The marks around thinking where nothing says that others are used."""

TAGS = (
    # DeepSeek, Qwen, GLM, Kimi and most others; Claude; Gemini, EXAONE Deep, Marco-o1
    "think", "thinking", "thought", "thoughts",
    # instructed formats; Hermes 3; Reflection; LongCat
    "reason", "reasoning", "scratchpad", "scratch_pad", "reflection", "analysis", "longcat_think",
    "thinking_process", "thought_process", "reasoning_process", "reasoning_content", "cot",
    "chain_of_thought", "inner_thoughts", "internal_thoughts", "inner_monologue",
    "internal_monologue", "monologue", "ponder", "antthinking", "ant_thinking",
    "think_fast", "think_faster",  # K2 Horizon
)  # fmt: skip
"""Names of tags around thinking, in any case: ``<think>`` and ``</think>``."""

_SPACED_NAMES = ("seed:think", "mm:think", "ifm|think", "antml:thinking")
"""Names with the name space of Seed-OSS, MiniMax, K2 and Claude; any other one is known as well."""

PAIRS = (
    ("[THINK]", "[/THINK]"),  # Magistral, Ministral
    ("[THINKING]", "[/THINKING]"),
    ("[REASONING]", "[/REASONING]"),
    ("<|channel>", "<channel|>"),  # Gemma 4
    ("<unused94>", "<unused95>"),  # MedGemma
    ("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # OpenThinker, Sky-T1
    ("<|begin_of_thinking|>", "<|end_of_thinking|>"),
    ("<|start_think|>", "<|end_think|>"),  # Marin
    ("<|think_start|>", "<|think_end|>"),
    ("<|startofthink|>", "<|endofthink|>"),
    ("<|thinking|>", "<|/thinking|>"),
    ("<|think|>", "<|/think|>"),
    ("<|reasoning|>", "<|/reasoning|>"),
    ("<|plamo:begin_think:plamo|>", "<|plamo:end_think:plamo|>"),  # PLaMo 3
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),  # Kimi K3
    ("◁think▷", "◁/think▷"),  # Kimi-VL
)
"""Further opening and closing marks, which no other text has."""

HEADINGS = (
    ("## Thinking\n", "## Final Response\n"),  # HuatuoGPT-o1
    ("Here is my thought process:", "Here is my response:"),  # Granite 3.2
    ("Here's my thought process:", "Here's my response:"),
    ("Thinking...\n", "...done thinking.\n"),  # what Ollama prints
    ("```thinking\n", "\n```"),
    ("```think\n", "\n```"),
    ("```thoughts\n", "\n```"),
    ("```reasoning\n", "\n```"),
)
"""Words that open and close thinking; the closing one alone says nothing."""

SPECIAL_MARKS = frozenset(
    [mark for pair in PAIRS for mark in pair]
    + [f"<{slash}{name}>" for name in (*TAGS, *_SPACED_NAMES) for slash in ("", "/")]
    + ["<|channel|>", "<|message|>", "<|start|>", "<|end|>"]
    + ["<|message_model|>", "<|content_thinking|>", "<|content_text|>", "<|end_message|>"]
)
"""Marks that a tokenizer may hold as one token, special ones among them."""

WRAPPERS = (
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ("<|START_TEXT|>", "<|END_TEXT|>"),
    ("<|open|>response<|sep|>", "<|close|>response<|sep|>"),
    ("<|content_text|>", "<|end_message|>"),
    ("<|content|>", "<|end|>"),
    ("to=user<|message|>", "<|eot|>"),
    ("", "[END FINAL RESPONSE]"),
    ("<response>", "</response>"),
    ("<output>", "</output>"),
    ("<Output>", "</Output>"),
)
"""Marks that wrap the answer behind the thinking; without an opening one, the closing one ends it.
"""


class Block(NamedTuple):
    """A way to mark thinking: patterns of the opening and of the closing mark."""

    opening: re.Pattern[str]
    closing: re.Pattern[str]


_LESS, _MORE = r"(?:<|&lt;)", r"(?:>|&gt;)"


def _named(names: str) -> str:
    """Returns the pattern of a tag's name with its name space and suffix, if it has any."""
    return rf"(?:\w{{1,12}}[:|])?(?:{names})(?::[\w-]{{1,20}})?"


def _opening(names: str) -> re.Pattern[str]:
    return re.compile(rf"{_LESS}\s?{_named(names)}(?:\s[^<>\n]{{0,200}})?{_MORE}", re.IGNORECASE)


def _closing(names: str) -> re.Pattern[str]:
    return re.compile(rf"{_LESS}\s?\\?/\s?{_named(names)}\s?{_MORE}", re.IGNORECASE)


def _pair(opening: str, closing: str) -> Block:
    return Block(re.compile(re.escape(opening)), re.compile(re.escape(closing)))


_ANY_NAME = "|".join(TAGS)
# Apriel: the template opens the thinking with words that any text may begin with.
_APRIEL = Block(re.compile("(?!)"), re.compile(re.escape("[BEGIN FINAL RESPONSE]")))
_FURTHER = (*(_pair(*pair) for pair in PAIRS), _APRIEL)
BLOCKS = (*(Block(_opening(name), _closing(name)) for name in TAGS), *_FURTHER)
"""The blocks whose closing mark says alone that thinking stood before it."""

ANY_OPENING = re.compile(
    "|".join(
        f"(?:{one})"
        for one in (_opening(_ANY_NAME).pattern, *(b.opening.pattern for b in _FURTHER))
    ),
    re.IGNORECASE,
)
ANY_CLOSING = re.compile(
    "|".join(
        f"(?:{one})"
        for one in (_closing(_ANY_NAME).pattern, *(b.closing.pattern for b in _FURTHER))
    ),
    re.IGNORECASE,
)

BLOCKS_AT_THE_START = (
    # "<think/>", which opens and closes at once
    Block(re.compile(rf"<(?:{_ANY_NAME})\s?(?=/>)", re.IGNORECASE), re.compile("/>")),
    # Solar Open: no closing mark of its own, the answer is a part of its own
    Block(
        re.compile(r"(?:<\|begin\|>assistant)?<\|think\|>(?=(?:(?!<\|/think).)*<\|end\|>)", re.S),
        re.compile(r"<\|end\|>(?:<\|begin\|>assistant)?"),
    ),
    # Inkling ends its thinking as it does each part of a message.
    Block(
        re.compile(r"(?:<\|message_model\|>)?<\|content_thinking\|>"),
        re.compile(r"<\|end_message\|>(?:<\|message_model\|>)?"),
    ),
    # Muse speaks to itself first, then to the user.
    Block(
        re.compile(r"(?:<\|start\|>assistant\s?)?to=self<\|message\|>"),
        re.compile(r"<\|eom\|>(?:<\|start\|>assistant)?"),
    ),
    *BLOCKS,
    *(_pair(*pair) for pair in HEADINGS),
    # as Open WebUI stores it
    Block(re.compile(r'<details type="reasoning"[^<>]{0,300}>'), re.compile("</details>")),
)
"""The blocks that a text may begin with."""

_SPACE = r"[\s\ufeff\u200b]*"
LEAD = re.compile(
    rf"{_SPACE}(?:(?:<\|im_start\|>|<\|start_header_id\|>|<\|assistant\|>|<s>|<bos>|<\|turn>"
    rf"|<\|begin_assistant\|>){_SPACE}(?:assistant|model)?{_SPACE}(?:<\|end_header_id\|>)?{_SPACE})?"
    rf"(?:\**(?:assistant|answer|response|model|ai|bot|a)\s?:\**{_SPACE})?",
    re.IGNORECASE,
)
"""Text that a template may leave before an answer: "<|im_start|>assistant\\n", "Assistant: "."""

BEGUN_TAG = re.compile(
    rf"{_LESS}\s?(?:[\w:|]{{0,40}}|{_named(_ANY_NAME)}(?:\s[^<>\n]{{0,200}})?)&?(?:gt?)?\Z"
)
"""A text in lower case that may yet become a tag."""

BEGINNINGS = tuple(
    mark.casefold()
    for mark in (
        *(opening for opening, _ in (*PAIRS, *HEADINGS)),
        "&lt;", "<|im_start|>", "<|start_header_id|>", "<|assistant|>", "<s>", "<bos>", "<|turn>",
        "<|begin_assistant|>", "<|begin|>assistant<|think|>",
        "<|message_model|><|content_thinking|>", "<|start|>assistant to=self<|message|>",
        "to=self<|message|>", "<|channel|>", "analysis", "assistant:",
        "model:", "answer:", "response:", "ai:", "bot:", "a:",
    )
)  # fmt: skip
"""The possible beginnings of a text ahead of thinking, in lower case."""

# A text without any of these, and without these beginnings, holds no mark, which is soon seen.
_SIGNS = (
    "</", "|>", "[/THINK", "[/REASON", "◁/", "assistantfinal", "&lt;", "<\\/", "<unused95>",
    "< /", "[BEGIN FINAL",
)  # fmt: skip
_FIRST_SIGNS = ("[THINK", "[REASON", "◁", "&lt;")
ENDS_OF_OPENINGS = (">", ">\n", ">\n\n", "[THINK]", "[THINK]\n", "▷", "▷\n")
"""Ends of a prompt that may open thinking."""


def may_hold_marks(text: str) -> bool:
    """Says whether a text has a sign without which there is no mark."""
    head = text[:60]  # tested one by one: a loop would take longer than reading a number
    if "<" in head or "`" in head or "Here" in head or "Thinking" in head or "to=" in head:
        return True
    if not ("<" in text or "[" in text or "|>" in text or "&lt;" in text or "\u25c1" in text):
        return "assistantfinal" in text
    return any(sign in head for sign in _FIRST_SIGNS) or any(sign in text for sign in _SIGNS)
