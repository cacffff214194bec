"""The card of a dataset: what is in it, where it comes from, what to beware of."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
import yaml

from potstill.exchange.columns import Column, What
from potstill.progress import printable

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The hub's size categories, by the number of rows that is too many for each."""

LARGEST = "1M<n<10M"

SHOWN = 300
"""Characters shown of each text of the example."""

TITLES: dict[What, str] = {
    "rationales": "rationales with verdicts",
    "completions": "completions",
    "chat": "rationales as chats",
    "prompt_completion": "rationales as prompts and completions",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetFacts:
    """What a card tells; any of the texts may come from a user or a model."""

    name: str
    """On the hub, as ``OWNER/NAME``."""

    what: What
    rows: int
    columns: Sequence[Column]
    example: Mapping[str, object]
    """The first row."""

    task: str
    source: str
    """Where the questions come from; empty where it is a file of the user's."""

    licence: str
    """Of the questions; empty where it is not known, ``none`` where none is stated."""

    language: str
    """Of the questions, as an ISO 639 code; empty where it is not known."""

    made: Sequence[tuple[str, str]]
    """How it was made: what, and its value."""

    verdicts: Mapping[str, int]
    """Rationales by verdict."""

    command: str
    version: str


def front_matter(values: Mapping[str, object]) -> str:
    """YAML between its marks, safe with any text: what is empty is left out."""
    kept = {name: value for name, value in values.items() if value}
    text = yaml.safe_dump(kept, sort_keys=False, allow_unicode=False, width=2**20)
    return f"---\n{text}---\n"


def dataset_card(facts: DatasetFacts) -> str:
    """The card's text, as README.md."""
    matter = front_matter(
        {
            "pretty_name": one_line(f"{facts.task}: {TITLES[facts.what]}"),
            "license": hub_licence(facts.licence),
            "language": [facts.language] if facts.language else [],
            "size_categories": [size_category(facts.rows)],
            "task_categories": ["text-generation"],
            "tags": ["potstill", "distillation", "chain-of-thought", "synthetic"],
            "configs": [
                {
                    "config_name": "default",
                    "data_files": [{"split": "train", "path": "data/*.parquet"}],
                }
            ],
        }
    )
    parts = (_opening(facts), _columns(facts), _made(facts), _beware(facts))
    return matter + "\n".join(parts)


def size_category(rows: int) -> str:
    """The hub's name for so many rows."""
    return next((name for limit, name in SIZES if rows < limit), LARGEST)


def hub_licence(licence: str) -> str:
    """A licence by the hub's name for it; ``unknown`` where none is stated or known."""
    return "unknown" if licence in ("", "none") else licence.lower()


def one_line(text: str) -> str:
    """A text as one line, with nothing in it that steers a terminal or a page."""
    return " ".join(printable(text).split())


def code(text: str) -> str:
    """A text as inline code, whatever it holds."""
    line = one_line(text)
    fence = "`" * (1 + _longest_ticks(line))
    gap = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{fence}{gap}{line}{gap}{fence}"


def _cell(text: str) -> str:
    """Inline code inside a table, where a bar would end it."""
    return code(text).replace("|", "\\|")


def block(text: str, language: str = "") -> str:
    """A text as a block of code that nothing in it can end."""
    fence = "`" * max(3, 1 + _longest_ticks(text))
    return f"{fence}{language}\n{text}\n{fence}"


def _longest_ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _opening(facts: DatasetFacts) -> str:
    loading = f'from datasets import load_dataset\n\nload_dataset("{facts.name}", split="train")'
    return (
        f"# {TITLES[facts.what].capitalize()}: {code(facts.task)}\n\n"
        f"{facts.rows:,} rows, made with potstill {facts.version}.\n\n"
        f"{block(loading, 'python')}\n"
    )


def _columns(facts: DatasetFacts) -> str:
    rows = [f"| `{each.name}` | {each.kind} | {each.meaning} |" for each in facts.columns]
    example = {name: _short(value) for name, value in facts.example.items()}
    shown = orjson.dumps(example, option=orjson.OPT_INDENT_2).decode()
    return (
        "## Columns\n\n| column | holds | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n\n"
        f"The first row, long texts cut:\n\n{block(shown, 'json')}\n"
    )


def _short(value: object) -> object:
    if isinstance(value, str) and len(value) > SHOWN:
        return f"{value[:SHOWN]}…"
    if isinstance(value, list):
        return [_short(each) for each in value]
    return (
        {name: _short(each) for name, each in value.items()} if isinstance(value, dict) else value
    )


def _made(facts: DatasetFacts) -> str:
    made = "\n".join(f"- {what}: {code(value)}" for what, value in facts.made)
    told = f"## How it was made\n\n{made}\n- command: {code(facts.command)}\n"
    if facts.verdicts:
        total = sum(facts.verdicts.values())
        rows = "\n".join(f"| {_cell(name)} | {n:,} |" for name, n in facts.verdicts.items())
        told += (
            f"\nOf the run's {total:,} rationales, by verdict:\n\n| verdict | rationales |\n"
            f"|---|---|\n{rows}\n"
        )
    return told


def _beware(facts: DatasetFacts) -> str:
    stated = facts.licence if facts.licence not in ("", "none") else "not stated"
    origin = code(facts.source) if facts.source else "whoever publishes this"
    points = [
        f"Questions and gold answers come from {origin}; their licence: {code(stated)}.",
        "All other text was written by a model. The terms of its provider may limit what it is "
        "used for.",
        "A right final answer does not make the reasoning right: verdicts compare final answers "
        "and look at lengths and repetitions, nothing else.",
        "It is for training. Do not measure a model that learned from it on these questions.",
    ]
    return "## Beware\n\n" + "\n".join(f"- {point}" for point in points) + "\n"
