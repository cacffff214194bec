"""Settings that hold a name: of a loss, a prompt style, a reader or another registered thing.

A setting says so in its type, and is then checked when the recipe is read; what the name stands for
is loaded when it is used, or for a whole recipe at once before anything is asked::

    loss: Annotated[str, NameOf(LOSSES)] | None = None
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from potstill.plugins import Registry, is_reference


@dataclass(frozen=True, eq=False)
class NameOf:
    """The annotation of a setting that holds a name: one of a registry's, or one of some others.

    Whether there is such a thing is checked when the setting is read; ``module:name`` is imported
    when the thing is used, or by :func:`resolve_names`.
    """

    registry: Registry[Any]

    further: Collection[str] = ()
    """Names that are taken beside the registry's."""

    def knows(self, name: str) -> bool:
        """Whether there is such a thing, or could be: ``module:name`` is not imported."""
        return name in self.further or name in self.registry

    def check(self, name: str) -> str:
        """The name itself.

        Raises:
            ValueError: There is no such thing.
        """
        if not self.knows(name):
            raise ValueError(self.registry.unknown(name, further=self.further))
        return name

    def resolve(self, name: str) -> None:
        """Load the thing of a name.

        Raises:
            ConfigError: It cannot be loaded.
        """
        if name not in self.further:
            self.registry.named(name)

    def json_schema(self) -> dict[str, Any]:
        """The names as a JSON schema, by which an editor completes them."""
        names: dict[str, Any] = {"enum": [*self.further, *self.registry.names()]}
        if not self.registry.by_reference:
            return names
        reference = {"type": "string", "pattern": f"^{REFERENCE_PATTERN}$"}
        return {"anyOf": [names, reference]} if names["enum"] else reference

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return self.json_schema()


REFERENCE_PATTERN = r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"
"""``module:name`` for JSON schemas, whose patterns know fewer classes of characters."""


def resolve_names(settings: BaseModel) -> list[str]:
    """Load everything that settings name, those inside them included.

    Returns:
        Each ``module:name`` among the names.

    Raises:
        ConfigError: Something cannot be loaded, or is not what it has to be.
    """
    names = list(dict.fromkeys(_names(settings)))
    for kind, name in names:
        kind.resolve(name)
    return references(settings)


def references(settings: BaseModel) -> list[str]:
    """Each ``module:name`` in settings, those inside them included; nothing is imported."""
    return [name for kind, name in dict.fromkeys(_names(settings)) if is_reference(name)]


def _names(settings: BaseModel) -> Iterator[tuple[NameOf, str]]:
    """Every name in settings, with the registry that it is one of."""
    for setting, field in type(settings).model_fields.items():
        kinds = [*_kinds_of_name(field.annotation), *_kinds_of_name(field.metadata)]
        for value in _leaves(getattr(settings, setting)):
            if isinstance(value, BaseModel):
                yield from _names(value)
            elif isinstance(value, str):
                yield from ((kind, value) for kind in kinds if kind.knows(value))


def _kinds_of_name(annotation: object) -> Iterator[NameOf]:
    """The annotations of names anywhere in a type."""
    if isinstance(annotation, NameOf):
        yield annotation
        return
    for part in annotation if isinstance(annotation, list) else get_args(annotation):
        yield from _kinds_of_name(part)


def _leaves(value: object) -> Iterator[object]:
    """The values in a setting, its lists and mappings opened, a mapping's keys among them."""
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if not isinstance(value, list | tuple):
        yield value
        return
    for part in value:
        yield from _leaves(part)
