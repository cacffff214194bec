"""An advice in words: what the measures say, what is shown by them, and with what caution."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from potstill.advise.groups import GroupComparison, TrialGroup
from potstill.advise.trial import TriedRationale
from potstill.curate.suitability import MEASURES, SuitabilityMeasure
from potstill.runtime.cost_words import dollars

NAMES: dict[SuitabilityMeasure, str] = {
    "rank_surprisal": "the rank-surprisal ratio",
    "local_naturalness": "local naturalness",
    "likelihood": "likelihood",
}

_KINDS = {"teacher": "Teachers", "thinking": "Thinking", "length": "Lengths"}


class Caution(NamedTuple):
    """Facts about a trial that a reader should know beside its figures."""

    notes: Sequence[str]
    """The reasons why some teachers were not asked, or not to the end."""

    labels: Sequence[str]
    """The ways of asking."""

    no_switch: Sequence[str]
    """The ways of asking servers' models that have no switch for thinking."""

    student: str


def sentences(comparisons: Sequence[GroupComparison]) -> Iterator[str]:
    """Yields the advice, a sentence or more for each comparison."""
    for comparison in comparisons:
        groups = [group for group in comparison.groups if group.measures]
        if len(groups) > 1:
            yield f"{_KINDS[groups[0].kind]}: {_compared_words(comparison, groups)}"
        elif groups and groups[0].kind == "teacher":
            yield f"Teachers: {_alone(comparison, groups[0])}"
        elif comparison.groups and comparison.groups[0].kind == "teacher":
            yield "Teachers: no rationale is kept, so nothing is measured."


def _alone(comparison: GroupComparison, group: TrialGroup) -> str:
    """The words on one measured teacher."""
    others = [other.name for other in comparison.groups if other is not group]
    if others:
        return f"only {group.name} has a rationale that is kept."
    return (
        f"{group.name} is the only one, and its measures have nothing to be held against. Name a "
        "second in teachers to compare."
    )


def _compared_words(comparison: GroupComparison, groups: Sequence[TrialGroup]) -> str:
    """The words on several groups: by each measure, and what to do."""
    firsts = {
        measure: _order(groups, measure)
        for measure in MEASURES
        if any(measure in group.measures for group in groups)
    }
    by_first: dict[str, list[SuitabilityMeasure]] = {}
    for measure, order in firsts.items():
        by_first.setdefault(order[0], []).append(measure)
    parts = [
        f"{first} by {_listed([_told(measure, comparison) for measure in measures])}"
        for first, measures in by_first.items()
    ]
    text = f"best is {'; '.join(parts)}. "
    trusted = {firsts[measure][0] for measure in ("rank_surprisal", "local_naturalness")
               if measure in firsts}  # fmt: skip
    if len(trusted) > 1:
        return text + f"The two measures to go by disagree, so {_undecided(groups)}"
    (best,) = trusted
    shown = [
        difference
        for difference in comparison.differences
        if difference.measure != "likelihood" and difference.is_shown
    ]
    if not shown:
        return text + f"No difference is shown, so {_undecided(groups)}"
    beaten = dict.fromkeys(difference.other for difference in shown)
    return text + _to_do(groups, best, list(beaten))


def _told(measure: SuitabilityMeasure, comparison: GroupComparison) -> str:
    """A measure's name, with the groups that its best is shown to differ from."""
    own = [difference for difference in comparison.differences if difference.measure == measure]
    shown = [difference.other for difference in own if difference.is_shown]
    if len(shown) == len(own):
        return f"{NAMES[measure]} (shown)"
    if shown:
        return f"{NAMES[measure]} (shown against {_listed(shown)})"
    return f"{NAMES[measure]} (not shown)"


