"""Trained tokens a second: ours beside TRL's SFTTrainer and a plain loop, on one machine, in turn.

Run: python benchmarks/training.py [--repeats 3] [--only CASE...] [--systems NAME...] [--json FILE]

All train the same random weights (a Llama of six layers, 384 wide, and a vocabulary of 8,192 tokens
that is made of the questions on the spot) on the same prompts and targets, the loss on the targets
only, with the same examples a step, optimiser and precision. The questions are GSM8K's, with the
rationales that eight teachers wrote for them. Counted are the tokens of
prompt and target of every example, as often as an example is trained, whatever the system computes
of them; the first step, which warms up, is not timed.

Cases: ``zero_shot``: the question, 8 rationales each; ``in_context``: four worked questions before
it, 8 rationales each; ``single``: the question, one rationale, where nothing can be shared.

Theirs: as it comes; with batches grouped by length; padding-free (a batch as one row); packed
(best-fit decreasing). Recomputing activations, which SFTTrainer does unless told otherwise, is off.
The plain loop pads each batch as it comes. Ours without sharing trains the same examples in random
order.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from datasets import Dataset, disable_progress_bars
from machine import facts, write_results
from teacher_outputs import FOLDERS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    TrainerCallback,
)
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging as transformers_logging
from trl import SFTConfig, SFTTrainer

from potstill.records import Example
from potstill.train.batches import Collator, Order, Steps, flat, plan_steps
from potstill.train.chunked_loss import Head
from potstill.train.defaults import FORMER, with_values
from potstill.train.encoding import Encoded, Encoder
from potstill.train.losses import loss_of
from potstill.train.prefix_sharing import can_share, enable
from potstill.train.settings import StudentSettings, TrainSettings
from potstill.train.trainer import Objective, StudentTrainer
from potstill.train.training_arguments import training_arguments

DATA = Path(os.environ.get("POTSTILL_DATA", Path(__file__).parents[2] / "shared" / "data"))
RECORDED = {
    "mot_cascade": "gsm_cot",  # GPT-4, three samples
    "faithful_cot": "GSM8K/",  # code-davinci-002, text-davinci-002 and gpt-3.5-turbo
    "xot": "gsm8k",  # gpt-3.5-turbo
    "llm_adapters": "gsm8k",
}
"""Folders of recorded rationales, and what the ids of those for GSM8K have in common."""

SIBLINGS, BATCH_SIZE, EXEMPLARS = 8, 16, 4
STEPS = {"zero_shot": 12, "in_context": 3, "single": 12}
WARM_STEPS = 1
VOCABULARY = 8_192


class Material(NamedTuple):
    """The examples that one case trains on, and the number of steps."""

    steps: int
    examples: list[Example]
    tokenizer: PreTrainedTokenizerBase


class Stopwatch(TrainerCallback):
    """Seconds of the steps after the first, and the tokens of the examples in them."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._tokens: list[int] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Note when each step ends."""
        self._times.append(time.perf_counter())

    def counted(
        self, collate: Callable[[Any], Any], tokens_of: Callable[[Any, Any], int]
    ) -> Callable[[Any], Any]:
        """A collator that counts the tokens of what it collates."""

        def call(rows: Any) -> Any:
            batch = collate(rows)
            self._tokens.append(tokens_of(rows, batch))  # batches are made ahead of their step
            return batch

        return call

    @property
    def rate(self) -> float:
        """Tokens a second, the first steps left out."""
        tokens = sum(self._tokens[WARM_STEPS : len(self._times)])
        return tokens / (self._times[-1] - self._times[WARM_STEPS - 1])


