"""Nothing that others wrote steers the terminal: names, messages, texts, tables, progress."""

import io
import logging
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.table import Table

import potstill.cli
from potstill.cli import main
from potstill.cli.terminal import clean_warnings, echo
from potstill.runtime.progress import Meter
from potstill.runtime.terminal_console import TerminalConsole
from potstill.text.terminal_text import terminal_text

STEERING = [
    *map(chr, range(32)),
    *map(chr, range(127, 160)),
    "\u202e",
    "\u2066",
    "\u200f",
    "\udc80",
]
CHARACTERS = [char for char in STEERING if char not in "\t\n"]


@pytest.mark.parametrize("char", CHARACTERS, ids=ascii)
def test_what_steers_a_terminal_is_written_out(char: str) -> None:
    shown = terminal_text(f"a{char}b")
    assert char not in shown
    assert re.fullmatch(r"a\\(x[0-9a-f]{2}|u[0-9a-f]{4})b", shown)
    shown.encode()


@pytest.mark.parametrize("text", ["é 中文 🙂 👨\u200d👩 ﷺ", "two\n\tlines", "½ cup\u00a0of", ""])
def test_ordinary_texts_stay_as_they_are(text: str) -> None:
    assert terminal_text(text) == text


def test_the_name_of_a_file_does_not_steer_the_terminal(tmp_path: Path) -> None:
    name = "questions\x1b]0;owned\x07\x1b[31m\r\u202e.jsonl"
    (tmp_path / name).write_text("no JSON\n")
    recipe = tmp_path / "recipe.yaml"
    escaped = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in name)
    recipe.write_text(f'task: {{file: "{tmp_path}/{escaped}"}}\nteacher: bundled:teacher\n')
    for words in (["plan", str(recipe)], ["generate", str(tmp_path / name)], ["plan", name]):
        result = CliRunner().invoke(main, [*words, "--set", f"run={tmp_path / 'run'}"])
        assert result.exit_code == 2
        assert not {*CHARACTERS} & {*result.output}
    result = CliRunner().invoke(main, ["plan", "--\x1b[31m"])
    assert not {*CHARACTERS} & {*result.output}


def test_tables_and_progress_do_not_steer_the_terminal() -> None:
    stream = io.StringIO()
    console = TerminalConsole(file=stream, force_terminal=True, width=80, color_system=None)
    table = Table("a\x1b[31m")
    table.add_row("\x1b]0;owned\x07")
    console.print(table)
    console.print("a title\x1b[2J", markup=False)
    assert "\\x1b]" in stream.getvalue()
    assert "\\x1b[2J" in stream.getvalue()
    assert "\x1b[31m" not in stream.getvalue()
    assert isinstance(Meter.on_stderr()._console, TerminalConsole)


def test_colours_of_our_own_stay() -> None:
    stream = io.StringIO()
    console = TerminalConsole(file=stream, force_terminal=True, color_system="standard")
    console.print("[red]late\a[/red]")
    assert stream.getvalue() == "\x1b[31mlate\x1b[0m\n"


def test_lines_and_warnings_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    echo("a\x1b[31m\nb", err=True)
    clean_warnings()
    assert logging.lastResort is not None
    record = logging.LogRecord("x", logging.WARNING, "", 0, "of %s", ("\x1b[31m",), None)
    assert logging.lastResort.format(record) == "of \\x1b[31m"
    assert capsys.readouterr().err == "a\\x1b[31m\nb\n"


def test_commands_write_through_the_one_place() -> None:
    files = Path(potstill.cli.__file__).parent.glob("*.py")
    writers = {path.name for path in files if re.search(r"click\.echo|\bprint\(", path.read_text())}
    assert writers <= {"terminal.py", "printing.py", "documents.py"}
