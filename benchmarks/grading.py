"""Agreement of the grader with the verdicts of those who published the completions.

Run: python benchmarks/grading.py [--data ../shared/data] [--folder NAME] [--disagreements DIR]
                                  [--write]

With ``--disagreements`` every difference is written there for reading, in an order that depends on
its id alone, so that the first fifty are the sample. ``--write`` makes ``results/grading.md`` from
the run and from ``results/grading_read.jsonl``, where those that were read are kept:
``{"id", "right": "ours" | "theirs" | "neither" | "unclear", "reason"}``.
"""

import argparse
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

from published import Published
from teacher_outputs import FOLDERS, LEFT_OUT

from potstill.errors import DataError
from potstill.records import Grade, Question
from potstill.statistics import accuracy_interval
from potstill.tasks import grade

RESULTS = Path(__file__).parent / "results"
SAMPLE = 50
"""Differences of a folder that are read."""

TAIL = 600
AROUND = 40

PAGE = """# Agreement with published verdicts

Made by `python benchmarks/grading.py --write`; the readings are in `grading_read.jsonl`.

Two verdicts on one completion differ where one calls it correct and the other does not. Of the
differences of a folder up to 50, drawn by a hash of their ids, have been read against the question,
the gold answer and the text. Right is who says whether the answer that the text gives is the gold
answer, even where the gold answer itself is wrong. Where both verdicts are the same, both count as
right. The estimate carries the read share over to all differences of the folder; the interval is
Wilson's, 95%, and is left out where every difference has been read.

The samples are not fresh: the grader was mended after earlier readings of them, so the estimates
may flatter it. A text that names several options or refuses is held to give no answer.

{below}

{compared}

Where there is no verdict, some of those were read that we do not call correct.

{failed}

## By answer type

A dash: the authors gave neither a verdict nor a prediction.

{kinds}

## Left out

{left_out}

## Who was right, and why

{reasons}
"""

Readings = Mapping[str, Mapping[str, str]]
"""The answers that were read, by id."""


@dataclass(slots=True)
class Row:
    """The counts of the completions of one folder and answer type."""

    count: int = 0
    compared: int = 0
    agreed: int = 0
    ours: int = 0
    ours_compared: int = 0
    theirs: int = 0
    none: int = 0
    seconds: float = 0.0
    differing: list[str] = field(default_factory=list)
    """Ids on which the two verdicts differ."""
    failed: list[str] = field(default_factory=list)
    """Ids without a verdict of the authors that we do not call correct."""


def graded(one: Published) -> Grade:
    """Our reading; a gold answer that does not fit its type is no answer."""
    try:
        question = Question(
            id=one.id, text=one.question, answer=one.gold, choices=tuple(one.choices)
        )
        return grade(one.answer_type, one.text, question)
    except DataError as error:
        return Grade(answer=str(error), correct=False, rule="refused")


def rank(name: str) -> str:
    """A place in the reading order that does not depend on the others."""
    return hashlib.sha256(name.encode()).hexdigest()


def note(one: Published, ours: Grade) -> dict[str, Any]:
    """Returns the facts by which one completion is judged."""
    start, end = ours.span or (0, 0)
    around = one.text[max(0, start - AROUND) : end + AROUND] if ours.span else ""
    return {
        "id": one.id,
        "question": one.question[-TAIL:],
        "choices": one.choices,
        "gold": one.gold,
        "ours": ours.answer,
        "ours_correct": ours.correct,
        "rule": ours.rule,
        "around": around,
        "theirs_correct": one.theirs,
        "theirs": one.predicted,
        "text": one.text[-TAIL:],
    }


