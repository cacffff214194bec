"""Open doors: how styles, tasks, losses and other named things of a user's own come in.

There are two doors, and both open only when a recipe or a command names what is behind them:

- ``module:name``, e.g. ``my_readers:ROMAN``. The module is one that is installed, else a file in
  the folder of the recipe, else one in the working directory, else one where the run's earlier
  commands found theirs (:mod:`potstill.module_folders`).
- A name that an installed distribution declares as an entry point in one of the groups below,
  e.g. in its pyproject.toml::

      [project.entry-points."potstill.tasks"]
      riddles = "my_package.riddles:RIDDLES"

potstill's own published variants, in ``papers/``, come in by the second door: the file
``papers/entry_points.txt`` is written as the file of that name in an installed distribution.

:mod:`potstill.setting_names` has the settings that hold such names. A recipe is read without
opening a door; all of its doors are opened before anything is asked, and later commands open those
that they need.

What comes in by a door is somebody else's code and may fail in any way. It is wrapped where it
comes in (:func:`guarded`), so that its failure is one line that names it and its line of code.
"""

import inspect
import re
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from configparser import ConfigParser
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache, wraps
from importlib import import_module, metadata
from pathlib import Path
from traceback import walk_tb
from typing import Any, NamedTuple, TypeVar

from potstill.errors import ConfigError, PotstillError, shortened
from potstill.module_folders import FOLDERS

T = TypeVar("T")

OURS = "potstill"
"""The distribution of the published variants, whose failures are bugs of ours."""

PAPERS = Path(__file__).with_name("papers")
_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_REFERENCE = re.compile(f"{_DOTTED}:{_DOTTED}")


class EntryPoint(NamedTuple):
    """A name that a distribution declares, and the object behind it."""

    name: str
    reference: str
    """``module:name``."""

    distribution: str
    """The distribution that declares it, for messages."""


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
        calls: The arguments that the thing is called with, by the method's name; the empty name
            stands for the thing itself.
        in_place: The value that a recipe may hold in place of a name, for messages, e.g.
            ``a mapping with template``.
        guard: Has failures in a user's own object be one line (:func:`guarded`), given the object
            and the words for it; by default for what ``calls`` names.
    """

    def __init__(
        self,
        kind: str,
        own: Mapping[str, T],
        *,
        group: str = "",
        by_reference: bool = False,
        fits: Callable[[object], bool] = lambda thing: True,
        calls: Mapping[str, Sequence[str]] | None = None,
        in_place: str = "",
        guard: Callable[[Any, str], Any] | None = None,
    ) -> None:
        self.kind = kind
        self._own = dict(own)
        self._defined: dict[str, T] = {}
        self._loaded: dict[str, tuple[object, T]] = {}
        """The object that was loaded last and what is made of it, by reference."""

        self._group = group
        self.by_reference = by_reference
        self._fits = fits
        self._calls = calls or {}
        self._guard = guard or self._guard_calls
        self._in_place = "module:name" if by_reference else in_place

    def __getitem__(self, name: str) -> T:
        """The thing of this name.

        Raises:
            KeyError: There is none.
            ConfigError: Its module cannot be imported, lacks the name or holds something else, or
                it cannot be called as such a thing is.
        """
        for things in (self._own, self._defined):
            if name in things:
                return things[name]
        if self.by_reference and is_reference(name):
            return self._taken_in(load_object(name, expected=self.kind), name, "")
        entry = self._entry_points[name]
        thing = load_object(
            entry.reference, expected=f"{self.kind} {name!r}", distribution=entry.distribution
        )
        return self._taken_in(thing, entry.reference, entry.distribution)

    def __iter__(self) -> Iterator[str]:
        yield from self.names()
        yield from self._defined

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        if name in self._own or name in self._defined or (self.by_reference and is_reference(name)):
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

    def unknown(self, name: str, *, further: Iterable[str] = ()) -> str:
        """The sentence, without its full stop, that there is no such thing and which there are.

        Args:
            name: The name that is none.
            further: Names that are taken beside the registry's, listed first.
        """
        own = f"{self._in_place} for one of your own" if self._in_place else ""
        told = unknown_name(self.kind, name, [*further, *self.names()], own=own)
        return told + (papers_hint() if self._group else "")

    def names(self) -> list[str]:
        """The names that any recipe may use, potstill's own first."""
        return list(dict.fromkeys([*self._own, *self._entry_points]))

    @property
    def _entry_points(self) -> Mapping[str, EntryPoint]:
        return entry_points(self._group) if self._group else {}

    def _taken_in(self, thing: Any, reference: str, distribution: str) -> T:
        """An object as it is used: checked once and, where it is not potstill's own, guarded."""
        known = self._loaded.get(reference)
        if known is not None and known[0] is thing:
            return known[1]
        self._check(thing, reference, distribution)
        is_ours = distribution == OURS
        taken: T = thing if is_ours else self._guard(thing, f"the {self.kind} {reference}")
        self._loaded[reference] = thing, taken
        return taken

    def _guard_calls(self, thing: Any, label: str) -> Any:
        if "" in self._calls:
            return guarded(thing, label)
        return GuardedObject(thing, label, list(self._calls)) if self._calls else thing

    def _check(self, thing: Any, reference: str, distribution: str) -> None:
        if not self._fits(thing):
            by = f" of the distribution {distribution}" if distribution else ""
            raise ConfigError(
                f"{reference}{by} is a {type(thing).__name__} and no {self.kind}; see "
                "docs/extending.md for one that is complete."
            )
        for method, arguments in self._calls.items():
            called, at = (getattr(thing, method), f".{method}") if method else (thing, "")
            if (taken := _refusing_signature(called, arguments)) is not None:
                what = f"the {method} of this" if method else "this"
                raise ConfigError(
                    f"{reference}{at} takes {taken}, and {what} {self.kind} is called with "
                    f"({', '.join(arguments)}). Give it these parameters; see docs/extending.md."
                )


