"""Results in words and figures: labels, numbers and the headline."""

from collections.abc import Callable, Mapping, Sequence

from potstill.records import Checkpoint, Comparison, Score, System
from potstill.report.accuracy import OTHER_RULE, Results
from potstill.report.rationale_counts import RationaleCounts
from potstill.report.tradeoff import Abilities, ChosenCheckpoint, Estimate
from potstill.statistics import SHOWN
from potstill.text.chosen_on_test import BEST_ON_TEST, SHORT
from potstill.text.number_of import number_of
from potstill.text.points import interval_in_points, points
from potstill.text.unshown_difference import interval_note

LABELS = {
    ("teacher", ""): "Teacher",
    ("start", "zero_shot"): "Start, asked for the answer",
    ("start", ""): "Start, asked to reason",
    ("start", "few_shot"): "Start, shown examples",
    ("answers_only", ""): "Answer-only tuning",
    ("rationales", ""): "Rationale tuning",
}
"""The systems of a normal run, by model and variant, for a reader who has not seen the recipe."""

IN_SENTENCE = {
    ("teacher", ""): "the teacher",
    ("start", "zero_shot"): "the start checkpoint asked for the answer alone",
    ("start", ""): "the start checkpoint",
    ("start", "few_shot"): "the start checkpoint shown worked examples",
    ("answers_only", ""): "answer-only tuning",
    ("rationales", ""): "rationale tuning",
}
"""The names of the same systems inside a sentence."""

RULES = {
    "in_distribution": "the highest accuracy on the task trained for",
    "out_of_distribution": "the highest mean accuracy out of distribution",
    "worst_case": "the smallest worst shortfall from the best checkpoint, over the target and each "
    "task out of distribution",
    "pareto": "the least distance from the best target and the best generic ability together",
    BEST_ON_TEST: "the highest accuracy on the test questions of the task trained for",
}
"""The merit for which a selection rule chooses a checkpoint, by the rule; all but the last are on
development questions."""

WHERE = {
    "target": "on the target",
    "out_of_distribution": "out of distribution",
    "generic": "on generic tasks",
}
"""The words inside a sentence for the tasks that a difference is on, by their role."""

COLUMN_ROLES = {
    "target": "target",
    "out_of_distribution": "out of distribution",
    "generic": "generic",
    OTHER_RULE: "other grader",
}
"""The words under a task's name in the table of accuracies, by its role."""

TIMES, DASH = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"
SPACE, NARROW = "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

WAYS = {"vote": "by vote", "teacher_questions": "on the teacher's questions"}
"""The way of asking a student or a pair, by variant; other variants are data formats."""


def label(system: System) -> str:
    """Returns a system's name for readers; a name that the recipe gives stands in quotes."""
    return _named(system, LABELS, ", ", "Start")


def in_sentence(system: System) -> str:
    """Returns a system's name inside a sentence."""
    return _named(system, IN_SENTENCE, " ", "the start checkpoint")


def _named(system: System, names: Mapping[tuple[str, str], str], joint: str, any_start: str) -> str:
    """Returns the model's name, with how the system differs from it as it is usually asked."""
    if not system.taken:
        return system.label
    known = names.get((system.model, system.variant))
    way = joint + WAYS.get(system.variant, f"asked in {system.variant}")
    if system.model == "start":
        which = f"{any_start} {system.start}" if system.start else any_start
        return which + way if known is None else known.replace(any_start, which, 1)
    model = names.get((system.model, ""), f"“{system.model}”")
    if system.start:
        model += f" from {system.start}"
    return model + way if system.variant else model


def percent(share: float, digits: int = 1) -> str:
    """0.62 as ``62.0%``."""
    return f"{share:.{digits}%}"


def interval(score: Score) -> str:
    """The 95% interval of a score in percent: ``56.4, 67.3``."""
    return f"{score.low * 100:.1f}, {score.high * 100:.1f}"


def bounds(share: Estimate) -> str:
    """The 95% interval of an estimated share in percent; -0.0 after rounding is shown as 0.0."""
    low, high = (round(end * 100, 1) + 0.0 for end in (share.low, share.high))
    return f"{low:.1f}, {high:.1f}"


def p_value(p: float) -> str:
    """Three decimals, or a mantissa and a power of ten."""
    if p >= 0.001:
        return f"{p:.3f}"
    if p < 1e-300:
        return f"<{SPACE}10⁻³⁰⁰"
    mantissa, exponent = f"{p:.1e}".split("e")
    return f"{mantissa}{NARROW}{TIMES}{NARROW}10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def p_phrase(p: float) -> str:
    """``p = 0.041``, with spaces at which no line breaks."""
    value = p_value(p)
    return f"p{SPACE}{value}" if value.startswith("<") else f"p{SPACE}={SPACE}{value}"


