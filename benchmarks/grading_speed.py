"""Completions graded a second, beside lm-evaluation-harness's filters and math-verify.

Run: python benchmarks/grading_speed.py [--data ../shared/data] [--json FILE]

One thread. First whole completions as models wrote them, by answer type: every system reads the
same texts in turn, and the median of the rounds counts, in processor time. The filters are those of
lm-eval's own tasks (gsm8k, BIG-Bench Hard), without the comparison that follows them there; they
are left out where lm-eval is not installed. math-verify reads letters where options are asked for;
for yes and no it has no reader.

Then 50,000 mathematical answers: 80% plain numbers, 15% other LaTeX, both from published samples on
MATH, and 5% towers of powers, of which ``TOWERS`` are different. math-verify, called directly with
its own time limits, is given each tower once and its time scaled: all would take it hours. potstill
is given all; it compares equal pairs once.
"""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, cycle, islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from machine import facts, write_results
from math_verify import StringExtractionConfig, parse, verify
from published import Published, boxed
from teacher_outputs import FOLDERS

from potstill.grading import math_pool
from potstill.records import AnswerType
from potstill.tasks import grade

ROUNDS, COMPLETIONS, FOR_MATH_VERIFY = 5, 5_000, 300
ANSWERS, PLAIN, LATEX, TOWERS = 50_000, 0.80, 0.15, 6
SOURCES: dict[AnswerType, tuple[str, ...]] = {
    "number": ("abel", "gsm8k_gpt3_finetuned", "re2", "xot", "zero_shot_cot_logs", "faithful_cot"),
    "choice": ("bbh_code_davinci_002", "re2", "mmlu_pro", "zero_shot_cot_logs"),
    "yes_no": ("bbh_code_davinci_002", "faithful_cot", "mot_cascade", "zero_shot_cot_logs"),
}
System = Callable[[Sequence[Published]], object]


def completions(data: Path, kind: AnswerType) -> list[Published]:
    """Completions of one answer type, drawn with a fixed seed."""
    folders = (FOLDERS[name](data / "teacher_outputs" / name) for name in SOURCES[kind])
    fitting = [one for one in chain.from_iterable(folders) if one.answer_type == kind]
    return Random(0).sample(fitting, COMPLETIONS)


def potstill(texts: Sequence[Published]) -> object:
    """Ours: the answer read and compared."""
    return [grade(one.answer_type, one.text, one.gold, choices=one.choices) for one in texts]


