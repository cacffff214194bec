"""The command line: one command a stage, and run, demo and tools beside them; no logic.

Nothing heavy is imported before a command needs it, so that ``potstill --help`` answers at once.
"""

from potstill.cli import stages, tools, transfer
from potstill.cli.app import main

__all__ = ["main", "plan", "stages", "tools", "transfer"]