def measure(
    completions: Iterable[Published],
) -> tuple[dict[str, Row], dict[str, list[dict[str, Any]]]]:
    """Rows by answer type, and notes to read: differences, and the wrong ones without verdict."""
    rows: dict[str, Row] = defaultdict(Row)
    notes: dict[str, list[dict[str, Any]]] = {"differences": [], "unread": [], "unmatched": []}
    for one in completions:
        row = rows[one.answer_type]
        start = process_time()
        ours = graded(one)
        row.seconds += process_time() - start
        row.count += 1
        row.ours += ours.correct
        row.none += ours.answer is None or ours.rule == "refused"
        if one.theirs is not None:
            row.compared += 1
            row.agreed += ours.correct == one.theirs
            row.theirs += one.theirs
            row.ours_compared += ours.correct
        if one.theirs is None and not ours.correct:
            row.failed.append(one.id)
        if one.theirs is not None and ours.correct != one.theirs:
            row.differing.append(one.id)
            notes["differences"].append(note(one, ours))
        elif ours.answer is None:
            notes["unread"].append(note(one, ours))
        elif one.theirs is None and not ours.correct:
            notes["unmatched"].append(note(one, ours))
    for group in notes.values():
        group.sort(key=lambda kept: rank(kept["id"]))
    return rows, notes


