"""Train the bundled pair from random weights, measure it, and write its model cards.

    python scripts/bundled_pair.py teacher --out src/potstill/models/bundled --minutes 45
    python scripts/bundled_pair.py student --out src/potstill/models/bundled --minutes 5
    python scripts/bundled_pair.py evaluate --out src/potstill/models/bundled

Both models are saved every few minutes while they train. The learning rate falls to zero by the
end of ``--minutes``, so a longer training is begun anew rather than continued.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from pair_texts import EOS, PAD, UNK, Mixture, student_tokenizer, teacher_tokenizer
from pair_training import Plan, build_model, train
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """All that makes one of the two models."""

    mixture: Mixture
    layers: int
    width: int
    inner: int
    heads: int
    plan: Plan


RECIPES = {
    "teacher": Recipe(
        mixture=Mixture(
            families={
                "two_step_arithmetic": 0.25,
                "multi_step_arithmetic": 0.17,
                "fact_chain": 0.33,
                "coin_flip": 0.10,
                "last_letters": 0.09,
                "drill": 0.06,
            },
            answers_only=0.06,
        ),
        layers=5, width=192, inner=512, heads=4,
        plan=Plan(
            minutes=45, steps=100_000, batch_tokens=4096, muon_lr=0.02, adam_lr=3e-3,
            decay_from=0.4, decay_to=0.0, seed=1, compile=True,
        ),
    ),
    "student": Recipe(
        mixture=Mixture(
            families={
                "two_step_arithmetic": 0.06,
                "fact_chain": 0.24,
                "coin_flip": 0.25,
                "last_letters": 0.30,
                "drill": 0.15,
            },
            answers_only=0.30,
        ),
        layers=3, width=128, inner=352, heads=4,
        plan=Plan(
            minutes=5, steps=100_000, batch_tokens=2048, muon_lr=0.02, adam_lr=3e-3,
            decay_from=0.5, decay_to=0.1, seed=2, compile=True,
        ),
    ),
}


def save(model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """Write weights in float16, configuration and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.to(torch.float16) for k, v in model.state_dict().items()}
    half = LlamaForCausalLM(model.config).to(torch.float16)
    half.load_state_dict(state)
    half.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": EOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
    }
    if tokenizer.token_to_id(UNK) is not None:
        settings["unk_token"] = UNK
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["teacher", "student", "evaluate"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    from dataclasses import replace
    recipe = RECIPES[arguments.what]
    plan = recipe.plan
    if arguments.minutes:
        plan = replace(plan, minutes=arguments.minutes)
    for s in arguments.set:
        k, v = s.split("=")
        v = type(getattr(recipe if hasattr(recipe, k) else plan, k))(float(v))
        if hasattr(recipe, k): recipe = replace(recipe, **{k: v})
        else: plan = replace(plan, **{k: v})
    print(recipe, plan)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = (teacher_tokenizer if arguments.what == "teacher" else student_tokenizer)(RECIPES["teacher"].mixture)
    model = build_model(tokenizer, layers=recipe.layers, width=recipe.width, inner=recipe.inner, heads=recipe.heads, seed=plan.seed).to(device)
    print(sum(p.numel() for p in model.parameters()), "parameters")
    folder = arguments.out / arguments.what
    result = train(model, tokenizer, recipe.mixture, plan, save=lambda m, _: save(m, tokenizer, folder))
    save(model, tokenizer, folder)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
