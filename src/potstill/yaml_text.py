"""Values of a YAML text that somebody else wrote; what would never end is refused."""

from typing import Any

import yaml

from potstill.errors import shortened

MOST_VALUES = 200_000
"""Values that a text may stand for, each alias counted as what it stands for."""


class RepeatedName(ValueError):
    """A mapping holds a name twice. The message begins with the line of the second."""


def parse_yaml(text: str) -> Any:
    """Returns the plain values of a YAML text.

    An alias stands for its anchor's value each time it is written, so nine lines of aliases can
    stand for a billion values; how many there are is counted before any is made.

    Raises:
        RepeatedName: A name stands twice in one mapping.
        ValueError: It is no YAML, stands for too many values, or is nested too deeply. The message
            is one line.
    """
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _refuse_repeated_names(node, set())
            if _values_of(node, {}, frozenset()) > MOST_VALUES:
                raise ValueError(f"its aliases stand for more than {MOST_VALUES:,} values")
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise ValueError(_placed(error, text)) from error
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error


def _placed(error: yaml.MarkedYAMLError, text: str) -> str:
    """Returns what is wrong on one line, with the line and column and what stands there."""
    mark = error.problem_mark or error.context_mark
    words = " ".join(" ".join(filter(None, (error.problem, error.context))).split())
    if mark is None:
        return words
    lines = text.splitlines()
    there = lines[mark.line].strip() if mark.line < len(lines) else ""
    shown = f" ({shortened(there)})" if there else ""
    return f"line {mark.line + 1}, column {mark.column + 1}: {words}{shown}"


def _refuse_repeated_names(node: yaml.Node, seen: set[int]) -> None:
    """Refuses mappings that hold a name twice: YAML would take the last and drop the others.

    Args:
        node: Looked through with all that is inside it.
        seen: The nodes that were looked through, by their identity.

    Raises:
        RepeatedName: One does; the message tells both lines.
    """
    if isinstance(node, yaml.ScalarNode) or id(node) in seen:
        return
    seen.add(id(node))
    if not isinstance(node, yaml.MappingNode):
        for item in node.value:
            _refuse_repeated_names(item, seen)
        return
    lines: dict[tuple[str, str], int] = {}
    for name, value in node.value:
        if isinstance(name, yaml.ScalarNode):
            line = name.start_mark.line + 1
            key = name.tag, name.value
            first = lines.get(key)
            lines[key] = line
            if first is not None:
                raise RepeatedName(
                    f"line {line}: {name.value!r} stands on line {first} already, and one of the "
                    "two would be lost. Put both in one place."
                )
        _refuse_repeated_names(name, seen)
        _refuse_repeated_names(value, seen)


def _values_of(node: yaml.Node, known: dict[int, int], around: frozenset[int]) -> int:
    """Returns how many values a node stands for.

    Args:
        node: The node.
        known: The same of nodes that were counted before, by their identity.
        around: The nodes that it is part of.

    Raises:
        ValueError: A value is part of itself.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1
    key = id(node)
    if key in around:
        raise ValueError("an alias stands for a value that it is part of")
    if key not in known:
        inner = around | {key}
        children = (
            [child for pair in node.value for child in pair]
            if isinstance(node, yaml.MappingNode)
            else node.value
        )
        known[key] = 1 + sum(_values_of(child, known, inner) for child in children)
    return known[key]
