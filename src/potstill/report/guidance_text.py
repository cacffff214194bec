"""Guidance in words: policies' names, what each control is for, and what the policies bought."""

import math
import re
from collections.abc import Sequence

from potstill.records import GuidedScore
from potstill.report.accuracy import Results
from potstill.report.guidance import RANDOM, GuidanceSection, gains, kept, per_100_tokens, signal_of
from potstill.report.text import listed, p_phrase, percent, points

SIGNALS = {
    "mean_logprob": "mean log-probability",
    "min_logprob": "least likely token",
    "entropy": "entropy",
    "disagreement": "disagreement",
    "prompt_tokens": "length of the question",
    RANDOM: "at random",
}
"""What a student's doubt is read from."""

NAMES = {
    "never": ("Student alone", "student"),
    "teacher": ("Teacher alone", "teacher"),
    "first": ("First step", "step 1"),
    "learned": ("When a learned judge says so", "learned"),
    "quest_cot": ("Asks itself how to begin", "asks itself"),
    "subquestions": ("Asks itself before every step", "subquestions"),
}
"""Policies that take no number: in a table, and beside a point of a chart."""

NUMBERED = (
    (r"at_(\d+)", "Step {} alone", "step {}"),
    (r"first_n_1", "First step", "step 1"),
    (r"first_n_(\d+)", "First {} steps", "steps 1 to {}"),
    (r"when_unsure_(\w+)", "When unsure, by {}", "unsure: {}"),
    (r"(?:pass|sampled)(?:_at_|@|_)1", "Right in one sample", "pass@1"),
    (r"(?:pass|sampled)(?:_at_|@|_)(\d+)", "Right in at least one of {} samples", "pass@{}"),
)

CONTROLS = {
    "own": (
        "The student's own first step",
        "Cut off and put back. Nothing should change; what does is the price of joining.",
    ),
    "wrong": (
        "First step of a wrong answer",
        "From an answer of the teacher that ends wrong. Shows whether the step must be a good one.",
    ),
    "other": (
        "First step for another question",
        "The teacher's words about something else. Shows whether any words of its would do.",
    ),
    "hint": (
        "The quantities alone",
        "The numbers that the step uses and no more. Shows whether pointing at them is enough.",
    ),
    "question": (
        "The teacher's question alone",
        "How to begin, asked and not answered. Shows whether a direction is enough.",
    ),
    "random": (
        "A random step",
        "Any one of the teacher's steps, for as many tokens. Shows whether it must be the first.",
    ),
}
"""By a word in a control's name: its label, and what it controls for."""

UNKNOWN = "GuidanceSection of another kind at the same place, for comparison."


def label(policy: str) -> str:
    """A policy's name for readers; one that is not known keeps its own."""
    return _named(policy, 0)


def short(policy: str) -> str:
    """The same, beside a point of a chart."""
    return _named(policy, 1)


def control(policy: str) -> tuple[str, str]:
    """A control's label, and one sentence or two on what it controls for."""
    words = policy.removeprefix("control_").split("_")
    for word, found in CONTROLS.items():
        if word in words:
            return found
    return " ".join(words).capitalize(), UNKNOWN


def signal(name: str) -> str:
    """A signal of doubt for readers."""
    return SIGNALS.get(name, name.replace("_", " "))


def routed(score: GuidedScore) -> str:
    """What whole questions were routed by: ``By entropy`` or ``At random``."""
    name = signal_of(score)
    return signal(name).capitalize() if name == RANDOM else f"By {signal(name)}"


def dollars(cost: float) -> str:
    """US dollars a question, with two digits that tell something: ``$0.00042``."""
    if cost == 0:
        return "$0"
    digits = max(2, 1 - math.floor(math.log10(abs(cost))))
    return f"${cost:,.{digits}f}"


