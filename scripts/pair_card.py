"""The model cards of the bundled models."""

import json
from collections.abc import Mapping
from pathlib import Path

from pair_scores import wilson
from pair_texts import Mixture
from pair_training import Plan

ROLES = {
    "teacher": "It explains: asked in the style `zero_shot_cot`, it writes its steps and an answer."
    " Its tokenizer is byte-level BPE of 800 tokens.",
    "student": "It is the checkpoint that distillation starts from, and it is weak on purpose: it"
    " was trained briefly, saw few stories with two operations and none of"
    " `multi_step_arithmetic`. Its tokenizer is a BPE of 512 tokens that writes a space as U+2581,"
    " and differs from the teacher's on purpose; it knows ASCII only.",
    "guide": "It is the teacher, trained further on `fact_chain`, the family whose first step is"
    " the hard one, so that it can step in where a student does not know how to begin. It has"
    " forgotten the families that it was not trained further on. It also asks itself first, in the"
    " styles `zero_shot_quest_cot` and `zero_shot_subquestions`; asked for an answer alone it"
    " reasons all the same. Its tokenizer is the teacher's.",
}
CARD = """\
---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

# potstill bundled {name}

A Llama of {parameters:,} parameters, trained from {start} on procedural questions alone, so
that `potstill demo`, the examples and the tests run on any machine without a download. It knows
nothing else: do not use it for anything but trying potstill.

{role}

- Weights: float16 safetensors. On a CPU load them with `dtype=torch.float32`.
- Tokens: every digit is one; encoding adds no beginning or end token; documents end with
  `<|endoftext|>`. There is no chat template.

## Training

Documents were drawn from the train splits of `potstill.tasks.procedural`, in the wording of
potstill's prompt styles: {cot:.0%} with one of a question's gold rationales, mostly in
`zero_shot_cot`, and {answers:.0%} `zero_shot` with the answer alone. Shares: {shares}. `drill` is
bare sums, `echo` lists and counts said again, `trace` the people of a chain said backwards. No real
or personal data was used.

The loss counts on every token, the question's too: without that the models were slow to learn to
copy its names and numbers. AdamW, peak rate {rate}, seed {seed} (weights, documents and order):
{steps:,} steps, {tokens:,} tokens, {minutes:.0f} minutes on {device}, last loss {loss:.3f}.

## Accuracy

Right answers of {count} test questions of each family (seed 1), and the 95% interval in percent.
No test question can be among the training questions: a hash of a question's content picks its
split.

| family | `zero_shot_cot`, greedy | `zero_shot_cot`, T = 0.7 | `zero_shot`, greedy |
|---|---|---|---|
{rows}

## Building it again

```
{commands}
python scripts/bundled_pair.py evaluate --out DIR
```

This trains for as long as the recipe in that file says, so how far it comes depends on the machine
and the weights will differ from these; `--steps` in place of minutes does not depend on it.

Licence: Apache-2.0.
"""


def write_card(
    folder: Path,
    name: str,
    mixture: Mixture,
    plan: Plan,
    correct: Mapping[str, list[int]],
    count: int,
) -> None:
    """Write ``README.md`` beside the weights, from what training and evaluation found.

    Args:
        folder: Holds the model and its ``training.json``.
        name: ``teacher``, ``student`` or ``guide``.
        mixture: The documents that the model was trained on.
        plan: How it was trained.
        correct: Right answers by family: CoT greedy, CoT sampled, answers alone.
        count: Questions asked for each number.
    """
    facts = json.loads((folder / "training.json").read_text())
    shares = ", ".join(f"{family} {share:.0%}" for family, share in mixture.families.items())
    device = "one GPU" if facts["device"] == "cuda" else "one CPU core"
    card = CARD.format(
        name=name,
        role=ROLES[name],
        start="the bundled teacher's weights" if name == "guide" else "random weights",
        commands="\n".join(
            f"python scripts/bundled_pair.py {name} --out DIR{more}"
            for more in facts.get("trainings", [""])
        ),
        parameters=facts["parameters"],
        cot=1 - mixture.answers_only,
        answers=mixture.answers_only,
        shares=shares,
        seed=plan.seed,
        device=device,
        rate=plan.rate,
        steps=facts["steps"],
        tokens=facts["tokens"],
        minutes=facts["seconds"] / 60,
        loss=facts["loss"],
        count=count,
        rows="\n".join(_row(family, numbers, count) for family, numbers in correct.items()),
    )
    (folder / "README.md").write_text(card)


def _row(family: str, numbers: list[int], count: int) -> str:
    """One family's line of the table."""
    cells = []
    for number in numbers:
        low, high = wilson(number, count)
        cells.append(f"{number} ({100 * number / count:.1f}%; {100 * low:.1f} to {100 * high:.1f})")
    return f"| {family} | {' | '.join(cells)} |"
