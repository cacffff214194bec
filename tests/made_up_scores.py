"""Made-up scores of texts: tokens of up to four letters, whose worth follows from those before."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

Listed = list[list[tuple[int, float]] | None]
"""Each token of a prompt and its likeliest tokens, with log-probabilities; the first is None."""

PIECE = re.compile(r"\s?[^\s]{1,4}|\s")


class MadeUpModel:
    """A model whose numbers are drawn from the text alone."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def ids_of(self, text: str) -> tuple[int, ...]:
        return tuple(self._id(piece) for piece in PIECE.findall(text))

    def name_of(self, id_: int) -> str:
        return self._names[id_]

    def _id(self, piece: str) -> int:
        number = int.from_bytes(hashlib.sha256(piece.encode()).digest()[:4], "big") >> 2
        self._names[number] = piece
        return number

    def listed(self, ids: Sequence[int], k: int) -> Listed:
        rows: Listed = [None]
        for place, own in enumerate(ids[1:], 1):
            digest = hashlib.sha256(repr(tuple(ids[: place + 1])).encode()).digest()
            others = [(self._id(f"~{n}{digest.hex()[n : n + 2]}"), -1.5 - n) for n in range(k)]
            rows.append([(own, -0.5 - digest[0] / 100), *others])
        return rows


def made_up_mappings(text: str, k: int) -> list[dict[str, Any] | None]:
    """The ``prompt_logprobs`` of a text, as vLLM lists them."""
    model = MadeUpModel()
    return [
        None if row is None else {
            str(id_): {"logprob": p, "rank": 1, "decoded_token": model.name_of(id_)}
            for id_, p in row
        }
        for row in model.listed(model.ids_of(text), k)
    ]  # fmt: skip


VOCABULARY = 300
"""The lowest ids, from which others than the tokens themselves are drawn."""


def made_up_id_mappings(ids: Sequence[int], k: int) -> list[dict[str, Any] | None]:
    """The same of a prompt in ids, the likeliest tokens among the lowest ids."""
    rows: list[dict[str, Any] | None] = [None]
    for place, own in enumerate(ids[1:], 1):
        digest = hashlib.sha256(repr(ids[: place + 1]).encode()).digest()
        others = (number % VOCABULARY for number in range(digest[1], digest[1] + VOCABULARY))
        likeliest = [other for other in others if other != own][:k]
        row = {str(own): {"logprob": -0.5 - digest[0] / 100, "rank": 1}}
        row |= {
            str(other): {"logprob": -1.5 - n, "rank": 2 + n} for n, other in enumerate(likeliest)
        }
        rows.append(row)
    return rows
