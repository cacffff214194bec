"""Language models whose next character depends on the last one alone, by a table that tests set.

They are whole models that train, as attention and the inner layers add nothing at the start: the
embedding is one-hot, and the output layer holds the table.
"""

import string
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

LETTERS = "abcdefghij"
"""The characters of the language; ``!`` closes an answer, and ``.`` and a space begin one."""

RARE = 1e-6


def characters(order: str = string.printable) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are single characters, numbered in an order of its own."""
    vocabulary = {"<eos>": 0} | {
        name: number for number, name in enumerate((_shown(one) for one in order), start=1)
    }
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<eos>"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")


def _shown(character: str) -> str:
    """The name that byte-level tokenizers give to a character."""
    ((name, _),) = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(character)
    return name


def language(
    seed: int = 0, *, letters: str = LETTERS, closing: float = 0.08
) -> NDArray[np.float64]:
    """``(V, V)`` probabilities of the next character by the last one: four likely ones each."""
    generator = np.random.default_rng(seed)
    names = ["<eos>", *string.printable]
    table = np.full((len(names), len(names)), RARE)
    places = [names.index(letter) for letter in letters]
    for letter in places:
        table[letter, generator.permutation(places)[:4]] = [0.5, 0.25, 0.15, 0.1]
        table[letter] *= 1 - closing
        table[letter, names.index("!")] = closing
    for opening in (".", " "):
        table[names.index(opening), places if opening == " " else names.index(" ")] = 1.0
    table[names.index("!"), 0] = 1.0
    shares: NDArray[np.float64] = table / table.sum(axis=1, keepdims=True)
    return shares


def bigram_model(
    folder: Path,
    table: NDArray[np.float64],
    *,
    noise: float = 0.0,
    seed: int = 0,
    tokenizer: PreTrainedTokenizerFast | None = None,
) -> Path:
    """Write a model of a table to a folder.

    Args:
        folder: The folder.
        table: ``(V, V)`` probabilities.
        noise: Standard deviation of what is added to the logits of likely characters, in nats.
        seed: Fixes the noise.
        tokenizer: Another one than the table's own.
    """
    generator = np.random.default_rng(seed)
    logits = np.log(table)
    logits = logits + np.where(table > RARE * 10, noise * generator.normal(size=table.shape), 0.0)
    own = tokenizer or characters()
    width = 104
    config = Qwen3Config(
        vocab_size=len(table), hidden_size=width, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1, num_key_value_heads=1, head_dim=8, eos_token_id=0,
        bos_token_id=None, pad_token_id=None, max_position_embeddings=256,
        tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(len(table), width))
        model.lm_head.weight.zero_()
        scaled = torch.tensor(logits.T / width**0.5, dtype=torch.float32)
        model.lm_head.weight[:, : len(table)] = scaled  # the norm makes a one-hot sqrt(width) long
    model.save_pretrained(folder)
    own.save_pretrained(folder)
    return folder
