"""How many points a batch costs that is padded on the left without an attention mask.

The published code of Fine-tune-CoT (arXiv 2212.10071) pads the prompts of GPT-2 on the left by hand
and passes no attention mask to ``generate``; its padding token is the token that ends a text, so
transformers cannot tell padding from text, and the padding is attended. Here transformers' own
``generate`` answers the test questions of finished runs in the same batches twice, with the mask
and without, from the checkpoint that development questions choose; potstill's grader grades both.
A checkpoint chosen on test was chosen by answers with the mask, and would favour it.

The students are Llamas with rotary positions, in which only distances count: what is measured is
the attended padding alone. GPT-2's positions are absolute, and left padding moves them as well.

Run: python benchmarks/attention_mask.py RUN RUN ... [--batch 32] [--out FILE]
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any, NamedTuple

import torch
from machine import facts, write_results
from transformers import AutoModelForCausalLM, AutoTokenizer

from potstill.grading.grade import grade
from potstill.models.local.prompt_encoding import PromptEncoder
from potstill.pipeline.chosen_student import student_asking
from potstill.pipeline.run import stored_run
from potstill.records import Task
from potstill.runtime.progress import Meter
from potstill.statistics import compare_runs, runs_interval

STUDENT = "rationales"
"""The student of a run that is measured."""

MASKED, UNMASKED = "with the mask", "without the mask"


class Loaded(NamedTuple):
    """A run's student as transformers loads it."""

    task: Task
    step: int
    max_tokens: int
    model: Any
    tokenizer: Any
    prompts: list[list[int]]
    """The prompts of the test questions, as the student was trained to be asked."""


def load(folder: Path) -> Loaded:
    """Returns the student of a finished run as development questions choose it, and its prompts."""
    with stored_run(folder, Meter(None), read_only=True) as run:
        choices = (one for one in run.store.choices() if one.rule == "in_distribution")
        choice = next(one for one in choices if one.student == STUDENT)
        checkpoint = next(
            one
            for one in run.store.checkpoints()
            if (one.system, one.step) == (choice.system, choice.step)
        )
        asking, task, place = student_asking(run, checkpoint), run.task, folder / checkpoint.folder
        tokenizer = AutoTokenizer.from_pretrained(place)
        encoder = PromptEncoder(tokenizer, "the student")
        requests = asking.requests(task.splits["test"])
        prompts = [list(encoder.prompt_ids(request)) for request in requests]
    model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
    return Loaded(task, checkpoint.step, asking.sampling.max_tokens, model, tokenizer, prompts)


def answers(loaded: Loaded, *, batch: int, masked: bool) -> list[str]:
    """Returns the greedy answer to each prompt, in batches padded on the left with the end token.

    Args:
        loaded: The student.
        batch: Prompts of a batch, in the order of the test questions.
        masked: Whether ``generate`` is told which tokens are padding.
    """
    end = int(loaded.tokenizer.eos_token_id)
    longest = loaded.max_tokens
    texts = []
    for start in range(0, len(loaded.prompts), batch):
        prompts = loaded.prompts[start : start + batch]
        width = max(map(len, prompts))
        ids = torch.tensor([[end] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        told = {"attention_mask": mask} if masked else {}
        with torch.inference_mode():
            written = loaded.model.generate(
                ids, max_new_tokens=longest, do_sample=False, pad_token_id=end, **told
            )
        for row in written[:, width:].tolist():
            ended = row.index(end) if end in row else len(row)
            texts.append(loaded.tokenizer.decode(row[:ended], skip_special_tokens=True))
    return texts


def right(loaded: Loaded, texts: list[str]) -> int:
    """Returns how many answers are right."""
    task = loaded.task
    questions = task.splits["test"]
    return sum(grade(task, text, q).correct for text, q in zip(texts, questions, strict=True))


def padded_share(loaded: Loaded, batch: int) -> float:
    """Returns the share of prompt tokens in the batches that are padding."""
    lengths = [len(prompt) for prompt in loaded.prompts]
    whole = sum(
        max(lengths[start : start + batch]) * len(lengths[start : start + batch])
        for start in range(0, len(lengths), batch)
    )
    return 1 - sum(lengths) / whole


def measured(folder: Path, batch: int) -> dict[str, Any]:
    """Returns what one run's student answers rightly in both ways."""
    loaded = load(folder)
    with_mask = answers(loaded, batch=batch, masked=True)
    without = answers(loaded, batch=batch, masked=False)
    found = {
        "run": folder.name,
        "step": loaded.step,
        "questions": len(loaded.prompts),
        "padding": round(padded_share(loaded, batch), 3),
        MASKED: right(loaded, with_mask),
        UNMASKED: right(loaded, without),
        "answers that differ": sum(a != b for a, b in zip(with_mask, without, strict=True)),
    }
    print(json.dumps(found), flush=True)
    return found


def main() -> None:
    """Measure all runs, and compare over them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--batch", type=int, default=32, help="prompts of a batch")
    parser.add_argument("--out", type=Path, help="takes the figures as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = [measured(folder, options.batch) for folder in options.runs]
    shares = {way: [one[way] / one["questions"] for one in found] for way in (MASKED, UNMASKED)}
    results: dict[str, Any] = {**facts("torch", "transformers"), "batch": options.batch}
    results["runs"] = found
    for way, accuracies in shares.items():
        interval = runs_interval(accuracies) if len(accuracies) > 1 else None
        results[way] = {"mean": statistics.fmean(accuracies), "over_runs": interval}
    if len(found) > 1:
        compared = compare_runs(shares[UNMASKED], shares[MASKED])
        results["without less with"] = compared._asdict()
    print(json.dumps({key: results[key] for key in results if key != "runs"}, indent=2))
    if options.out:
        write_results(options.out, results)


if __name__ == "__main__":
    main()
