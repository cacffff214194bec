"""Every command that the docs show is held against the command line: its options, values, files."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from potstill.cli import main
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.settings_file import change_setting
from potstill.serve.settings import ServeSettings
from potstill.settings import Settings, build
from potstill.view.settings import ViewSettings

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
HISTORY = {"CHANGELOG.md", "log.md"}
"""Pages that tell of former versions too; their commands need not be today's."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = {"", "sh", "bash", "console"}
LAUNCHED = r"(?:(?:accelerate launch|torchrun) .*?-m )?"
LINE = re.compile(rf"^(?:\$ )?(?:\w+=\S+ )*{LAUNCHED}(potstill .+)$", re.MULTILINE)
WHOLE = {"run": "runs/x", "task": "gsm8k", "teacher": "bundled:teacher",
         "student": "bundled:student"}  # fmt: skip
"""A recipe that settings of the docs are put into."""


class Documented(NamedTuple):
    """A command as a page shows it."""

    page: str
    line: str
    words: list[str]
    """The command's words, without ``potstill`` and without pipes and other parts for the shell."""

    is_whole: bool
    """Whether it stands in a block, to be copied; in a sentence, it may lack its arguments."""


def documented() -> Iterator[Documented]:
    for page in PAGES:
        if page.name in HISTORY:
            continue
        text = page.read_text(encoding="utf-8")
        blocks = [body for language, body in FENCE.findall(text) if language in SHELL]
        for body in blocks:
            for line in LINE.findall(body.replace("\\\n", " ")):
                yield Documented(page.name, line, words_of(line), is_whole=True)
        if page.name == "reference.md":
            continue  # made from the commands themselves, with their placeholders
        for line in re.findall(r"`(potstill [^`]+)`", FENCE.sub("", text)):
            yield Documented(page.name, line, words_of(line), is_whole=False)


def words_of(line: str) -> list[str]:
    """The words of a command up to a comment, a pipe or a redirection."""
    words = shlex.split(line, comments=True)[1:]
    ends = [place for place, word in enumerate(words) if re.match(r"^(\||\d?>)", word)]
    return words[: ends[0]] if ends else words


COMMANDS = sorted(documented(), key=lambda one: (one.page, one.line))
WHOLE_COMMANDS = [one for one in COMMANDS if one.is_whole]
IN_SENTENCES = [one for one in COMMANDS if not one.is_whole]


SERVERS: dict[str, tuple[type[Settings], dict[str, object]]] = {
    "serve": (ServeSettings, {"student": "bundled:student", "student_format": "fine_tune_cot"}),
    "view": (ViewSettings, {}),
}
"""Commands whose changes are of a server's settings, with what these need."""


def command_of(one: Documented) -> click.Command:
    assert isinstance(main, click.Group)
    command = main.commands.get(one.words[0])
    assert command is not None, f"{one.page}: {one.line}: there is no such command"
    return command


def test_the_pages_show_commands() -> None:
    assert len(WHOLE_COMMANDS) > 40
    assert {one.words[0] for one in COMMANDS} >= {"run", "plan", "export", "compare", "serve"}


@pytest.mark.parametrize("one", WHOLE_COMMANDS, ids=lambda one: f"{one.page}: {one.line[9:60]}")
def test_a_command_to_be_copied_is_whole(one: Documented) -> None:
    """Every option is there, every value is one that it takes, and no argument is missing."""
    command = command_of(one)
    context = command.make_context(one.words[0], list(one.words[1:]))
    changes = [change for change in context.params.get("changes", ()) if "=" in change]
    if one.words[0] in SERVERS:
        settings, values = SERVERS[one.words[0]]
        raw: dict[str, object] = dict(values)
        for change in changes:
            change_setting(raw, change)
        build(settings, raw, at=one.line)
    elif changes and one.words[0] not in ("score", "check"):  # these change a model, not a recipe
        load_recipe(WHOLE, changes)


@pytest.mark.parametrize(
    "one",
    [one for one in COMMANDS if not one.is_whole],
    ids=lambda one: f"{one.page}: {one.line[9:]}",
)
def test_an_option_in_a_sentence_is_one(one: Documented) -> None:
    command = command_of(one)
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    named = {word.partition("=")[0] for word in one.words[1:] if word.startswith("-")}
    assert named <= known | {"--help"}, one.line


@pytest.mark.parametrize("one", COMMANDS, ids=lambda one: f"{one.page}: {one.line[9:60]}")
def test_a_recipe_that_a_command_names_is_there(one: Documented) -> None:
    for word in one.words:
        if word.startswith(("recipes/", "benchmarks/", "scripts/")):
            assert (ROOT / word).exists(), word


def test_scripts_and_verbs_in_blocks_are_there() -> None:
    verbs = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in PAGES:
        for language, body in FENCE.findall(page.read_text(encoding="utf-8")):
            if language not in SHELL or page.name in HISTORY:
                continue
            for verb in re.findall(r"^(?:\$ )?make ([\w-]+)", body, re.MULTILINE):
                assert verb in verbs, f"{page.name}: make {verb}"
            for script in re.findall(r"^(?:\$ )?(?:\S*/)?python3? (\S+\.py)", body, re.MULTILINE):
                assert (ROOT / script).is_file(), f"{page.name}: {script}"
