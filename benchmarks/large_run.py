"""A run of 100,000 completions looked at: its page as a file, and served by ``potstill view``.

Run: python benchmarks/large_run.py [--json benchmarks/results/large_run.json] [--keep FOLDER]

The store is made up: 80,000 rationales of 10,000 training questions, and the answers of five
systems to 4,000 test questions, about 600 characters each, a part of them much longer. Wanted: the
page under 15 MB, open in a browser in under 2 s; ``potstill report`` in under 500 MB; each filter
of ``potstill view`` answered in under 200 ms, by the client's clock.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

from machine import facts, write_results

from potstill.keys import question_digest
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.records import (
    Comparison,
    Completion,
    Prediction,
    Question,
    Rationale,
    Request,
    Score,
    System,
)
from potstill.store import Store

TRAIN, SAMPLES, TEST = 10_000, 8, 4_000
RECIPE = f"""\
task: {{name: two_step_arithmetic, train: {TRAIN}, dev: 100, test: {TEST}}}
teacher: {{model: "openai:large"}}
student: bundled:student
generate: {{samples: {SAMPLES}}}
"""
SYSTEMS = {
    System("teacher"): 0.95,
    System("start", variant="zero_shot"): 0.02,
    System("start"): 0.25,
    System("answers_only", step=350): 0.3,
    System("rationales", step=350): 0.8,
}
T = TypeVar("T")
WORDS = [
    "first", "then", "so", "we", "take", "the", "number", "of", "apples", "boxes", "left", "and",
    "add", "multiply", "by", "gives",
]  # fmt: skip
FILTERS: dict[str, dict[str, str]] = {
    "all test questions": {},
    "lost by the student": {"start": "right", "student": "wrong"},
    "gained, and the teacher is wrong": {"start": "wrong", "student": "right", "wrong": "teacher"},
    "a word that few texts have": {"q": "rareword 7"},
    "a word that all texts have": {"q": "apples"},
    "no text has it": {"q": "xylophone"},
    "cut off, longest first": {"cut": "1", "sort": "length"},
    "no answer, of the longest third": {"unanswered": "1", "length": "long"},
    "the last page": {"page": "160"},
    "training, none kept": {"split": "train", "verdict": "none_kept"},
    "training, a word that few texts have": {"split": "train", "q": "rareword 7"},
    "training, no text has it": {"split": "train", "q": "xylophone"},
    "training, wrong, of a word": {"split": "train", "verdict": "wrong_answer", "q": "boxes"},
}  # fmt: skip


class Texts:
    """Made-up texts, the same in every run."""

    def __init__(self) -> None:
        self.random = random.Random(0)
        self._parts = [" ".join(self.random.choices(WORDS, k=25)) for _ in range(500)]

    def one(self, number: int) -> str:
        """Returns a text of about 600 characters; one in a hundred is twenty times as long."""
        parts = self.random.choices(self._parts, k=80 if number % 100 == 0 else 4)
        return f"{'. '.join(parts)}. rareword {self.random.randrange(2_000)}. So it is {number}."


def fill(run: Run) -> None:
    """Fill a run's store as its stages would have, without asking anybody."""
    store, task, texts = run.store, run.task, Texts()
    rationales = []
    for questions in batches(task.splits["train"]):
        completions = []
        for question in questions:
            request = Request(
                prompt=f"Q: {question.text}\nA: Let's think step by step.",
                samples=tuple(range(SAMPLES)),
                temperature=0.7,
                question_id=question.id,
                task=task.name,
            )
            completions += [
                Completion(
                    request=request, sample=sample, text=texts.one(sample), finish_reason="stop",
                    prompt_tokens=40, completion_tokens=150,
                )
                for sample in request.samples
            ]  # fmt: skip
        store.add_completions("openai:large", completions, stage="generate")
        for question, first in zip(questions, completions[::SAMPLES], strict=True):
            for id_, stored in store.completions("openai:large", first.request):
                verdict = texts.random.choice(["kept"] * 6 + ["wrong_answer", "duplicate"])
                rationales.append(
                    Rationale(
                        question_id=question.id, completion_id=id_, sample=stored.sample,
                        text=stored.text, answer=question.answer, verdict=verdict,
                        question_digest=question_digest(question), gold=question.answer,
                        right=verdict != "wrong_answer",
                    )
                )  # fmt: skip
    store.replace_rationales(rationales, grader="1", settings_hash="a")
    evaluate(store, task.name, task.splits["test"], texts)


