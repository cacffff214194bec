"""The one place where commands write to the terminal, whatever others put into the texts."""

import logging
import shutil
import sys
from typing import IO, Any

import click

from potstill.cli.documents import wants_json
from potstill.launched import is_main_process
from potstill.text.short_paths import wrapped
from potstill.text.terminal_text import terminal_text


def echo(
    text: str = "",
    *,
    err: bool = False,
    file: IO[Any] | None = None,
    whole: bool = False,
    by_any: bool = False,
) -> None:
    """Show a line or more on standard output, on standard error, or in another stream.

    Under ``--json`` standard output is the document's alone.

    Args:
        text: The text shown; on a terminal a long line is broken between words.
        err: Whether it goes to standard error.
        file: Another stream.
        whole: Whether no line is broken, as of commands that people copy.
        by_any: Whether any of several processes shows it, not the main one alone.
    """
    if not by_any and not is_main_process():
        return
    err = err or (file is None and wants_json())
    stream = file or (sys.stderr if err else sys.stdout)
    shown = terminal_text(text)
    click.echo(shown if whole else _fitted(shown, stream), err=err, file=file)


def _fitted(text: str, stream: IO[Any]) -> str:
    """Returns a text with its long lines broken between words where they go to a terminal."""
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(line for part in text.split("\n") for line in wrapped(part, width))


class _TerminalFormatter(logging.Formatter):
    """Words warnings as Python does where nothing is set up, fit for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return _fitted(terminal_text(super().format(record)), sys.stderr)


def clean_warnings() -> None:
    """Have warnings that nobody else handles written as all else is."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_TerminalFormatter())
        if not is_main_process():  # the main one of several warns of the same
            logging.lastResort.setLevel(logging.ERROR)