def _to_do(groups: Sequence[TrialGroup], best: str, beaten: Sequence[str]) -> str:
    """Returns what to do where a best group is shown to be better than some others."""
    group = next(group for group in groups if group.name == best)
    against = _listed(beaten)
    if group.kind == "teacher":
        price = f" at {dollars(group.usd)} a kept one" if group.usd else ""
        return (
            f"Learn from {best} rather than from {against}, with {_share(group)} right{price}; "
            "curate.choose: rank_surprisal takes the better teacher of each question."
        )
    if group.kind == "thinking":
        return f"Ask for rationales as in {best}, with {_share(group)} right."
    return f"Prefer {best} rationales to {against}{_cut(groups, beaten)}."


def _cut(groups: Sequence[TrialGroup], beaten: Sequence[str]) -> str:
    """The settings that leave beaten lengths out; empty where none do."""
    words = [one.words for one in groups if one.name not in beaten and one.words is not None]
    fewest, most = min(low for low, _ in words), max(high for _, high in words)
    settings = [f"curate.min_words: {fewest}"] if "short" in beaten else []
    settings += [f"curate.max_words: {most}"] if "long" in beaten else []
    leaves = "leaves" if len(settings) == 1 else "leave"
    return f": {_listed(settings)} {leaves} those out" if settings else ""


def _share(group: TrialGroup) -> str:
    """Returns the share of the group's answers that are right, as ``97%``."""
    return f"{group.right / group.rationales:.0%}"


def _undecided(groups: Sequence[TrialGroup]) -> str:
    """Returns what to go by where the measures do not decide."""
    kind = groups[0].kind
    if kind == "length":
        return "keep rationales of all lengths."
    shares = {group.name: group.right / max(group.rationales, 1) for group in groups}
    text = f"go by what is right most often ({_highest(shares)})"
    prices = {group.name: group.usd for group in groups if group.usd}
    if len(prices) == len(groups):
        cheapest = _highest({name: -usd for name, usd in prices.items()})
        text += f" and by the price ({cheapest}, {dollars(min(prices.values()))} a kept one)"
    compare = "one of each" if kind == "thinking" else "a student of each"
    return f"{text}, or train {compare} and measure."


def cautions(
    comparisons: Sequence[GroupComparison], tried: Sequence[TriedRationale], caution: Caution
) -> Iterator[str]:
    """Yields the evidence for the advice and its limits, a sentence each."""
    yield from caution.notes
    counts = [sum(one.likelihood is not None for one in tried if one.label == label)
              for label in caution.labels]  # fmt: skip
    few = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    tests = sum(len(comparison.differences) for comparison in comparisons)
    text = (
        f"It rests on {few} measured rationales of each way of asking, under {caution.student} "
        "before any training: the measures foretell, a training and its test show."
    )
    if tests:
        compared = "difference" if tests == 1 else "differences"
        text += f" {tests} {compared} were looked at, each with its own 95% interval"
        text += ", so that one in twenty may seem shown by chance." if tests > 1 else "."
    yield text
    too_long = sum(one.kept and one.likelihood is None for one in tried)
    if too_long:
        yield f"{too_long} kept rationales are too long to be learned, and not measured."
    if caution.no_switch:
        yield (
            f"Thinking was left as it is: the body of {_listed(caution.no_switch)} has no switch "
            "for it."
        )
    yield (
        "Likelihood is shown beside the others; alone it misleads on long rationales of several "
        "teachers (arXiv 2601.14249, 2510.03988)."
    )


def _order(groups: Sequence[TrialGroup], measure: SuitabilityMeasure) -> list[str]:
    """The groups' names, the best first."""
    placed = [group for group in groups if measure in group.measures]
    return [group.name for group in sorted(placed, key=lambda one: one.measures[measure].place)]


def _highest(values: Mapping[str, float]) -> str:
    """Returns the name of the highest value, or those that share it."""
    most = max(values.values())
    names = [name for name, value in values.items() if value == most]
    return names[0] if len(names) == 1 else f"{_listed(names)} alike"


def _listed(names: Sequence[str]) -> str:
    """Names in words: ``a, b and c``."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
