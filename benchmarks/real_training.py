"""Trained tokens a second of a real pretrained model: ours, plain loops, Trainer and SFTTrainer.

Run: python benchmarks/real_training.py MODEL_FOLDER [--rounds 3] [--steps 4] [--json FILE]

All train SmolLM2-135M (``scripts/real_model.py`` makes the folder) on the same questions of SVAMP
or on last letters, with the rationales that gpt-3.5 wrote, in the same batches, with fused AdamW
and the gradient's norm clipped at 1. One pass of every system is a round, and rounds follow one
another, so that a busy machine disturbs all alike; the first step of each pass is not timed. Tokens
are those of prompt and target of every example, as often as it is trained, whatever a system
computes of them. Seconds are by the clock; the processor's stand beside them.

Cases: ``svamp`` and ``letters``: one rationale a question, eight questions a step;
``letters_shared``: two questions with eight rationales each, whose prompts can be shared.

Plain loops take a step's examples one at a time, padded into one batch, or as one row with position
ids. ``bf16 weights`` rounds the weights themselves, so that small updates are lost: what it trains
is another student, and its speed a bound. ``autocast`` and ours round the products alone.
"""

import argparse
import gzip
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from machine import facts, write_results
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging as transformers_logging

from potstill.records import Example
from potstill.train.batches import Collator, Steps, flat
from potstill.train.chunked_loss import Head
from potstill.train.defaults import FORMER, with_values
from potstill.train.encoding import Encoded, Encoder
from potstill.train.freed_memory import freed_memory_kept
from potstill.train.losses import loss_of
from potstill.train.prefix_sharing import can_share, enable
from potstill.train.settings import StudentSettings, TrainSettings
from potstill.train.trainer import Objective, StudentTrainer
from potstill.train.training_arguments import training_arguments

DATA = Path(os.environ.get("POTSTILL_DATA", Path(__file__).parents[2] / "shared" / "data"))
OUTPUTS = DATA / "teacher_outputs"
LETTERS = OUTPUTS / "early_stopping_sc" / "gpt-3.5_last_letters_T0.7.jsonl.gz"
SVAMP = OUTPUTS / "cot_granularity" / "SVAMP_ChatGPT_level3_ranked.json"

CASES = {"svamp": (8, 1), "letters": (8, 1), "letters_shared": (2, 8)}
"""Questions a step, and rationales of each."""

RATE = 1e-5


class Pass(NamedTuple):
    """One pass of one system."""

    clock: float
    """Trained tokens a second."""

    processor: float
    """Trained tokens a second of processor time."""

    losses: list[float]
    """The mean loss of each step; empty where a system does not tell it."""


