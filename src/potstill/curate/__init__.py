"""curate: completions → rationales, each kept or dropped for a named reason."""

from potstill.curate.choosing import Candidate, Measure
from potstill.curate.judging import KEPT
from potstill.curate.settings import CurateSettings
from potstill.curate.stage import VERDICTS, curate

__all__ = ["KEPT", "VERDICTS", "Candidate", "CurateSettings", "Measure", "curate"]