def duration(seconds: float) -> str:
    """``48 s``, ``3 min 20 s`` or ``2 h 05 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, rest_minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {rest_minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def count_in_short(count: float) -> str:
    """A large count, of weights or tokens, to two or three digits: ``456k``, ``1.2M``, ``7.1B``."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit * 0.9995:
            digits = 1 if count < 99.95 * unit else 0
            return f"{count / unit:,.{digits}f}".removesuffix(".0") + name
    return f"{count:,.0f}"


def bounds_in_points(difference: Estimate | Comparison) -> str:
    """The 95% interval of a difference in points, as a reader says it: ``+3 to +8``."""
    return interval_in_points(difference.low, difference.high)


def rule_name(rule: str) -> str:
    """A selection rule inside a sentence."""
    return {"pareto": "Pareto"}.get(rule, rule.replace("_", " "))


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b`` or ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def cost_note(uncounted: int) -> str:
    """Returns a remark on a cost in which so many answers came without a count of tokens."""
    if not uncounted:
        return ""
    who = "1 answer" if uncounted == 1 else f"{uncounted:,} answers"
    return f"{who} came without some count of tokens; they stand at the most that they can cost."


def dollars(cost: float, unpriced: Sequence[str] = ()) -> str:
    """Cents where they tell something; a dash for nothing where models have no known price."""
    if cost == 0:
        return DASH if unpriced else "$0"
    return f"${cost:,.2f}" if cost >= 0.01 else f"${cost:.4f}"


def headline(results: Results, *, beside_start: bool = False) -> str:
    """Returns the run's main result in one sentence, no stronger than its numbers.

    Args:
        results: The run's results.
        beside_start: Whether it stands beside a sentence on the student and its start, and says
            nothing of them itself; it is empty where there is no other result.
    """
    comparison = results.main_comparison
    if comparison is not None:
        told = _compared(results, comparison, beside_start=beside_start)
        return (told + _warning(results)).strip()
    measured = [results.test_score(system, results.leading.name) for system in results.systems]
    best = max((score for score in measured if score), key=lambda s: s.correct, default=None)
    if best is not None:
        alone = "; no student is measured yet"
        if results.chosen:
            alone = "; nothing was measured beside it"
        elif results.comparisons:  # fused students, none of which was trained here
            alone = ""
        within = interval(best).replace(", ", " to ")
        return (
            f"{label(best.system)} reaches {_reached(results, best.system)} on "
            f"{best.task} (95% interval {within}, {best.total:,} questions){alone}."
            f"{_warning(results)}"
        )
    if results.checkpoints:
        return "The students are trained; no test question has been answered yet."
    if results.training:
        return "The students are being trained; no test question has been answered yet."
    if results.rationales:
        kept = results.rationale_counts.kept
        return (
            f"{kept:,} of {len(results.rationales):,} rationales are kept; no student learns yet."
        )
    return "This run has no results yet."


def _warning(results: Results) -> str:
    """Returns a sentence that follows figures of a checkpoint chosen on test; else nothing."""
    return f" {SHORT[0].upper()}{SHORT[1:]}." if results.chosen_on_test else ""


def _compared(results: Results, comparison: Comparison, *, beside_start: bool) -> str:
    first, second = _reached(results, comparison.first), _reached(results, comparison.second)
    subject, other = in_sentence(comparison.first), in_sentence(comparison.second)
    gained = results.against_start.get(comparison.task)
    p, tested = comparison.p_value, ""
    if gained is not None and gained.comparison == comparison:
        if beside_start:
            return ""
        p, tested = gained.adjusted_p, gained.over_tasks
    evidence = f"{p_phrase(p)}{tested}, {comparison.total:,} questions"
    if p >= SHOWN:
        is_announced = gained is not None and gained.comparison == comparison
        note = "" if is_announced else _alone_note(comparison)
        return (
            f"No difference is shown between {subject} ({first}) and {other} ({second}) on "
            f"{comparison.task}: {points(comparison.difference)} points, "
            f"95% interval {bounds_in_points(comparison)}, {evidence}.{note}"
        )
    side, sign = ("above", 1) if comparison.difference > 0 else ("below", -1)
    ends = sorted((sign * comparison.low, sign * comparison.high))
    low, high = (points(end, 0).removeprefix("+") for end in ends)
    to_start = "" if beside_start else _to_its_start(results, comparison)
    return (
        f"{label(comparison.first)} reaches {first} on {comparison.task}, "
        f"{abs(comparison.difference) * 100:.1f} points {side} {other} "
        f"(95% interval {low} to {high}, {evidence}){to_start}."
    )


def _alone_note(comparison: Comparison) -> str:
    """Returns a sentence on a comparison that no other is tested with; else nothing."""
    note = interval_note((comparison.low, comparison.high), comparison.p_value, 1, "")
    return f" {note}" if note else ""


