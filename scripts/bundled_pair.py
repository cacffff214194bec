"""Train the bundled models, measure them, and write their model cards.

    python scripts/bundled_pair.py teacher --out src/potstill/models/bundled
    python scripts/bundled_pair.py student --out src/potstill/models/bundled
    python scripts/bundled_pair.py guide --out src/potstill/models/bundled
    python scripts/bundled_pair.py evaluate --out src/potstill/models/bundled

The pair is trained from random weights; the guide goes on from the teacher. A model is saved every
few minutes while it trains. The learning rate falls to zero by the end of ``--minutes``, so a
longer training is begun anew rather than continued. ``--steps`` instead of minutes makes a run that
does not depend on the machine's speed.
"""

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pair_card import write_card
from pair_scores import accuracy
from pair_texts import EOS, PAD, UNK, Mixture, student_tokenizer, teacher_tokenizer
from pair_training import Plan, Shape, build_model, train
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from potstill.tasks.procedural import FAMILIES

ASKED = (("zero_shot_cot", 0.0), ("zero_shot_cot", 0.7), ("zero_shot", 0.0))
"""Prompt styles and temperatures that are measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """All that makes one of the models."""

    opening: Mixture
    """The mixture of the first documents: mostly exercises in looking up and in sums."""

    mixture: Mixture
    shape: Shape
    plan: Plan
    start: str = ""
    """The model whose weights and tokenizer it goes on from; empty: random weights."""


OPENING = Mixture(
    families={"echo": 0.5, "drill": 0.2, "fact_chain": 0.2, "two_step_arithmetic": 0.1},
    answers_only=0.0,
)
GUIDE = Mixture(
    families={"fact_chain": 0.70, "trace": 0.15, "two_step_arithmetic": 0.10, "drill": 0.05},
    answers_only=0.0,
    questioned={"zero_shot_quest_cot": 0.2, "zero_shot_subquestions": 0.1},
)
TEACHER = Shape(layers=5, width=192, inner=512, heads=6)
RECIPES = {
    "teacher": Recipe(
        opening=OPENING,
        mixture=Mixture(
            families={
                "two_step_arithmetic": 0.22,
                "multi_step_arithmetic": 0.16,
                "fact_chain": 0.24,
                "coin_toss": 0.12,
                "last_letters": 0.16,
                "drill": 0.05,
                "echo": 0.05,
            },
            answers_only=0.06,
        ),
        shape=TEACHER,
        plan=Plan(minutes=38, batch_tokens=2560, rate=2e-3, decay_from=0.25, decay_to=0.0, seed=1),
    ),
    "student": Recipe(
        opening=OPENING,
        # No multi_step_arithmetic: it is there to test what lies outside all training.
        mixture=Mixture(
            families={
                "two_step_arithmetic": 0.08,
                "fact_chain": 0.16,
                "coin_toss": 0.24,
                "last_letters": 0.30,
                "drill": 0.18,
                "echo": 0.04,
            },
            answers_only=0.30,
        ),
        shape=Shape(layers=3, width=128, inner=352, heads=4),
        plan=Plan(minutes=12, batch_tokens=2048, rate=3e-3, decay_from=0.5, decay_to=0.1, seed=2),
    ),
    "guide": Recipe(
        opening=GUIDE,
        mixture=GUIDE,
        shape=TEACHER,
        plan=Plan(minutes=45, batch_tokens=2560, rate=1e-3, decay_from=0.3, decay_to=0.0, seed=3),
        start="teacher",
    ),
}


def main() -> None:
    """Read the command line and do what it asks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=[*RECIPES, "evaluate"])
    parser.add_argument("--out", type=Path, required=True, help="folder of the models' folders")
    parser.add_argument("--again", action="store_true", help="go on from the model that is there")
    parser.add_argument("--minutes", type=float, help="wall time of the training")
    parser.add_argument("--steps", type=int, help="optimiser steps, instead of minutes")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--questions", type=int, default=400, help="evaluate: asked per family")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.what == "evaluate":
        for name in RECIPES:
            if (arguments.out / name).is_dir():
                evaluate(arguments.out / name, name, arguments.questions)
        return
    plan = RECIPES[arguments.what].plan
    if arguments.steps:
        plan = replace(plan, steps=arguments.steps, minutes=float("inf"))
    elif arguments.minutes:
        plan = replace(plan, minutes=arguments.minutes)
    make(arguments.what, plan, arguments.out / arguments.what, again=arguments.again)


def make(name: str, plan: Plan, folder: Path, *, again: bool) -> None:
    """Train one of the models and write it.

    Args:
        name: The name of its recipe.
        plan: How long and how fast.
        folder: Where it goes.
        again: Go on from what is in the folder; its card then tells of both trainings.
    """
    recipe = RECIPES[name]
    # Both tokenizers are made from all families, so that no text splits into odd pieces.
    texts = RECIPES["teacher"].mixture
    tokenizer = student_tokenizer(texts) if name == "student" else teacher_tokenizer(texts)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = build_model(tokenizer, recipe.shape, plan.seed)
    start = folder if again else folder.parent / recipe.start
    if again or recipe.start:
        model.load_state_dict(load_model(start).state_dict())
    model.to(device)
    parameters = sum(weights.numel() for weights in model.parameters())
    print(f"{name}: {parameters:,} parameters on {device}")
    result = train(
        model,
        tokenizer,
        recipe.opening,
        recipe.mixture,
        plan,
        save=lambda: save(model, tokenizer, folder),
    )
    save(model, tokenizer, folder)
    facts = {"parameters": parameters, "device": device, **asdict(result)}
    if again:
        facts = _both(json.loads((folder / "training.json").read_text()), facts, plan)
    (folder / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"{name}: {facts}")


def _both(before: dict[str, Any], facts: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """The time and tokens of two trainings, one after the other."""
    counted = ("steps", "tokens", "trained_tokens", "seconds")
    timed = plan.minutes < float("inf")
    length = f"--minutes {plan.minutes:g}" if timed else f"--steps {plan.steps}"
    return {
        **facts,
        **{key: before[key] + facts[key] for key in counted},
        "trainings": [*before.get("trainings", [""]), f" --again {length}"],
    }


def save(model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """Write weights in float16, configuration and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    half: Any = LlamaForCausalLM(model.config)
    half.to(torch.float16)
    half.load_state_dict({key: value.half() for key, value in model.state_dict().items()})
    half.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": EOS,  # named for tools that want one; encoding adds nothing
        "eos_token": EOS,
        "pad_token": PAD,
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        "model_max_length": model.config.max_position_embeddings,
    }
    if tokenizer.token_to_id(UNK) is not None:
        settings["unk_token"] = UNK
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    for path in folder.iterdir():
        path.chmod(0o644)


def load_model(folder: Path) -> Any:
    """A saved model in float32."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def evaluate(folder: Path, name: str, count: int) -> None:
    """Measure a model on the test splits and write its card."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = load_model(folder).eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    correct: dict[str, list[int]] = {}
    for family in FAMILIES:
        correct[family] = [
            accuracy(model, tokenizer, family, style=style, temperature=temperature, count=count)
            for style, temperature in ASKED
        ]
        print(name, family, *(f"{good}/{count}" for good in correct[family]), flush=True)
    recipe = RECIPES[name]
    write_card(folder, name, recipe.mixture, recipe.plan, correct, count)


if __name__ == "__main__":
    main()
