"""Stop strings are found at the token that ends them, as by a search through the whole text."""

import importlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import TEXTS, byte_level_tokenizer, metaspace_tokenizer, unigram_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from potstill.models.local.prompt_encoding import PromptEncoder
from potstill.models.local.stop_strings import StopStrings

PUBLISHED = ("gpt2", "t5-small", "llama2", "llama3", "qwen2", "mistral", "sentencepiece_small")
WRITTEN = (
    "Q: Anna has 3 apples.\n\nA: She buys  two\tmore 🍎🍏, so 3 + 2 = 5.\n\nQ:",
    "Zoé said: “naïve” — 漢字かな交じり文 👨‍👩‍👧 ###",
    "def f(x):\n    return x  # ok\n\n\n</s> <eos> <unk> stop",
)


def byte_fallback_tokenizer() -> PreTrainedTokenizerFast:
    """Metaspace BPE as in Llama 2, with tokens for single bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=200, special_tokens=["<unk>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    state = json.loads(tokenizer.to_str())
    for byte in range(256):
        vocabulary = state["model"]["vocab"]
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)), eos_token="</s>"
    )


def word_piece_tokenizer() -> PreTrainedTokenizerFast:
    """Its decoder puts spaces between tokens, and takes some away again."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=300, special_tokens=["[UNK]"], show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


MADE = {
    "byte_level": byte_level_tokenizer,
    "metaspace": metaspace_tokenizer,
    "unigram": unigram_tokenizer,
    "byte_fallback": byte_fallback_tokenizer,
    "word_piece": word_piece_tokenizer,
}


@cache
def made(name: str) -> PromptEncoder:
    return PromptEncoder(MADE[name](), name)


def searched(
    wording: PromptEncoder, tokens: Sequence[int], anchor: Sequence[int], stop: tuple[str, ...]
) -> list[int | None]:
    """Returns the place of the first stop string in the text after each token; None without one."""
    places: list[int | None] = []
    for count in range(1, len(tokens) + 1):
        text = wording.text(tokens[:count], anchor)
        places.append(min((text.find(each) for each in stop if each in text), default=None))
    return places


def check(
    wording: PromptEncoder, tokens: list[int], anchor: list[int], stop: tuple[str, ...]
) -> bool:
    """Whether a stop string was there to be found; it has to be found at the same token."""
    for count, expected in enumerate(searched(wording, tokens, anchor, stop), start=1):
        assert wording.stop_strings.find(tokens[:count], anchor, stop) == expected
        if expected is not None:
            return True
    return False


def cut_from(random: Random, text: str) -> str:
    start = random.randrange(len(text))
    return text[start : start + random.randint(1, 6)]


def check_many(wording: PromptEncoder, random: Random, rounds: int) -> int:
    """Random tokens and texts, with pieces of what they say, or of other texts, as stop strings."""
    vocabulary = len(wording.tokenizer)
    found = 0
    for _ in range(rounds):
        if random.random() < 0.5:
            ids = [random.randrange(vocabulary + 3) for _ in range(random.randint(2, 20))]
        else:
            ids = wording._ids(random.choice(WRITTEN), special=False)
        seam = random.randrange(min(len(ids) - 1, 8))
        said = wording.text(ids[seam:], ids[:seam]) or "x"
        texts = [said, said, random.choice(WRITTEN)]
        stop = tuple(cut_from(random, random.choice(texts)) for _ in range(random.randint(1, 3)))
        found += check(wording, ids[seam:], ids[:seam], stop)
    return found


@pytest.mark.parametrize("name", MADE)
def test_a_stop_string_is_found_where_a_search_finds_it(name: str) -> None:
    assert check_many(made(name), Random(0), 120) > 60


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_is_with_published_tokenizers(
    name: str, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    tokenizer_files = importlib.import_module("tokenizer_files")
    if name not in ("gpt2", "t5-small", "qwen2") and not tokenizer_files.READERS_INSTALLED:
        pytest.skip("sentencepiece, tiktoken and protobuf are not installed")
    tokenizer = tokenizer_files.READERS[name](shared_data / "tokenizers" / name)
    wording = PromptEncoder(tokenizer, name)
    assert wording.stop_strings._bytes is not None
    assert check_many(wording, Random(1), 40) > 20


@settings(max_examples=300)
@given(
    name=st.sampled_from(["byte_level", "byte_fallback"]),
    data=st.lists(st.sampled_from("aé漢🍎 \n".encode()), min_size=1, max_size=14),
    stop=st.text("aé漢🍎 \n", min_size=1, max_size=3),
)
def test_characters_of_several_byte_tokens_are_found_whole(
    name: str, data: list[int], stop: str
) -> None:
    """Whatever order bytes come in, readable or not."""
    check(made(name), byte_tokens(name, bytes(data)), [], (stop,))


def byte_tokens(name: str, data: bytes) -> list[int]:
    """A token for each byte."""
    of_byte = bytes_to_unicode() if name == "byte_level" else [f"<0x{n:02X}>" for n in range(256)]
    ids = made(name).tokenizer.get_vocab()
    return [ids[of_byte[byte]] for byte in data]


def test_a_long_run_of_byte_tokens_hides_no_stop_string() -> None:
    """A run of bytes is readable as a whole only, so it must not be cut within a character."""
    tokens = byte_tokens("byte_fallback", ("漢字" * 20 + "か。").encode())
    assert check(made("byte_fallback"), tokens, [], ("か。",))


def test_tokens_that_can_end_a_stop_string_by_hand() -> None:
    wording = made("byte_level")
    ids = wording.tokenizer.get_vocab()
    ends = wording.stop_strings.ends("s\n\nQ")
    assert ids["Q"] in ends
    assert ids["Ċ"] not in ends
    assert ids["s"] not in ends
    assert ids["<eos>"] not in ends
    begins = {token for piece, token in ids.items() if piece.startswith(("Q", "ĊQ", "ĊĊQ"))}
    assert ends == begins | {token for piece, token in ids.items() if "sĊĊQ" in piece}


@pytest.mark.parametrize("name", MADE)
def test_what_began_in_the_answer_prefix_does_not_count(name: str) -> None:
    wording = made(name)
    ids = wording._ids("The answer is 17.", special=False)
    tried = 0
    for seam in range(1, len(ids)):
        said, before = wording.text(ids[seam:], ids[:seam]), wording.text(ids[:seam], [])
        across = before[-1:] + said[:1]
        if len(across) == 2 and across in before + said and across not in said:
            tried += 1
            assert not check(wording, ids[seam:], ids[:seam], (across,))
    assert tried


def test_decoding_happens_for_a_find_alone() -> None:
    decoded: list[int] = []
    tokenizer = byte_level_tokenizer()

    def text(tokens: Sequence[int], anchor: Sequence[int]) -> str:
        decoded.append(len(tokens))
        return str(tokenizer.decode(list(tokens)))

    stops = StopStrings(tokenizer, text)
    tokens = tokenizer("Anna starts with 3 apples.\nQ: more\n\nQ: Is it?")["input_ids"]
    places = [stops.find(tokens[:count], [], ("\n\nQ",)) for count in range(1, len(tokens) + 1)]
    found = [place for place in places if place is not None]
    assert found == ["Anna starts with 3 apples.\nQ: more\n\nQ".index("\n\nQ")]
    assert len(decoded) == 1


def test_an_empty_stop_string_stops_nothing() -> None:
    wording = made("byte_level")
    tokens = wording._ids("Anna", special=False)
    assert wording.stop_strings.find(tokens, [], ("", "x")) is None
