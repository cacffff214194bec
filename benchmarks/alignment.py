"""Teacher probabilities carried between tokenizers: what holds, and how fast.

Run: python benchmarks/alignment.py [--data ../shared/data] [--texts 10000] [--json FILE]

One thread, processor time.

1. The whole of ``soft_targets`` with five alternatives a token: twenty texts of 150 tokens, the
   published dynamic time warping beside it, then one text at several lengths.
2. The grouping of TRL's GOLD trainer, fed with its own byte offsets, where TRL is installed, and
   what both do with broken characters.
3. Every pair of the published tokenizers over every text: the spans partition the text, one-to-one
   pairs are those of equal spans, and ``soft_targets`` with two invented alternatives a token
   (``OTHERS``) gives probabilities that sum to 1 with their tail. The texts are distinct
   completions of at most ``MOST_BYTES`` bytes, drawn in equal parts from ``FOLDERS`` as far as
   these reach.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import teacher_outputs
from machine import facts, write_results
from numpy.typing import NDArray
from tokenizer_files import READERS
from transformers import PreTrainedTokenizerBase

from potstill.papers.time_warping import warped_targets
from potstill.records import SoftTargets, TeacherSpan, TokenLogprobs
from potstill.train.alignment import Vocabulary, align, soft_targets

FOLDERS = (
    "zero_shot_cot_logs", "plan_and_solve_davinci_003", "tora", "faithful_cot", "mot_cascade",
    "math_train_8_samples", "cot_granularity",
)  # fmt: skip
MOST_BYTES = 400
LENGTHS, REPEATS = (150, 1_000, 10_000), 7
SPEED_PAIR = ("gpt2", "llama2")
GOLD_PAIR = ("gpt2", "llama3")
"""GOLD refuses tokenizers that are not byte-level BPE."""

OTHERS = (
    b" the", b" a", b" of", b" is", b" so", b",", b".", b"\n", b" ", b"1", b" 2", b"00", b" $",
    b"/", "½".encode(), " 漢字".encode(), "👍".encode(), "👍".encode()[:2], "漢".encode()[1:],
    b"\xff",
)  # fmt: skip
"""Invented alternatives: words, numbers, parts of characters, bytes of no text."""

BROKEN = ("👍🏽 done", "漢字 12", "cafe\u0301 ok")
Loaded = tuple[PreTrainedTokenizerBase, Vocabulary]
Spans = NDArray[np.int64]


class Tally(NamedTuple):
    """The counts for a pair of tokenizers, summed over texts."""

    groups_wrong: int = 0
    one_to_one_unequal: int = 0
    mass_error: float = 0.0
    soft: int = 0
    tokens: int = 0
    seconds: float = 0.0


def rationales(data: Path, count: int) -> list[str]:
    """Distinct texts that models wrote, those of folders with few of them first."""
    random = np.random.default_rng(0)
    drawn: dict[str, None] = {}
    for place, name in enumerate(FOLDERS):
        folder = teacher_outputs.FOLDERS[name](data / "teacher_outputs" / name)
        texts = sorted({one.text for one in folder if 0 < len(one.text.encode()) <= MOST_BYTES})
        wanted = -(-(count - len(drawn)) // (len(FOLDERS) - place))
        some = random.permutation(len(texts))
        drawn |= dict.fromkeys([texts[at] for at in some if texts[at].strip()][:wanted])
    found = list(drawn)
    return [found[at] for at in random.permutation(len(found))]


def ids_of(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """A text's tokens without those around it."""
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def invented(data: bytes, spans: Spans, seed: int, others: Sequence[bytes] = ()) -> TeacherSpan:
    """The text's tokens, with two of the others as alternatives or five of the text's own."""
    random = np.random.default_rng(seed)
    said = [data[start:end] for start, end in spans.tolist()]
    width, others = (2, others) if others else (5, said)
    drawn = random.integers(0, len(others), (len(said), width)).tolist()
    names = [[text, *[others[at] for at in row]] for text, row in zip(said, drawn, strict=True)]
    probabilities = random.dirichlet(np.ones(width + 2), len(said))[:, :-1]
    tokens = TokenLogprobs(
        logprobs=np.log(probabilities).astype(np.float32),
        token_bytes=b"".join([b"".join(row) for row in names]),
        lengths=np.array([[len(name) for name in row] for row in names], np.uint16),
    )
    return TeacherSpan(tokens=tokens, start=0, end=len(data), shift=0)


