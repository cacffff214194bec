"""The progress of a run: the stages with results, and those still missing."""

from collections.abc import Mapping, Sequence
from typing import Literal

from potstill.report.accuracy import Results

ReportedStage = Literal["generate", "curate", "train", "evaluate", "guide"]
"""The stages that a report shows results of, in their order."""


def missing_stages(results: Results) -> list[ReportedStage]:
    """Returns the stages of the recipe that have no results yet, in their order.

    A stage before one with results is not missing: a store may hold no rationales because
    the students learned answers alone, or because other runs trained them.
    """
    reached: Mapping[ReportedStage, bool] = {
        "generate": bool(results.rationale_tokens or results.rationales),
        "curate": bool(results.rationales),
        "train": bool(results.checkpoints),
        "evaluate": bool(results.systems),
    }
    last = max((place for place, done in enumerate(reached.values()) if done), default=-1)
    missing = list(reached)[last + 1 :]
    has_guidance = any(score.split == "test" for score in results.guided_scores)
    if results.settings.get("guide") and not has_guidance:
        missing.append("guide")
    return missing


def unmeasured_students(results: Results) -> Sequence[str]:
    """Returns the names of trained students that no test question was put to."""
    if not results.systems:
        return []
    return [student.label for student in results.students if student not in results.systems]
