"""The card of a chosen student: what it learned and from whom, how it was chosen and to be asked.

It is written from the store and the results. The recipe names a teacher; the card names who wrote
what the student learned.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from potstill.evaluate.card_matter import card_matter, training_counts
from potstill.evaluate.card_snippet import snippet
from potstill.evaluate.selection import SelectionRule
from potstill.evaluate.settings import CardSettings
from potstill.evaluate.tie import Tie
from potstill.prompts.formats import format_named
from potstill.prompts.styles import PromptStyle, shows_exemplars
from potstill.records import Checkpoint, Score, SystemEngine
from potstill.runtime.number_formats import served_format
from potstill.sampling.ask import PromptConfig
from potstill.start_comparison import StartComparison
from potstill.store import Writer
from potstill.text.chosen_on_test import BEST_ON_TEST, CHOSEN_ON_TEST, SHORT
from potstill.text.points import points

CARD = """# {task} student

Distilled with potstill: started from `{start}` and trained on **{task}**, on {learned}.
This is checkpoint {step} of the student `{student}`, {choice}. {honesty}
{training}{gain}
## How to ask it

{program}{prompt}

It was trained to be asked in the data format `{data_format}`, and writes {reading}

## Accuracy on test questions
{on_test}
| system | task | right | accuracy | 95% interval |
|---|---|---|---|---|
{rows}

Intervals are Wilson's.{computed}
Trained on one task, a student pays with its other abilities: measure what
you need before you rely on it.
"""

CHOICES: Mapping[SelectionRule, str] = {
    "in_distribution": "the accuracy on its task",
    "out_of_distribution": "the mean accuracy on tasks of its family that were not trained for",
    "worst_case": "the smallest worst shortfall from the best checkpoint, over its task and tasks "
    "of its family",
    "pareto": "the accuracy on its task and on generic tasks together",
    BEST_ON_TEST: "the accuracy on its task",
}
"""The figure that each selection rule chooses by, on development questions but for the last."""

CHOSE_NOTHING = "The test split chose nothing."

SMALL = 0.001
"""P-values below this are not told apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentOrigin:
    """The origin of a chosen student: its task, its training and its choice."""

    task: str
    """The name of the task that it was trained for."""

    start: str
    """The model that it started from, as the recipe names it."""

    formats: Sequence[str]
    """The data formats that it learned."""

    writers: Sequence[Writer] = ()
    """The writers of the rationales, from the store."""

    rule: SelectionRule = "in_distribution"
    """The rule by which its checkpoint was chosen."""

    students: int = 1
    """The number of students it was chosen among, itself included."""

    tie: Tie | None = None
    """The equals of its checkpoint on development questions."""

    card: CardSettings = field(default_factory=CardSettings)
    """The recipe's settings of the card."""

    languages: Sequence[str] = ()
    """Languages of its task, where they are known."""

    questions: Mapping[str, int] = field(default_factory=dict)
    """The number of its task's questions, by split."""

    engine: SystemEngine | None = None
    """The program that it was measured by; None where that is not known."""


def model_card(
    chosen: Checkpoint,
    scores: Sequence[Score],
    origin: StudentOrigin,
    against_start: StartComparison | None = None,
    *,
    asking: PromptConfig | None = None,
) -> str:
    """Returns the text of a model card.

    Args:
        chosen: The checkpoint.
        scores: The scores of the evaluation that chose it.
        origin: The student's origin.
        against_start: The student against its start, on the task that it was trained for.
        asking: How it is asked; with it the card has a program that does.
    """
    data_format = format_named(chosen.data_format)
    on_test = origin.rule == BEST_ON_TEST
    rows = [
        f"| {score.system.label} | {score.task} | {score.correct}/{score.total} "
        f"| {score.correct / score.total:.1%} | {score.low:.1%} to {score.high:.1%} |"
        for score in scores
        if score.split == "test"
    ]
    matter = card_matter(
        chosen,
        scores,
        origin.card,
        task=origin.task,
        start=origin.start,
        languages=origin.languages,
        on_test=on_test,
    )
    return matter + CARD.format(
        start=origin.start,
        task=origin.task,
        learned=_learned(origin),
        step=chosen.step,
        student=chosen.system.label,
        choice=_choice(origin),
        honesty=CHOSEN_ON_TEST if on_test else CHOSE_NOTHING,
        on_test=f"\n{CHOSEN_ON_TEST}\n" if on_test else "",
        training=_training(chosen, origin),
        gain=f"\n{gain(against_start, on_test=on_test)}\n" if against_start else "",
        program=_program(chosen, asking, origin.engine) if asking else "",
        prompt=_prompt(data_format.style(encoder_decoder=chosen.encoder_decoder)),
        data_format=chosen.data_format,
        reading=data_format.reading,
        rows="\n".join(rows),
        computed=_computed(origin.engine),
    )


