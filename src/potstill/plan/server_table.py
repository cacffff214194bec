"""The abilities that servers were found to have, in words."""

from collections.abc import Mapping
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from potstill.models.settings import ModelSettings
from potstill.records import UNKNOWN, Amount, Capability
from potstill.runtime.cost_words import dollars
from potstill.runtime.fact_lines import FactLines, ShortWords
from potstill.runtime.progress import printable

LABELS = {
    "continuing": "goes on from a begun answer by",
    "samples_at_once": "samples in one answer, of three",
    "temperature": "temperature",
    "logprobs": "likeliest tokens with probabilities",
    "prompt_logprobs": "scores a given text by",
    "token_ids": "token ids",
    "context": "longest prompt and answer, tokens",
}
"""The words for each ability, in the order in which they are shown."""


def server_table(
    settings: ModelSettings, found: Mapping[str, Capability], spent: Amount
) -> RenderableType:
    """The outcome of every probe of one server, and what they took."""
    head = f"{settings.model} at {settings.address or 'a server of its own'}"
    facts = [
        (label, printable(found[name].value)) for name, label in LABELS.items() if name in found
    ]
    cost = f", {dollars(spent.usd)}" if spent.usd else ""
    asked = Text(f"asked with {spent.tokens:,} tokens{cost}")
    return Group(ShortWords(head), FactLines(facts), asked)


def describe_capabilities(found: Mapping[str, Capability]) -> str:
    """The findings in one sentence, with the day of the newest."""
    if not found:
        return "not known; potstill check tells, with a few hundred tokens"
    parts = [
        f"{name.replace('_', ' ')} {printable(found[name].value)}"
        for name in LABELS
        if name in found and found[name].value != UNKNOWN
    ]
    newest = max(capability.found_at for capability in found.values())
    day = datetime.fromtimestamp(newest).date().isoformat()
    return f"{', '.join(parts) or 'nothing that could be told'} (tried on {day})"
