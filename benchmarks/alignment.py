"""Teacher probabilities carried between tokenizers: what holds, and how fast.

Run: python benchmarks/alignment.py [--data ../shared/data] [--texts 10000] [--json FILE]

One thread, processor time. First every pair of the published tokenizers over real rationales, in
turn: one rationale goes to each pair, with invented alternatives at the teacher's tokens, and spans
are checked for every tokenizer and rationale. Then the whole of ``soft_targets`` at several lengths
with five alternatives, the published dynamic time warping at 150 tokens beside it. Last the
grouping of TRL's GOLD trainer, fed with its own byte offsets, where TRL is installed.
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from machine import facts, write_results
from tokenizer_files import READERS
from transformers import PreTrainedTokenizerBase

from potstill.records import TeacherSpan, TokenLogprobs
from potstill.train.alignment import Vocabulary, align, soft_targets

LENGTHS, REPEATS, SPEED_PAIR = (150, 1_000, 10_000), 5, ("gpt2", "llama2")
GOLD_PAIR = ("gpt2", "llama3")
"""GOLD refuses tokenizers that are not byte-level BPE."""

BROKEN = ("👍🏽 done", "漢字 12", "cafe\u0301 ok")
Loaded = tuple[PreTrainedTokenizerBase, Vocabulary]


def rationales(data: Path, count: int) -> list[str]:
    """Rationales that models wrote, then those of GSM8K."""
    texts: list[str] = []
    for path in sorted((data / "teacher_outputs" / "cot_granularity").rglob("*.json")):
        texts += [row["output"] for row in json.loads(path.read_text(encoding="utf-8"))]
    lines = (data / "gsm8k" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    texts += [json.loads(line)["answer"] for line in lines]
    drawn = np.random.default_rng(0).permutation(len(texts))
    return [texts[at] for at in drawn if texts[at].strip()][:count]


def ids_of(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """A text's tokens without those around it."""
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def invented(data: bytes, spans: np.ndarray, vocabulary: Vocabulary, seed: int) -> TeacherSpan:
    """The text's tokens with five alternatives each, drawn from the text's other tokens."""
    random = np.random.default_rng(seed)
    said = [data[start:end] for start, end in spans.tolist()]
    others = random.integers(0, len(said), (len(said), 5)).tolist()
    names = [[text, *(said[at] for at in row)] for text, row in zip(said, others, strict=True)]
    drawn = random.dirichlet(np.ones(7), len(said))[:, :6]
    tokens = TokenLogprobs(
        logprobs=np.log(drawn).astype(np.float32),
        token_bytes=b"".join(b"".join(row) for row in names),
        lengths=np.array([[len(name) for name in row] for row in names], np.uint16),
    )
    return TeacherSpan(tokens=tokens, start=0, end=len(data), shift=0)


def all_spans(texts: list[str], loaded: dict[str, Loaded]) -> tuple[dict[str, list[Any]], int]:
    """Tokens and spans by tokenizer, and in how many texts the spans do not partition the text."""
    found: dict[str, list[Any]] = {}
    wrong = 0
    for name, (tokenizer, vocabulary) in loaded.items():
        found[name] = []
        for text in texts:
            ids = ids_of(tokenizer, text)
            spans = vocabulary.spans(text, ids)
            joined = np.array_equal(spans[1:, 0], spans[:-1, 1]) and (spans[:, 1] >= spans[:, 0])
            ends = spans[0, 0] == 0 and spans[-1, 1] == len(text.encode())
            wrong += not (np.all(joined) and ends)
            found[name].append((ids, spans))
    return found, wrong


def pair_rows(texts: list[str], loaded: dict[str, Loaded], found: dict[str, list[Any]]) -> Any:
    """A row for each pair; every text's one-to-one pairs, the pair's share of texts carried."""
    pairs = list(product(loaded, loaded))
    for number, (teacher, student) in enumerate(pairs):
        unequal = 0
        for (_, one), (_, two) in zip(found[teacher], found[student], strict=True):
            groups = align(one[:, 1], two[:, 1])
            single = (groups[:, 1] - groups[:, 0] == 1) & (groups[:, 3] - groups[:, 2] == 1)
            mine = {tuple(one[t]) for t in groups[single, 0]}
            equal = {tuple(edge) for edge in one} & {tuple(edge) for edge in two}
            unequal += len({edge for edge in mine ^ equal if edge[0] < edge[1]})
        seconds = error = 0.0
        soft = tokens = 0
        for at in range(number, len(texts), len(pairs)):
            data, (ids, _) = texts[at].encode(), found[student][at]
            spans = found[teacher][at][1]
            span = invented(data, spans, loaded[teacher][1], at)
            start = time.process_time()
            targets = soft_targets(texts[at], ids, span, loaded[student][1])
            seconds += time.process_time() - start
            mass = targets.probabilities.sum(axis=1, dtype=np.float64) + targets.tail
            error = max(error, float(np.abs(mass - 1).max()))
            soft, tokens = soft + int(targets.soft.sum()), tokens + len(ids)
        row = {"teacher": teacher, "student": student, "one_to_one_unequal": unequal,
               "mass_error": error, "soft_share": round(soft / tokens, 4),
               "tokens_per_second": round(tokens / seconds)}  # fmt: skip
        print("|", " | ".join(map(str, row.values())), "|", flush=True)
        yield row