def lm_eval_filters(kind: AnswerType) -> dict[str, System]:
    """The filters of lm-eval's tasks with answers of this type."""
    try:
        from lm_eval.filters.extraction import MultiChoiceRegexFilter, RegexFilter
    except ImportError:
        return {}
    cue = r"((?<=The answer is )(.*)(?=.)|(?<=the answer is )(.*)(?=.)|(?<=The answer: )(.*)(?=.)"
    filters = {
        "number": {
            "gsm8k strict-match": RegexFilter(r"#### (\-?[0-9\.\,]+)"),
            "gsm8k flexible-extract": RegexFilter(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", -1),
        },
        "choice": {
            "bbh flexible-extract": MultiChoiceRegexFilter(
                r"(\([A-Z]\))", -1, ignore_case=True, ignore_punctuation=True
            ),
            "bbh strict-match": RegexFilter(cue + r"|(?<=The final answer: )(.*)(?=.))"),
        },
        "yes_no": {
            "bbh flexible-extract": RegexFilter(r"\b(Yes|No|yes|no)\b", -1),
            "bbh strict-match": RegexFilter(cue + r"|(?<=The final answer: )(.*)(?=.))"),
        },
    }

    def run(used: Any) -> System:
        return lambda texts: used.apply(
            [[one.text] for one in texts], [{"choices": list(one.choices)} for one in texts]
        )

    return {f"lm-eval {name}": run(used) for name, used in filters[kind].items()}


def math_verify_texts(kind: AnswerType) -> dict[str, System]:
    """math-verify on a part of the same texts."""
    if kind == "yes_no":
        return {}
    config = {"extraction_config": (StringExtractionConfig(),)} if kind == "choice" else {}
    return {
        "math-verify": lambda texts: [
            verify(parse(one.gold, **config), parse(one.text, **config))
            for one in texts[:FOR_MATH_VERIFY]
        ]
    }


def reading(data: Path) -> Iterator[dict[str, object]]:
    """A row for each answer type and system."""
    for kind in SOURCES:
        texts = completions(data, kind)
        length = statistics.mean(len(one.text) for one in texts)
        systems = {"potstill": potstill, **lm_eval_filters(kind), **math_verify_texts(kind)}
        seconds: dict[str, list[float]] = {name: [] for name in systems}
        for _ in range(ROUNDS):
            for name, system in systems.items():
                start = time.process_time()
                system(texts)
                seconds[name].append(time.process_time() - start)
        for name, taken in seconds.items():
            count = FOR_MATH_VERIFY if name == "math-verify" else COMPLETIONS
            speed = count / statistics.median(taken)
            print(f"| {kind} | {name} | {speed:,.0f} |", flush=True)
            yield {
                "answers": kind,
                "system": name,
                "completions": count,
                "characters": round(length),
                "per_second": round(speed),
            }


class Pair(NamedTuple):
    """A gold answer and what a model gave."""

    gold: str
    answer: str


def pairs(data: Path) -> dict[str, list[Pair]]:
    """The three kinds of answers."""
    folder = data / "teacher_outputs" / "math_train_8_samples"
    plain: list[Pair] = []
    latex: list[Pair] = []
    for one in FOLDERS["math_train_8_samples"](folder):
        if "\\boxed{" not in one.text:
            continue
        try:
            answer = boxed(one.text)
        except ValueError:
            continue
        (plain if one.gold.isdecimal() and answer.isdecimal() else latex).append(
            Pair(one.gold, answer)
        )
    towers = [Pair("18", f"9^{{9^{{9^{number}}}}}") for number in range(9, 9 + TOWERS)]
    return {
        "plain": list(islice(cycle(plain), int(ANSWERS * PLAIN))),
        "latex": Random(0).sample(latex, int(ANSWERS * LATEX)),
        "towers": list(islice(cycle(towers), round(ANSWERS * (1 - PLAIN - LATEX)))),
    }


def direct(pair: Pair) -> bool:
    """math-verify as it is called in one process, with its own time limits."""
    return bool(verify(parse(f"${pair.gold}$"), parse(f"\\boxed{{{pair.answer}}}")))


def ours(pair: Pair) -> bool | None:
    """Our grader; None where it gave the comparison up."""
    graded = grade("math", f"\\boxed{{{pair.answer}}}", pair.gold)
    return None if graded.rule == "timeout" else graded.correct


def timed(
    system: Callable[[Pair], bool | None], answers: Sequence[Pair]
) -> tuple[list[bool | None], float, float]:
    """Verdicts, seconds on the wall, and the longest single one."""
    verdicts, longest = [], 0.0
    start = last = time.perf_counter()
    for pair in answers:
        verdicts.append(system(pair))
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return verdicts, last - start, longest


def mixed(data: Path) -> dict[str, object]:
    """The mix of 50,000 answers: times by kind, scaled to the whole, and agreement."""
    rows: list[dict[str, object]] = []
    total = {"potstill": 0.0, "math-verify": 0.0}
    stall = dict(total)
    compared = agreed = 0
    ours(Pair("\\frac{1}{3}", "\\frac{1}{2}"))  # starts the worker, as a run does once
    for kind, answers in pairs(data).items():
        verdicts: dict[str, list[bool | None]] = {}
        for name, system in (("potstill", ours), ("math-verify", direct)):
            once = kind == "towers" and name == "math-verify"
            run = answers[:TOWERS] if once else answers
            verdicts[name], seconds, longest = timed(system, run)
            total[name] += seconds / len(run) * len(answers)
            stall[name] = max(stall[name], longest)
            rows.append(
                {
                    "kind": kind,
                    "system": name,
                    "run": len(run),
                    "per_second": round(len(run) / seconds, 2),
                    "longest_seconds": round(longest, 3),
                    "no_verdict": verdicts[name].count(None),
                }
            )
            print("|", " | ".join(str(value) for value in rows[-1].values()), "|", flush=True)
        if kind == "towers":  # no verdict of either is one
            continue
        both = zip(verdicts["potstill"], verdicts["math-verify"], answers, strict=True)
        for mine, theirs, pair in both:
            if mine is None:
                continue
            compared += 1
            agreed += mine == theirs
            if mine != theirs:
                print(f"  {pair}: potstill {mine}, math-verify {theirs}", file=sys.stderr)
    math_pool.close()
    return {
        "answers": ANSWERS,
        "rows": rows,
        "per_second": {name: round(ANSWERS / seconds) for name, seconds in total.items()},
        "longest_seconds": {name: round(longest, 3) for name, longest in stall.items()},
        "agreement_outside_timeouts": agreed / compared,
        "compared": compared,
        "worker_processor_seconds": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print("| answers | system | completions/s |\n|---|---|---|")
    read = list(reading(arguments.data))
    print(
        "\n| kind | system | run | answers/s | longest, s | no verdict |\n|---|---|---|---|---|---|"
    )
    mix = mixed(arguments.data)
    print({key: value for key, value in mix.items() if key != "rows"})
    if arguments.json:
        machine = facts("math-verify")
        write_results(arguments.json, {"machine": machine, "completions": read, "mixed": mix})


if __name__ == "__main__":
    main()
