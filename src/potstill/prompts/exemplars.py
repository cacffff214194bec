"""Exemplars: the worked questions of few-shot prompts, the recipe's own or published ones.

Where each published prompt stands, how it is worded and which questions it was drawn from is data
here; its text is not, and is read from the authors' file.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, model_validator

from potstill.errors import ConfigError, DataError
from potstill.prompts.self_questions import socratic
from potstill.prompts.styles import Exemplar, PromptStyle, style_named, worked
from potstill.settings import Settings


class ExemplarSettings(Settings):
    """A worked question for few-shot prompts."""

    question: str
    """The question as it is shown."""

    rationale: str
    """Its reasoning, without the answer statement."""

    answer: str
    """Its answer."""

    questions: tuple[str, ...] = ()
    """What it asks itself: in quest_cot the first, else one for each step."""


class FewShotSettings(Settings):
    """Worked questions: in short a list of them, or a published file."""

    worked: tuple[ExemplarSettings, ...] = ()
    """Your own, never one of the test questions."""

    file: Path | None = None
    """Published prompts: few_shot_cot_prompts.json, BBH's TASK.txt or its folder, lib_prompt."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.worked) == (self.file is not None):
            raise ValueError("exemplars need either worked or file, and not both")
        return self


def few_shot_settings(raw: object) -> object:
    """The long form of exemplars that were given as a list."""
    return {"worked": raw} if isinstance(raw, list | tuple) else raw


AnyFewShot = Annotated[FewShotSettings, BeforeValidator(few_shot_settings)]


@dataclass(frozen=True, kw_only=True, slots=True)
class FewShot:
    """A few-shot prompt: its worked questions, and the style that words them."""

    style: PromptStyle
    exemplars: tuple[Exemplar, ...]

    source: str = ""
    """Where the prompt was published; empty for exemplars of the recipe's own."""

    notes: tuple[str, ...] = ()
    """Which published exemplars are not shown, and why."""

    def worded(self, name: str) -> Self:
        """The same worked questions, under the same heading, in another few-shot style.

        ``quest_cot``, ``subquestions`` and ``decomposition`` word all but the questions as here.

        Raises:
            ConfigError: There is no such style, or an exemplar lacks the questions that it shows.
        """
        named = style_named(name)
        if name == "answer_only":
            heading = self.style.template.partition("{exemplars}")[0]
            return replace(self, style=replace(named, template=heading + named.template))
        style = replace(self.style, name=name, asks=named.asks)
        for exemplar in self.exemplars:
            worked(style, exemplar)
        return replace(self, style=style)


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedPrompts:
    """Few-shot prompts that someone published, and how to read them."""

    source: str
    licence: str
    style: PromptStyle
    worked: re.Pattern[str]
    """One worked question of the prompt, with groups question, rationale and answer."""

    counts: Mapping[str, int]
    """How many exemplars there are, by task."""

    positions: Mapping[str, tuple[int, ...]]
    """Which of a data set's questions they are, counted from 0 in its original file."""


def _worked(question: str, answer: str, cue: str) -> re.Pattern[str]:
    return re.compile(
        rf"{question} (?P<question>.*?)\n{answer}\s*(?P<rationale>.*)\s{cue} (?P<answer>.*?)\.?\s*",
        re.DOTALL,
    )


FINE_TUNE_COT = PublishedPrompts(
    source="https://github.com/itsnamgyu/reasoning-teacher, data/few_shot_cot_prompts.json",
    licence="none stated",
    style=style_named("few_shot_cot"),
    worked=_worked("Q:", "A:", "The answer is"),
    counts={
        **dict.fromkeys(("addsub", "single_eq", "multiarith", "gsm8k", "svamp"), 8),
        "aqua": 4,
        "date_understanding": 6,
        "last_letter_concatenation": 8,
        "coin_flip": 8,
        "commonsense_qa": 7,
        "strategy_qa": 6,
    },
    positions={
        "aqua": (18, 15, 19, 55),
        "date_understanding": (106, 360, 237, 53, 143, 65),
        "last_letter_concatenation": (7, 66, 76, 166, 271, 274, 383, 418),
        "coin_flip": (7, 66, 76, 166, 271, 274, 383, 418),
        "commonsense_qa": (8, 5, 4, 1, 10, 3, 11),
        "strategy_qa": (3, 7, 1, 0, 5, 2),
    },
)
"""Of Fine-tune-CoT (arXiv 2212.10071), after Few-shot-CoT (arXiv 2201.11903)."""