def gain(against_start: StartComparison, *, on_test: bool = False) -> str:
    """Returns how a student stands against its start, in a sentence.

    Args:
        against_start: The student against its start, on the task that it was trained for.
        on_test: Whether the student's checkpoint was chosen on these questions.
    """
    comparison, p = against_start.comparison, against_start.adjusted_p
    tested = f"p = {p:.2g}" if p >= SMALL else f"p < {SMALL}"
    numbers = (
        f"{points(comparison.difference)} points, 95% interval {points(comparison.low)} to "
        f"{points(comparison.high)}, {tested} by McNemar's exact test"
        f"{against_start.over_tasks}, which decides, on {comparison.total:,} test questions of "
        f"{comparison.task}"
    ) + (f" ({SHORT})" if on_test else "")
    start = comparison.second.label
    if against_start.is_gain:
        return f"Against its start ({start}): {numbers}."
    if against_start.is_loss:
        return f"It is shown to be worse than its start ({start}): {numbers}."
    note = against_start.interval_note
    return (
        f"It is not shown to be better than its start ({start}): {numbers}."
        f"{' ' + note if note else ''}"
    )


def _learned(origin: StudentOrigin) -> str:
    """Returns what the student learned, and who wrote it."""
    formats = [format_named(name) for name in origin.formats]
    authors = _authors(origin.writers)
    if not any(one.needs_rationale or one.needs_exemplars for one in formats):
        return "the gold answers alone; it learned nothing that a model wrote"
    learned = f"rationales of {authors}, closed by the gold answers"
    if any(one.is_bare for one in formats):
        return f"the gold answers, and on {learned}"
    return learned


def _authors(writers: Sequence[Writer]) -> str:
    """Returns the models that wrote kept rationales, with how many; addresses are left out."""
    kept = Counter[str]()
    for writer in writers:
        if writer.kept:
            kept[writer.model.rpartition("@")[0] or writer.model] += writer.kept
    if not kept:
        return "a model that the store does not name"
    *others, last = [f"`{name}` ({count:,})" for name, count in kept.items()]
    names = f"{', '.join(others)} and {last}" if others else f"`{next(iter(kept))}`"
    imported = sum(writer.imported for writer in writers)
    return f"{names} (of which {imported:,} came from files)" if imported else names


def _training(chosen: Checkpoint, origin: StudentOrigin) -> str:
    """Returns how the student was trained, and on how much."""
    kept = sum(writer.kept for writer in origin.writers)
    counts = ", ".join(training_counts(chosen, origin.questions, kept))
    settings = f"\nTraining: {chosen.training}.\n" if chosen.training else ""
    return f"{settings}\nCounts: {counts}.\n"


def _computed(engine: SystemEngine | None) -> str:
    """Returns a sentence on the program and the number format of a measurement."""
    if engine is None:
        return ""
    computed = f" in {engine.number_format}" if engine.number_format else ""
    return f" The student was measured by {engine.engine}{computed}."


def _program(chosen: Checkpoint, asking: PromptConfig, engine: SystemEngine | None) -> str:
    """Returns a program that asks the student, run in the folder of this card."""
    code = snippet(
        asking.style,
        encoder_decoder=chosen.encoder_decoder,
        max_tokens=asking.sampling.max_tokens,
        exemplars=asking.exemplars,
        number_format=served_format(engine.number_format) if engine else "",
    )
    return f"In the folder of this card:\n\n```python\n{code}\n```\n\n"


def _choice(origin: StudentOrigin) -> str:
    """Returns how the checkpoint and the student were chosen."""
    questions = "test questions" if origin.rule == BEST_ON_TEST else "development questions"
    words = f"chosen among its checkpoints by {CHOICES[origin.rule]}, on {questions}"
    tied = origin.tie is not None and bool(origin.tie.students)
    if origin.students > 1 and not tied:
        words += (
            f"; of {origin.students} students it is the one with the most right answers to the "
            "development questions of its task"
        )
    elif origin.students > 1:
        words += (
            f"; of {origin.students} students none has more right answers to the development "
            "questions of its task"
        )
    return f"{words}. {origin.tie.described}".rstrip(". ") if origin.tie else words


def _prompt(style: PromptStyle) -> str:
    """Returns how to ask in this style, in words."""
    kind = "The user's turn of a chat" if style.chat else "Prompt"
    words = f"{kind}, with the question in the place of `{{question}}`:\n\n{_block(style.template)}"
    if style.system:
        words += f"\n\nThe system turn before it:\n\n{_block(style.system)}"
    if shows_exemplars(style):
        words += (
            "\n\nIn the place of `{exemplars}` stand worked questions with a blank line between "
            f"them, each worded so:\n\n{_block(style.exemplar)}"
        )
    return words


def _block(text: str) -> str:
    return f"```\n{text}\n```"
