"""guide: teacher steps inside the student's answer → guided predictions and scores."""

from potstill.guide.experiment import GuideModels
from potstill.guide.settings import GuideSettings
from potstill.guide.stage import GuidanceResult, guide
from potstill.guide.stage import GuideContext as GuideContext

__all__ = [
    "GuidanceResult",
    "GuideContext",
    "GuideModels",
    "GuideSettings",
    "guide",
]
