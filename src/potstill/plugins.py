"""Open doors: how styles, tasks, losses and other named things of a user's own come in.

There are two doors, and both open only when a recipe or a command names what is behind them:

- ``module:name``, e.g. ``my_readers:ROMAN``. The module is one that is installed, else a file in
  the folder of the recipe, else one in the working directory.
- A name that an installed distribution declares as an entry point in one of the groups below,
  e.g. in its pyproject.toml::

      [project.entry-points."potstill.tasks"]
      riddles = "my_package.riddles:RIDDLES"

potstill's own published variants, in ``papers/``, come in by the second door: the file
``papers/entry_points.txt`` is written as the file of that name in an installed distribution.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from configparser import ConfigParser
from difflib import get_close_matches
from functools import cache
from importlib import import_module, invalidate_caches, metadata
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from potstill.errors import ConfigError

T = TypeVar("T")

PAPERS = Path(__file__).with_name("papers")
_REFERENCE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_recipe_folders: list[Path] = []


class EntryPoint(NamedTuple):
    """A name that a distribution declares, and the object behind it."""

    name: str
    reference: str
    """``module:name``."""

    distribution: str
    """Who declares it, for messages."""


class Registry(Mapping[str, T]):
    """The things of one kind by name: potstill's own, then those that entry points add.

    ``registry["module:name"]`` is the object of that name where the kind takes such references. A
    name is looked up among the entry points only where potstill has none of its own, and only the
    object that is asked for is imported. ``in`` imports nothing.

    Args:
        kind: The word for one of the things, e.g. ``prompt style``.
        own: potstill's own things.
        group: The group of the entry points that add others, e.g. ``potstill.prompt_styles``.
        by_reference: Whether ``module:name`` is taken as a name.
        fits: Whether an object can be such a thing; by default any can.
    """

    def __init__(
        self,
        kind: str,
        own: Mapping[str, T],
        *,
        group: str = "",
        by_reference: bool = False,
        fits: Callable[[object], bool] = lambda thing: True,
    ) -> None:
        self.kind = kind
        self._own = dict(own)
        self._defined: dict[str, T] = {}
        self._group = group
        self._by_reference = by_reference
        self._fits = fits

    def __getitem__(self, name: str) -> T:
        """The thing of this name.

        Raises:
            KeyError: There is none.
            ConfigError: Its module cannot be imported, lacks the name or holds something else.
        """
        for things in (self._own, self._defined):
            if name in things:
                return things[name]
        if self._by_reference and is_reference(name):
            return self._checked(load_object(name, expected=self.kind), name, "")
        entry = self._entry_points[name]
        thing = load_object(
            entry.reference, expected=f"{self.kind} {name!r}", distribution=entry.distribution
        )
        return self._checked(thing, entry.reference, entry.distribution)

    def __iter__(self) -> Iterator[str]:
        yield from self._listed
        yield from self._defined

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        if (
            name in self._own
            or name in self._defined
            or (self._by_reference and is_reference(name))
        ):
            return True
        return name in self._entry_points

    def add(self, name: str, thing: T) -> None:
        """Adds what a recipe defines; the same name must always mean the same thing."""
        self._defined[name] = thing

    def named(self, name: str) -> T:
        """The thing of this name.

        Raises:
            ConfigError: There is none, or it cannot be loaded.
        """
        if name not in self:
            raise ConfigError(f"{self.unknown(name)}.")
        return self[name]

    def unknown(self, name: str) -> str:
        """The sentence, without its full stop, that there is no such thing and which there are."""
        near = get_close_matches(name, self._listed, n=1)
        hint = f"did you mean {near[0]!r}? Known: " if near else "known: "
        own = ", or module:name for one of your own" if self._by_reference else ""
        papers = papers_hint() if self._group else ""
        return f"there is no {self.kind} {name!r}; {hint}{', '.join(self._listed)}{own}{papers}"

    @property
    def _listed(self) -> list[str]:
        """The names that any recipe may use."""
        return list(dict.fromkeys([*self._own, *self._entry_points]))

    @property
    def _entry_points(self) -> Mapping[str, EntryPoint]:
        return entry_points(self._group) if self._group else {}

    def _checked(self, thing: Any, reference: str, distribution: str) -> T:
        if not self._fits(thing):
            by = f" of the distribution {distribution}" if distribution else ""
            raise ConfigError(
                f"{reference}{by} is a {type(thing).__name__} and no {self.kind}; see "
                "docs/extending.md for one that is complete."
            )
        return thing  # type: ignore[no-any-return]


def papers_hint() -> str:
    """The end of a message about an unknown name, where it may be one of a missing ``papers/``."""
    if PAPERS.is_dir():
        return ""
    return "; published variants live in potstill/papers, which this copy of potstill lacks"


def is_reference(name: object) -> bool:
    """Whether a name is worded as ``module:name``."""
    return isinstance(name, str) and _REFERENCE.fullmatch(name) is not None


def search_in(folder: Path) -> None:
    """Have ``module:name`` looked for also in the folder of a recipe."""
    if folder.resolve() not in _recipe_folders:
        _recipe_folders.append(folder.resolve())


def load_object(reference: str, *, expected: str, distribution: str = "") -> Any:
    """Import what ``module:name`` names.

    Args:
        reference: The module and the name in it. The module is looked for among those installed,
            then in the folders of the recipes that were read, then in the working directory.
        expected: The kind of object it should be, for messages, e.g. ``loss``.
        distribution: The installed distribution that declares it; empty: the recipe names it.

    Raises:
        ConfigError: It is not worded so, or the module cannot be imported or lacks the name.
    """
    by = f", which the distribution {distribution} declares," if distribution else ""
    if not is_reference(reference):
        raise ConfigError(f"the {expected} {reference!r}{by} must be worded as module:name.")
    module_name, _, attributes = reference.partition(":")
    try:
        thing: Any = _module(module_name)
    except _NotFoundError:
        places = "among the installed packages"
        if not distribution:
            folders = ", ".join(dict.fromkeys(map(str, (*_recipe_folders, Path.cwd()))))
            places += f" or in {folders}"
        raise ConfigError(
            f"{expected} {reference}{by}: there is no module {module_name!r} {places}. Install it, "
            "or put its file beside the recipe."
        ) from None
    except Exception as error:  # somebody else's module can fail in any way
        fault = f"{type(error).__name__}: {' '.join(str(error).split())}"
        mend = "Mend or uninstall it" if distribution else "Mend it"
        raise ConfigError(
            f"{expected} {reference}{by} cannot be imported: {fault}. {mend}."
        ) from error
    for attribute in attributes.split("."):
        try:
            thing = getattr(thing, attribute)
        except AttributeError:
            public = [name for name in vars(thing) if not name.startswith("_")]
            near = get_close_matches(attribute, public, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "Name something that it defines."
            raise ConfigError(
                f"{expected} {reference}{by}: {module_name} has no {attribute!r}. {hint}"
            ) from None
    return thing


class _NotFoundError(Exception):
    """There is no such module."""


def _module(name: str) -> object:
    """The module of this name, from the installed packages, else from the folders of recipes."""
    for place in (None, *_recipe_folders, Path.cwd()):
        if place is not None and str(place) not in sys.path:
            sys.path.append(str(place))  # last, so that nothing installed is hidden by a file
            invalidate_caches()
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # it is there, and needs another one that is not
    raise _NotFoundError


def entry_points(group: str) -> Mapping[str, EntryPoint]:
    """The entry points of a group by name: those of ``papers/``, then the installed ones."""
    return _entry_points(group, tuple(sys.path))


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """The same for a state of ``sys.path``, as reading what is installed takes milliseconds."""
    points = {
        name: EntryPoint(name, reference, "potstill") for name, reference in _of_papers(group)
    }
    for point in metadata.entry_points(group=group):
        distribution = point.dist.name if point.dist else "unknown"
        points.setdefault(point.name, EntryPoint(point.name, point.value, distribution))
    return points


def _of_papers(group: str) -> list[tuple[str, str]]:
    """The names and references that ``papers/`` declares in a group."""
    declared = ConfigParser(delimiters=("=",), interpolation=None)
    declared.optionxform = str  # type: ignore[assignment, method-assign]
    declared.read(PAPERS / "entry_points.txt", encoding="utf-8")
    return declared.items(group) if declared.has_section(group) else []
