"""Modules of a user's own: the folders where a recipe's ``module:name`` is looked for.

A module is one that is installed, else a file in the folder of the recipe, else one in the working
directory, else one where the run's earlier commands found theirs. As everywhere in Python, a name
stands for one module in a process. So two recipes that are loaded together, as when their runs are
merged, may name the same module only where both mean the same file, or files of the same content:
the second recipe is refused in one line otherwise, before anything of it is imported.
"""

import sys
from collections.abc import Iterable, Iterator
from importlib import import_module, invalidate_caches
from pathlib import Path
from types import ModuleType

from potstill.errors import ConfigError

APART = "Rename one of them, or make the two the same."


class ModuleFolders:
    """The folders of a process in which modules are looked for that are not installed.

    They are put at the end of ``sys.path``, so that nothing installed is hidden by a file in them.
    """

    def __init__(self) -> None:
        self._recipes: list[Path] = []
        self._earlier: list[Path] = []
        self._files: dict[str, list[Path]] = {}
        """The files that recipes mean by a module's name, all of the same content, by that name."""

        self._imported: dict[str, ModuleType] = {}
        self._on_path: list[str] = []

    def add(
        self, recipe: Path, earlier: Iterable[Path] = (), references: Iterable[str] = ()
    ) -> None:
        """Add the folders of a recipe, and note which files it means by its modules' names.

        Args:
            recipe: The folder of the recipe.
            earlier: The folders where its run's modules were found before.
            references: Each ``module:name`` of the recipe; nothing is imported.

        Raises:
            ConfigError: By one of the names an earlier recipe means another file; nothing is added.
        """
        recipe, earlier = recipe.resolve(), [folder.resolve() for folder in earlier]
        files = dict(self._named(references, [recipe, Path.cwd(), *earlier]))
        for package, file in files.items():
            for other in self._files.get(package, []):
                if not is_same(file, other) and other.exists():
                    raise _two_files(package, other, file)
            if package in sys.modules:
                self._check_siblings(_folder_of(file))
        self._recipes.append(recipe)
        self._earlier.extend(earlier)
        for package, file in files.items():
            others = [other for other in self._files.get(package, []) if is_same(file, other)]
            self._files[package] = list(dict.fromkeys([*others, file]))
        self._imported.clear()

    @property
    def in_order(self) -> list[Path]:
        """The folders as they are searched for what no recipe names itself, each once."""
        return list(dict.fromkeys([*self._recipes, Path.cwd(), *self._earlier]))

    def import_module(self, name: str) -> ModuleType:
        """Import a module from the installed packages, else from the folders.

        Raises:
            ModuleNotFoundError: There is none, or one that it needs is not there; ``name`` of the
                error is the one that is missing.
            ConfigError: Recipes give different files for it, or for a module that stands beside it.
        """
        known = self._imported.get(name)
        if known is not None and sys.modules.get(name) is known:
            return known
        package = name.partition(".")[0]
        files = self._files.get(package, []) or self._unclaimed(package)
        # A module beside the one that is named is to be found before one of another recipe.
        self._search([*dict.fromkeys([*map(_folder_of, files[:1]), *self.in_order])])
        module = import_module(name)
        for file in files:
            self._check_siblings(_folder_of(file))
            loaded = _loaded_file(package)
            if loaded is not None and not is_same(loaded, file):
                raise _two_files(package, loaded, file)
        self._imported[name] = module
        return module

    def holding(self, reference: str) -> Path | None:
        """The folder from which the module of a ``module:name`` was imported.

        Returns:
            None where the module is an installed one, or was not imported.
        """
        file = _loaded_file(reference.partition(":")[0].partition(".")[0])
        return next(
            (folder for folder in self.in_order if file and _folder_of(file) == folder), None
        )

    def _named(self, references: Iterable[str], folders: list[Path]) -> Iterator[tuple[str, Path]]:
        """Yields the modules that are named and not installed, with the first file of each."""
        packages = dict.fromkeys(name.partition(":")[0].partition(".")[0] for name in references)
        for package in packages:
            file = _first_file(package, folders)
            if file is not None and not self._is_installed(package, folders):
                yield package, file

    def _unclaimed(self, package: str) -> list[Path]:
        """The files of a module that no recipe names in a setting of its own, as functions do.

        Raises:
            ConfigError: They differ between the folders of two recipes.
        """
        if self._is_installed(package, self.in_order):
            return []
        candidates = (_first_file(package, [folder]) for folder in self._recipes)
        files = list(dict.fromkeys(file for file in candidates if file is not None))
        for file in files[1:]:
            if not is_same(files[0], file):
                raise _two_files(package, files[0], file)
        return files

    def _check_siblings(self, folder: Path) -> None:
        """Refuse what was imported from another recipe's folder where this one has its own."""
        others = {*self.in_order} - {folder}
        for package in [name for name in sys.modules if "." not in name]:
            loaded = _loaded_file(package)
            if loaded is None or _folder_of(loaded) not in others:
                continue
            own = _first_file(package, [folder])
            if own is not None and not is_same(own, loaded):
                raise _two_files(package, loaded, own)

    def _is_installed(self, package: str, folders: Iterable[Path]) -> bool:
        """Whether a module is found without these folders, and without those of other recipes."""
        if package in sys.stdlib_module_names:
            return True
        hidden, before = {*folders, *self.in_order}, list(sys.path)
        sys.path[:] = [place for place in before if Path(place).resolve() not in hidden]
        try:
            finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
            return any(finder.find_spec(package, None) is not None for finder in finders)
        finally:
            sys.path[:] = before

    def _search(self, folders: list[Path]) -> None:
        """Have the interpreter look into these folders, in this order, after all others."""
        places = [place for place in sys.path if place not in self._on_path]
        self._on_path = [str(folder) for folder in folders if str(folder) not in places]
        sys.path[:] = [*places, *self._on_path]
        invalidate_caches()


FOLDERS = ModuleFolders()
"""The folders of this process."""


def is_same(one: Path, other: Path) -> bool:
    """Whether two files are one, or single modules of the same content."""
    if one == other:
        return True
    if "__init__.py" in (one.name, other.name):
        return False
    try:
        return one.read_bytes() == other.read_bytes()
    except OSError:
        return False


def _first_file(package: str, folders: Iterable[Path]) -> Path | None:
    """The file by which a module is imported from the folders; None where none has one."""
    files = (
        file
        for folder in folders
        for file in (folder / package / "__init__.py", folder / f"{package}.py")
    )
    return next((file for file in files if file.is_file()), None)


def _folder_of(file: Path) -> Path:
    """The folder in which a module's file is found, or in which its package is."""
    return file.parents[1] if file.name == "__init__.py" else file.parent


def _loaded_file(package: str) -> Path | None:
    """The file that a module or package was imported from; None where there is none."""
    file = getattr(sys.modules.get(package), "__file__", None)
    return Path(file) if isinstance(file, str) else None


def _two_files(package: str, one: Path, other: Path) -> ConfigError:
    return ConfigError(
        f"the module {package} is {one} for one recipe and {other} for another, and a process has "
        f"one module of a name. {APART}"
    )
