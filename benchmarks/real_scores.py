"""Scores of a real vLLM server beside those of the same model in this process, over 1,000 texts.

Run, with a server of SmolLM2-135M-Instruct at an address::

    vllm serve FOLDER --dtype float32 --max-model-len 1024 --served-model-name tiny
    python benchmarks/real_scores.py --model FOLDER --url http://127.0.0.1:8000/v1

Half of the texts stand behind plain prompts, half behind chats; they hold emoji, digits, Chinese,
Japanese, Korean, Cyrillic, Arabic, Devanagari and code. The numbers of this process are compared
with a dense pass of transformers in float64 on some of them. The outcome goes to
``results/real_scores.json``.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from machine import facts, write_results
from transformers import AutoModelForCausalLM

from potstill.models.local.model import HFModel
from potstill.models.openai.model import OpenAIModel
from potstill.models.scored_tokens import answer_ends, scores_by_bytes
from potstill.models.settings import LocalSettings, OpenAISettings
from potstill.records import Completion, GivenText, Message, Request, TokenLogprobs

RESULTS = Path(__file__).parent / "results" / "real_scores.json"

PIECES = (
    " Anna has {n} apples \U0001f34e and buys {m} more, so {n} + {m} = {sum}.",
    " 答えは{sum}です。", " 一共有{sum}個蘋果。", " 정답은 {sum}입니다.", " Ответ: {sum}.",
    " الجواب {sum}.", " उत्तर {sum} है।", " \U0001f469\u200d\U0001f52c\U0001f389 {n}°C, {m} €!",
    "\n    return {n} * {m}  # = {product}\n", " So the answer is {sum}, isn't it?",
    "\tnaïve café, Zoë: {n}½ ÷ {m}", " {product:,}.00 USD",
)  # fmt: skip
PROMPTS = (
    "Q: Anna has {n} apples and buys {m} more. How many has she?\nA:",
    "請計算 {n} + {m}。",
    "What is {n} plus {m}? \U0001f914\n",
    "def total():\n    apples = {n}",
)


def requests(count: int, top: int) -> Iterator[Request]:
    """Texts behind plain prompts and chats by turns."""
    draw = random.Random(17)
    for number in range(count):
        n, m = draw.randrange(2, 999), draw.randrange(2, 999)
        values = {"n": n, "m": m, "sum": n + m, "product": n * m}
        pieces = draw.sample(PIECES, draw.randrange(1, 4))
        prompt = draw.choice(PROMPTS).format(**values)
        is_chat = number % 2 == 1
        yield Request(
            prompt=(Message(role="user", content=prompt),) if is_chat else prompt,
            given=GivenText(text="".join(pieces).format(**values), ends=number % 4 > 1),
            top_logprobs=top,
        )


class Compared(NamedTuple):
    """The differences of two scores of many texts, in nats."""

    texts: int
    tokens: int
    mean: float
    most: float
    mean_of_likeliest: float
    """The mean over the likeliest tokens that both list."""

    most_of_likeliest: float
    same_likeliest: float
    """The share of the likeliest tokens that both list."""


def compared(here: Sequence[TokenLogprobs], there: Sequence[TokenLogprobs]) -> Compared:
    """Compares scores of the same texts by their bytes."""
    own: list[float] = []
    likeliest: list[float] = []
    listed = 0
    for one, other in zip(here, there, strict=True):
        assert one.lengths is not None and other.lengths is not None
        assert (one.lengths[:, 0] == other.lengths[:, 0]).all(), "they have other tokens"
        assert (answer_ends(one)[:, 0] == answer_ends(other)[:, 0]).all()
        own += np.abs(one.logprobs[:, 0] - other.logprobs[:, 0]).tolist()
        for mine, theirs in zip(rows(one), rows(other), strict=True):
            listed += len(mine)
            likeliest += [abs(mine[name] - theirs[name]) for name in mine.keys() & theirs.keys()]
    return Compared(
        len(here), len(own), float(np.mean(own)), max(own),
        float(np.mean(likeliest)), max(likeliest), len(likeliest) / listed,
    )  # fmt: skip


def rows(scores: TokenLogprobs) -> list[dict[bytes, float]]:
    """The likeliest tokens of each place."""
    assert scores.lengths is not None
    ends = scores.lengths.astype(int).cumsum().reshape(scores.lengths.shape)
    begins = ends - scores.lengths
    return [
        {
            scores.token_bytes[begin:end]: float(value)
            for begin, end, value in list(zip(*row, strict=True))[1:]
        }
        for row in zip(begins, ends, scores.logprobs, strict=True)
    ]


def in_order(model: Any, wanted: Sequence[Request]) -> tuple[list[Completion], float]:
    """The completions of requests, and how many seconds they took."""
    begin = time.monotonic()
    done = {completion.request: completion for completion in model.complete(wanted)}
    seconds = time.monotonic() - begin
    for request in wanted:
        assert done[request].error is None, (request, done[request].error)
    return [done[request] for request in wanted], seconds


@torch.inference_mode()
def apart_from_dense(folder: Path, model: HFModel, scored: Sequence[Completion]) -> float:
    """The largest difference from a dense pass in float64, of the texts' own tokens."""
    dense: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    most = 0.0
    for done in scored:
        ids = model._prompts.given_ids(done.request, apart=False)
        logits = dense(input_ids=torch.tensor([[*ids.prompt, *ids.text]])).logits[0]
        values = logits.log_softmax(-1)[len(ids.prompt) - 1 :]
        own = values[range(len(ids.text)), ids.text].numpy()
        assert done.logprobs is not None
        most = max(most, float(np.abs(done.logprobs.logprobs[: len(own), 0] - own).max()))
    return most


def main() -> None:
    """Score, compare and write the outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the folder that is served")
    parser.add_argument("--url", required=True, help="where the server's routes begin")
    parser.add_argument("--name", default="tiny", help="the model's name there")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--dense", type=int, default=40, help="texts compared with float64")
    parser.add_argument("--top", type=int, default=10)
    options = parser.parse_args()
    settings = OpenAISettings(
        model=f"openai:{options.name}", base_url=options.url, api_key_env=None,
        chat_template=str(options.model), concurrency=8, chat=False,
    )  # fmt: skip
    wanted = list(requests(options.texts, options.top))
    there, server_seconds = in_order(OpenAIModel(settings), wanted)
    print(f"the server has scored {len(there):,} texts in {server_seconds:.1f} s", flush=True)
    local = LocalSettings(model=f"hf:{options.model}", dtype="float32", device="cpu")
    model = HFModel(local, source=str(options.model))
    here, seconds = in_order(model, wanted)
    print(f"this process in {seconds:.1f} s", flush=True)
    named, served = [], []
    for one, other in zip(here, there, strict=True):
        assert one.logprobs is not None and other.logprobs is not None
        named.append(scores_by_bytes(one.logprobs, one.text, model.token_names))
        served.append(other.logprobs)
    outcome = {
        **facts("torch", "transformers"),
        "server_seconds": round(server_seconds, 1),
        "seconds": round(seconds, 1),
        "tokens_read": sum(completion.prompt_tokens for completion in here),
        "server_against_this_process": compared(named, served)._asdict(),
        "texts_against_float64": options.dense,
        "most_apart_from_float64": apart_from_dense(options.model, model, here[: options.dense]),
    }
    print(json.dumps(outcome, indent=2))
    write_results(RESULTS, outcome)


if __name__ == "__main__":
    main()
