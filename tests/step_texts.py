"""Published completions of many prompt styles, for tests of how they fall into steps."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def rows(file: Path) -> list[Any]:
    """The rows of a JSON or JSON-lines file, packed or not."""
    data = file.read_bytes()
    text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode()
    if text.startswith("["):
        return list(json.loads(text))
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _field(path: str, *keys: str) -> Callable[[Path], Iterator[str]]:
    def read(data: Path) -> Iterator[str]:
        for row in rows(data / path):
            value = row
            for key in keys:
                value = value[key]
            yield value[0] if isinstance(value, list) else value

    return read


_T = "teacher_outputs/"
TEXTS: dict[str, Callable[[Path], Iterator[str]]] = {
    "gsm8k": _field("gsm8k/test_300.jsonl", "answer"),
    "socratic": _field("gsm8k/test_300_socratic.jsonl", "answer"),
    "gpt3_175b": _field(
        _T + "gsm8k_gpt3_finetuned/example_model_solutions.jsonl", "175b_verification", "solution"
    ),
    "abel": _field(_T + "abel/gsm8k_7b.jsonl", "response"),
    "re2_davinci": _field(_T + "re2/gsm8k_text-davinci-003_read1.jsonl", "cot", "generation"),
    "re2_4o_mini": _field(_T + "re2/gsm8k_gpt-4o-mini_read1.jsonl", "cot", "generation"),
    "level_4": _field(_T + "cot_granularity/SVAMP_ChatGPT_level4_ranked.json", "output"),
    "faithful_cot": _field(_T + "faithful_cot/GSM8K/gpt-3.5-turbo_COT.jsonl", "completion"),
    "math_gpt_4": _field(_T + "math_train_8_samples/gpt-4_prealgebra.jsonl.gz", "generated_answer"),
    "natural_program": _field(_T + "natural_program/human_annotation/addsub_100.json", "answer"),
    "plan_and_solve": _field(
        _T + "plan_and_solve_davinci_003/MultiArith-zero_shot-302-text-davinci-003.json",
        "chain-of-thought",
    ),
    "xot": _field(_T + "xot/gsm8k_cot.jsonl", "reason/cot"),
}
