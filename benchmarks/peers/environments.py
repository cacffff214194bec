"""The systems that are measured, each in an environment of its own with its version pinned."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

CACHE = Path.home() / ".cache" / "potstill-peers"
INSTALLING = 1800
"""Seconds that an installation may take."""


class PeerError(Exception):
    """A system could not be installed, failed, or did not end; kept in its row."""


class Peer(NamedTuple):
    """One system, in one way of using it."""

    driver: str
    """The script beside this one."""

    requirements: tuple[str, ...] = ()
    """The packages of its environment; none: that of this process."""

    temperature: float = 1.0
    several: bool = True
    """Whether it can be asked for several samples of a question."""

    stops_early: bool = False
    """Whether it asks for no more samples than settle a vote."""

    heavy: float = 1.0
    """Share of the requests that it is given where answers have probabilities, to end in time."""


OPENAI = "openai==3.54.0"
AIOHTTP = ("aiohttp==3.14.5", "orjson==3.13.0", OPENAI)
LM_EVAL = ("lm_eval[api]==0.4.13", "torch==2.13.0")

PEERS = {
    "potstill": Peer("ask_potstill"),
    "potstill vote": Peer("ask_potstill_vote", stops_early=True),
    "aiohttp": Peer("ask_aiohttp", AIOHTTP),
    "openai": Peer("ask_openai", AIOHTTP, heavy=0.25),
    "distilabel": Peer(
        "ask_distilabel",
        ("distilabel[openai]==1.5.3", "requests==2.34.2", "beautifulsoup4==4.15.0", OPENAI),
        heavy=0.25,
    ),
    "curator": Peer(
        "ask_curator", ("bespokelabs-curator==0.1.31", "litellm==1.83.7"), several=False
    ),
    "inspect": Peer("ask_inspect", ("inspect_ai==0.3.285", OPENAI), heavy=0.04),
    "lm-eval": Peer("ask_lm_eval", LM_EVAL, temperature=0.0, several=False),
    "lm-eval sampled": Peer("ask_lm_eval", LM_EVAL),
}
"""Systems by their name in tables. lm-eval keeps greedy answers only: it is measured both ways."""


def interpreter(peer: Peer, cache: Path) -> Path:
    """The Python of a system's environment, which is made where it is missing.

    Raises:
        PeerError: It cannot be installed.
    """
    if not peer.requirements:
        return Path(sys.executable)
    digest = hashlib.sha256("\n".join(peer.requirements).encode()).hexdigest()[:8]
    folder = cache / f"{peer.requirements[0].partition('=')[0].partition('[')[0]}-{digest}"
    python = folder / "bin" / "python"
    complete = folder / "complete"
    if complete.exists():
        return python
    venv.create(folder, clear=True, with_pip=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        done = subprocess.run(
            [*command, *peer.requirements], capture_output=True, text=True, timeout=INSTALLING
        )
    except subprocess.TimeoutExpired:
        raise PeerError(f"not installed within {INSTALLING} seconds") from None
    if done.returncode:
        raise PeerError(f"not installed: {' '.join(done.stderr.split())[-300:]}")
    complete.touch()
    return python


def versions(python: Path, peer: Peer) -> dict[str, str]:
    """The versions of what was asked for."""
    names = [name.partition("=")[0].partition("[")[0] for name in peer.requirements]
    script = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))"
    done = subprocess.run(
        [str(python), "-c", script, *names], capture_output=True, text=True, check=True
    )
    return dict(zip(names, done.stdout.split(), strict=True))
