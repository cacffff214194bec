"""Draws disputed completions that nobody has read, and counts what their readers found.

Run: python benchmarks/grading_unseen.py [--data ../shared/data] [--draw SEED --count N]

A completion is disputed where our verdict differs from the published one; where there is none, from
that of a plain second rule (:func:`plain_verdict`). ``--draw`` prints the ids of disputed ones in
an order that depends on the seed and the id alone, without those that were read before. What was
read stands in ``results/grading_unseen.jsonl``::

    {"draw": 2, "id": ..., "stratum": "folder, answer type", "drawn": "at random" | "by stratum" |
     "agreed", "right": "yes" | "no" | "unclear", "reason": ...}

Without ``--draw`` the page ``results/grading_unseen.md`` is made from it.
"""

import argparse
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from grading import RESULTS, graded
from published import Published, boxed, same, same_number
from teacher_outputs import FOLDERS

from potstill.statistics import accuracy_interval

READ = RESULTS / "grading_unseen.jsonl"

PAGE = """# Disputed completions that nobody had read

Made by `python benchmarks/grading_unseen.py`; the readings are in `grading_unseen.jsonl`.

A completion is disputed where our verdict differs from the published one; without a published one,
from a plain second rule (last number, last box, last letter in brackets). Of the 301,800 published
completions some 9,780 are. Draw 1 was read to find faults, which were mended. Draws 2 and 3 are
fresh: no completion of them is recorded as read before, and each draw is graded by the code that
stood when it was drawn; what was found in it was mended afterwards. The random part is drawn from
all disputed ones, most of which differ in how a date or a formula is written; the strata below show
the others. Of what the mends after draw 1 had changed, draw 2 holds options alone, in proportion.
Right is a verdict that says whether the text's own answer is the gold answer.
Equal values count as the same; the form that a question may ask for ("simplify", "factor") is not
looked at, and {form} of the readings of draws 2 and 3 are right for their value alone. Unclear ones
count as wrong. Intervals are Wilson's, 95%.

{draws}

With the {form_random} of the random readings that are right for their value alone counted as wrong,
{strict}.

## By stratum, draws 2 and 3

Strata were filled up to 16 readings, so that shares over all of them are not those of the draws.

{strata}

## What was wrong or unclear

{wrong}
"""


def plain_verdict(one: Published) -> bool:
    """Whether the text's last candidate of the simplest kind is the gold answer."""
    text = one.text.split("\n\nQ:")[0]
    match one.answer_type:
        case "number":
            return same_number(one.text, one.gold)
        case "choice":
            letters = re.findall(r"\(([a-eA-E])\)", text)
            place = ord(letters[-1].lower()) - ord("a") if letters else len(one.choices)
            return place < len(one.choices) and same(one.choices[place], one.gold)
        case "date":
            return re.findall(r"\d\d/\d\d/\d{4}", one.text)[-1:] == [one.gold]
        case "math":
            gold, box = last_box(one.gold) or one.gold, last_box(text)
            formulas = re.findall(r"\$([^$]+)\$", text)
            answer = box or (formulas or [""])[-1]
            if not answer or one.id.startswith("distilling"):
                return same_number(answer or text, gold)
            return looks(answer) == looks(gold)
        case _:
            return [w.casefold() for w in re.findall(r"[A-Za-z]+", one.text)[-1:]] == [one.gold]


def last_box(text: str) -> str:
    """Returns the content of the last box; empty where there is none or it does not close."""
    try:
        return boxed(text) if "\\boxed" in text else ""
    except ValueError:
        return ""


def looks(latex: str) -> str:
    """An expression without spaces, dollar signs and sizes of brackets and fractions."""
    return re.sub(r"[\s$]|\\left|\\right|\\!|\.$", "", latex).replace("dfrac", "frac")


def disputed(data: Path) -> Iterator[str]:
    """The ids of the completions on which our verdict and another one differ."""
    for folder, completions in FOLDERS.items():
        for one in completions(data / "teacher_outputs" / folder):
            other = plain_verdict(one) if one.theirs is None else one.theirs
            if graded(one).correct != other:
                yield one.id


def draw(ids: Sequence[str], seed: str, count: int) -> list[str]:
    """The first of the ids by a hash of the seed and the id."""
    return sorted(ids, key=lambda name: hashlib.sha256((seed + name).encode()).hexdigest())[:count]


Reading = dict[str, Any]


def share(readings: Sequence[Reading]) -> str:
    """Returns the number that is right as cells of a table, with share and interval."""
    right = sum(reading["right"] == "yes" for reading in readings)
    low, high = accuracy_interval(right, len(readings))
    return f"{len(readings)} | {right} | {right / len(readings):.1%} ({low:.1%} to {high:.1%})"


def page(readings: Sequence[Reading]) -> str:
    """``results/grading_unseen.md``."""
    fresh = [reading for reading in readings if reading["draw"] != 1]
    random = [reading for reading in fresh if reading["drawn"] == "at random"]
    disputed_ones = [reading for reading in fresh if reading["drawn"] != "agreed"]
    by_form = [reading for reading in disputed_ones if "in the form" in reading["reason"]]
    form_random = [reading for reading in random if "in the form" in reading["reason"]]
    strictly = [
        reading | ({"right": "no"} if "in the form" in reading["reason"] else {})
        for reading in random
    ]
    groups = {
        "draw 1, by stratum, before the mends": [r for r in readings if r["draw"] == 1],
        "draw 2, at random": [r for r in random if r["draw"] == 2],
        "draw 3, at random": [r for r in random if r["draw"] == 3],
        "draws 2 and 3, at random": random,
        "draw 2, where both verdicts are the same": [r for r in fresh if r["drawn"] == "agreed"],
    }
    strata = sorted({reading["stratum"] for reading in disputed_ones})
    wrong = Counter(
        (r["draw"], r["stratum"], r["right"], r["reason"]) for r in readings if r["right"] != "yes"
    )
    _, right, shown = share(strictly).split(" | ")
    return PAGE.format(
        form=len(by_form),
        form_random=len(form_random),
        strict=f"{right} of {len(random)} are right: {shown}",
        draws=table("completions", groups),
        strata=table(
            "stratum", {s: [r for r in disputed_ones if r["stratum"] == s] for s in strata}
        ),
        wrong="\n".join(
            f"- draw {number}, {stratum}, {count}{' unclear' if right == 'unclear' else ''}: {why}"
            for (number, stratum, right, why), count in sorted(wrong.items(), key=str)
        ),
    )


def table(title: str, groups: dict[str, list[Reading]]) -> str:
    """Rows of what was read and was right."""
    rows = [f"| {name} | {share(group)} |" for name, group in groups.items()]
    return "\n".join([f"| {title} | read | right | share |", "|---|---|---|---|", *rows])


def main() -> None:
    """Draw, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--draw", metavar="SEED")
    parser.add_argument("--count", type=int, default=200)
    arguments = parser.parse_args()
    lines = [*READ.read_text(encoding="utf-8").splitlines()]
    readings = [json.loads(line) for line in lines]
    if arguments.draw:
        earlier = (RESULTS / "grading_read.jsonl").read_text(encoding="utf-8").splitlines()
        read = {reading["id"] for reading in (*readings, *map(json.loads, earlier))}
        unread = [name for name in disputed(arguments.data) if name not in read]
        print("\n".join(draw(unread, arguments.draw, arguments.count)))
    else:
        (RESULTS / "grading_unseen.md").write_text(page(readings), encoding="utf-8")


if __name__ == "__main__":
    main()
