"""Trained tokens a second: ours beside TRL's SFTTrainer, on one machine, turn by turn.

Run: python benchmarks/training.py [--repeats 3] [--steps 40] [--json FILE]

Both train the same weights on the same prompts and targets, the loss on the targets only, with the
same batch size, steps, optimiser and precision. Counted are real tokens of prompt and target that
went through the model, padding left out; the first steps, which warm up, are not timed. Their rows:
as they come, and with batches grouped by length; recomputing activations, which they do unless
told otherwise, is off. Packing needs FlashAttention to keep examples apart, so it has no row.
``bundled`` is the bundled student (0.7M parameters, vocabulary 512); ``32k`` is a Llama of about
10M with random weights and 32,000 tokens.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from machine import facts, write_results
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    TrainerCallback,
)
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging as transformers_logging
from trl import SFTConfig, SFTTrainer

from potstill.models import BUNDLED
from potstill.models.loading import load_model_and_tokenizer
from potstill.records import Example
from potstill.train.arguments import training_arguments
from potstill.train.batches import Collator, MicroBatches, plan_steps
from potstill.train.encoding import encode_examples
from potstill.train.settings import TrainSettings
from potstill.train.trainer import StudentTrainer

BATCH_SIZE, WARM_STEPS = 16, 4


class Stopwatch(TrainerCallback):
    """Seconds of the steps after the first few, and the tokens that were seen in them."""

    def __init__(self) -> None:
        self.seconds, self.tokens, self._start = 0.0, 0, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin after the warm-up, end with the last step."""
        if state.global_step == WARM_STEPS:
            self._start, self.tokens = time.perf_counter(), 0
        self.seconds = time.perf_counter() - self._start

    def counted(self, collate: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
        """A collator that counts the tokens of what it collates."""

        def call(rows: Any) -> dict[str, Any]:
            batch = collate(rows)
            self.tokens += int(batch["attention_mask"].sum())
            return batch

        return call

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


def example_texts(count: int) -> list[Example]:
    """Word problems of two to five steps; prompts of 30 to 60 words, targets of like length."""
    names, things = ("Anna", "Ben", "Mia", "Tom"), ("apples", "cards", "coins", "shells")
    made = []
    for number in range(count):
        name, thing, total = names[number % 4], things[number // 4 % 4], number % 7 + 2
        prompt, target = f"{name} has {total} {thing}.", ""
        for step in range(number % 4 + 2):
            more = (number // (step + 1)) % 8 + 2
            prompt += f" Then {name} finds {more} more {thing}."
            target += f" After that it is {total} + {more} = {total + more}."
            total += more
        made.append(
            Example(
                prompt=f"{prompt} How many {thing} does {name} have? ###",
                target=f"{target} --> {total}",
            )
        )
    return made


def model_and_tokenizer(kind: str) -> tuple[Any, PreTrainedTokenizerBase]:
    """The model of one row, the same weights each time."""
    model, tokenizer, _ = load_model_and_tokenizer(
        str(BUNDLED / "student"), dtype="float32", device="cpu"
    )
    if kind == "bundled":
        return model, tokenizer
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32_000,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=3,
        num_attention_heads=4,
        tie_word_embeddings=True,
        pad_token_id=model.config.pad_token_id,
        eos_token_id=model.config.eos_token_id,
        bos_token_id=model.config.bos_token_id,
    )
    return LlamaForCausalLM(config), tokenizer


def ours(kind: str, examples: list[Example], steps: int, folder: Path) -> float:
    """Tokens a second of our trainer."""
    model, tokenizer = model_and_tokenizer(kind)
    kept = encode_examples(examples, tokenizer, encoder_decoder=False, max_length=512).examples
    lengths = [example.length for example in kept]
    settings = TrainSettings(steps=steps, batch_size=BATCH_SIZE, precision="float32")
    watch = Stopwatch()
    collator = Collator(pad=tokenizer.pad_token_id, encoder_decoder=False)
    trainer = StudentTrainer(
        model,
        training_arguments(settings, folder, steps=steps, seed=0, use_cpu=True),
        batches=MicroBatches(
            kept,
            plan_steps(lengths, steps=steps, batch_size=BATCH_SIZE, seed=0),
            parts_per_step=1,
        ),
        collator=watch.counted(collator),  # type: ignore[arg-type]  # a function does as well
        tokenizer=tokenizer,
        save_steps=(),
    )
    return timed(trainer, watch)


def theirs(kind: str, examples: list[Example], steps: int, folder: Path, **options: Any) -> float:
    """Tokens a second of SFTTrainer."""
    model, tokenizer = model_and_tokenizer(kind)
    rows = [{"prompt": one.prompt, "completion": one.target} for one in examples]
    config = SFTConfig(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=BATCH_SIZE,
        learning_rate=3e-4,
        max_length=512,
        completion_only_loss=True,
        optim="adamw_torch_fused",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        seed=0,
        report_to="none",
        disable_tqdm=True,
        logging_strategy="no",
        save_strategy="no",
        **options,
    )
    trainer = SFTTrainer(
        model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer
    )
    watch = Stopwatch()
    trainer.data_collator = watch.counted(trainer.data_collator)
    return timed(trainer, watch)


def timed(trainer: Any, watch: Stopwatch) -> float:
    """Train, and tell tokens a second."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(watch)
    trainer.train()
    return watch.rate


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    examples, rows = example_texts(1_500), []
    print("| model | system | tokens/s, median | lowest to highest | ours / theirs |")
    print("|---|---|---|---|---|")
    for kind in ("bundled", "32k"):
        common = (kind, examples, arguments.steps)
        systems: dict[str, Callable[[Path], float]] = {
            "potstill": partial(ours, *common),
            "SFTTrainer": partial(theirs, *common),
            "SFTTrainer, grouped by length": partial(
                theirs, *common, train_sampling_strategy="group_by_length"
            ),
        }
        rates: dict[str, list[float]] = {name: [] for name in systems}
        for _ in range(arguments.repeats):
            for name, run in systems.items():
                with tempfile.TemporaryDirectory() as folder:
                    rates[name].append(run(Path(folder)))
        for name, seen in rates.items():
            ratios = [mine / other for mine, other in zip(rates["potstill"], seen, strict=True)]
            ratio = statistics.median(ratios)
            print(
                f"| {kind} | {name} | {statistics.median(seen):,.0f}"
                f" | {min(seen):,.0f} to {max(seen):,.0f} | {ratio:.2f} |",
                flush=True,
            )
            rows.append({"model": kind, "system": name, "tokens_per_second": seen, "ratio": ratio})
    if arguments.json:
        machine = facts("torch", "transformers", "trl")
        write_results(arguments.json, {"machine": machine, "rows": rows})


if __name__ == "__main__":
    main()
