"""Pushing a folder to the Hugging Face hub, by the token of the environment or of its login."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, cast

from potstill.errors import AuthError, ConfigError, ServerError, extra

STALE: dict[str, list[str]] = {
    "dataset": ["data/*"],
    "model": ["*.safetensors", "*.safetensors.index.json"],
}
"""What an earlier push may have left beside what is pushed now; it is removed."""


class Pushed(NamedTuple):
    """Where something was pushed to."""

    url: str
    private: bool
    """Whether only its owner sees it; a repository that was there stays as it was."""


def check_push(name: str) -> None:
    """Find what would stop :func:`push_folder`, before any work.

    Raises:
        ConfigError: The name is not OWNER/NAME.
        AuthError: There is no token.
        MissingExtraError: The hub's package is not installed.
    """
    with extra("hub", needed_for="potstill push"):
        from huggingface_hub import get_token
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ConfigError(f"{name!r} is no name for the hub; give OWNER/NAME.")
    if get_token() is None:
        raise AuthError(
            "there is no token for the hub. Set HF_TOKEN, or log in once with: hf auth login"
        )


def push_folder(
    folder: Path, name: str, kind: Literal["dataset", "model"], *, private: bool, message: str
) -> Pushed:
    """Put a folder's files in a repository of the hub, which is made where there is none.

    Args:
        folder: Made by :mod:`potstill.exchange.folders`.
        name: The repository, as ``OWNER/NAME``.
        kind: What it is.
        private: Whether only its owner may see it.
        message: Of the commit.

    Raises:
        ConfigError: It is to be private, and there is a public one of this name.
        AuthError: The hub refused the token.
        ServerError: The hub was not reached, or failed.
        PotstillError: As :func:`check_push`.
    """
    check_push(name)
    from huggingface_hub import HfApi

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    with _explained(name, api.endpoint):
        url = api.create_repo(name, repo_type=kind, private=private, exist_ok=True)
        is_private = bool(api.repo_info(name, repo_type=kind).private)
        if private and not is_private:
            raise ConfigError(
                f"{name} is there already, and everybody can see it. Give --public to push to it, "
                "or another name."
            )
        api.upload_folder(
            repo_id=name,
            folder_path=folder,
            repo_type=kind,
            commit_message=message,
            delete_patterns=STALE[kind],
        )
    return Pushed(str(url), is_private)


@contextmanager
def _explained(name: str, endpoint: str) -> Iterator[None]:
    """Turn the hub's errors into ours, on one line."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # The base of all errors of the HTTP library that this version of huggingface_hub uses.
    not_reached = cast(type[Exception], HfHubHTTPError.__bases__[0])
    try:
        yield
    except HFValidationError as error:
        raise ConfigError(f"{name!r} is no name for the hub: {_said(error)}") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        told = f"{name}: {endpoint} answered {status}"
        if status in (401, 403):
            raise AuthError(
                f"{told}: the token was refused, or may not write there. Set another as HF_TOKEN, "
                "or log in with: hf auth login"
            ) from error
        raise ServerError(f"{told}: {_said(error)}") from error
    except (not_reached, ConnectionError, RuntimeError, PermissionError) as error:
        raise ServerError(f"{name}: pushing to {endpoint} failed: {_said(error)}") from error


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
