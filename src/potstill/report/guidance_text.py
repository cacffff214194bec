"""The report's words for guidance: names of policies and controls, and sentences on the figures."""

import math
from collections.abc import Sequence

from potstill.records import GuidedScore, Policy
from potstill.records.policy import RANDOM
from potstill.report.accuracy import Results
from potstill.report.guidance import GuidanceSection, gains, kept, per_100_tokens
from potstill.report.text import listed, p_phrase, percent
from potstill.text.points import points

SIGNALS = {
    "mean_logprob": "mean log-probability",
    "min_logprob": "least likely token",
    "entropy": "entropy",
    "disagreement": "disagreement",
    "prompt_tokens": "length of the question",
    RANDOM: "at random",
}
"""The signals that a student's doubt is read from."""

NAMES = {
    "never": ("Student alone", "student"),
    "teacher": ("Teacher alone", "teacher"),
    "first": ("First step", "step 1"),
    "learned": ("When a learned judge says so", "learned"),
    "quest_cot": ("Asks itself how to begin", "asks itself"),
    "subquestions": ("Asks itself before every step", "subquestions"),
    "at": ("Step {number:g} alone", "step {number:g}"),
    "first_n": ("First {number:g} steps", "steps 1 to {number:g}"),
    "when_unsure": ("When unsure, by {signal}", "unsure: {short_signal}"),
    "any_step": ("Any step, by {signal} of its first token", "any step: {short_signal}"),
    "route": ("Whole questions, by {signal}", "routed: {short_signal}"),
    "pass_at": ("Right in at least one of {number:g} samples", "pass@{number:g}"),
}
"""The words for a policy in a table and beside a point of a chart, by its name."""

ONE = {
    "first_n": NAMES["first"],
    "pass_at": ("Right in one sample", "pass@1"),
}
"""The words for policies whose number is 1."""

CONTROLS = {
    "own_first": (
        "The student's own first step",
        "Cut off and put back. Nothing should change; what does is the price of joining.",
    ),
    "wrong_chain": (
        "First step of a wrong answer",
        "From an answer of the teacher that ends wrong. Shows whether the step must be a good one.",
    ),
    "other_problem": (
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
    "random_step": (
        "A random step",
        "Any one of the teacher's steps, for as many tokens. Shows whether it must be the first.",
    ),
}
"""The label of a control and a sentence on its purpose, by the control's name."""

UNKNOWN = "Guidance of another kind at the same place, for comparison."


def label(policy: Policy) -> str:
    """A policy's name in a table; one that has none for readers keeps its own."""
    return _name(policy, 0)


def short(policy: Policy) -> str:
    """A policy's name beside a point of a chart."""
    return _name(policy, 1)


def _name(policy: Policy, form: int) -> str:
    forms = ONE.get(policy.name) if policy.number == 1 else None
    forms = forms or NAMES.get(policy.name)
    if forms is None or policy.kind in ("control", "routing"):
        return policy.label
    name = forms[form].format(
        number=policy.number,
        signal=signal(policy.signal or ""),
        short_signal=(policy.signal or "").replace("_", " "),
    )
    if policy.is_conditional and policy.number is not None:
        name += (", at most {:.4g}", " {:.4g}")[form].format(policy.number)
    if policy.accuracy_at_least is not None:
        name += (", accuracy at least {:.4g}", ", accuracy {:.4g}")[form].format(
            policy.accuracy_at_least
        )
    return name


def control(policy: Policy) -> tuple[str, str]:
    """A control's label, and one sentence or two on what it controls for."""
    return CONTROLS.get(policy.name, (policy.name.replace("_", " ").capitalize(), UNKNOWN))


def signal(name: str) -> str:
    """A signal of doubt for readers."""
    return SIGNALS.get(name, name.replace("_", " "))


def routed(score: GuidedScore) -> str:
    """The way in which whole questions were routed: ``By entropy`` or ``At random``."""
    name = score.policy.signal or RANDOM
    return signal(name).capitalize() if name == RANDOM else f"By {signal(name)}"


def dollars(cost: float) -> str:
    """US dollars a question, with two digits that tell something: ``$0.00042``."""
    if cost == 0:
        return "$0"
    digits = max(2, 1 - math.floor(math.log10(abs(cost))))
    return f"${cost:,.{digits}f}"


def findings(section: GuidanceSection) -> list[str]:
    """Sentences on the best policy's gain, on routing instead, and on the conditional ones."""
    best, alone = section.best, section.alone
    if best is None or alone is None or best.difference is None:
        return []
    instead = _instead(section, best) if gains(best) else ""
    sentences = (_bought(section, best, alone), instead, *_kept(section))
    return [sentence for sentence in sentences if sentence]


def foremost(results: Results, measured: Sequence[GuidanceSection]) -> list[str]:
    """Returns the best policy's gain on the leading task, and what its price buys otherwise."""
    leading = [section for section in measured if section.task == results.leading.name]
    return [
        f"Guidance by the teacher. {' '.join(sentences)}"
        for section in leading
        if (sentences := findings(section)[: 2 if section.best and gains(section.best) else 1])
    ]


def _bought(section: GuidanceSection, best: GuidedScore, alone: GuidedScore) -> str:
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
    opening = f"The best policy is “{name}”:" if len(section.policies) > 1 else f"“{name}” reaches"
    sentence = f"{opening} {reached}, {change} points ({evidence})"
    bought = per_100_tokens(best)
    if bought is not None:
        sentence += (
            f" for {best.teacher_tokens:,.1f} teacher tokens a question, which is {bought:,.1f} "
            "points for every 100 teacher tokens"
        )
    if len(section.policies) > 1:
        sentence += (
            f". As the best of {len(section.policies)} on the same questions it is likely to look "
            "a little better than it is"
        )
    return f"{sentence}."


def _instead(section: GuidanceSection, best: GuidedScore) -> str:
    ways = [
        f"{percent(reached)} {'at random' if name == RANDOM else f'by {signal(name)}'} "
        f"({100 * abs(reached - best.accuracy):.1f} points "
        f"{'more' if reached > best.accuracy else 'less'} than guidance)"
        for name, reached in section.routed(best.teacher_tokens).items()
    ]
    if not ways:
        return ""
    return (
        "For as many teacher tokens, sending whole questions to the teacher would reach an "
        f"expected {listed(ways)}."
    )


def _kept(section: GuidanceSection) -> list[str]:
    """A sentence for every conditional policy, or one where there is no gain to be kept."""
    always = section.always
    if always is None or not section.sparing:
        return []
    if not gains(always):
        return [
            "Always guiding the first step is not shown to help "
            f"({points(always.difference or 0.0)} points, {_between(always)}), so there is no gain "
            "that guiding only some questions could keep."
        ]
    return [_share(section, score, always) for score in section.sparing]


def _share(section: GuidanceSection, score: GuidedScore, always: GuidedScore) -> str:
    shares = kept(section, score)
    if shares is None:
        return ""
    gained = f"{points(score.difference or 0.0)} of {points(always.difference or 0.0)} points"
    keeps = f"keeps {percent(shares[0], 0)} of the gain of always guiding the first step"
    if shares[0] <= 0:
        keeps = "keeps nothing of the gain of always guiding the first step"
    elif shares[0] >= 1:
        keeps = "keeps all of the gain of always guiding the first step"
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
