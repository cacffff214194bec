"""The steps of a client's driver: each is done, and one line of JSON says what came of it."""

import json
import os
import sys
import traceback
from collections.abc import Callable

GUIDED = os.environ.get("GUIDED_URL", "")
"""The address of a student of this machine that its teacher guides."""

ALONE = os.environ.get("ALONE_URL", "")
"""The address of the same student without a teacher."""

SCRIPTED = os.environ.get("SCRIPTED_URL", "")
"""The address of a scripted student behind a server, alone: it calls tools and writes JSON."""

MODEL = "student"

QUESTION = "Q: Ana has 3 pens and buys 4 more. How many pens does she have?\nA:"


def step(name: str, act: Callable[[], object]) -> None:
    """Do a step; it holds where it returns something true and raises nothing."""
    try:
        returned = act()
        failure = None if returned else f"it returned {returned!r}"
    except Exception as error:  # noqa: BLE001 - whatever a client raises is its outcome
        failure = f"{type(error).__name__}: {error}"
        traceback.print_exc()
    sys.stdout.write("STEP " + json.dumps({"step": name, "failure": failure}) + "\n")
    sys.stdout.flush()
