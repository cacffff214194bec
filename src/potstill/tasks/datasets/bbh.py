"""BIG-Bench Hard: 27 tasks on which models of 2022 fell short of people (arXiv 2210.09261).

A row is ``{"input": "not ( True ) and ( True ) is", "target": "False"}``.

The tasks are published for testing only. A question keeps its options in its text, as the published
prompts have them: ``Options:`` and one ``(A) ...`` a line. The two options of formal_fallacies have
no letters there, so its answer is a text, ``valid`` or ``invalid``. One question of
movie_recommendation, whose right option a comma cut in two, is left out.
"""

import re
from functools import partial
from pathlib import Path

from potstill.errors import DataError
from potstill.records import AnswerType, Question
from potstill.tasks.datasets.pool import Dataset, Pool, Row, example_rows, field, hub_rows

TASKS: dict[str, tuple[AnswerType, int]] = {
    "boolean_expressions": ("yes_no", 250),
    "causal_judgement": ("yes_no", 187),
    "date_understanding": ("choice", 250),
    "disambiguation_qa": ("choice", 250),
    "dyck_languages": ("list", 250),
    "formal_fallacies": ("text", 250),
    "geometric_shapes": ("choice", 250),
    "hyperbaton": ("choice", 250),
    "logical_deduction_five_objects": ("choice", 250),
    "logical_deduction_seven_objects": ("choice", 250),
    "logical_deduction_three_objects": ("choice", 250),
    "movie_recommendation": ("choice", 250),
    "multistep_arithmetic_two": ("number", 250),
    "navigate": ("yes_no", 250),
    "object_counting": ("number", 250),
    "penguins_in_a_table": ("choice", 146),
    "reasoning_about_colored_objects": ("choice", 250),
    "ruin_names": ("choice", 250),
    "salient_translation_error_detection": ("choice", 250),
    "snarks": ("choice", 178),
    "sports_understanding": ("yes_no", 250),
    "temporal_sequences": ("choice", 250),
    "tracking_shuffled_objects_five_objects": ("choice", 250),
    "tracking_shuffled_objects_seven_objects": ("choice", 250),
    "tracking_shuffled_objects_three_objects": ("choice", 250),
    "web_of_lies": ("yes_no", 250),
    "word_sorting": ("list", 250),
}
"""The answer type and the number of questions of each task."""


def read(path: Path, *, task: str) -> Pool:
    """Reads ``TASK.json``."""
    return _pool(example_rows(path, f"{task}.json"), task)


def read_hub(*, task: str) -> Pool:
    """Reads the task from ``lukaemon/bbh``."""
    return _pool(hub_rows("lukaemon/bbh", config=task, split="test"), task)


def _pool(rows: list[Row], task: str) -> Pool:
    """Returns the questions for testing, with a note of those that have no right option."""
    questions = [_question(row, task, f"bbh_{task}/{number}") for number, row in enumerate(rows)]
    kept = tuple(question for question in questions if question is not None)
    lost = len(questions) - len(kept)
    note = f"bbh_{task}: {lost} of {len(questions)} left out: the published answer is no option."
    return Pool(train=(), test=kept, notes=(note,) if lost else ())


def _question(row: Row, task: str, name: str) -> Question | None:
    """Returns one question; None where its published answer is none of its options."""
    text, target = field(row, "input", at=name), field(row, "target", at=name)
    if TASKS[task][0] != "choice":
        return Question(id=name, text=text, answer=target)
    options = _options(text, at=name)
    letter = _letter(target, options)
    return Question(id=name, text=text, answer=letter, choices=options) if letter else None


_SIGN = re.compile(r"^(?:\([A-Z]\)|-)\s*")


def _options(text: str, *, at: str) -> tuple[str, ...]:
    """Returns the options at the text's end; a few questions of ruin_names list them unsigned."""
    _, heading, listed = text.rpartition("\nOptions:\n")
    options = tuple(_SIGN.sub("", line).strip() for line in listed.splitlines() if line.strip())
    if not heading or not options:
        raise DataError(f"{at}: the question does not end in 'Options:' and options.")
    return options


def _letter(target: str, options: tuple[str, ...]) -> str | None:
    """Returns the letter of the right option, which a few questions give by its text."""
    letters = [chr(ord("A") + index) for index in range(len(options))]
    if target in options:
        return letters[options.index(target)]
    return target[1:-1] if target in [f"({letter})" for letter in letters] else None


BBH = tuple(
    Dataset(
        name=f"bbh_{task}",
        source="https://github.com/suzgunmirac/BIG-Bench-Hard",
        licence="MIT",
        files=f"{task}.json",
        read=partial(read, task=task),
        read_hub=partial(read_hub, task=task),
        hub=f"lukaemon/bbh ({task})",
        answer_type=answer_type,
        sizes=(0, size),
        own_split=True,
    )
    for task, (answer_type, size) in TASKS.items()
)
"""The 27 tasks."""