class Setting(NamedTuple):
    """The start, the batches and the device of a training."""

    folder: Path
    steps: list[list[Encoded]]
    tokenizer: PreTrainedTokenizerBase
    device: str

    def model(self, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
        """Returns the model anew."""
        model: Any = AutoModelForCausalLM.from_pretrained(self.folder, dtype=dtype)
        return cast("PreTrainedModel", model.to(self.device).train())

    @property
    def tokens(self) -> list[int]:
        """The tokens of each step."""
        return [sum(example.length for example in step) for step in self.steps]


class Clocks(TrainerCallback):
    """Both clocks at the end of each step."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.times: list[tuple[float, float]] = []

    def note(self) -> None:
        """A step ends now."""
        if self._device == "cuda":
            torch.cuda.synchronize()
        self.times.append((time.perf_counter(), time.process_time()))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """See ``TrainerCallback``."""
        self.note()

    def measured(self, tokens: Sequence[int], losses: Sequence[float] = ()) -> Pass:
        """Returns the speed, the first step left out."""
        total = sum(tokens[1 : len(self.times)])
        first, last = self.times[0], self.times[-1]
        return Pass(total / (last[0] - first[0]), total / (last[1] - first[1]), list(losses))


def texts(case: str) -> Iterator[tuple[str, list[str]]]:
    """Yields questions with recorded rationales."""
    if case == "svamp":
        for row in json.loads(SVAMP.read_text(encoding="utf-8")):
            yield row["instruction"], [row["output"].strip()]
        return
    with gzip.open(LETTERS, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield row["question"].removeprefix("Q: "), list(dict.fromkeys(row["generated_answer"]))


def material(case: str, tokenizer: PreTrainedTokenizerBase, steps: int) -> list[list[Encoded]]:
    """Returns the examples of each step, in chat format as the student is asked."""
    questions, rationales = CASES[case]
    usable = [pair for pair in texts(case) if len(pair[1]) >= rationales]
    examples = [
        Example(prompt=_chat(tokenizer, question), target=text, question_id=question)
        for question, written in usable[: steps * questions]
        for text in written[:rationales]
    ]
    kept = (
        Encoder(tokenizer, encoder_decoder=False, control_tokens=True)
        .encode(examples, max_length=1024)
        .examples
    )
    size = questions * rationales
    return [list(kept[first : first + size]) for first in range(0, len(kept), size)]


def _chat(tokenizer: PreTrainedTokenizerBase, question: str) -> str:
    turn = [{"role": "user", "content": question}]
    text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    assert isinstance(text, str)
    return text


def ours(setting: Setting, *, precision: str) -> Pass:
    """Train with our trainer."""
    model, clocks = setting.model(), Clocks(setting.device)
    on_cpu = setting.device == "cpu"
    given = TrainSettings.model_validate(
        {
            "steps": len(setting.steps),
            "precision": precision,
            "learning_rate": RATE,
            "weight_decay": 0.0,
            "warmup": 0.0,
            "schedule": "constant",
        }
    )
    settings = with_values(given, FORMER)
    head = Head.of(model)
    reason = can_share(model, longest=1024)
    assert reason is None, reason
    enable(model)
    examples = [example for step in setting.steps for example in step]
    numbers = iter(range(len(examples)))
    plan = [[next(numbers) for _ in step] for step in setting.steps]
    with tempfile.TemporaryDirectory() as folder:
        arguments = training_arguments(
            settings, Path(folder), steps=len(plan), seed=0, use_cpu=on_cpu
        )
        trainer = StudentTrainer(
            model,
            arguments,
            objective=Objective(head, loss_of(StudentSettings())),
            steps=Steps(examples, plan, batch_tokens=settings.batch_tokens),
            collator=Collator(flat),
            tokenizer=setting.tokenizer,
            save_steps=(),
        )
        losses: list[float] = []

        class Loss(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                losses.append(trainer.mean_loss())

        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Loss())
        trainer.add_callback(clocks)
        with freed_memory_kept(torch.device(setting.device)):
            trainer.train()
    return clocks.measured(setting.tokens, losses)


def autocast(setting: Setting, *, on: bool) -> AbstractContextManager[Any]:
    """Returns the context in which products are rounded to bfloat16."""
    return torch.autocast(setting.device, torch.bfloat16, enabled=on)


def plain(setting: Setting, *, how: str, precision: str) -> Pass:
    """Train with a loop as anyone would write it."""
    model = setting.model(torch.bfloat16 if precision == "weights" else torch.float32)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0, fused=True)
    clocks = Clocks(setting.device)
    losses = []
    for step in setting.steps:
        trained, total = sum(len(example.target) for example in step), 0.0
        for inputs in batches(step, how, setting.device):
            with autocast(setting, on=precision == "autocast"):
                loss = model(**inputs, use_cache=False, num_items_in_batch=trained).loss
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(total)
        clocks.note()
    return clocks.measured(setting.tokens, losses)


def batches(step: Sequence[Encoded], how: str, device: str) -> Iterator[dict[str, Tensor]]:
    """Yields a step's examples as a model's inputs: ``each``, ``padded`` or as one ``row``."""
    rows = [torch.tensor([*example.prompt, *example.target], device=device) for example in step]
    labels = [row.clone() for row in rows]
    for label, example in zip(labels, step, strict=True):
        label[: len(example.prompt)] = -100
    if how == "each":
        for row, label in zip(rows, labels, strict=True):
            yield {"input_ids": row[None], "labels": label[None]}
    elif how == "row":
        places = torch.cat([torch.arange(len(row), device=device) for row in rows])
        for label in labels:
            label[0] = -100  # not predicted from the example before it
        yield {
            "input_ids": torch.cat(rows)[None],
            "position_ids": places[None],
            "labels": torch.cat(labels)[None],
        }
    else:
        pad = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
        ids = pad(rows, padding_value=0)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        mask = torch.arange(ids.shape[1], device=device) < lengths[:, None]
        yield {
            "input_ids": ids,
            "attention_mask": mask.long(),
            "labels": pad(labels, padding_value=-100),
        }


def _options(setting: Setting, folder: str, *, bf16: bool, rows: int) -> dict[str, Any]:
    return {
        "output_dir": folder,
        "max_steps": len(setting.steps),
        "per_device_train_batch_size": rows,
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "optim": "adamw_torch_fused",
        "use_cpu": setting.device == "cpu",
        "bf16": bf16,
        "seed": 0,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_strategy": "no",
        "save_strategy": "no",
        "dataloader_pin_memory": setting.device == "cuda",
    }


def hf_trainer(setting: Setting, *, bf16: bool) -> Pass:
    """Train with transformers' Trainer, which pads each batch."""
    clocks = Clocks(setting.device)
    examples = [example for step in setting.steps for example in step]

    def collate(batch: list[Encoded]) -> dict[str, Tensor]:
        return next(batches(batch, "padded", "cpu"))

    with tempfile.TemporaryDirectory() as folder:
        options = _options(setting, folder, bf16=bf16, rows=len(setting.steps[0]))
        trainer = Trainer(
            model=setting.model(),
            args=TrainingArguments(
                **options, remove_unused_columns=False, train_sampling_strategy="sequential"
            ),
            data_collator=collate,
            train_dataset=examples,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(clocks)
        trainer.train()
    return clocks.measured(setting.tokens)


def sft(setting: Setting, *, bf16: bool, **ways: Any) -> Pass:
    """Train with TRL's SFTTrainer; a packed row holds as many tokens as a step of the others."""
    from datasets import Dataset, disable_progress_bars
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    clocks = Clocks(setting.device)
    rows = [
        {
            "input_ids": [*example.prompt, *example.target],
            "completion_mask": [0] * len(example.prompt) + [1] * len(example.target),
        }
        for step in setting.steps
        for example in step
    ]
    packed = bool(ways.get("packing"))
    with tempfile.TemporaryDirectory() as folder:
        options = _options(setting, folder, bf16=bf16, rows=1 if packed else len(setting.steps[0]))
        # A limit above all rows changes nothing; padding-free batches are refused with one.
        ways["max_length"] = max(setting.tokens) if packed else None
        trainer = SFTTrainer(
            setting.model(),
            args=SFTConfig(**options, gradient_checkpointing=False, **ways),
            train_dataset=Dataset.from_list(rows),
            processing_class=setting.tokenizer,
        )
        collate, counted = trainer.data_collator, []

        def counting(batch: Any) -> Any:
            inputs = collate(batch)
            real = inputs.get("attention_mask")
            counted.append(int(real.sum() if real is not None else inputs["input_ids"].numel()))
            return inputs

        trainer.data_collator = counting
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(clocks)
        trainer.train()
    return clocks.measured(counted)


def systems(precision: str) -> dict[str, Callable[[Setting], Pass]]:
    """Returns all that is measured, by name."""
    bf16 = precision == "bfloat16"
    found: dict[str, Callable[[Setting], Pass]] = {"potstill": partial(ours, precision=precision)}
    for how in ("each", "row", "padded"):
        way = "autocast" if bf16 else "float32"
        found[f"plain loop, {how}"] = partial(plain, how=how, precision=way)
        if bf16:
            found[f"plain loop, {how}, bf16 weights"] = partial(plain, how=how, precision="weights")
    found["Trainer"] = partial(hf_trainer, bf16=bf16)
    found["SFTTrainer, padded"] = partial(sft, bf16=bf16)
    found["SFTTrainer, padding-free"] = partial(sft, bf16=bf16, padding_free=True)
    found["SFTTrainer, packed"] = partial(sft, bf16=bf16, packing=True)
    return found


def shared_ratio(steps: Sequence[Sequence[Encoded]]) -> float:
    """Returns the tokens of all examples over the distinct ones in their contexts."""
    rows = [flat(step)["inputs"]["input_ids"].numel() for step in steps]
    return sum(example.length for step in steps for example in step) / float(sum(rows))


def measure(
    setting: Setting, wanted: dict[str, Callable[[Setting], Pass]], rounds: int
) -> dict[str, list[Pass]]:
    """Returns the passes of each system, taken in turns."""
    passes: dict[str, list[Pass]] = {name: [] for name in wanted}
    for _ in range(rounds):
        for name, run in wanted.items():
            passes[name].append(run(setting))
            print(f"  {name}: {passes[name][-1].clock:,.0f}", flush=True)
    return passes


def figures(passes: dict[str, list[Pass]]) -> list[dict[str, Any]]:
    """Returns each system's speeds, and ours over it round by round."""
    mine = passes["potstill"]
    rows = []
    for name, theirs in passes.items():
        row: dict[str, Any] = {"system": name, "losses": theirs[0].losses}
        for clock in ("clock", "processor"):
            ratios = [
                getattr(a, clock) / getattr(b, clock) for a, b in zip(mine, theirs, strict=True)
            ]
            row[clock] = {
                "tokens_per_second": [round(getattr(one, clock), 1) for one in theirs],
                "ours_over_it": round(statistics.median(ratios), 3),
                "lowest": round(min(ratios), 3),
                "highest": round(max(ratios), 3),
            }
        rows.append(row)
    return rows


def show(case: str, precision: str, ideal: float, rows: list[dict[str, Any]]) -> None:
    """Print a Markdown table."""
    print(f"\n{case}, {precision}; tokens over distinct ones {ideal:.2f}\n")
    print("| system | tokens/s | of processor time | ours over it (by the clock) | (processor) |")
    print("|---|---|---|---|---|")
    for row in rows:
        cells = [row["system"]]
        cells += [
            f"{statistics.median(row[clock]['tokens_per_second']):,.0f}"
            for clock in ("clock", "processor")
        ]
        cells += [
            f"{row[clock]['ours_over_it']:.2f} ({row[clock]['lowest']:.2f} to "
            f"{row[clock]['highest']:.2f})"
            for clock in ("clock", "processor")
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def loaded_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Returns the model's tokenizer."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    return tokenizer


def main() -> None:
    """Measure, print tables, and write the figures."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="of a pass, the first not timed")
    parser.add_argument("--only", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--precisions", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--systems", nargs="+", help="ours and those whose names begin so")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    tokenizer = loaded_tokenizer(args.folder)
    results = []
    for case in args.only:
        setting = Setting(
            args.folder, material(case, tokenizer, args.steps), tokenizer, args.device
        )
        ideal = shared_ratio(setting.steps)
        for precision in args.precisions:
            names = ("potstill", *args.systems) if args.systems else ("",)
            chosen = {
                name: run for name, run in systems(precision).items() if name.startswith(names)
            }
            rows = figures(measure(setting, chosen, args.rounds))
            show(case, precision, ideal, rows)
            results.append(
                {
                    "case": case,
                    "precision": precision,
                    "tokens": setting.tokens,
                    "tokens_over_distinct": ideal,
                    "rows": rows,
                }
            )
            if args.json:  # after each, so that what is measured is kept
                machine = {**facts("torch", "transformers", "trl"), "threads": args.threads}
                write_results(args.json, {"machine": machine, "results": results})


if __name__ == "__main__":
    main()
