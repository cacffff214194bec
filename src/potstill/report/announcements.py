"""Announcements: sentences without which a reader would misread a run's figures."""

from potstill.report.accuracy import Results
from potstill.report.routing_findings import routing_sentences
from potstill.report.text import headline, in_sentence, p_phrase, percent
from potstill.text.points import interval_in_points, points


def announced_headline(results: Results) -> str:
    """Returns the main result, after the sentences that a reader must know before it."""
    told = _not_better(results)
    main = headline(results, beside_start=bool(told))
    return " ".join(filter(None, [*told, *routing_sentences(results), main]))


def announcements(results: Results) -> list[str]:
    """Returns sentences on a student that is not shown to gain, and on guidance behind routing."""
    return [*_not_better(results), *routing_sentences(results)]


def _not_better(results: Results) -> list[str]:
    gained, student = results.against_start.get(results.leading.name), results.chosen
    if gained is None or student is None or gained.is_gain:
        return []
    compared = gained.comparison
    reached = [results.test_score(one, compared.task) for one in (student, compared.second)]
    shares = [percent(score.correct / score.total) for score in reached if score is not None]
    verdict = "is shown to be worse" if gained.is_loss else "is not shown to be better"
    bounds = interval_in_points(compared.low, compared.high)
    return [
        f"The chosen student ({in_sentence(student)}) {verdict} than {in_sentence(compared.second)}"
        f" on {compared.task}: {' and '.join(shares)}, {points(compared.difference)} points, 95% "
        f"interval {bounds}, {p_phrase(gained.adjusted_p)}{gained.over_tasks}."
        f"{' ' + gained.interval_note if gained.interval_note else ''}"
    ]
