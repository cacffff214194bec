"""The Hugging Face hub: pushing a folder to it, and the card that presents a dataset there.

A push takes the token of ``HF_TOKEN`` or of ``hf auth login``. A dataset's card is its README.md:
YAML between two lines ``---`` that the hub reads (licence, language, size), then what people read:
the columns, how the data was made, what to beware of. Texts of users and models are shown as code,
so that nothing in them can end a table or a block.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, cast

import orjson
import yaml

from potstill.errors import AuthError, ConfigError, ServerError, extra
from potstill.exchange.columns import Column
from potstill.exchange.rows import ExportKind
from potstill.models.openai.key_mask import KeyMask
from potstill.runtime.progress import printable

REPLACED: dict[str, list[str]] = {
    "dataset": ["data/*"],
    "model": ["*.safetensors", "*.safetensors.index.json"],
}
"""The files of an earlier push, which are removed where the new push lacks them."""


class PushResult(NamedTuple):
    """The repository that something was pushed to."""

    url: str
    private: bool
    """Whether only its owner sees it; a repository that was there stays as it was."""


def check_push(name: str) -> None:
    """Find what would stop :func:`push_folder`, before any work.

    Raises:
        ConfigError: The name is not OWNER/NAME.
        AuthError: There is no token.
        MissingExtraError: The hub's package is not installed.
    """
    with extra("hub", needed_for="potstill push"):
        from huggingface_hub import get_token
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ConfigError(f"{name!r} is no name for the hub; give OWNER/NAME.")
    if get_token() is None:
        raise AuthError(
            "there is no token for the hub. Set HF_TOKEN, or log in once with: hf auth login"
        )


def push_folder(
    folder: Path, name: str, kind: Literal["dataset", "model"], *, private: bool, message: str
) -> PushResult:
    """Put a folder's files in a repository of the hub, which is made where there is none.

    Args:
        folder: Made by :mod:`potstill.exchange.folders`.
        name: The repository, as ``OWNER/NAME``.
        kind: The kind of repository.
        private: Whether only its owner may see it.
        message: The commit's message.

    Raises:
        ConfigError: It is to be private, and there is a public one of this name.
        AuthError: The hub refused the token.
        ServerError: The hub was not reached, or failed.
        PotstillError: As for :func:`check_push`.
    """
    check_push(name)
    from huggingface_hub import HfApi

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    with _explained(name, api.endpoint):
        url = api.create_repo(name, repo_type=kind, private=private, exist_ok=True)
        is_private = bool(api.repo_info(name, repo_type=kind).private)
        if private and not is_private:
            raise ConfigError(
                f"{name} is there already, and everybody can see it. Give --public to push to it, "
                "or another name."
            )
        api.upload_folder(
            repo_id=name,
            folder_path=folder,
            repo_type=kind,
            commit_message=message,
            delete_patterns=REPLACED[kind],
        )
    return PushResult(str(url), is_private)


@contextmanager
def _explained(name: str, endpoint: str) -> Iterator[None]:
    """Turn the hub's errors into ours, on one line."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # The base of all errors of the HTTP library that this version of huggingface_hub uses.
    not_reached = cast(type[Exception], HfHubHTTPError.__bases__[0])
    try:
        yield
    except HFValidationError as error:
        raise ConfigError(f"{name!r} is no name for the hub: {_one_line(error)}") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        answer = f"{name}: {endpoint} answered {status}"
        if status in (401, 403):
            raise AuthError(
                f"{answer}: the token was refused, or may not write there. Set another as "
                "HF_TOKEN, or log in with: hf auth login"
            ) from error
        raise ServerError(f"{answer}: {_one_line(error)}") from error
    except (not_reached, ConnectionError, RuntimeError, PermissionError) as error:
        raise ServerError(f"{name}: pushing to {endpoint} failed: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    """Returns an error's message on one line, without the token should the hub repeat it."""
    from huggingface_hub import get_token

    return " ".join(KeyMask(get_token()).text(str(error)).split()) or type(error).__name__


# the card of a dataset ---------------------------------------------------------------------------

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The hub's size categories, each after the number of rows that is too many for it."""

LARGEST_SIZE = "1M<n<10M"

EXAMPLE_CHARACTERS = 300
"""Characters shown of each text of the example."""

TITLES: dict[ExportKind, str] = {
    "rationales": "rationales with verdicts",
    "completions": "completions",
    "chat": "rationales as chats",
    "prompt_completion": "rationales as prompts and completions",
    "preference": "right and wrong rationales in pairs",
    "soft_targets": "rationales with the teacher's probabilities by the student's tokens",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetFacts:
    """The facts on a card; any of the texts may come from a user or a model."""

    name: str
    """The name on the hub, as ``OWNER/NAME``."""

    kind: ExportKind
    rows: int
    columns: Sequence[Column]
    example: Mapping[str, object]
    """The first row."""

    task: str
    source: str
    """The questions' origin; empty where it is a file of the user's."""

    licence: str
    """The questions' licence; empty where it is not known, ``none`` where none is stated."""

    language: str
    """The questions' language, an ISO 639 code; empty where it is not known."""

    origin: Sequence[tuple[str, str]]
    """The settings by which the data was made, each a name and a value."""

    verdicts: Mapping[str, int]
    """Rationales by verdict."""

    command: str
    version: str


def front_matter(values: Mapping[str, object]) -> str:
    """YAML between its marks, safe with any text; empty values are left out."""
    filled = {name: value for name, value in values.items() if value}
    text = yaml.safe_dump(filled, sort_keys=False, allow_unicode=False, width=2**20)
    return f"---\n{text}---\n"


def dataset_card(facts: DatasetFacts) -> str:
    """The card's text, as README.md."""
    matter = front_matter(
        {
            "pretty_name": one_line(f"{facts.task}: {TITLES[facts.kind]}"),
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
    sections = (_opening(facts), _columns(facts), _origin_section(facts), _beware(facts))
    return matter + "\n".join(sections)


def size_category(rows: int) -> str:
    """The hub's name for a number of rows."""
    return next((name for limit, name in SIZES if rows < limit), LARGEST_SIZE)


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
        f"# {TITLES[facts.kind].capitalize()}: {code(facts.task)}\n\n"
        f"{facts.rows:,} rows, made with potstill {facts.version}.\n\n"
        f"{block(loading, 'python')}\n"
    )


def _columns(facts: DatasetFacts) -> str:
    rows = [f"| `{column.name}` | {column.kind} | {column.meaning} |" for column in facts.columns]
    example = {name: _shortened(value) for name, value in facts.example.items()}
    shown = orjson.dumps(example, option=orjson.OPT_INDENT_2).decode()
    return (
        "## Columns\n\n| column | holds | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n\n"
        f"The first row, long texts cut:\n\n{block(shown, 'json')}\n"
    )


def _shortened(value: object) -> object:
    """A value whose texts are cut to ``EXAMPLE_CHARACTERS``, however deep they stand in it."""
    if isinstance(value, str) and len(value) > EXAMPLE_CHARACTERS:
        return f"{value[:EXAMPLE_CHARACTERS]}…"
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    if isinstance(value, dict):
        return {name: _shortened(item) for name, item in value.items()}
    return value


def _origin_section(facts: DatasetFacts) -> str:
    settings = "\n".join(f"- {name}: {code(value)}" for name, value in facts.origin)
    section = f"## How it was made\n\n{settings}\n- command: {code(facts.command)}\n"
    if facts.verdicts:
        total = sum(facts.verdicts.values())
        rows = "\n".join(f"| {_cell(name)} | {n:,} |" for name, n in facts.verdicts.items())
        section += (
            f"\nOf the run's {total:,} rationales, by verdict:\n\n| verdict | rationales |\n"
            f"|---|---|\n{rows}\n"
        )
    return section


def _beware(facts: DatasetFacts) -> str:
    licence = facts.licence if facts.licence not in ("", "none") else "not stated"
    origin = code(facts.source) if facts.source else "whoever publishes this"
    points = [
        f"Questions and gold answers come from {origin}; their licence: {code(licence)}.",
        "All other text was written by a model. The terms of its provider may limit what it is "
        "used for.",
        "A right final answer does not make the reasoning right: verdicts compare final answers "
        "and look at lengths and repetitions, nothing else.",
        "It is for training. Do not measure a model that learned from it on these questions.",
    ]
    return "## Beware\n\n" + "\n".join(f"- {point}" for point in points) + "\n"
