"""The command line: one command a stage, and run, plan, demo and tools beside them; no logic.

A command opens the run of its recipe, calls ``run_STAGE``, which does the work, and ``print_STAGE``
shows the result. Nothing heavy is imported before a command needs it, so that ``potstill --help``
answers at once.
"""

from potstill.cli import check, deployment, experiments, run_views, stages, tools, transfer
from potstill.cli.app import main

__all__ = ["check", "deployment", "experiments", "main", "run_views", "stages", "tools", "transfer"]
