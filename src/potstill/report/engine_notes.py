"""Sentences on the programs that computed a run's local models."""

from collections.abc import Iterator, Sequence

from potstill.records import SystemEngine

IN_PROCESS = "transformers"
"""The engine of models that are asked in this process."""


def engine_notes(engines: Sequence[SystemEngine]) -> Iterator[str]:
    """Yields a sentence on each program and number format, with the systems that it computed.

    Args:
        engines: The engine of each system, as the last evaluation noted it.
    """
    systems: dict[tuple[str, str], list[str]] = {}
    for one in engines:
        systems.setdefault((one.engine, one.number_format), []).append(one.system.label)
    for (engine, number_format), labels in systems.items():
        whose = "All local models were" if len(systems) == 1 else f"{_listed(labels)} were"
        if len(systems) > 1 and len(labels) == 1:
            whose = f"{labels[0]} was"
        program = "in this process (transformers)" if engine == IN_PROCESS else f"by {engine}"
        computed = f" in {number_format}" if number_format else ""
        yield f"{whose} computed {program}{computed}."


def _listed(labels: Sequence[str]) -> str:
    *others, last = dict.fromkeys(labels)
    return f"{', '.join(others)} and {last}" if others else last
