"""The one place where commands write to the terminal, whatever others put into the texts."""

import logging
from typing import IO, Any

import click

from potstill.cli.documents import wants_json
from potstill.text.terminal_text import terminal_text


def echo(text: str = "", *, err: bool = False, file: IO[Any] | None = None) -> None:
    """Show a line or more on standard output, on standard error, or in another stream.

    Under ``--json`` standard output is the document's alone.
    """
    click.echo(terminal_text(text), err=err or (file is None and wants_json()), file=file)


class _TerminalFormatter(logging.Formatter):
    """Words warnings as Python does where nothing is set up, fit for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return terminal_text(super().format(record))


def clean_warnings() -> None:
    """Have warnings that nobody else handles written as all else is."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_TerminalFormatter())