def unknown_name(kind: str, name: str, known: Sequence[str], *, own: str = "") -> str:
    """The sentence, without its full stop, that there is no such thing and which there are.

    Args:
        kind: The word for one of the things.
        name: The name that is none.
        known: The names that there are.
        own: The value that may be given in place of a name; empty: none.
    """
    near = get_close_matches(name, known, n=1)
    lead = f"did you mean {near[0]!r}? Known: " if near else "known: " if known else "give "
    ways = ", or ".join(filter(None, (", ".join(known), own)))
    return f"there is no {kind} {shortened(name)}; {lead}{ways}"


def papers_hint() -> str:
    """The end of a message about an unknown name, where it may be one of a missing ``papers/``."""
    if PAPERS.is_dir():
        return ""
    return "; published variants live in potstill/papers, which this copy of potstill lacks"


def is_reference(name: object) -> bool:
    """Whether a name is worded as ``module:name``."""
    return isinstance(name, str) and _REFERENCE.fullmatch(name) is not None


def _refusing_signature(called: Callable[..., Any], arguments: Sequence[str]) -> str | None:
    """The signature of what cannot be called with so many positional arguments; None: it can."""
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):  # some built-in ones do not tell
        return None
    try:
        signature.bind(*arguments)
    except TypeError:
        return str(signature)
    return None


class GuardedObject:
    """An object of a user's own, in whose methods a failure is one line.

    Args:
        thing: The object.
        label: The words for it in messages, e.g. ``the answer type roman:READER``.
        methods: The names of the methods that potstill calls; all else is the object's own.
    """

    def __init__(self, thing: object, label: str, methods: Iterable[str]) -> None:
        self.__wrapped__ = thing
        for method in methods:
            setattr(self, method, guarded(getattr(thing, method), f"{method} of {label}"))

    def __getattr__(self, name: str) -> Any:
        if name == "__wrapped__":  # of a copy that is not made yet
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)


def guarded(function: Callable[..., T], label: str) -> Callable[..., T]:
    """A function of a user's own, in which a failure is one line.

    Args:
        function: The function, or another thing that can be called.
        label: The words for it in messages, e.g. ``the loss smoothing:smoothed``.

    Returns:
        The function, which raises a ConfigError where it fails in another way than by an error of
        potstill's.
    """

    @wraps(function)
    def call(*arguments: Any, **keywords: Any) -> T:
        with _own_code(label, function):
            return function(*arguments, **keywords)

    return call


