"""Why a text ended: the spellings that servers and files have for it, as one set of words.

OpenAI's own are ``stop``, ``length``, ``content_filter`` and ``tool_calls``. Others write the
names of their enumerations (``MAX_TOKENS``, ``FinishReason.STOP``, ``<FinishReason.SAFETY: 3>``),
those of other protocols (``end_turn``, ``eos_token``, ``COMPLETE``) or their own. What is not known
is never taken for ``stop``: a text that ended for a reason nobody knows may be cut.
"""

import re
from collections.abc import Mapping

from potstill.records import FinishReason

_SPELLINGS: Mapping[FinishReason, str] = {
    "stop": (
        "stop stopped stop_sequence stop_sequences stop_string stop_str stop_token stop_word word "
        "eos eos_token eos_token_id eot eot_id end end_turn end_of_turn end_of_text "
        "end_of_sequence complete completed done finish finished normal natural"
    ),
    "length": (
        "length limit max_tokens max_token max_length model_length max_output_tokens "
        "max_completion_tokens max_new_tokens token_limit context_length context_window "
        "error_limit incomplete truncated cutoff"
    ),
    "content_filter": (
        "content_filter content_filtered content_moderation safety image_safety recitation "
        "blocklist blocked prohibited_content spii sensitive refusal refused moderation "
        "guardrail guardrail_intervened error_toxic content_policy content_policy_violation"
    ),
    "tool_calls": (
        "tool_calls tool_call tool_use function_call function_calls malformed_function_call "
        "unexpected_tool_call"
    ),
    "error": (
        "error abort aborted cancel cancelled canceled user_cancel failed failure timeout "
        "insufficient_system_resource network_error server_error internal_error interrupted"
    ),
}

_KNOWN = {spelling: reason for reason, all_ in _SPELLINGS.items() for spelling in all_.split()}

_HINTS: tuple[tuple[re.Pattern[str], FinishReason], ...] = (
    (re.compile(r"filter|safety|moderat|blocked|prohibited|polic"), "content_filter"),
    (re.compile(r"length|max_?\w*token|token_?limit|context_window|truncat"), "length"),
    (re.compile(r"error|abort|cancel|fail|insufficient|interrupt|timeout|time_limit"), "error"),
)
"""Parts of names that are not known as a whole. None leads to ``stop``."""

_ENUMERATION = re.compile(r".*?(?:finish|stop)_?reason[.:/_]\s*", re.IGNORECASE | re.DOTALL)
"""The class in front of an enumeration's name."""

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")

LONGEST_REASON = 64
"""Characters of a reason that is kept as it was written."""

LONGEST_READ = 256
"""Characters of a reason that are looked at, so that a page in its place takes no time."""

FAILED = "error"
"""The reason of a text that the server broke off."""


def finish_reason_of(given: object) -> FinishReason | None:
    """Returns why a text ended.

    Args:
        given: The JSON value. An object names its reason in ``type``, ``reason``,
            ``finish_reason`` or ``name``, a list holds it alone.

    Returns:
        One of the known reasons; the reason as it was written, on one line and shortened, where
        none of them is meant; None where no reason is given.
    """
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if isinstance(given, Mapping):
        names = ("type", "reason", "finish_reason", "name")
        given = next((given[name] for name in names if name in given), dict(given) or None)
    if given is None or given == "":
        return None
    text = str(given)[:LONGEST_READ]
    written = "".join(char if char.isprintable() else " " for char in text).strip()
    name = _ENUMERATION.sub("", written)
    if written.startswith("<"):
        name = name.partition(":")[0]  # the member's value behind its name
    name = name.strip("<> ")
    name = re.sub(r"[\s-]+", "_", _CAMEL.sub("_", name)).lower()
    if name in ("", "none", "null"):
        return None
    if name in _KNOWN:
        return _KNOWN[name]
    hinted = (reason for pattern, reason in _HINTS if pattern.search(name))
    return next(hinted, written[:LONGEST_REASON])


def is_known(reason: FinishReason) -> bool:
    """Whether a reason is one of the known ones."""
    return reason in _SPELLINGS
