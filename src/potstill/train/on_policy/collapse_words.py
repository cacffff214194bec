"""A collapse in words: the figure, the round and the limit, and what to change."""

from collections.abc import Callable
from dataclasses import asdict

from potstill.records import Collapse, TrainingRound
from potstill.runtime.events import EventLog
from potstill.train.on_policy.collapse import Verdict
from potstill.train.on_policy.settings import OnPolicySettings


def _share(value: float) -> str:
    return f"{value:.1%}"


def _nats(value: float) -> str:
    return f"{value:.3f} nats a token"


def _probability(value: float) -> str:
    return f"{value:.2g}"


def _steps(value: float) -> str:
    return f"{value:.0f} steps"


FIGURES: dict[str, tuple[str, Callable[[float], str]]] = {
    "mass": ("of the student's tokens are among the teacher's top {top}", _share),
    "mass_loss": ("of the student's tokens are among the teacher's top {top}", _share),
    "ended": ("of the answers end by themselves", _share),
    "repeated": ("of the runs of four tokens are repeated", _share),
    "unlearned": ("of the answers teach nothing", _share),
    "entropy": ("is the student's entropy", _nats),
    "end": ("is the teacher's probability of the end where the student ends", _probability),
    "staleness": ("old are the answers when the last of them are learned", _steps),
}
"""Each figure: what it is of, and how it is written."""

ADVICE = {
    "mass": (
        "The teacher scores texts that are not its kind. Compare the student's data_format with "
        "how the teacher is asked (prompt_style, chat template), and look whether both tokenizers "
        "are their models' own; a start that cannot answer yet needs on_policy.start_from"
    ),
    "mass_loss": (
        "The student moves to tokens that the teacher does not list. Lower learning_rate, raise "
        "on_policy.top, and take a loss that counts the teacher's tail: reverse_kl or jsd with "
        "tail uniform_tail"
    ),
    "end": (
        "The student would learn never to end. Have teacher and student end an answer alike: the "
        "teacher's own chat template or end token, and a data_format that ends as the teacher's "
        "answers do; or add on_policy.mix, so that rationales teach the end"
    ),
    "ended": (
        "The student unlearns to end its answers. See whether the teacher gives a probability to "
        "the end (the figure end), raise max_tokens where right answers are cut, lower "
        "learning_rate, or add on_policy.mix, so that rationales teach the end"
    ),
    "repeated": (
        "The student falls into loops, which a teacher that reads them finds likely. Lower "
        "learning_rate and max_tokens, take matching: distribution or jsd in place of reverse_kl, "
        "or add on_policy.mix"
    ),
    "entropy": (
        "The student writes ever the same. Lower learning_rate, take matching: distribution or "
        "jsd in place of reverse_kl, or raise on_policy.temperature"
    ),
    "unlearned": (
        "Look at what the student writes: empty answers need on_policy.start_from, long ones a "
        "larger train.max_length or a smaller max_tokens, and answers without scores a teacher "
        "whose tokenizer is its own"
    ),
    "staleness": "Lower on_policy.steps_per_round, or raise limits.staleness where it is meant",
}
"""The change that may help, by the limit that was passed."""


def told(verdict: Verdict, own: TrainingRound, settings: OnPolicySettings) -> str:
    """Returns the figure, the round and the limit, in one sentence without a full stop.

    Args:
        verdict: The limit that was passed.
        own: The round that passed it.
        settings: The training's.
    """
    words, written = FIGURES[verdict.sign]
    value, bound = written(verdict.breach.value), written(verdict.breach.bound)
    side = "at most" if verdict.breach.value > verdict.breach.bound else "at least"
    return (
        f"in round {own.number + 1} of {own.rounds}, {value} {words.format(top=settings.top)}, "
        f"where limits.{verdict.sign} wants {side} {bound}"
    )


def tell_collapse(label: str, collapse: Collapse, events: EventLog) -> None:
    """Say that a limit has ended a training, and put it into the log.

    Args:
        label: The student.
        collapse: The limit.
        events: The run's log.
    """
    kept = f"its checkpoint after step {collapse.step:,}" if collapse.step else "its start"
    events.announce(
        "collapse",
        f"{label} has stopped: {collapse.message}. It is left with {kept}, from before the "
        f"decline. {collapse.advice}.",
        **(asdict(collapse) | {"student": label, "round": collapse.number + 1}),
    )


def round_line(own: TrainingRound, label: str, top: int) -> str:
    """Returns a round in one line: how far the training is, and its figures.

    Args:
        own: The round.
        label: The student.
        top: K, of the teacher's top K.
    """
    figures = [f"{own.length:.0f} tokens an answer", f"{own.ended / max(own.answers, 1):.0%} end"]
    if own.right is not None:
        figures.append(f"{own.right / own.answers:.0%} right")
    if own.entropy is not None:
        figures.append(f"{own.entropy:.2f} nats a token")
    if own.repeated is not None:
        figures.append(f"{own.repeated:.0%} repeated")
    if own.mass is not None and own.teacher_logprob is not None:
        figures.append(
            f"{own.mass:.1%} in the teacher's top {top} ({own.teacher_logprob:.2f} nats)"
        )
    head = f"{label}: round {own.number + 1} of {own.rounds}"
    return f"{head}: {', '.join(figures)}; {own.teacher_tokens:,} teacher tokens"
