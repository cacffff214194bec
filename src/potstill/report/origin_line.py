"""The origin of a page on a line: run, date, version, seed, models, and how complete it is."""

import time
from collections.abc import Iterator

import potstill
from potstill.report.accuracy import Results
from potstill.report.run_progress import missing_stages, unmeasured_students
from potstill.report.text import listed


def origin(results: Results) -> list[str]:
    """Returns the facts of the line, without the models."""
    return list(_facts(results))


def _facts(results: Results) -> Iterator[str]:
    yield results.facts.folder or str(results.settings.get("run") or "a run without a name")
    used = results.facts.used_at
    yield time.strftime("%d %b %Y", time.localtime(used)).lstrip("0") if used else "date not known"
    yield f"potstill {potstill.__version__}"
    yield f"seed {results.settings['seed']}" if "seed" in results.settings else "seed not known"
    yield _completeness(results)


def _completeness(results: Results) -> str:
    missing = missing_stages(results)
    if missing:
        at_work = "at work, still " if results.facts.is_at_work else ""
        return f"{at_work}without results of {listed(missing)}"
    unmeasured = unmeasured_students(results)
    if unmeasured:
        return f"not measured: {listed(unmeasured)}"
    return "results not all of today's recipe" if results.facts.stale else "complete"


def pair(results: Results) -> str:
    """Returns the models of a run: who wrote the rationales, and where the student starts."""
    teacher = results.authors or "a teacher that is not named"
    return f"{teacher} → {results.model('student') or 'a student that is not named'}"
