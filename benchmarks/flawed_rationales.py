"""Rationales with the right answer, some of them flawed on purpose, with the verdict on each.

    python benchmarks/flawed_rationales.py runs/flawed/rationales.jsonl

Of 170 rationales that the filter by answers kept, Fine-tune-CoT's authors found 47 flawed by hand.
No model of ours has people to read it, so flaws of that share are made: the first result of the
rationale is another number, and the rest goes on from the true one. The file is the recorded
teacher and the marks of ``recipes/fine-tune-cot/human-checked.yaml``; it holds the training
questions of every seed.
"""

import argparse
import json
import re
from pathlib import Path
from random import Random

from potstill.tasks.procedural import problems

FAMILY = "two_step_arithmetic"
SHARE = 47 / 170
"""Share of the rationales that are flawed, as published."""

_FIRST_RESULT = re.compile(r"= (\d+)")


def flawed(rationale: str, random: Random) -> str:
    """Returns the rationale with another number as its first result."""

    def slipped(found: re.Match[str]) -> str:
        return f"= {int(found[1]) + random.choice((-2, -1, 1, 2))}"

    return _FIRST_RESULT.sub(slipped, rationale, count=1)


def rows(questions: int, seeds: int) -> list[dict[str, object]]:
    """Returns a rationale for each training question of these seeds, with its mark."""
    made: dict[str, dict[str, object]] = {}
    for seed in range(seeds):
        random = Random(f"flaws {seed}")
        for problem in problems(FAMILY, "train", questions, seed):
            rationale = random.choice(problem.rationales)
            sound = random.random() >= SHARE
            text = rationale if sound else flawed(rationale, random)
            text += f" The answer is {problem.question.answer}."
            row = {"question": problem.question.text, "rationale": text, "mark": sound}
            made.setdefault(problem.question.text, row)
    return [*made.values()]


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    written = rows(options.questions, options.seeds)
    options.file.parent.mkdir(parents=True, exist_ok=True)
    options.file.write_text("".join(json.dumps(row) + "\n" for row in written), encoding="utf-8")
    print(f"{len(written):,} rationales, {sum(not row['mark'] for row in written):,} flawed")


if __name__ == "__main__":
    main()
