"""Exemplars: the worked questions of few-shot prompts, the recipe's own or published ones.

A recipe gives a list of its own, or the authors' file of a published prompt::

    exemplars:
      - {question: "What is 2 + 3?", rationale: "2 and 3 make 5.", answer: "5"}

    exemplars: {file: few_shot_cot_prompts.json}

How a published prompt is laid out is data, one :class:`PublishedPrompts` each, in ``papers/``.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, model_validator

from potstill.errors import ConfigError, DataError
from potstill.plugins import Registry, papers_hint
from potstill.prompts.styles import (
    AnyStyle,
    Exemplar,
    PromptStyle,
    plain_rationale,
    style_named,
    worked,
)
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
    """Questions that it asks itself: in quest_cot the first, else one for each step."""


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
    if not isinstance(raw, list | tuple | Mapping | FewShotSettings):
        raise ValueError("give a list of worked questions, or a mapping with worked or file")
    return {"worked": raw} if isinstance(raw, list | tuple) else raw


AnyFewShot = Annotated[FewShotSettings, BeforeValidator(few_shot_settings)]


@dataclass(frozen=True, kw_only=True, slots=True)
class FewShot:
    """A few-shot prompt: its worked questions, and the style that words them."""

    style: PromptStyle
    exemplars: tuple[Exemplar, ...]

    source: str = ""
    """The source of a published prompt; empty for exemplars of the recipe's own."""

    notes: tuple[str, ...] = ()
    """Remarks on published exemplars that are not shown, with the reason."""

    def worded(self, name: AnyStyle) -> Self:
        """The same worked questions, under the same heading, in another few-shot style.

        ``quest_cot``, ``subquestions`` and ``decomposition`` word all but the questions as here.

        Raises:
            ConfigError: There is no such style, or an exemplar lacks the questions that it shows.
        """
        named = style_named(name)
        if named.shown_rationale is plain_rationale and name != "few_shot_cot":
            heading = self.style.template.partition("{exemplars}")[0]
            return replace(self, style=replace(named, template=heading + named.template))
        style = replace(
            self.style,
            name=named.name,
            shown_rationale=named.shown_rationale,
            asks_subquestions=named.asks_subquestions,
        )
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
    """Number of exemplars by task."""

    positions: Mapping[str, tuple[int, ...]]
    """The exemplars' indices in the data set's original file, from 0, by task."""

    json_of_tasks: bool = False
    """Whether they stand in a JSON file, by task; else each in a text file of its own."""

    opening: str = ""
    """The beginning of the text, where that tells it from others."""


def worked_pattern(question: str, answer: str, cue: str) -> re.Pattern[str]:
    """The pattern of a worked question that is laid out in lines.

    Args:
        question: The pattern before the question, e.g. ``Q:``.
        answer: The pattern before the rationale, e.g. ``A:``.
        cue: The pattern before the answer, e.g. ``The answer is``.
    """
    return re.compile(
        rf"{question} (?P<question>.*?)\n{answer}\s*(?P<rationale>.*)\s{cue} (?P<answer>.*?)\.?\s*",
        re.DOTALL,
    )


PUBLISHED = Registry[PublishedPrompts](
    "few-shot prompt",
    {},
    group="potstill.exemplars",
    fits=lambda thing: isinstance(thing, PublishedPrompts),
)
"""Known few-shot prompts; one is recognised by its file."""


def read_few_shot(settings: FewShotSettings, task: str) -> FewShot:
    """The exemplars that a recipe gives or names.

    Args:
        settings: The recipe's exemplars.
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
        return _parsed(_of_task(file, task), _published_in(file, ""), f"{file}: {task}", task)
    if file.is_dir():
        file = file / f"{task.removeprefix('bbh_')}.txt"
    text = _read(file).rpartition("-----\n")[2]
    return _parsed(text, _published_in(file, text), str(file), task)


def _published_in(file: Path, text: str) -> PublishedPrompts:
    """The published prompts that a file holds: those whose opening fits its text best."""
    fitting = [
        published
        for published in PUBLISHED.values()
        if published.json_of_tasks == (file.suffix == ".json")
        and text.startswith(published.opening)
    ]
    if not fitting:
        raise ConfigError(
            f"exemplars.file: {file} is laid out as none of the published prompts that are "
            f"known{papers_hint()}. Give worked questions of your own instead."
        )
    return max(fitting, key=lambda published: len(published.opening))


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


__all__ = [
    "Exemplar",
    "ExemplarSettings",
    "FewShot",
    "FewShotSettings",
    "PublishedPrompts",
    "read_few_shot",
    "worked_pattern",
]
