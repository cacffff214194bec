"""Write the tables of real students: SmolLM2-135M on the papers' data, beside published figures.

Reads what ``potstill experiment recipes/real/NAME.yaml --out benchmarks/results/real-NAME.json``
found, with the variants ``d1`` and ``lora`` where they were run, and writes README.md's table and
the longer one of docs/real-table.md. Recipes without results are named there.

Run: python scripts/real_table.py
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from potstill.statistics import accuracy_interval
from potstill.text.chosen_on_test import SHORT as SHORT_WARNING

ROOT = Path(__file__).parents[1]
README, PAGE = ROOT / "README.md", ROOT / "docs" / "real-table.md"
NOTHING_YET = (
    "No recipe of real data has been run to its end yet, so there are no figures of a real student."
)

BEGIN, END = "<!-- real table -->", "<!-- end real table -->"

Systems = dict[str, dict[str, Any]]


class Listed(NamedTuple):
    """A task of the table."""

    task: str
    """The task's name in words."""

    published: tuple[str, str, str]
    """Answers alone, rationales and diverse rationales (-: none) of GPT-2 124M, T5 60M and T5 220M
    by Fine-tune-CoT (arXiv 2212.10071), in percent."""


TASKS = {
    "last-letters": Listed("letters", ("1.3, 4.7, 6.0", "24.7, 29.3, 46.7", "44.0, 47.3, 60.7")),
    "coin-flip": Listed("coin flip", ("60.0, 77.3, 76.0", "100, 100, 100", "100, 98.7, 100")),
    "svamp": Listed("SVAMP", ("10.3, 4.3, 10.3", "11.3, 9.3, 7.7", "8.7, 7.0, 10.3")),
    "multiarith": Listed("MultiArith", ("12.2, 8.3, 17.8", "13.9, 5.6, 15.0", "15.0, 10.6, 16.1")),
    "gsm8k-recorded": Listed("GSM8K", ("2.7, 3.0, -", "4.0, 2.6, -", "5.0, 3.2, -")),
    "dates": Listed("dates", ("27.9, 25.2, 21.6", "80.2, 77.5, 81.1", "78.4, 80.2, 82.9")),
    "strategy-qa": Listed(
        "StrategyQA", ("54.4, 55.8, 56.3", "58.8, 54.7, 56.0", "59.2, 55.9, 59.7")
    ),
    "commonsense-qa": Listed("common sense", ("20.9, 22.7, -", "22.1, 29.5, -", "51.6, 45.4, -")),
}  # fmt: skip
"""The tasks by the name of their recipe and result file."""

COLUMNS = {
    "answers alone": "answers_only",
    "rationales, D = 1": "d1/rationales",
    "rationales, all": "rationales",
    "LoRA": "lora/rationales",
}
"""The systems of the table by their column."""

BEYOND = ("points beyond answers alone", "beyond the best start")

HEAD = ("task", "teacher", "best start", *COLUMNS, *BEYOND, "GPT-2 124M", "T5 60M", "T5 220M")

SHORT = ("task", "best start", "answers alone", "rationales, all", BEYOND[0], *HEAD[-3:])
"""The columns of README.md's table."""


def cell(system: dict[str, Any] | None, *, trained: bool = True) -> str:
    """Returns a system's accuracy in percent with its 95% interval.

    It is over the trainings where there are several, whose number stands behind it, else over the
    questions of the one. A model that was not trained here is asked greedily, and answers alike
    beside each of the trainings but for what two processors round otherwise: its interval is over
    the questions, once.
    """
    if system is None:
        return "not run"
    counts = list(system["by_seed"].values())
    if trained and system["over_runs"]:
        (low, high), runs = system["over_runs"], f"; {len(counts)} seeds"
    else:
        total, runs = counts[0][1], ""
        low, high = accuracy_interval(round(system["mean"] * total), total)
    return f"{100 * system['mean']:.1f} [{100 * low:.1f}, {100 * high:.1f}]{runs}"


def against(systems: Systems, baseline: str) -> str:
    """Returns by how many points rationales beat a system, with the paired 95% interval.

    It is over the trainings where there are several, else over the questions of the one.
    """
    found = systems["rationales"]["against"].get(baseline)
    if found is None:
        return "not compared"
    paired = found["over_runs"] or found["over_questions"]
    if paired["interval"] is None:  # the difference was the same in all trainings
        return f"{100 * paired['difference']:+.1f} in each"
    low, high = (100 * bound for bound in paired["interval"])
    return f"{100 * paired['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"


def best_start(systems: Systems) -> tuple[str, dict[str, Any]]:
    """Returns the start with the highest accuracy, by its name; variants measure it again."""
    starts = {name: found for name, found in systems.items() if name.startswith("start")}
    return max(starts.items(), key=lambda item: float(item[1]["mean"]))


def row(name: str, listed: Listed, found: dict[str, Any]) -> tuple[str, ...]:
    """Returns a task's line of the table."""
    systems: Systems = next(iter(found[name]["tasks"].values()))
    start_name, start = best_start(systems)
    total = next(iter(start["by_seed"].values()))[1]
    warning = f"; {SHORT_WARNING}" if found[name].get("chosen_on_test") else ""
    return (
        f"{listed.task} ({total} questions{warning})",
        cell(systems.get("teacher"), trained=False),
        f"{cell(start, trained=False)} (`{start_name}`)",
        *(cell(systems.get(system)) for system in COLUMNS.values()),
        against(systems, "answers_only"),
        against(systems, start_name),
        *listed.published,
    )


def rows(results: Path) -> list[tuple[str, ...]]:
    """Returns the lines of the table for all results in a folder."""
    found = []
    for name, listed in TASKS.items():
        path = results / f"real-{name}.json"
        if path.is_file():
            found.append(row(name, listed, json.loads(path.read_text(encoding="utf-8"))))
    return found


def table(lines: list[tuple[str, ...]], heads: tuple[str, ...] = HEAD) -> str:
    """Returns some columns of the table as Markdown."""
    if not lines:
        return NOTHING_YET
    columns = [HEAD.index(head) for head in heads]
    cells = [heads, ("---",) * len(heads), *([line[at] for at in columns] for line in lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def not_run(results: Path) -> str:
    """Returns a sentence on the recipes without results; empty where there are none."""
    missing = [
        f"`recipes/real/{name}.yaml`"
        for name in TASKS
        if not (results / f"real-{name}.json").is_file()
    ]
    return f"Not run: {', '.join(missing)}." if missing else ""


def replaced(text: str, content: str) -> str:
    """Returns a page with other content between its marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"error: the page has no {BEGIN} ... {END}")
    return f"{before}{begin}\n{content}\n{end}{after}"


def main() -> None:
    """Write the tables into their pages."""
    results = ROOT / "benchmarks" / "results"
    lines = rows(results)
    long = "\n\n".join(filter(None, (table(lines), not_run(results))))
    for page, content in ((README, table(lines, SHORT)), (PAGE, long)):
        page.write_text(replaced(page.read_text(encoding="utf-8"), content), encoding="utf-8")
        print(f"{page}: written")


if __name__ == "__main__":
    main()
