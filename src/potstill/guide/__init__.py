"""guide: teacher steps inside the student's answer → guided predictions and scores."""

from potstill.guide.experiment import Parties
from potstill.guide.settings import GuideSettings
from potstill.guide.stage import Bench as GuideBench
from potstill.guide.stage import Guidance, guide
from potstill.report.tables import guided_table

__all__ = [
    "Guidance",
    "GuideBench",
    "GuideSettings",
    "Parties",
    "guide",
    "guided_table",
]
