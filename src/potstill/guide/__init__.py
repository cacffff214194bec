"""guide: teacher steps inside the student's answer → guided predictions and scores."""

from potstill.guide.experiment import GuideModels
from potstill.guide.settings import GuideSettings
from potstill.guide.stage import GuidanceResult, guide
from potstill.guide.types import policy_named

__all__ = [
    "GuidanceResult",
    "GuideModels",
    "GuideSettings",
    "guide",
    "policy_named",
]
