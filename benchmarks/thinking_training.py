"""Students of a teacher that thinks for 2,000 tokens: what is trained on, and what is too long.

Run: python benchmarks/thinking_training.py FOLDER [--out benchmarks/results/thinking_training.json]

FOLDER is a model with a chat template, such as the one that ``make real-model`` writes. Questions,
answers and thinking are words made by rule. Three students take three steps each: one keeps the
thinking, one drops it, one learns a mixture. Each training text is decoded from the very token ids
that the student is trained on, and written out with its thinking shortened; then a limit that no
thinking fits in is set, and what is said of the texts that are left out is written down.
"""

import argparse
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from transformers import AutoTokenizer, PreTrainedTokenizerBase

import potstill.train.student as student_module
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.runtime.progress import Meter
from potstill.train.encoding import EncodedExamples

ROOT = Path(__file__).parents[1]
OUT = ROOT / "benchmarks" / "results" / "thinking_training.json"
THINKING_TOKENS = 2000
QUESTIONS = 5
MIXTURE = {"long": 0.2, "short": 0.8}
STUDENTS: dict[str, dict[str, Any]] = {
    "keep": {"data_format": "chat", "thinking": "keep"},
    "drop": {"data_format": "chat", "thinking": "drop"},
    "mix": {"data_format": "chat", "thinking": MIXTURE},
}
NAMES = {"smollm2": "SmolLM2-135M-Instruct"}
"""Models by their folders."""

SHORTENED = "[... {tokens:,} tokens of thinking in all ...]"


def thinking_of(number: int, tokenizer: PreTrainedTokenizerBase, tokens: int) -> str:
    """Returns thinking about ``number + number + 1``, of at least so many tokens, by counting up.

    Args:
        number: The number in question.
        tokenizer: Counts the tokens.
        tokens: The least number of them.
    """
    lines = list[str]()
    while len(tokenizer("\n".join(lines))["input_ids"]) < tokens:
        step = len(lines) + 1
        lines.append(f"Check {step}: {number} and {step} make {number + step}, which is not all.")
    return "\n".join(lines)


