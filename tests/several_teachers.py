"""Several teachers that answer by a script, asked as a run would ask them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from fakes import Script, ScriptedModel, context_of

from potstill.generate import GenerateSettings, generate, teacher_asking
from potstill.records import Request, Task
from potstill.runtime.progress import Meter
from potstill.sampling.debate import AskedTeacher, answer_again
from potstill.store import Store

QUIET = Meter(None)


def says(*texts: str) -> Script:
    """A model whose sample i says text i to every question."""
    return lambda request, sample: texts[sample]


def sums_to(*answers: object) -> Script:
    """A model whose sample i reaches answer i, in words that name neither it nor the sample."""
    return says(*(f"We add the numbers.\nThe answer is {answer}." for answer in answers))


def chats(**scripts: Script) -> dict[str, ScriptedModel]:
    """Chat models by name."""
    return {name: ScriptedModel(each, chat=True, name=name) for name, each in scripts.items()}


def draw(
    store: Store,
    task: Task,
    models: Mapping[str, ScriptedModel],
    *,
    samples: int = 1,
    rounds: int = 0,
    max_tokens: int = 512,
    prompt_style: str | None = None,
) -> list[AskedTeacher]:
    """Have every model answer every training question, and debate for so many rounds."""
    settings = GenerateSettings(samples=samples, max_tokens=max_tokens, prompt_style=prompt_style)
    asked = [
        AskedTeacher(name, model.name, teacher_asking(model, settings, seed=0))
        for name, model in models.items()
    ]
    for each in asked:
        generate(task, models[each.name], each.asking, context_of(store))
    for number in range(1, rounds + 1):
        for each in asked:
            answer_again(task, models[each.name], asked, context_of(store), who=each, round_=number)
    return asked


def prompt_text(request: Request) -> str:
    """The prompt as one text."""
    prompt = request.prompt
    return prompt if isinstance(prompt, str) else "\n".join(turn.content for turn in prompt)


def write_recipe(path: Path, teachers: Sequence[object], **sections: object) -> Path:
    """A recipe of plain sums; the first teacher is ``teacher``, the others are ``b``, ``c`` ..."""
    rows = [
        f'{{"question": "What is {n} + {n}?", "answer": "{2 * n}", "split": "{split}"}}\n'
        for n, split in enumerate(["train"] * 4 + ["dev", "test", "test"], start=2)
    ]
    path.with_suffix(".jsonl").write_text("".join(rows))
    recipe = {
        "run": str(path.with_suffix("")),
        "task": {"file": str(path.with_suffix(".jsonl"))},
        "teacher": teachers[0],
        "teachers": dict(zip("bcdefg", teachers[1:], strict=False)),
        "student": {"model": "bundled:student", "device": "cpu"},
        "generate": {"samples": 2},
        **sections,
    }
    path.write_text(yaml.safe_dump(recipe))
    return path