def gsm8k() -> list[dict[str, str]]:
    """The training questions with their solutions."""
    with (DATA / "gsm8k" / "train.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def recorded() -> dict[str, list[str]]:
    """300 questions, each with the rationales that eight systems wrote for it.

    They are GSM8K test questions, the only ones with so many recorded rationales; what is trained
    here is thrown away.
    """
    rationales: dict[str, list[str]] = defaultdict(list)
    for folder, wanted in RECORDED.items():
        for one in FOLDERS[folder](DATA / "teacher_outputs" / folder):
            if (
                wanted in one.id
                and "_LtM" not in one.id
                and one.answer_type == "number"
                and one.text.strip()
            ):
                rationales[" ".join(one.question.split())].append(one.text.strip())
    return {question: texts for question, texts in rationales.items() if len(texts) == SIBLINGS}


def made_tokenizer(texts: list[str]) -> PreTrainedTokenizerBase:
    """Byte-level BPE of the questions and rationales."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<eos>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>")


def material(case: str) -> Material:
    """The examples of a case."""
    draw, rows, rationales = random.Random(0), gsm8k(), recorded()
    texts = [text for those in rationales.values() for text in those]
    tokenizer = made_tokenizer([row["question"] for row in rows] + texts)
    worked = [f"Q: {row['question']}\nA: {row['answer']}" for row in rows]
    examples = []
    for question, those in rationales.items():
        shown = draw.sample(worked, EXEMPLARS) if case == "in_context" else []
        prompt = "\n\n".join([*shown, f"Q: {question}\nA:"])
        examples += [
            Example(prompt=prompt, target=f" {text}", question_id=question)
            for text in (draw.sample(those, 1) if case == "single" else those)
        ]
    return Material(STEPS[case], examples, tokenizer)


def model_of(tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """The same random weights each time."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=384,
            intermediate_size=1024,
            num_hidden_layers=6,
            num_attention_heads=6,
            max_position_embeddings=4096,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


def encoded(data: Material) -> list[Encoded]:
    """The examples as ids."""
    encoder = Encoder(data.tokenizer, encoder_decoder=False)
    return list(encoder.encode(data.examples, max_length=4096).examples)


def ours(data: Material, folder: Path, *, siblings: int) -> float:
    """Tokens a second of our trainer."""
    model, kept = model_of(data.tokenizer), encoded(data)
    given = TrainSettings(steps=data.steps, batch_size=BATCH_SIZE, precision="float32")
    settings = with_values(given, FORMER)
    head = Head.of(model)
    assert can_share(model, longest=4096) is None
    enable(model)
    plan = plan_steps(kept, Order(BATCH_SIZE, siblings), data.steps)
    events = Stopwatch()
    trainer = StudentTrainer(
        model,
        training_arguments(settings, folder, steps=data.steps, seed=0, use_cpu=True),
        objective=Objective(head, loss_of(StudentSettings())),
        steps=Steps(kept, plan, batch_tokens=settings.batch_tokens),
        collator=events.counted(  # type: ignore[arg-type]  # a function does as well
            Collator(flat),
            lambda rows, _: sum(one.length - 1 for part in rows[0] for one in part),
        ),
        tokenizer=data.tokenizer,
        save_steps=(),
    )
    return timed(trainer, events)


def theirs(data: Material, folder: Path, **options: Any) -> float:
    """Tokens a second of SFTTrainer; a packed row holds several examples, so fewer make a step."""
    model = model_of(data.tokenizer)
    texts = [{"prompt": one.prompt, "completion": one.target} for one in data.examples]
    longest = max(one.length for one in encoded(data))
    mean = statistics.mean(one.length for one in encoded(data))
    packed = bool(options.get("packing"))
    rows = max(round(BATCH_SIZE * mean / longest), 1) if packed else BATCH_SIZE
    config = SFTConfig(
        output_dir=str(folder),
        max_steps=data.steps,
        per_device_train_batch_size=rows,
        learning_rate=3e-4,
        max_length=None if options.get("padding_free") else longest,
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
        model, args=config, train_dataset=Dataset.from_list(texts), processing_class=data.tokenizer
    )
    events = Stopwatch()
    pad = data.tokenizer.pad_token_id
    trainer.data_collator = events.counted(
        trainer.data_collator, lambda _, batch: int((batch["input_ids"] != pad).sum())
    )
    return timed(trainer, events)


def timed(trainer: Any, events: Stopwatch) -> float:
    """Train, and tell tokens a second."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(events)
    trainer.train()
    return events.rate


def plain_loop(data: Material, _: Path) -> float:
    """Tokens a second of a loop as anyone would write it."""
    model, kept = model_of(data.tokenizer), encoded(data)
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
    start, tokens = 0.0, 0
    for number, batch in enumerate(shuffled(kept, data.steps)):
        if number == WARM_STEPS:
            start, tokens = time.perf_counter(), 0
        width = max(one.length for one in batch)
        ids = torch.full((len(batch), width), data.tokenizer.pad_token_id)
        labels = torch.full((len(batch), width), -100)
        for row, one in enumerate(batch):
            ids[row, : one.length] = torch.tensor([*one.prompt, *one.target])
            labels[row, len(one.prompt) : one.length] = torch.tensor(one.target)
        mask = torch.arange(width) < torch.tensor([one.length for one in batch])[:, None]
        model(input_ids=ids, attention_mask=mask.long(), labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        tokens += sum(one.length - 1 for one in batch)
    return tokens / (time.perf_counter() - start)


def shuffled(examples: list[Encoded], steps: int) -> Iterator[list[Encoded]]:
    """The steps' batches, in random order."""
    order = random.Random(0).sample(examples, steps * BATCH_SIZE)
    return (order[first : first + BATCH_SIZE] for first in range(0, len(order), BATCH_SIZE))


def systems_of(data: Material) -> dict[str, Callable[[Path], float]]:
    """Everything that is measured."""
    return {
        "potstill": partial(ours, data, siblings=SIBLINGS),
        "potstill, random order": partial(ours, data, siblings=1),
        "SFTTrainer": partial(theirs, data),
        "SFTTrainer, grouped by length": partial(
            theirs, data, train_sampling_strategy="group_by_length"
        ),
        "SFTTrainer, padding-free": partial(theirs, data, padding_free=True),
        "SFTTrainer, packed": partial(theirs, data, packing=True),
        "plain padded loop": partial(plain_loop, data),
    }


def shared_ratio(data: Material) -> float:
    """Tokens of all examples over distinct tokens in context, prompts of a question shared."""
    kept = encoded(data)
    prompts = {one.question_id: len(one.prompt) for one in kept}
    distinct = sum(prompts.values()) + sum(len(one.target) - 1 for one in kept)
    return sum(one.length - 1 for one in kept) / distinct


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=["zero_shot", "in_context", "single"])
    parser.add_argument("--systems", nargs="+", help="ours and these alone")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    rows = []
    print("| case | system | tokens/s, median | lowest to highest | ours / theirs |")
    print("|---|---|---|---|---|")
    for case in arguments.only:
        data = material(case)
        wanted = ["potstill", *(arguments.systems or systems_of(data))]
        systems = {name: run for name, run in systems_of(data).items() if name in wanted}
        rates: dict[str, list[float]] = {name: [] for name in systems}
        for _ in range(arguments.repeats):
            for name, run in systems.items():
                with tempfile.TemporaryDirectory() as folder:
                    rates[name].append(run(Path(folder)))
        ideal = shared_ratio(data)
        for name, seen in rates.items():
            ratios = [mine / other for mine, other in zip(rates["potstill"], seen, strict=True)]
            ratio = statistics.median(ratios)
            print(
                f"| {case} ({ideal:.2f}) | {name} | {statistics.median(seen):,.0f}"
                f" | {min(seen):,.0f} to {max(seen):,.0f} | {ratio:.2f} |",
                flush=True,
            )
            rows.append(
                {
                    "case": case,
                    "tokens_over_distinct": ideal,
                    "system": name,
                    "tokens_per_second": seen,
                    "ratio": ratio,
                }
            )
    if arguments.json:
        machine = {**facts("torch", "transformers", "trl"), "threads": torch.get_num_threads()}
        write_results(arguments.json, {"machine": machine, "rows": rows})


if __name__ == "__main__":
    main()
