"""Tiny models with random weights and tokenizers trained on the spot, for tests without a network.

Importable from tests: ``from tiny_models import build_tiny_causal``.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

Architecture = Literal["llama", "gpt2", "qwen2", "qwen3"]

TEXTS = [
    "Q: Anna has 3 apples and buys 14 more. How many apples does she have?\nA: Let's think.",
    "Anna starts with 3 apples. She buys 14 more, so 3 + 14 = 17. The answer is 17.",
    "Q: A coin is heads up. Tom flips the coin. Mia does not flip it. Is it still heads up?\n",
    "The coin was flipped once, which is odd, so it is tails up. The answer is no.",
    "Q: Zoé reads 5 pages on each of 6 days.  How many pages is that?\nA: 5 * 6 = 30 pages.",
    "def f(x):\n    return x\n\n  indented,\ttabbed and  doubly  spaced -- so it's kept.",
] * 4

CHAT_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def byte_level_tokenizer(vocab_size: int = 400) -> PreTrainedTokenizerFast:
    """Byte-level BPE as in GPT-2, without a pad token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return _wrapped(tokenizer, eos_token="<eos>")


def metaspace_tokenizer(vocab_size: int = 260) -> PreTrainedTokenizerFast:
    """Metaspace BPE as in Llama 2: ``<s>`` before a prompt, first word with a leading space."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<unk>", "<s>", "</s>", "<pad>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return _wrapped(
        tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def unigram_tokenizer(vocab_size: int = 200) -> PreTrainedTokenizerFast:
    """Unigram with metaspace as in T5: ``</s>`` after a text."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    return _wrapped(tokenizer, unk_token="<unk>", eos_token="</s>", pad_token="<pad>")


def build_tiny_causal(
    folder: Path, architecture: Architecture = "llama", *, chat: bool = False, seed: int = 0
) -> Path:
    """Write a decoder-only model of some 50,000 random weights, and its tokenizer, to a folder.

    Llama gets the metaspace tokenizer, the others the byte-level one, which has no pad token.
    """
    tokenizer = metaspace_tokenizer() if architecture == "llama" else byte_level_tokenizer()
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    torch.manual_seed(seed)
    model = _tiny_causal_model(architecture, len(tokenizer))
    model.config.bos_token_id = model.generation_config.bos_token_id = tokenizer.bos_token_id
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    return _save(model, tokenizer, folder)


def build_tiny_seq2seq(folder: Path, *, seed: int = 0) -> Path:
    """Write a T5 of some 50,000 random weights, and its unigram tokenizer, to a folder."""
    tokenizer = unigram_tokenizer()
    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 4,
        "tie_word_embeddings": False,
        "decoder_start_token_id": tokenizer.pad_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    return _save(T5ForConditionalGeneration(T5Config(**shape)), tokenizer, folder)


def _wrapped(tokenizer: Tokenizer, **tokens: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **tokens)


def _tiny_causal_model(architecture: Architecture, vocab_size: int) -> PreTrainedModel:
    if architecture == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocab_size,
                n_embd=32,
                n_layer=2,
                n_head=4,
                n_positions=256,
                bos_token_id=None,
                eos_token_id=0,
            )
        )
    shape: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
    }
    if architecture == "llama":
        return LlamaForCausalLM(LlamaConfig(**shape))
    if architecture == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**shape))
    return Qwen3ForCausalLM(Qwen3Config(**shape, head_dim=8))


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    """Spread the logits, so that greedy choices are far apart and random texts end at times."""
    head = model.get_output_embeddings()
    with torch.no_grad():
        head.weight.mul_(8.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
