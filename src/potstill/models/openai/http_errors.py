"""The faults of requests by class, and the reading of a server's error answers."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp
import orjson

from potstill.models.openai.lenient_json import read_json
from potstill.records import Amount

LONGEST_COOLDOWN = 3600.0
"""Seconds that a server's Retry-After is waited for at most; a longer one ends the command."""

LONGEST_MESSAGE = 2**16
"""Bytes of an error's body that are looked at."""

RETRIED = {408, 409, 429, 500, 502, 503, 504, 529}

UNSURE = {408, 502, 504}
"""Statuses behind which an answer may have been written, and billed."""

PUSHBACK = {"429", "503", "529", "timeout"}
"""Kinds of faults by which a server says that it has too much to do."""


UNWRITTEN = {"page"}
"""Kinds of answers with status 200 that no model had a part in."""

PASSING = {"timeout", "connection", "reset"}
"""Kinds of faults that say nothing of the next request."""


class Fault(Exception):
    """The failure of one try of a request; its message is a sentence."""

    def __init__(
        self,
        message: str,
        *,
        retry: bool,
        kind: str = "answer",
        wait: float = 0.0,
        status: int | None = None,
    ):
        super().__init__(message)
        self.retry = retry
        self.kind = kind
        """The kind in a word: the status of the answer, ``timeout``, ``connection`` (not reached),
        ``reset`` (lost on the way), ``answer`` (not to be understood), ``page`` (a web page) or
        ``error`` (a message) in the place of an answer."""

        self.wait = wait
        """Seconds the server wants to be left alone; 0 where it does not say."""

        self.status = status
        """The HTTP status of the answer where it was not 200; None where there was no answer."""

    @property
    def reached(self) -> bool:
        """Whether a server answered at all."""
        return self.kind != "connection"

    @property
    def may_pass(self) -> bool:
        """Whether the same request may well be answered a while later."""
        return self.kind in PASSING or self.status in RETRIED

    @property
    def refused(self) -> bool:
        """Whether the server had too much to do."""
        return self.kind in PUSHBACK

    @property
    def paid(self) -> Amount | None:
        """The amount 0 where the server surely wrote nothing; None where it may have."""
        if self.kind in UNWRITTEN:
            return Amount()
        sure = self.status not in UNSURE if self.status is not None else not self.reached
        return Amount() if sure else None


class Halted(Exception):
    """The request was not sent, or not sent again: the asking was stopped."""


@contextmanager
def connection_faults(seconds: float, clean: Callable[[str], str]) -> Iterator[None]:
    """Turn connection errors in the block into a :class:`Fault`.

    Args:
        seconds: The longest wait.
        clean: Makes a message fit to be shown.
    """
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise Fault(clean(str(error)), retry=True, kind="connection") from None
    except TimeoutError:
        raise Fault(f"no answer in {seconds:.3g} seconds", retry=True, kind="timeout") from None
    except (aiohttp.ClientError, OSError) as error:
        message = clean(f"{type(error).__name__}: {error}")
        raise Fault(f"connection lost ({message})", retry=True, kind="reset") from None


def message_of(content: bytes) -> str:
    """Returns the message in an error's body: ``{"error": {"message": ...}}`` and its variants."""
    try:
        value = read_json(content)
    except ValueError:
        return content[:LONGEST_MESSAGE].decode(errors="replace")
    for name in ("error", "message", "detail"):
        if isinstance(value, dict) and name in value:
            value = value[name]
    try:
        return value if isinstance(value, str) else orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # nested too deep, or numbers of any size
        return content[:LONGEST_MESSAGE].decode(errors="replace")


def code_of(content: bytes) -> object:
    """Returns the code or type in an error's body."""
    try:
        error = read_json(content)["error"]
        return error.get("code") or error.get("type")
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def phrase(status: int) -> str:
    """Returns the name of an HTTP status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no reason given"


def retry_after(headers: Mapping[str, str]) -> float:
    """Returns for how many seconds a server's headers ask to be left alone; 0 if none does."""
    seconds = 0.0
    header = headers.get("Retry-After", "")
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        elif header.replace(".", "", 1).isdigit():
            seconds = float(header)
        elif header:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0
