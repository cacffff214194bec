"""``potstill init``: a commented first recipe for a file of questions.

The file is looked at, not its user's mind: what was guessed is told with its reason, and three
questions are shown as a teacher will be asked them.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from potstill.errors import ConfigError, DataError
from potstill.pipeline.recipe import Recipe
from potstill.pipeline.settings_file import change_setting
from potstill.prompts.styles import prompt_for, style_named
from potstill.records import Message, Question, Task
from potstill.settings import build
from potstill.tasks import load_task
from potstill.tasks.files import answer_type_of, read_file
from potstill.tasks.guessing import GuessedTask, guess_task
from potstill.tasks.splits import fitting_seed
from potstill.whole_files import whole_file

SHOWN = 3
"""Questions that are shown as they will be asked."""

_DEFAULTS: dict[str, object] = {
    "teacher": {"model": "openai:gpt-5-mini", "body": {"temperature": None}},
    "student": "hf:Qwen/Qwen3-0.6B",
    "generate": {"samples": 4, "max_tokens": 2048},
    "evaluate": {"max_tokens": 2048},
}
"""The settings of a first recipe beside its task."""

_WORDS = {
    "teacher": (
        "The model to learn from, as kind:where; its key is read from the environment. Others:\n"
        '{model: "openai:NAME", base_url: "http://localhost:8000/v1"} for any compatible server,\n'
        "vllm:NAME, hf:NAME, recorded:FILE. This one takes no temperature, so none is sent."
    ),
    "student": "The model that learns: hf:NAME, hf:FOLDER or bundled:student (a tiny one, to try).",
    "generate": "Rationales drawn for each question; the teacher's thinking counts in max_tokens.",
    "evaluate": "The same limit where teacher and students are measured.",
}
"""The comment above each setting."""


class FirstRecipe(NamedTuple):
    """A first recipe and what is to be told of it."""

    text: str
    """The recipe as YAML, with comments."""

    task: Task
    prompts: Sequence[str]
    """Questions as a teacher is asked them."""

    answers: Sequence[str]
    """The gold answers of these questions."""

    guesses: Sequence[str]
    """The guesses, each with its reason."""


def first_recipe(path: Path, changes: Sequence[str] = (), *, name: str = "recipe") -> FirstRecipe:
    """Makes a recipe for a file of questions.

    Args:
        path: The file.
        changes: Settings that the user names, as ``task.question=Frage``; they are not guessed.
        name: The name that the recipe's file will have, without its ending.

    Raises:
        ConfigError: A change cannot be made.
        DataError: The file cannot be read, or holds too few questions for three splits.
    """
    raw: dict[str, object] = {"task": {}, **_DEFAULTS}
    for change in changes:
        change_setting(raw, change)
    given = raw.pop("task")
    if not isinstance(given, Mapping):
        raise ConfigError(f"--set task={given}: name settings of the task, as task.question=NAME.")
    guessed = guess_task(path, given)
    guessed = _with_seed(path, guessed)
    values = {"task": dict(guessed.values), **raw}
    recipe = build(Recipe, {"run": f"runs/{name}", **values}, at=str(path))
    task = load_task(recipe.task)
    style = style_named(recipe.generate.prompt_style or "instruct_cot")
    shown = task.splits["train"][:SHOWN]
    return FirstRecipe(
        text=_written(path, guessed, values, name),
        task=task,
        prompts=[_as_asked(prompt_for(style, question)) for question in shown],
        answers=[question.answer for question in shown],
        guesses=_guesses(guessed, shown, answer_type_of(recipe.task)),
    )


def write_first_recipe(recipe: FirstRecipe, out: Path) -> None:
    """Writes the recipe.

    Raises:
        ConfigError: The file is there already, or cannot be written.
    """
    if out.exists():
        raise ConfigError(f"{out} is there already. Remove it, or name another with --out.")
    with whole_file(out) as file:
        file.write(recipe.text.encode())


def _with_seed(path: Path, guessed: GuessedTask) -> GuessedTask:
    """Returns the same settings, with a split seed where the usual one leaves a split empty."""
    splits = read_file(path, guessed.settings)
    if all(splits.values()) or "split_seed" in guessed.values:
        return guessed
    everything = [question for members in splits.values() for question in members]
    seed = fitting_seed(everything)
    if seed is None:
        count = "1 question" if len(everything) == 1 else f"{len(everything)} questions"
        raise DataError(
            f"{path} holds {count}, too few to learn from some, choose by others and measure on "
            "others still. Some hundreds are a good start; about 30 will do to try."
        )
    settings = guessed.settings.model_copy(update={"split_seed": seed})
    reason = "the first by which no split of so few is empty"
    return guessed._replace(
        settings=settings,
        values={**guessed.values, "split_seed": seed},
        reasons={**guessed.reasons, "split_seed": reason},
    )


def _as_asked(prompt: str | tuple[Message, ...]) -> str:
    """A prompt as text, be it one message of a chat."""
    return prompt if isinstance(prompt, str) else "\n".join(turn.content for turn in prompt)


def _guesses(guessed: GuessedTask, shown: Sequence[Question], kind: str) -> list[str]:
    """Returns the guesses in words, for the terminal."""
    values = guessed.values
    columns = guessed.settings.question_columns
    place = f"the column {columns[0]!r}"
    if len(columns) > 1:
        first = ", ".join(map(repr, columns[:-1]))
        place = f"the columns {first} and {columns[-1]!r}, put together"
    lines = [f"questions in {place}, answers in {values['answer']!r}"]
    if "choices" in values:
        lines.append(f"options in {_plain(values['choices'])}")
    lines.append(f"answers are of the type {kind}")
    if "question" in guessed.reasons:
        lines.append(guessed.reasons["question"])
    for name in ("encoding", "separator", "split_seed"):
        if name in values and name in guessed.reasons:
            lines.append(f"{name} {values[name]!r}: {guessed.reasons[name]}")
    return [*lines, *guessed.notes]


def _written(path: Path, guessed: GuessedTask, values: Mapping[str, object], name: str) -> str:
    """The recipe's text."""
    lines = [
        f"# A first recipe for {path.name}, written by potstill init.",
        f"# potstill plan {shlex.quote(f'{name}.yaml')} says what it will ask, cost and take; then "
        "potstill run.",
        "",
        "task:",
    ]
    for setting, value in guessed.values.items():
        reason = guessed.reasons.get(setting)
        comment = f"  # {reason}" if reason else ""
        lines.append(f"  {setting}: {_plain(value)}{comment}")
    for setting, value in values.items():
        if setting == "task":
            continue
        lines.append("")
        words = _WORDS.get(setting, "") if value == _DEFAULTS.get(setting) or setting in (
            "teacher", "student") else ""  # fmt: skip
        lines += [f"# {line}" for line in words.splitlines()]
        lines.append(f"{setting}: {_plain(value)}")
    lines += [
        "",
        "# Everything else has a default; docs/reference.md lists it. A limit on what is spent:",
        "# budget: {usd: 5}",
    ]
    return "\n".join(lines) + "\n"


def _plain(value: object) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, width=10_000, sort_keys=False
    )
    return text.removesuffix("\n...\n").rstrip("\n")
