"""Make an untrained student in a folder: an architecture, a size and somebody's tokenizer.

Run: python scripts/new_student.py t5 --tokenizer tokenizer.json --out models/t5-untrained

Useful where no trained checkpoint is at hand: every stage runs on it as on a trained one.
"""

import argparse
from pathlib import Path

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)


def tokenizer_from(path: Path) -> PreTrainedTokenizerFast:
    """A fast tokenizer with the T5 or Llama names of its special tokens, where it has them."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path))
    vocabulary = tokenizer.get_vocab()
    names = {"eos_token": ["</s>", "<|endoftext|>"], "pad_token": ["<pad>", "</s>"]}
    names["unk_token"] = ["<unk>"]
    for role, candidates in names.items():
        token = next((candidate for candidate in candidates if candidate in vocabulary), None)
        if token is not None:
            setattr(tokenizer, role, token)
    return tokenizer


def new_model(
    architecture: str, tokenizer: PreTrainedTokenizerFast, width: int, layers: int
) -> T5ForConditionalGeneration | LlamaForCausalLM:
    """Random weights in the published proportions of the architecture."""
    special = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    heads = max(width // 64, 1)
    if architecture == "t5":
        config = T5Config(
            vocab_size=len(tokenizer),
            d_model=width,
            d_ff=4 * width,
            d_kv=64,
            num_heads=heads,
            num_layers=layers,
            **special,
        )
        config.decoder_start_token_id = tokenizer.pad_token_id
        return T5ForConditionalGeneration(config)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=8 * width // 3,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            num_hidden_layers=layers,
            bos_token_id=None,
            **special,
        )
    )


def main() -> None:
    """Make it and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("architecture", choices=["t5", "llama"])
    parser.add_argument("--tokenizer", type=Path, required=True, help="a tokenizer.json")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--width", type=int, default=128, help="hidden size")
    parser.add_argument("--layers", type=int, default=4, help="layers a stack")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    tokenizer = tokenizer_from(arguments.tokenizer)
    model = new_model(arguments.architecture, tokenizer, arguments.width, arguments.layers)
    model.save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)
    print(f"{arguments.out}: {model.num_parameters():,} parameters, {len(tokenizer):,} tokens")


if __name__ == "__main__":
    main()