def partitions(spans: Spans, size: int) -> bool:
    """Whether spans follow one another from the first byte to the last."""
    follow = np.array_equal(spans[1:, 0], spans[:-1, 1]) and bool((np.diff(spans) >= 0).all())
    return follow and spans[0, 0] == 0 and spans[-1, 1] == size


def filled(spans: Spans) -> Spans:
    """Spans of at least one byte."""
    return spans[spans[:, 1] > spans[:, 0]]


def unequal(one: Spans, two: Spans, groups: Spans) -> int:
    """One-to-one groups that are not equal spans, and equal spans that are no such group."""
    single = groups[(np.diff(groups)[:, ::2] == 1).all(axis=1)]
    keys = [side[:, 0] << 32 | side[:, 1] for side in (one, two)]
    equal = keys[1][np.isin(keys[1], keys[0], assume_unique=True)]
    mine = keys[0][single[:, 0]], keys[1][single[:, 2]]
    return sum(np.setxor1d(side, equal).size for side in mine if not np.array_equal(side, equal))


def grouped(one: Spans, two: Spans, groups: Spans) -> bool:
    """Whether the groups hold every token once, both sides of each covering the same bytes."""
    stops, starts = groups[:, 1::2], groups[:, ::2]
    whole = np.array_equal(starts[1:], stops[:-1]) and not starts[0].any()
    ends = np.array_equal(stops[-1], (len(one), len(two)))
    same = np.array_equal(one[stops[:, 0] - 1, 1], two[stops[:, 1] - 1, 1])
    return whole and ends and same


def mass_error(targets: SoftTargets) -> float:
    """Returns the largest amount by which a position's mass misses 1, or falls below 0."""
    mass = targets.probabilities.sum(axis=1, dtype=np.float64) + targets.tail
    below = min(float(targets.probabilities.min()), float(targets.tail.min()), 0.0)
    return max(float(np.abs(mass - 1).max()), -below)


def every_pair(
    texts: list[str], loaded: dict[str, Loaded]
) -> tuple[int, dict[tuple[str, str], Tally]]:
    """Spans that are wrong, and what was found pair by pair."""
    wrong, found = 0, dict.fromkeys(product(loaded, loaded), Tally())
    for seed, text in enumerate(texts):
        data = text.encode()
        ids = {name: ids_of(tokenizer, text) for name, (tokenizer, _) in loaded.items()}
        spans = {name: loaded[name][1].spans(text, ids[name]) for name in loaded}
        wrong += sum(not partitions(one, len(data)) for one in spans.values())
        whole = {name: filled(one) for name, one in spans.items()}
        teachers = {name: invented(data, one, seed, OTHERS) for name, one in whole.items()}
        for (teacher, student), tally in found.items():
            one, two = whole[teacher], whole[student]
            groups = align(one[:, 1], two[:, 1])
            start = time.process_time()
            targets = soft_targets(text, ids[student], teachers[teacher], loaded[student][1])
            seconds = time.process_time() - start
            found[teacher, student] = Tally(
                tally.groups_wrong + (not grouped(one, two, groups)),
                tally.one_to_one_unequal + unequal(one, two, groups),
                max(tally.mass_error, mass_error(targets)),
                tally.soft + int(targets.soft.sum()),
                tally.tokens + len(ids[student]),
                tally.seconds + seconds,
            )
        if seed % 1000 == 999:
            print(f"{seed + 1} texts, {time.process_time():.0f} s", flush=True)
    return wrong, found


