"""The bytes that tokens stand for, and what sequences of tokens or bytes begin with alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_hf_stopping import MADE, WRITTEN, word_piece_tokenizer
from tiny_models import byte_level_tokenizer, unigram_tokenizer
from tokenizers import AddedToken

from potstill.models.local.token_bytes import spells_alone, token_bytes
from potstill.text.common_prefix import common_prefix, common_prefix_bytes, neighbour_prefixes


@pytest.mark.parametrize("name", ["byte_level", "metaspace", "unigram", "byte_fallback"])
def test_a_text_is_its_tokens_bytes_put_together(name: str) -> None:
    tokenizer = MADE[name]()
    assert spells_alone(tokenizer)
    table = token_bytes(tokenizer)
    for text in WRITTEN:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        decoded = tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        assert isinstance(decoded, str)
        assert b"".join(table[token] or b"" for token in ids).strip() == decoded.encode().strip()


def test_spellings_by_hand() -> None:
    tokenizer = byte_level_tokenizer()
    table, ids = token_bytes(tokenizer), tokenizer.get_vocab()
    assert table[ids["Ġ"]] == b" "
    assert table[ids["Ċ"]] == b"\n"
    assert table[ids["Ã"]] == b"\xc3"  # half a character
    assert table[ids["<eos>"]] is None
    table, ids = token_bytes(unigram_tokenizer()), unigram_tokenizer().get_vocab()
    assert table[ids["▁"]] == b" "
    assert table[ids["</s>"]] is None


def test_an_added_token_of_a_byte_level_vocabulary_is_its_own_text() -> None:
    tokenizer = byte_level_tokenizer()
    tokenizer.add_tokens([AddedToken("é"), AddedToken("<think>")])
    table, ids = token_bytes(tokenizer), tokenizer.get_vocab()
    assert table[ids["é"]] == "é".encode()  # no letter of byte 0xE9
    assert table[ids["<think>"]] == b"<think>"


def test_a_decoder_that_looks_at_neighbours_spells_no_token_alone() -> None:
    assert not spells_alone(word_piece_tokenizer())


@given(st.binary(max_size=6), st.binary(max_size=6), st.binary(max_size=6))
def test_common_prefixes_end_where_two_texts_part(shared: bytes, one: bytes, other: bytes) -> None:
    length = common_prefix_bytes(shared + one, shared + other)
    assert length >= len(shared)
    first, second = shared + one, shared + other
    assert first[:length] == second[:length]
    assert first[length : length + 1] != second[length : length + 1] or length == len(first)


def test_rows_share_what_all_neighbours_between_them_share() -> None:
    rows = [np.array(row, np.uint32) for row in ([1, 2, 3], [1, 2, 4, 5], [1, 2, 4, 6], [7])]
    neighbours = neighbour_prefixes(rows)
    assert neighbours == [2, 3, 0]
    assert common_prefix(rows[0], rows[2]) == min(neighbours[0:2])
    assert neighbour_prefixes(rows[:1]) == neighbour_prefixes([]) == []