def table(all_rows: Mapping[str, Mapping[str, Row]]) -> str:
    """Counts by folder and answer type."""
    lines = [
        "| folder | answers | completions | with a verdict | agreement | right by us"
        " | right by them | no answer read |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for folder, rows in all_rows.items():
        for kind, row in rows.items():
            shares = (
                f"{row.compared:,} | {row.agreed / row.compared:.2%} | {row.ours_compared:,}"
                f" | {row.theirs:,}"
                if row.compared
                else f"- | - | {row.ours:,} | -"
            )
            lines.append(f"| {folder} | {kind} | {row.count:,} | {shares} | {row.none:,} |")
    return "\n".join(lines)


class ReadSample(NamedTuple):
    """Differing verdicts that were read: how many there are, and whose are right."""

    differing: int
    read: int
    ours: int
    theirs: int

    def right(self, agreed: int, compared: int, which: int) -> str:
        """The estimated share of right verdicts, and its 95% interval where not all were read."""
        if not self.differing:
            return f"{agreed / compared:.2%}"
        if not self.read:
            return "not read"
        share, low, high = (
            (agreed + self.differing * part) / compared
            for part in (which / self.read, *accuracy_interval(which, self.read))
        )
        exact = self.read == self.differing
        return f"{share:.2%}" if exact else f"{share:.2%} ({low:.2%} to {high:.2%})"


def judged(names: Iterable[str], read: Readings) -> ReadSample:
    """The reading of the sample: the first of those differences that there still are."""
    ids = sorted(names, key=rank)
    verdicts = Counter(read[name]["right"] for name in ids[:SAMPLE] if name in read)
    return ReadSample(len(ids), verdicts.total(), verdicts["ours"], verdicts["theirs"])


def compared_table(all_rows: Mapping[str, Mapping[str, Row]], read: Readings) -> str:
    """Agreement by folder, and who is right where there is none."""
    lines = [
        "| folder | compared | agreement | differences | read | ours right | theirs right"
        " | estimated right: ours | theirs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    everywhere, right = 0, {"ours": 0.0, "theirs": 0.0}
    for folder, rows in all_rows.items():
        compared = sum(row.compared for row in rows.values())
        agreed = sum(row.agreed for row in rows.values())
        if not compared:
            continue
        sample = judged((name for row in rows.values() for name in row.differing), read)
        everywhere += compared
        right["ours"] += agreed + sample.differing * sample.ours / max(sample.read, 1)
        right["theirs"] += agreed + sample.differing * sample.theirs / max(sample.read, 1)
        lines.append(
            f"| {folder} | {compared:,} | {agreed / compared:.2%} | {sample.differing:,}"
            f" | {sample.read} | {sample.ours} | {sample.theirs}"
            f" | {sample.right(agreed, compared, sample.ours)}"
            f" | {sample.right(agreed, compared, sample.theirs)} |"
        )
    shares = " | ".join(f"{count / max(everywhere, 1):.2%}" for count in right.values())
    return "\n".join([*lines, f"| all | {everywhere:,} | | | | | | {shares} |"])


def below(all_rows: Mapping[str, Mapping[str, Row]], read: Readings) -> str:
    """The folders in which fewer of our verdicts are right than of theirs, and why."""
    lines = []
    for folder, rows in all_rows.items():
        names = [name for row in rows.values() for name in row.differing]
        sample = judged(names, read)
        if sample.theirs > sample.ours:
            lost = [read[name] for name in sorted(names, key=rank)[:SAMPLE] if name in read]
            kinds = Counter(reading["reason"] for reading in lost if reading["right"] == "theirs")
            why = "; ".join(f"{reason} ({count})" for reason, count in kinds.most_common())
            lines.append(
                f"- {folder}: {sample.theirs} to {sample.ours} of {sample.read} read. {why}."
            )
    if not lines:
        return "In no folder are fewer of our verdicts right than of theirs."
    return "Fewer of our verdicts than of theirs are right in:\n\n" + "\n".join(lines)


def failed_table(all_rows: Mapping[str, Mapping[str, Row]], read: Readings) -> str:
    """Returns the table of answers without a verdict: how often we rightly call one not correct."""
    lines = [
        "| folder | without a verdict | not correct by us | read | rightly so |",
        "|---|---|---|---|---|",
    ]
    for folder, rows in all_rows.items():
        count = sum(row.count - row.compared for row in rows.values())
        sample = judged((name for row in rows.values() for name in row.failed), read)
        if sample.differing:
            lines.append(
                f"| {folder} | {count:,} | {sample.differing:,} | {sample.read} | {sample.ours} |"
            )
    return "\n".join(lines)


def reasons(all_rows: Mapping[str, Mapping[str, Row]], read: Readings) -> str:
    """The reasons by folder, with how often each was met."""
    paragraphs = []
    for folder, rows in all_rows.items():
        ids = [name for row in rows.values() for name in (*row.differing, *row.failed)]
        kinds = Counter((read[name]["right"], read[name]["reason"]) for name in ids if name in read)
        lines = [f"- {right}, {count}: {why}" for (right, why), count in kinds.most_common()]
        if lines:
            paragraphs.append(f"**{folder}**\n\n" + "\n".join(lines))
    return "\n\n".join(paragraphs)


def page(all_rows: Mapping[str, Mapping[str, Row]], read: Readings) -> str:
    """``results/grading.md``."""
    return PAGE.format(
        below=below(all_rows, read),
        compared=compared_table(all_rows, read),
        failed=failed_table(all_rows, read),
        kinds=table(all_rows),
        left_out="\n".join(f"- `{name}`: {reason}." for name, reason in LEFT_OUT.items()),
        reasons=reasons(all_rows, read),
    )


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--folder", choices=FOLDERS, action="append")
    parser.add_argument("--disagreements", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    all_rows: dict[str, dict[str, Row]] = {}
    for folder in arguments.folder or FOLDERS:
        rows, notes = measure(FOLDERS[folder](arguments.data / "teacher_outputs" / folder))
        all_rows[folder] = rows
        print(table({folder: rows}).partition("---|\n")[2], flush=True)
        if arguments.disagreements:
            arguments.disagreements.mkdir(parents=True, exist_ok=True)
            for kind, group in notes.items():
                path = arguments.disagreements / f"{folder}.{kind}.jsonl"
                lines = [json.dumps(kept, ensure_ascii=False) + "\n" for kept in group]
                path.write_text("".join(lines), encoding="utf-8")
    if arguments.write:
        lines = (RESULTS / "grading_read.jsonl").read_text(encoding="utf-8").splitlines()
        read = {reading["id"]: reading for reading in map(json.loads, lines)}
        (RESULTS / "grading.md").write_text(page(all_rows, read), encoding="utf-8")


if __name__ == "__main__":
    main()