def pair_rows(found: dict[tuple[str, str], Tally]) -> list[dict[str, object]]:
    """A row for each pair."""
    rows: list[dict[str, object]] = []
    for (teacher, student), tally in found.items():
        rows.append(
            {
                "teacher": teacher,
                "student": student,
                "groups_wrong": tally.groups_wrong,
                "one_to_one_unequal": tally.one_to_one_unequal,
                "mass_error": float(f"{tally.mass_error:.1e}"),
                "soft_share": round(tally.soft / tally.tokens, 4),
                "tokens_per_second": round(tally.tokens / tally.seconds),
            }
        )
        print("|", " | ".join(map(str, rows[-1].values())), "|")
    return rows


class Case(NamedTuple):
    """A text in the tokens of both sides of ``SPEED_PAIR``."""

    text: str
    ids: list[int]
    span: TeacherSpan


def case(text: str, length: int, loaded: dict[str, Loaded]) -> Case:
    """The first tokens of a text, as the teacher counts them."""
    (teacher, words), (student, _) = (loaded[name] for name in SPEED_PAIR)
    cut = str(teacher.decode(ids_of(teacher, text)[:length]))
    spans = words.spans(cut, ids_of(teacher, cut))
    return Case(cut, ids_of(student, cut), invented(cut.encode(), spans, 0))


def quickest(one: Case, student: Vocabulary, *, warp: bool = False) -> float:
    """Milliseconds of the best of several runs, the caches filled before by one more."""
    best = float("inf")
    for _ in range(REPEATS + 1):
        start = time.process_time()
        aligned_by = warped_targets if warp else None
        soft_targets(one.text, one.ids, one.span, student, aligned_by=aligned_by)
        best = min(best, time.process_time() - start)
    return best * 1e3


def speeds(texts: list[str], loaded: dict[str, Loaded]) -> dict[str, object]:
    """The whole call by length, over many texts at the shortest, time warping beside it there."""
    student = loaded[SPEED_PAIR[1]][1]
    joined = ["\n".join(texts[at::20]) for at in range(20)]
    short = [case(text[: 8 * LENGTHS[0]], LENGTHS[0], loaded) for text in joined]
    ours = [quickest(one, student) for one in short]
    warped = [quickest(one, student, warp=True) for one in short]
    whole = "\n".join(joined)[: 8 * LENGTHS[-1]]
    by_length = {length: quickest(case(whole, length, loaded), student) for length in LENGTHS}
    _, middle, last = (spent / length for length, spent in by_length.items())
    return {
        "teacher": SPEED_PAIR[0],
        "student": SPEED_PAIR[1],
        "texts_of_150_tokens": len(short),
        "milliseconds_mean": round(float(np.mean(ours)), 4),
        "time_warping_milliseconds_mean": round(float(np.mean(warped)), 3),
        "times_faster": round(sum(warped) / sum(ours), 1),
        "times_faster_least": round(min(two / one for one, two in zip(ours, warped, strict=True))),
        "milliseconds_by_tokens": {size: round(spent, 4) for size, spent in by_length.items()},
        "longest_per_token_over_middle": round(last / middle, 3),
    }


def beside_gold(texts: list[str], loaded: dict[str, Loaded]) -> dict[str, object]:
    """GOLD's grouping on its own offsets and ours, or why it was left out."""
    try:
        from trl.experimental.gold import gold_trainer
    except ImportError:
        return {"left_out": "TRL is not installed"}
    grouping = gold_trainer.ULDLoss._align_by_byte_offsets
    teacher, student = (loaded[name] for name in GOLD_PAIR)
    seconds, tokens, same, differing = [0.0, 0.0], 0, 0, []
    for text in (*BROKEN, *texts[:1000]):
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
        if agreed < len(sides[0][0]):
            differing.append({"text": text, "agreed": agreed, "tokens": len(sides[0][0])})
    return {
        "gold_tokens_per_second": round(tokens / seconds[0]),
        "our_tokens_per_second": round(tokens / seconds[1]),
        "same_groups_share": round(same / tokens, 4),
        "differing": differing[:5],
        "broken": broken(loaded, gold_trainer.encode_with_byte_offsets),
    }


