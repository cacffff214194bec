"""Published tokenizers, read from the formats they are published in.

Reading the SentencePiece and tiktoken files needs the packages sentencepiece, tiktoken and
protobuf.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    GPT2Tokenizer,
    LlamaTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
)
from transformers.convert_slow_tokenizer import SentencePieceExtractor, TikTokenConverter

READERS_INSTALLED = all(
    importlib.util.find_spec(name) for name in ("sentencepiece", "tiktoken", "google.protobuf")
)

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The pattern by which cl100k and Llama 3 split a text into words."""


def t5(folder: Path) -> PreTrainedTokenizerBase:
    """Unigram with a normaliser that drops line breaks."""
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), unk_token="<unk>", eos_token="</s>"
    )


def gpt2(folder: Path) -> PreTrainedTokenizerBase:
    """Byte-level BPE."""
    return GPT2Tokenizer(vocab=str(folder / "encoder.json"), merges=str(folder / "vocab.bpe"))


def qwen2(folder: Path) -> PreTrainedTokenizerBase:
    """Byte-level BPE of composed characters (NFC)."""
    return Qwen2Tokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))


def tiktoken(folder: Path) -> PreTrainedTokenizerBase:
    """Byte-level BPE from ranks."""
    file = next(path for path in folder.iterdir() if path.suffix in {".tiktoken", ".model"})
    converted = TikTokenConverter(vocab_file=str(file), pattern=PATTERN).converted()
    return PreTrainedTokenizerFast(tokenizer_object=converted)


def sentencepiece_bpe(folder: Path) -> PreTrainedTokenizerBase:
    """SentencePiece BPE that falls back on bytes, as Llama 2's."""
    with TemporaryDirectory() as named:
        copy(next(folder.iterdir()), Path(named, "tokenizer.model"))
        tokenizer: PreTrainedTokenizerBase = LlamaTokenizer.from_pretrained(named)
        return tokenizer


def sentencepiece_unigram(folder: Path) -> PreTrainedTokenizerBase:
    """SentencePiece unigram with its own normaliser."""
    model = SentencePieceExtractor(str(next(folder.iterdir()))).proto
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=model.trainer_spec.unk_id))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


READERS: dict[str, Callable[[Path], PreTrainedTokenizerBase]] = {
    "gpt2": gpt2,
    "t5-small": t5,
    "llama2": sentencepiece_bpe,
    "llama3": tiktoken,
    "qwen2": qwen2,
    "cl100k": tiktoken,
    "mistral": sentencepiece_bpe,
    "sentencepiece_small": sentencepiece_unigram,
}