def _to_its_start(results: Results, main: Comparison) -> str:
    """Returns the difference to the student's start, where the headline is about another."""
    gained = results.against_start.get(main.task)
    if gained is None or gained.comparison.second == main.second:
        return ""
    compared = gained.comparison
    name, change = in_sentence(compared.second), compared.difference
    if not gained.is_shown:
        bounds = bounds_in_points(compared)
        return f"; to {name} no difference is shown: {points(change)} points ({bounds})"
    sign, side = (1, "above") if change > 0 else (-1, "below")
    ends = sorted(round(100 * sign * end) for end in (compared.low, compared.high))
    return f", and {abs(100 * change):.1f} points {side} {name} ({ends[0]} to {ends[1]})"


def _reached(results: Results, system: System) -> str:
    score = results.test_score(system, results.leading.name)
    return percent(score.correct / score.total) if score else "an unknown accuracy"


def further_findings(results: Results) -> list[str]:
    """Returns what the teacher and the start reach on the same questions."""
    task = results.leading.name
    start = results.start_of(results.chosen) if results.chosen else System("start")
    reached = [
        f"{in_sentence(system)} {percent(score.correct / score.total)}"
        for system in (System("teacher"), start)
        if (score := results.test_score(system, task)) is not None
    ]
    known = reached and results.chosen
    return [f"On the same questions: {', '.join(reached)}."] if known else []


def marks_finding(counted: RationaleCounts) -> str:
    """Returns how often people and the filter by answers disagree; empty without marks."""
    counts, total = counted.marks, counted.verdicts.total()
    if not counts:
        return ""
    right, wrong = (counts[of, True] + counts[of, False] for of in (True, False))
    return (
        f"People marked {counts.total():,} of {total:,} rationales. They rejected "
        f"{counts[True, False]:,} of {right:,} with the right answer, and accepted "
        f"{counts[False, True]:,} of {wrong:,} without it."
    )


def choice_finding(candidates: Mapping[System, Sequence[ChosenCheckpoint]]) -> str:
    """Returns which checkpoints the rules take of the first student, and each one's price."""
    if not candidates:
        return ""
    student, (used, *others) = next(iter(candidates.items()))
    name = label(student)
    if not others:
        return f"{name}: all rules take step {used.step:,}."
    parts = [f"{name}: {_rules(used)} step {used.step:,}, which is used"]
    for other in others:
        parts.append(f"{_rules(other)} step {other.step:,}{_at_a_price(other.gained)}")
    return "; ".join(parts) + "."


def _rules(candidate: ChosenCheckpoint) -> str:
    rules = [rule_name(rule) for rule in candidate.rules]
    return f"{listed(rules)} {'takes' if len(rules) == 1 else 'take'}"


def _at_a_price(gained: Abilities) -> str:
    changes = [
        f"{points(change.value)} points {WHERE[role]} ({bounds_in_points(change)})"
        for role, change in gained.items()
    ]
    return f": on test {listed(changes)}" if changes else ""


def training_notes(lasts: Sequence[Checkpoint]) -> tuple[list[str], list[str]]:
    """Returns on how much students were trained, and how; what holds for several stands once."""
    known = [last for last in lasts if last.training]
    return _said_once(lasts, _amount), _said_once(known, lambda last: f"{last.training}.")


def _amount(last: Checkpoint) -> str:
    left_out = f", {last.too_long:,} left out as longer than max_length" if last.too_long else ""
    learned = number_of(last.examples, "example")
    return f"{number_of(last.step, 'step')} on {learned}{left_out}."


def soft_findings(lasts: Sequence[Checkpoint], *, reached: bool) -> list[str]:
    """Returns how far the teacher's probabilities reached students that were to match them.

    Args:
        lasts: The students' last checkpoints; those of others are left out.
        reached: Whether those are wanted that they reached, or those that they did not.
    """
    matching = [one for one in lasts if one.soft_share is not None]
    return _said_once([one for one in matching if bool(one.soft_share) is reached], _soft_finding)


def _soft_finding(last: Checkpoint) -> str:
    if not last.soft_share:
        return (
            "the teacher's probabilities reached none of the trained tokens, so training was on "
            "the text alone, as if by sample matching. Set generate.top_logprobs, with a teacher "
            "that gives probabilities."
        )
    return (
        f"the teacher's probabilities reached {percent(last.soft_share)} of the trained tokens; "
        "the others were learned from the text."
    )


def _said_once(lasts: Sequence[Checkpoint], say: Callable[[Checkpoint], str]) -> list[str]:
    """Returns what is said of students, behind the names of all of whom it is said."""
    names: dict[str, list[str]] = {}
    for last in lasts:
        names.setdefault(say(last), []).append(label(last.system))
    return [f"{listed(of)}: {said}" for said, of in names.items()]