def speeds(texts: list[str], loaded: dict[str, Loaded]) -> list[dict[str, object]]:
    """Milliseconds of the whole call by length, time warping at the shortest."""
    teacher, student = (loaded[name] for name in SPEED_PAIR)
    rows: list[dict[str, object]] = []
    whole = "\n".join(texts[:400])
    for length in LENGTHS:
        text = teacher[0].decode(ids_of(teacher[0], whole)[:length])
        ids = ids_of(student[0], text)
        spans = teacher[1].spans(text, ids_of(teacher[0], text))
        span = invented(text.encode(), spans, teacher[1], 0)
        for warped in (False, True) if length == LENGTHS[0] else (False,):
            best = float("inf")
            for _ in range(REPEATS + 1):  # the first fills the caches of texts already seen
                start = time.perf_counter()
                soft_targets(text, ids, span, student[1], time_warping=warped)
                best = min(best, time.perf_counter() - start)
            rows.append(
                {
                    "procedure": "time warping" if warped else "offsets",
                    "teacher_tokens": length,
                    "milliseconds": round(best * 1e3, 3),
                }
            )
            print("|", " | ".join(map(str, rows[-1].values())), "|", flush=True)
    return rows


def beside_gold(texts: list[str], loaded: dict[str, Loaded]) -> dict[str, object]:
    """GOLD's grouping on its own offsets and on ours, or why it was left out."""
    try:
        from trl.experimental.gold import gold_trainer
    except ImportError:
        return {"left_out": "TRL is not installed"}
    grouping = gold_trainer.ULDLoss._align_by_byte_offsets
    teacher, student = (loaded[name] for name in GOLD_PAIR)
    seconds, tokens, same, failures = [0.0, 0.0], 0, 0, []
    for text in (*texts[:1000], *BROKEN):
        sides = []
        for tokenizer, vocabulary in (student, teacher):
            backend = tokenizer.backend_tokenizer
            [(ids, offsets)] = gold_trainer.encode_with_byte_offsets(
                backend, [text], add_special_tokens=False
            )
            sides.append((offsets, vocabulary.spans(text, ids)))
        start = time.perf_counter()
        theirs = grouping(sides[0][0], sides[1][0])
        middle = time.perf_counter()
        ours = align(sides[1][1][:, 1], sides[0][1][:, 1])
        seconds[0] += middle - start
        seconds[1] += time.perf_counter() - middle
        known = {(tuple(s), tuple(t)) for s, t in zip(*theirs, strict=True)}
        agreed = sum(
            s1 - s0
            for t0, t1, s0, s1 in ours.tolist()
            if (tuple(range(s0, s1)), tuple(range(t0, t1))) in known
        )
        same, tokens = same + agreed, tokens + len(sides[0][0])
        if text in BROKEN and agreed < len(sides[0][0]):
            failures.append({"text": text, "agreed": agreed, "tokens": len(sides[0][0])})
    return {"gold_tokens_per_second": round(tokens / seconds[0]),
            "our_tokens_per_second": round(tokens / seconds[1]),
            "same_groups_share": round(same / tokens, 4), "differing_broken": failures}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    loaded: dict[str, Loaded] = {}
    for name, read in READERS.items():
        tokenizer = read(arguments.data / "tokenizers" / name)
        loaded[name] = tokenizer, Vocabulary(tokenizer)
    texts = rationales(arguments.data, arguments.texts)
    print("| procedure | tokens | ms |\n|---|---|---|")
    speed = speeds(texts, loaded)
    gold = beside_gold(texts, loaded)
    print(gold)
    found, wrong = all_spans(texts, loaded)
    print(f"spans that do not partition their text: {wrong} of {len(texts) * len(loaded)}")
    print("| teacher | student | one-to-one unequal | mass error | soft | tokens/s |")
    print("|---|---|---|---|---|---|")
    pairs = list(pair_rows(texts, loaded, found))
    if arguments.json:
        results = {"machine": facts("tokenizers"), "texts": len(texts), "spans_wrong": wrong,
                   "speed": speed, "gold": gold, "pairs": pairs}  # fmt: skip
        write_results(arguments.json, results)


if __name__ == "__main__":
    main()
