"""curate: completions → rationales, each kept or dropped for a named reason."""

from potstill.curate.settings import CurateSettings
from potstill.curate.stage import VERDICTS, curate, require_answers
from potstill.curate.teacher_selection import Measure, TeacherCandidate
from potstill.curate.verdicts import KEPT

__all__ = [
    "KEPT",
    "VERDICTS",
    "CurateSettings",
    "Measure",
    "TeacherCandidate",
    "curate",
    "require_answers",
]
