"""curate: completions → rationales, each kept or dropped for a named reason."""

from potstill.curate.settings import CurateSettings
from potstill.curate.stage import KEPT, VERDICTS, curate

__all__ = ["KEPT", "VERDICTS", "CurateSettings", "curate"]