def evaluate(store: Store, task: str, questions: tuple[Question, ...], texts: Texts) -> None:
    """Add answers of all systems to the test questions, with the results of counting them."""
    predictions, scores = [], []
    for place, (system, share) in enumerate(SYSTEMS.items()):
        answered = []
        for number, question in enumerate(questions):
            request = Request(
                prompt=f"Q: {question.text}\nA{place}:", question_id=question.id, task=task
            )
            answered.append(
                Completion(
                    request=request, sample=0, text=texts.one(number), completion_tokens=150,
                    finish_reason="length" if number % 31 == place else "stop",
                )
            )  # fmt: skip
        for part in batches(answered):
            store.add_completions(f"hf:{system.label}", part, stage="evaluate")
        own = []
        for number, (question, completion) in enumerate(zip(questions, answered, strict=True)):
            right = texts.random.random() < share
            own.append(
                Prediction(
                    system=system, task=task, question_id=question.id, text=completion.text,
                    answer=question.answer if right else [None, "17"][number % 2], correct=right,
                    finish_reason=completion.finish_reason,
                    completion_tokens=100 + texts.random.randrange(100),
                    question_digest=question_digest(question),
                )
            )  # fmt: skip
        correct = sum(prediction.correct for prediction in own)
        scores.append(
            Score(
                system=system, task=task, split="test", correct=correct, total=len(own),
                low=correct / len(own) - 0.01, high=correct / len(own) + 0.01, no_answer=0,
                truncated=0,
            )
        )  # fmt: skip
        predictions += own
    student, start = System("rationales", step=350), System("start")
    compared = Comparison(
        task=task, first=student, second=start, only_first=2_300, only_second=100,
        total=len(questions), difference=0.55, low=0.53, high=0.57, p_value=1e-300,
    )  # fmt: skip
    scores.append(
        Score(
            system=student, task=task, split="dev", correct=80, total=100, low=0.7, high=0.9,
            no_answer=0, truncated=0,
        )
    )  # fmt: skip
    store.replace_evaluation(scores, predictions, [compared], grader="2", settings_hash="c")


def batches(items: Sequence[T]) -> Iterator[list[T]]:
    """Yields items in lists of at most a thousand."""
    for start in range(0, len(items), 1_000):
        yield list(items[start : start + 1_000])


def potstill(*arguments: str) -> list[str]:
    """Returns a command of potstill, as a process of its own is started."""
    return [sys.executable, "-m", "potstill", *arguments]


def measure_report(folder: Path) -> dict[str, float]:
    """Returns the seconds, the memory and the page's size of ``potstill report``."""
    began = time.perf_counter()
    process = subprocess.Popen(potstill("report", str(folder)), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "memory_mb": round(usage.ru_maxrss / 1_000),
        "page_mb": round((folder / "report.html").stat().st_size / 1e6, 2),
    }


def measure_opening(address: str, times: int = 3) -> dict[str, float]:
    """Returns the seconds from the address to the drawn list of questions, in Chromium.

    ``processor_seconds`` are those of the process that draws the page, however busy the machine.
    """
    from playwright.sync_api import sync_playwright

    taken, worked = [], []
    with sync_playwright() as playwright:
        for _ in range(times):
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium")
            )
            page = browser.new_page()
            began = time.perf_counter()
            page.goto(address)
            page.wait_for_selector("#list > li")
            taken.append(time.perf_counter() - began)
            processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")
            own = [one for one in processes["processInfo"] if one["type"] == "renderer"]
            worked.append(max(one["cpuTime"] for one in own))
            browser.close()
    return {
        "seconds": round(statistics.median(taken), 2),
        "slowest": round(max(taken), 2),
        "processor_seconds": round(statistics.median(worked), 2),
    }


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Serve a run; gives the address, the process and the seconds until it answered."""
    began = time.perf_counter()
    process = subprocess.Popen(
        potstill("view", str(folder), "--set", "port=0"), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield found.group(), process.pid, time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def processor_seconds(process: int) -> float:
    """Returns the seconds that a process has computed."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_view(folder: Path, times: int = 20) -> dict[str, object]:
    """Returns what each filter takes, by the client's clock, and the server's memory."""
    with served(folder) as (address, process, started):
        filters: dict[str, dict[str, float]] = {}
        for name, asked in FILTERS.items():
            taken, total = [], 0
            query = urlencode({"task": "two_step_arithmetic", **asked})
            worked = processor_seconds(process)
            for _ in range(times):
                began = time.perf_counter()
                with urllib.request.urlopen(f"{address}questions.json?{query}") as answer:
                    found = json.load(answer)
                taken.append(1_000 * (time.perf_counter() - began))
                total = found["total"]
            filters[name] = {
                "found": total,
                "median_ms": round(statistics.median(taken), 1),
                "slowest_ms": round(max(taken), 1),
                "processor_ms": round(1_000 * (processor_seconds(process) - worked) / times, 1),
            }
        status = Path(f"/proc/{process}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+)", status)
        return {
            "seconds_to_start": round(started, 1),
            "memory_mb": round(int(peak.group(1)) / 1_000) if peak else None,
            "opening": measure_opening(address),
            "filters": filters,
        }


def main() -> None:
    """Make the run, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="takes the run; one that is there is used")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as temporary:
        folder = arguments.keep or Path(temporary) / "large"
        if not (folder / "run.sqlite").exists():
            recipe = Path(temporary) / "large.yaml"
            recipe.write_text(RECIPE)
            with Run(load_recipe(recipe, (f"run={json.dumps(str(folder))}",))) as run:
                run.identity.claim()
                fill(run)
        results = {
            "machine": {**facts("playwright"), "load_before": round(os.getloadavg()[0], 1)},
            "completions": TRAIN * SAMPLES + TEST * len(SYSTEMS),
            "store_mb": round((folder / "run.sqlite").stat().st_size / 1e6, 1),
            "report": measure_report(folder),
            "opening": measure_opening((folder / "report.html").resolve().as_uri()),
            "view": measure_view(folder),
        }
    print(json.dumps(results, indent=2))
    if arguments.json:
        write_results(arguments.json, results)


if __name__ == "__main__":
    main()