def write_run(folder: Path, start: Path, tokenizer: PreTrainedTokenizerBase) -> Path:
    """Writes questions, a teacher's recorded answers and the recipe; returns the recipe.

    Args:
        folder: Takes them.
        start: The model that the students start from.
        tokenizer: Its tokenizer.
    """
    splits = ["train"] * QUESTIONS + ["dev", "test"]
    questions, recorded = list[str](), list[str]()
    for number, split in enumerate(splits, start=11):
        text = f"What is {number} plus {number + 1}?"
        total = 2 * number + 1
        thinking = thinking_of(number, tokenizer, THINKING_TOKENS)
        answer = f"{number} and {number + 1} make {total}.\nThe answer is {total}."
        row = {"question": text, "answer": str(total), "split": split}
        questions.append(json.dumps(row))
        rationale = f"<think>\n{thinking}\n</think>\n\n{answer}"
        recorded.append(json.dumps({"question": text, "rationale": rationale}))
    (folder / "sums.jsonl").write_text("\n".join(questions) + "\n", encoding="utf-8")
    (folder / "teacher.jsonl").write_text("\n".join(recorded) + "\n", encoding="utf-8")
    recipe = {
        "run": str(folder / "run"),
        "task": {"file": str(folder / "sums.jsonl")},
        "teacher": f"recorded:{folder / 'teacher.jsonl'}",
        "student": {"model": f"hf:{start}", "dtype": "bfloat16"},
        "generate": {"samples": 1},
        "train": {
            "students": STUDENTS,
            "steps": 3,
            "batch_size": 1,
            "max_length": 4096,
            "precision": "bfloat16",
        },
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path


class Watched(logging.Handler):
    """Keeps what is said, and the examples that each student is trained on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self.encoded: list[EncodedExamples] = []
        self._encode = student_module.encode_fitting

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line."""
        self.lines.append(record.getMessage())

    def __enter__(self) -> "Watched":
        def encode(*arguments: Any) -> EncodedExamples:
            encoded = self._encode(*arguments)
            self.encoded.append(encoded)
            return encoded

        student_module.encode_fitting = encode  # type: ignore[assignment]
        logging.getLogger("potstill").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        student_module.encode_fitting = self._encode
        logging.getLogger("potstill").removeHandler(self)


def shortened(text: str, thinking: Sequence[str], tokens: int) -> str:
    """Returns a training text with the middle of its thinking left out.

    Args:
        text: The text.
        thinking: All that was thought, one of which it may hold.
        tokens: How many tokens each has.
    """
    for whole in thinking:
        if whole in text:
            lines = whole.splitlines()
            middle = SHORTENED.format(tokens=tokens)
            return text.replace(whole, f"{lines[0]}\n{middle}\n{lines[-1]}")
    return text


def measure(start: Path, folder: Path) -> dict[str, Any]:
    """Trains the students, and returns what each was trained on and what was said.

    Args:
        start: The model that they start from.
        folder: Takes the run.
    """
    tokenizer = AutoTokenizer.from_pretrained(start)
    recipe = write_run(folder, start, tokenizer)
    thoughts = [
        thinking_of(number, tokenizer, THINKING_TOKENS) for number in range(11, 11 + QUESTIONS)
    ]
    found: dict[str, Any] = {"model": start.name, "questions": QUESTIONS, "students": {}}
    with Run(load_recipe(recipe), Meter(None)) as run:
        run.generate()
        run.curate()
        with Watched() as watched:
            run.train()
        steps = {one.system.label: one for one in run.store.training()}
    for name, encoded in zip(STUDENTS, watched.encoded, strict=True):
        texts = [str(tokenizer.decode([*one.prompt, *one.target])) for one in encoded.examples]
        long = [text for text in texts if any(whole in text for whole in thoughts)]
        tokens = len(tokenizer(thoughts[0])["input_ids"])
        short = [text for text in texts if text not in long]
        found["students"][name] = {
            "examples": len(texts),
            "with_whole_thinking": len(long),
            "left_out": encoded.too_long,
            "longest_tokens": encoded.longest,
            "steps": steps[name].step,
            "loss": round(steps[name].loss, 4),
            "texts": [shortened(one[0], thoughts, tokens) for one in (long, short) if one],
        }
    found["said"] = [line for line in watched.lines if "thinking" in line]
    changed = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    changed["train"] |= {"max_length": 1024, "students": {"mix": STUDENTS["mix"]}}
    recipe.write_text(
        yaml.safe_dump(changed | {"run": str(folder / "short")}, sort_keys=False), encoding="utf-8"
    )
    with Run(load_recipe(recipe), Meter(None)) as run, Watched() as watched:
        run.generate()
        run.curate()
        run.train()
    (encoded,) = watched.encoded
    found["too_long"] = {
        "max_length": 1024,
        "examples": len(encoded.examples),
        "left_out": encoded.too_long,
        "said": [line for line in watched.lines if "left out" in line],
    }
    return found


def page_section(found: Mapping[str, Any]) -> str:
    """Returns what docs/students.md says of a measurement, as Markdown.

    Args:
        found: What :func:`measure` returned.
    """
    lines = [
        f"On {NAMES.get(found['model'], found['model'])}, whose template puts a system prompt of "
        f"its own first, and a teacher that thinks for 2,000 tokens before each of "
        f"{found['questions']} answers (`python benchmarks/thinking_training.py FOLDER`, three "
        "steps each):",
        "",
        "| student | examples | with all of the thinking | left out | longest, tokens |",
        "|---|---|---|---|---|",
    ]
    for name, row in found["students"].items():
        lines.append(
            f"| `{name}` | {row['examples']} | {row['with_whole_thinking']} | {row['left_out']} | "
            f"{row['longest_tokens']:,} |"
        )
    lines += ["", "What `keep` is trained on, then `drop`; `mix` is trained on both:", ""]
    for name in ("keep", "drop"):
        lines += ["```", found["students"][name]["texts"][0], "```", ""]
    limit = found["too_long"]
    lines += [
        f"With `max_length: {limit['max_length']}`, `mix` is told of what does not fit:",
        "",
        "```",
        *limit["said"],
        "```",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("start", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = measure(arguments.start.resolve(), Path(name))
    arguments.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(page_section(found))


if __name__ == "__main__":
    main()
