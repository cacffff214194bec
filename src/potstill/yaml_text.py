"""Values of a YAML text that somebody else wrote; what would never end is refused."""

from typing import Any

import yaml

MOST_VALUES = 200_000
"""Values that a text may stand for, each alias counted as what it stands for."""


def parse_yaml(text: str) -> Any:
    """Returns the plain values of a YAML text.

    An alias stands for its anchor's value each time it is written, so nine lines of aliases can
    stand for a billion values; how many there are is counted before any is made.

    Raises:
        ValueError: It is no YAML, stands for too many values, or is nested too deeply. The message
            is one line.
    """
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if _values_of(node, {}, frozenset()) > MOST_VALUES:
                raise ValueError(f"its aliases stand for more than {MOST_VALUES:,} values")
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error


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