def findings(found: GuidanceSection) -> list[str]:
    """What the best policy bought, what routing would have, and what the conditional ones keep."""
    best, alone = found.best, found.alone
    if best is None or alone is None or best.difference is None:
        return []
    instead = _instead(found, best) if gains(best) else ""
    return [each for each in (_bought(found, best, alone), instead, *_kept(found)) if each]


def foremost(results: Results, measured: Sequence[GuidanceSection]) -> list[str]:
    """What the best policy bought on the leading task, for the head of the page."""
    said = [findings(found)[:1] for found in measured if found.task == results.leading.name]
    return [f"Guidance by the teacher. {finding}" for each in said for finding in each]


def _bought(found: GuidanceSection, best: GuidedScore, alone: GuidedScore) -> str:
    reached = f"{percent(best.accuracy)} against {percent(alone.accuracy)} of the student alone"
    evidence = f"{_between(best)}, {best.total:,} questions"
    if best.p_value is not None:
        evidence = f"{_between(best)}, {p_phrase(best.p_value)}, {best.total:,} questions"
    change = points(best.difference or 0.0)
    if not gains(best):
        return (
            f"No policy is shown to help: “{label(best.policy)}”, the best, reaches {reached}, "
            f"{change} points ({evidence})."
        )
    name = label(best.policy)
    opening = f"The best policy is “{name}”:" if len(found.policies) > 1 else f"“{name}” reaches"
    said = f"{opening} {reached}, {change} points ({evidence})"
    bought = per_100_tokens(best)
    if bought is not None:
        said += (
            f" for {best.teacher_tokens:,.1f} teacher tokens a question, which is {bought:,.1f} "
            "points for every 100 teacher tokens"
        )
    if len(found.policies) > 1:
        said += (
            f". As the best of {len(found.policies)} on the same questions it is likely to look "
            "a little better than it is"
        )
    return f"{said}."


def _instead(found: GuidanceSection, best: GuidedScore) -> str:
    ways = [
        f"{percent(reached)} at random"
        if name == RANDOM
        else f"{percent(reached)} by {signal(name)}"
        for name, reached in found.routed(best.teacher_tokens).items()
    ]
    if not ways:
        return ""
    return (
        "For as many teacher tokens, sending whole questions to the teacher would reach an "
        f"expected {listed(ways)}."
    )


def _kept(found: GuidanceSection) -> list[str]:
    """A sentence for every conditional policy, or one where there is no gain to be kept."""
    always = found.always
    if always is None or not found.conditional:
        return []
    if not gains(always):
        return [
            "Always guiding the first step is not shown to help "
            f"({points(always.difference or 0.0)} points, {_between(always)}), so there is no gain "
            "that guiding only some questions could keep."
        ]
    return [_share(found, each, always) for each in found.conditional]


def _share(found: GuidanceSection, score: GuidedScore, always: GuidedScore) -> str:
    shares = kept(found, score)
    if shares is None:
        return ""
    gained = f"{points(score.difference or 0.0)} of {points(always.difference or 0.0)} points"
    keeps = f"keeps {percent(shares[0], 0)} of the gain of always guiding the first step"
    if shares[0] <= 0:
        keeps = "keeps nothing of the gain of always guiding the first step"
    doubt = "" if gains(score) else f"; its own gain is not shown ({_between(score)})"
    return (
        f"“{label(score.policy)}” {keeps} at {percent(shares[1], 0)} of its teacher tokens "
        f"({gained}{doubt})."
    )


def _between(score: GuidedScore) -> str:
    if score.difference_low is None or score.difference_high is None:
        return "no interval"
    ends = points(score.difference_low), points(score.difference_high)
    return f"95% interval {ends[0]} to {ends[1]}"


def _named(policy: str, form: int) -> str:
    known = policy.removeprefix("self_")
    if known in NAMES:
        return NAMES[known][form]
    for pattern, *forms in NUMBERED:
        if found := re.fullmatch(pattern, policy):
            said = (each.replace("_", " ") if form else signal(each) for each in found.groups())
            return forms[form].format(*said)
    return policy
