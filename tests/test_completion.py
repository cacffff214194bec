"""Shells complete the command: click's scripts are printed, and name commands and options."""

import os
import subprocess
import sys

import pytest


def completed(shell: str, words: str = "", place: int = 0) -> str:
    """Returns the command's output to a shell that asks it for completions."""
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(place)}
    code = "from potstill.cli import main; main(prog_name='potstill')"
    environment = {**os.environ, "_POTSTILL_COMPLETE": shell, **asked}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    ("shell", "registers"),
    [
        ("bash", "complete -o nosort -F _potstill_completion potstill"),
        ("zsh", "compdef _potstill_completion potstill"),
        ("fish", "complete --no-files --command potstill"),
    ],
)
def test_each_shell_gets_its_script(shell: str, registers: str) -> None:
    assert registers in completed(f"{shell}_source")


def test_commands_options_and_files_are_completed() -> None:
    commands = completed("bash_complete", "potstill e", 1).split()
    assert commands == ["plain,evaluate", "plain,export-model", "plain,export", "plain,experiment"]
    assert "plain,--json" in completed("bash_complete", "potstill plan --", 2).split()
    assert completed("bash_complete", "potstill plan rec", 2).split() == ["file,rec"]
