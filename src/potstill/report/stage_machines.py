"""The machines that a run was made on, each with the stages that it worked at."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from potstill.records import StageMachine


class MachineRow(NamedTuple):
    """One machine with one set of versions."""

    stages: Sequence[str]
    machine: StageMachine
    memory: str
    """The machine's memory in GB; empty where it is not known."""


def stage_machines(machines: Iterable[StageMachine]) -> list[MachineRow]:
    """Returns the machines in the order of their first use, each once.

    Versions differ by what a stage has loaded, so the stages of one machine may be several rows.
    """
    stages: dict[StageMachine, list[str]] = {}
    for one in machines:
        stages.setdefault(replace(one, stage=""), []).append(one.stage)
    return [MachineRow(names, one, _memory(one.memory_bytes)) for one, names in stages.items()]


def _memory(size: int) -> str:
    return f"{size / 1e9:,.0f} GB" if size else ""