def broken(
    loaded: dict[str, Loaded], offsets: Callable[..., list[tuple[list[int], object]]]
) -> list[dict[str, object]]:
    """Aligns a teacher cut within a character, invalid bytes, and another tokenizer."""
    teacher, words = loaded[GOLD_PAIR[0]]
    cut = ids_of(teacher, "It is done 👍🏽")[:-1]
    pieces = [words.bytes_of(token) or b"" for token in cut]
    whole = b"".join(pieces).decode(errors="ignore")
    stops = np.cumsum([len(piece) for piece in pieces])
    tokens = invented(b"".join(pieces), np.stack([np.append(0, stops[:-1]), stops], 1), 0).tokens
    [(again, _)] = offsets(teacher.backend_tokenizer, [teacher.decode(cut)])
    kept = sum(one == two for one, two in zip(cut, again, strict=False))
    invalid = TokenLogprobs(
        logprobs=np.log(np.array([[0.5, 0.3, 0.1]], np.float32)),
        token_bytes=b"a" + b"\xff\xfe" + b"\xf0\x9f",
        lengths=np.array([[1, 2, 2]], np.uint16),
    )
    try:
        offsets(loaded["llama2"][0].backend_tokenizer, [whole])
        other = "accepted"
    except NotImplementedError:
        other = "refused"
    return [
        {
            "case": "the teacher was cut within a character",
            "ours": carried(whole, tokens, loaded[GOLD_PAIR[1]]),
            "gold": f"{kept} of {len(cut)} tokens as sampled after reading the decoded text again",
        },
        {
            "case": "alternatives of invalid bytes and of half a character",
            "ours": carried("a", invalid, loaded[GOLD_PAIR[1]]),
            "gold": "takes the whole distribution, not alternatives",
        },
        {
            "case": "a student whose tokenizer is not byte-level BPE (llama2)",
            "ours": carried(whole, tokens, loaded["llama2"]),
            "gold": other,
        },
    ]


def carried(text: str, tokens: TokenLogprobs, student: Loaded) -> str:
    """Returns, in words, how many tokens became soft, and the error of the targets' mass."""
    span = TeacherSpan(tokens=tokens, start=0, end=len(text.encode()), shift=0)
    targets = soft_targets(text, ids_of(student[0], text), span, student[1])
    soft, error = int(targets.soft.sum()), mass_error(targets)
    return f"{soft} of {targets.soft.size} tokens soft, mass error {error:.0e}"


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
    size = {"texts": len(texts), "not_ascii": sum(not text.isascii() for text in texts),
            "bytes": sum(len(text.encode()) for text in texts)}  # fmt: skip
    print(size)
    speed = speeds(texts, loaded)
    gold = beside_gold(texts, loaded)
    print(json.dumps({"speed": speed, "gold": gold}, indent=1, ensure_ascii=False), flush=True)
    wrong, found = every_pair(texts, loaded)
    print(f"spans that do not partition their text: {wrong} of {len(texts) * len(loaded)}")
    print("| teacher | student | groups wrong | unequal | mass error | soft | tokens/s |")
    print("|---|---|---|---|---|---|---|")
    rows = pair_rows(found)
    if arguments.json:
        results = {"machine": facts("tokenizers"), **size, "spans_wrong": wrong,
                   "speed": speed, "gold": gold, "pairs": rows}  # fmt: skip
        write_results(arguments.json, results)


if __name__ == "__main__":
    main()
