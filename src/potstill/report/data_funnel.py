"""The way from training questions to the examples learned: how many each step lost, and why."""

from collections.abc import Iterator
from typing import NamedTuple

from potstill.report.accuracy import Results
from potstill.report.text import count_in_short, dollars, duration, in_sentence, listed

TRAINING_QUESTIONS = "training questions"


class FunnelRow(NamedTuple):
    """The number of items left after one step of making the data."""

    name: str
    left: int
    of: int
    """The number that ``left`` is a share of; 0 where the row begins a count of something else."""

    base: str
    """The name of ``of``, such as ``training questions``; empty where the row begins a count."""

    reasons: str
    """The reasons for the loss, or the price of the step; empty where there is nothing to say."""

    @property
    def share(self) -> float:
        """The share that is left, from 0 to 1; 0 where the row begins a count."""
        return self.left / self.of if self.of else 0.0


def funnel(results: Results) -> list[FunnelRow]:
    """Returns the steps, as far as the run has come; empty before there are rationales."""
    return list(_rows(results)) if results.rationales else []


def _rows(results: Results) -> Iterator[FunnelRow]:
    questions = len(results.leading.splits["train"])
    counts = results.rationale_counts
    written, asked = len(results.rationales), len(counts.kept_by_question)
    yield FunnelRow(TRAINING_QUESTIONS, questions, 0, "", _left_out(results))
    unanswered = _unanswered(questions - asked)
    yield FunnelRow("with rationales", asked, questions, TRAINING_QUESTIONS, unanswered)
    took = [f"{written / asked:,.1f} a question", *_cost(results)]
    yield FunnelRow("rationales written", written, 0, "", "; ".join(took))
    dropped = [
        f"{count:,} {verdict.replace('_', ' ')}"
        for verdict, count in counts.verdicts.most_common()
        if verdict != "kept"
    ]
    why = f"dropped: {listed(dropped)}" if dropped else ""
    yield FunnelRow("rationales kept", counts.kept, written, "rationales written", why)
    none = asked - counts.questions_with_kept
    why = f"{none:,} without any that was kept" if none else ""
    yield FunnelRow(
        "questions with a kept rationale",
        counts.questions_with_kept,
        questions,
        TRAINING_QUESTIONS,
        why,
    )
    for last in results.last_checkpoints:
        if last.system == results.chosen:
            too_long = f"{last.too_long:,} left out as longer than max_length"
            whole = last.examples + last.too_long
            yield FunnelRow(
                f"examples that {in_sentence(last.system)} learned",
                last.examples,
                whole,
                "examples made for it",
                too_long if last.too_long else "",
            )


def _left_out(results: Results) -> str:
    notes = (note.removesuffix(".") for note in results.leading.notes)
    return " ".join(f"{note[:1].upper()}{note[1:]}." for note in notes)


def _unanswered(count: int) -> str:
    return f"{count:,} without any" if count else ""


def _cost(results: Results) -> list[str]:
    """Returns the price of generating, and the number of samples that failed."""
    parts = []
    for stage in results.stages:
        if stage.name == "generate":
            cost = "" if not stage.cost else f", {dollars(stage.cost)}"
            tokens = f"{count_in_short(stage.tokens)} tokens"
            parts.append(f"{duration(stage.seconds)}, {tokens}{cost}")
    failed = sum(results.failures.values())
    if failed:
        parts.append(f"{failed:,} more failed")
    return parts