BBH = PublishedPrompts(
    source="https://github.com/suzgunmirac/BIG-Bench-Hard, cot-prompts",
    licence="MIT",
    style=PromptStyle(
        name="few_shot_cot",
        template="{exemplars}\n\nQ: {question}\nA: Let's think step by step.",
        exemplar="Q: {question}\nA: Let's think step by step.\n{rationale} "
        "So the answer is {answer}.",
        between="\n\n",
        stop=("\nQ:",),
    ),
    worked=_worked("Q:", r"A: Let's think step by step\.", "So the answer is"),
    counts={},
    positions={},
)
"""Of BIG-Bench Hard (arXiv 2210.09261): three worked questions a task, after a line about it."""

LIB_PROMPT = PublishedPrompts(
    source="https://github.com/FranxYao/chain-of-thought-hub, gsm8k/lib_prompt",
    licence="MIT",
    style=PromptStyle(
        name="few_shot_cot",
        template="{exemplars}\n\nQuestion: {question}\nLet's think step by step\n",
        exemplar="Question: {question}\nLet's think step by step\n{rationale}\n"
        "The answer is {answer}",
        between="\n\n",
        stop=("\nQuestion:",),
    ),
    worked=_worked("Question:", "Let's think step by step", "The answer is"),
    counts={"gsm8k": 8},
    positions={},
)
"""Of complexity-based prompting (arXiv 2210.00720), for GSM8K."""


def read_few_shot(settings: FewShotSettings, task: str) -> FewShot:
    """The exemplars that a recipe gives or names.

    Args:
        settings: Of the recipe.
        task: The task's name; a file of many prompts has one for each.

    Raises:
        DataError: The file is missing or has another form.
        ConfigError: It has no exemplars for this task.
    """
    file = settings.file
    if file is None:
        shown = tuple(Exemplar(**worked.model_dump()) for worked in settings.worked)
        return FewShot(style=style_named("few_shot_cot"), exemplars=shown)
    if file.suffix == ".json":
        return _parsed(_of_task(file, task), FINE_TUNE_COT, f"{file}: {task}", task)
    if file.is_dir():
        file = file / f"{task.removeprefix('bbh_')}.txt"
    text = _read(file).rpartition("-----\n")[2]
    published = LIB_PROMPT if text.startswith("Question: ") else BBH
    return _parsed(text, published, str(file), task)


def _of_task(file: Path, task: str) -> str:
    """The prompt of a task in Fine-tune-CoT's file."""
    try:
        prompts = json.loads(_read(file))
    except json.JSONDecodeError as error:
        raise DataError(f"{file} is not JSON: {error}.") from error
    if not isinstance(prompts, dict):
        raise DataError(f'{file} must hold {{"TASK": {{"prompt": "Q: ..."}}}}.')
    if task not in prompts:
        raise ConfigError(f"{file} has no exemplars for {task}; it has {', '.join(prompts)}.")
    prompt = prompts[task].get("prompt") if isinstance(prompts[task], dict) else None
    if not isinstance(prompt, str):
        raise DataError(f"{file}: {task} has no text under 'prompt'.")
    return prompt


def _parsed(text: str, published: PublishedPrompts, at: str, task: str) -> FewShot:
    """Take a prompt apart into its heading and its worked questions."""
    mark = published.worked.pattern.partition(" ")[0]
    heading, *blocks = re.split(rf"^(?={mark} )", text, flags=re.MULTILINE)
    exemplars = tuple(_exemplar(block, published, at) for block in blocks)
    wanted = published.counts.get(task)
    if not exemplars or (wanted is not None and len(exemplars) != wanted):
        raise DataError(f"{at}: {len(exemplars)} exemplars, expected {wanted or 'some'}.")
    style = published.style
    if heading.strip():
        style = replace(style, template=f"{heading.strip()}\n\n{style.template}")
    return FewShot(style=style, exemplars=exemplars, source=published.source)


def _exemplar(block: str, published: PublishedPrompts, at: str) -> Exemplar:
    match = published.worked.fullmatch(block)
    if match is None:
        raise DataError(
            f"{at}: the exemplar {block[:60]!r} is not worded as those of {published.source}."
        )
    question, rationale, answer = match.group("question", "rationale", "answer")
    return Exemplar(question=question.strip(), rationale=rationale.strip(), answer=answer)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"exemplars.file: {file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"exemplars.file: {file} is not UTF-8: {error.reason}.") from error


def socratic_exemplar(question: str, solution: str) -> Exemplar:
    """A worked question from a solution in GSM8K's socratic layout, its questions beside it.

    Args:
        question: A training question, never one of a test set.
        solution: Lines ``question ** answer``, then ``#### answer``; calculator marks are kept.

    Raises:
        DataError: The solution is laid out otherwise.
    """
    at = f"the solution of {question[:60]!r}"
    rationale, answer, questions = socratic(solution, at=at)
    return Exemplar(question=question, rationale=rationale, answer=answer, questions=questions)


__all__ = [
    "Exemplar",
    "ExemplarSettings",
    "FewShot",
    "FewShotSettings",
    "read_few_shot",
    "socratic_exemplar",
]