def guarded_iterator(
    function: Callable[..., Iterable[T]], label: str
) -> Callable[..., Iterator[T]]:
    """The same of a function that yields: a failure is one line wherever it happens."""

    @wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Iterator[T]:
        with _own_code(label, function):
            items = iter(function(*arguments, **keywords))
        try:
            while True:
                with _own_code(label, function):
                    try:
                        item = next(items)
                    except StopIteration:
                        return
                yield item
        finally:
            if isinstance(items, Generator):
                items.close()

    return call


@contextmanager
def _own_code(label: str, of: object) -> Iterator[None]:
    try:
        yield
    except PotstillError:
        raise
    except Exception as error:
        raise own_failure(error, label, of=of) from error


def own_failure(error: Exception, label: str, *, of: object) -> ConfigError:
    """The one line that is told where somebody else's code failed.

    Args:
        error: The exception.
        label: The words for what failed, e.g. ``the loss smoothing:smoothed``.
        of: The function, or an object of the class, in whose folder the last line is looked for.
    """
    fault = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(":.")
    return ConfigError(f"{label} failed: {fault}{_last_line(error, of)}. Mend it.")


def _last_line(error: Exception, of: object) -> str:
    """Returns `` (FILE:LINE)`` of an error's last line in an object's folder; else nothing."""
    module = getattr(of, "__module__", None) or type(of).__module__
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return ""
    lines = [
        f" ({frame.f_code.co_filename}:{line})"
        for frame, line in walk_tb(error.__traceback__)
        if Path(frame.f_code.co_filename).parent == Path(file).parent
    ]
    return lines[-1] if lines else ""


def _line_outside(error: BaseException) -> str:
    """Returns `` (FILE:LINE)`` of an error's last line in an imported module; else nothing."""
    ours = Path(__file__).parent
    lines = [
        f" ({frame.f_code.co_filename}:{line})"
        for frame, line in walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith("<")
        and not Path(frame.f_code.co_filename).is_relative_to(ours)
        and "importlib" not in Path(frame.f_code.co_filename).parts
    ]
    return lines[-1] if lines else ""


def is_within(module: str, package: str | None) -> bool:
    """Whether a module is the package of this name or lies in it."""
    return package is not None and f"{module}.".startswith(f"{package}.")


def load_object(reference: str, *, expected: str, distribution: str = "") -> Any:
    """Import what ``module:name`` names.

    Args:
        reference: The module and the name in it. The module is looked for among those installed,
            then in :data:`FOLDERS`.
        expected: The kind of object it should be, for messages, e.g. ``loss``.
        distribution: The installed distribution that declares it; empty: the recipe names it.

    Raises:
        ConfigError: It is not worded so, or the module cannot be imported or lacks the name.
    """
    by = f", which the distribution {distribution} declares," if distribution else ""
    if not is_reference(reference):
        raise ConfigError(
            f"the {expected} {shortened(reference)}{by} must be worded as module:name."
        )
    module_name, _, attributes = reference.partition(":")
    try:
        thing: Any = (import_module if distribution else FOLDERS.import_module)(module_name)
    except PotstillError:
        raise
    except (Exception, SystemExit) as error:  # somebody else's module can fail in any way
        if isinstance(error, ModuleNotFoundError) and is_within(module_name, error.name):
            places = "among the installed packages"
            if not distribution:
                places += f" or in {', '.join(map(str, FOLDERS.in_order))}"
            raise ConfigError(
                f"{expected} {reference}{by}: there is no module {module_name!r} {places}. Install "
                "it, or put its file beside the recipe."
            ) from None
        fault = f"{type(error).__name__}: {' '.join(str(error).split())}{_line_outside(error)}"
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


def entry_points(group: str) -> Mapping[str, EntryPoint]:
    """The entry points of a group by name: those of ``papers/``, then the installed ones."""
    return _entry_points(group, tuple(sys.path))


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """The same for a state of ``sys.path``, as reading what is installed takes milliseconds."""
    points = {name: EntryPoint(name, reference, OURS) for name, reference in _of_papers(group)}
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
