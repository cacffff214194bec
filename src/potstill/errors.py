"""Every error raised on purpose.

    PotstillError
    ├── ConfigError          a recipe or setting that cannot be used      (also ValueError)
    ├── DataError            a file of questions or rationales is wrong   (also ValueError)
    ├── ModelError           a model cannot be loaded or asked            (also RuntimeError)
    │   ├── ServerError      a server refused, failed or was not reached
    │   └── AuthError        a key is missing or was refused
    ├── BudgetError          the next request could pass the budget       (also RuntimeError)
    ├── OutdatedError        a stage builds on another recipe's results   (also RuntimeError)
    ├── StoreError           the store is locked, full or from the future (also RuntimeError)
    └── MissingExtraError    an optional package is not installed         (also ImportError)

A message says what, where, the value seen and the way out. The command line shows it as one line
and exits with 2; anything else that is raised is a bug of ours and keeps its traceback.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class PotstillError(Exception):
    """The base of every error that the user can mend."""


class ConfigError(PotstillError, ValueError):
    """A recipe, a setting or a command-line argument cannot be used."""


class DataError(PotstillError, ValueError):
    """A file of questions, answers or rationales is missing or malformed."""


class ModelError(PotstillError, RuntimeError):
    """A model cannot be loaded, or cannot do what was asked of it."""


class ServerError(ModelError):
    """A model server refused the request, failed for good, or could not be reached."""


class AuthError(ModelError):
    """A server's key is missing from the environment, or was refused."""


class BudgetError(PotstillError, RuntimeError):
    """The next request could cost more than the run's budget still has."""


class OutdatedError(PotstillError, RuntimeError):
    """The results that a stage builds on were made by another recipe than today's.

    Args:
        reason: The results and what differs; a sentence without its full stop.
        commands: The commands to repeat, in their order.
        arguments: The arguments behind each of them, where they are known.
    """

    def __init__(self, reason: str, commands: Sequence[str], arguments: str = "") -> None:
        super().__init__(f"{reason}. Run: {repeat_commands(commands, arguments)}")
        self.reason, self.commands = reason, tuple(commands)


class StoreError(PotstillError, RuntimeError):
    """The run's store is held by another process, full, damaged, or of a newer version."""


class LostProcessError(PotstillError, RuntimeError):
    """Another of the processes that train together is gone."""


class MissingExtraError(PotstillError, ImportError):
    """A package of an optional extra is not installed."""


def repeat_commands(commands: Sequence[str], arguments: str = "") -> str:
    """Returns commands to repeat, as they are typed, in their order.

    Args:
        commands: Their names.
        arguments: The arguments behind each of them, where they are known.
    """
    tail = f" {arguments}" if arguments else ""
    return ", then ".join(f"potstill {command}{tail}" for command in commands)


def shortened(value: object, *, longest: int = 80) -> str:
    """A value as Python writes it, for messages; the middle of a long one is left out."""
    text = repr(value)
    half = (longest - 3) // 2
    return text if len(text) <= longest else f"{text[:half]}...{text[-half:]}"


def unread_file(path: Path, error: OSError) -> str:
    """Returns a sentence that says why a file cannot be read.

    Of a relative path that is not there it says from which folder it was looked for: a path in a
    recipe counts from where the command is called, not from the recipe.
    """
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError) and not path.is_absolute():
        reason += f" in {Path.cwd()}, from where relative paths count"
    return f"cannot read {path}: {reason}."


@contextmanager
def extra(name: str, *, needed_for: str) -> Iterator[None]:
    """Turn a missing optional package into the command that installs it.

    Use as ``with extra("local", needed_for="potstill train"): import torch``.

    Args:
        name: The extra in pyproject.toml that brings the package.
        needed_for: The command or setting that needs it, to begin the message with.

    Raises:
        MissingExtraError: An import in the block failed for want of a package not our own.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "potstill":
            raise
        raise MissingExtraError(
            f"{needed_for} needs the package {error.name!r}, which is not installed. "
            f"Install it with: pip install 'potstill[{name}]'"
        ) from error


@contextmanager
def without_remarks(*packages: str) -> Iterator[None]:
    """Silence what packages log below an error while the block runs.

    Where the block fails, one error of ours says so; a line for each of their retries says less.

    Args:
        packages: The names of their loggers, such as ``huggingface_hub``.
    """
    loggers = [logging.getLogger(name) for name in packages]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
