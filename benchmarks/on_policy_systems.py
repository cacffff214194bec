"""One run of an on-policy training, by ours or by one of TRL's trainers; on_policy.py starts it."""

import itertools
import json
import resource
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from on_policy import FORMAT, Work
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
)
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging as transformers_logging
from trl.experimental.gkd import GKDConfig, GKDTrainer
from trl.experimental.gold import GOLDConfig, GOLDTrainer
from trl.trainer.distillation_config import DistillationConfig
from trl.trainer.distillation_trainer import DistillationTrainer

from potstill.grading.grade import grade
from potstill.models.settings import LocalSettings
from potstill.prompts.styles import style_named
from potstill.records import Question, Request, System, Task
from potstill.runtime.context import RunContext
from potstill.runtime.progress import Meter
from potstill.sampling.ask import PromptConfig, SamplingParams
from potstill.store import Store
from potstill.tasks import load_task
from potstill.tasks.settings import TaskSettings
from potstill.train.on_policy.work import OnPolicyWork, ScoringTeacher
from potstill.train.settings import TrainSettings
from potstill.train.student import train_student

VERBATIM = (
    "{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
)
"""A chat template that adds nothing: the peers' collators take their prompts from one."""


def questions_of(work: Work) -> Task:
    """Returns the task."""
    settings = TaskSettings.model_validate(
        {
            "name": work.task,
            "train": work.train,
            "dev": 1,
            "test": max(work.test, 1),
            "split_seed": work.seed,
        }
    )
    return load_task(settings)


def teacher_dtype(work: Work) -> torch.dtype:
    """Returns the number format of the teacher's weights, which are not trained."""
    return torch.float32 if work.precision == "float32" else torch.bfloat16


class Clocks(TrainerCallback):
    """Both clocks at the end of each step, and the tokens that each step learned."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.processor: list[float] = []
        self.tokens: list[int] = []

    def begins(self, *, steps: int, step: int, tokens: int, log: object) -> None:
        """Do nothing; it is part of a watch of potstill's training."""

    def advances(self, steps: int, tokens: int) -> None:
        """Count tokens, and note the end of a step, as a watch of potstill's training."""
        self.tokens[-1:] = [(self.tokens[-1] if self.tokens else 0) + tokens]
        if steps:
            self.note()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Note the end of a step, as a callback of ``transformers``."""
        self.note()

    def note(self) -> None:
        """Take it that a step ends now."""
        self.wall.append(time.perf_counter())
        self.processor.append(time.process_time())
        self.tokens.append(0)


def ours(work: Work, folder: Path, clocks: Clocks, *, top: int, steps_per_round: int) -> Path:
    """Train as the train stage does, with everything stored; returns the student's folder."""
    values = {
        "steps": work.steps,
        "batch_size": work.batch_size,
        "learning_rate": work.rate,
        "warmup": work.warmup,
        "weight_decay": 0.0,
        "max_length": 512,
        "checkpoints": 1,
        "precision": work.precision,
        "students": {
            "own": {
                "data_format": FORMAT,
                "matching": {"divergence": "reverse_kl"},
                "start": {"model": f"hf:{work.student}", "device": "cpu"},
                "on_policy": {
                    "max_tokens": work.max_tokens,
                    "steps_per_round": steps_per_round,
                    "top": top,
                },
            }
        },
    }
    settings = TrainSettings.model_validate(values)
    student = settings.students["own"]
    assert student.on_policy is not None and student.start is not None
    dtype = str(teacher_dtype(work)).removeprefix("torch.")
    scoring = LocalSettings.model_validate(
        {"model": f"hf:{work.teacher}", "device": "cpu", "dtype": dtype}
    )
    asking = PromptConfig(style=style_named("zero_shot_cot"), sampling=SamplingParams())
    with Store(folder / "run.sqlite") as store:
        on_policy = OnPolicyWork(
            system=System("own"),
            settings=student.on_policy,
            data_format=student.asked_in,
            start=student.start,
            teacher=ScoringTeacher(settings=scoring, model=scoring.open(), asking=asking),
            questions=questions_of(work).splits["train"],
            task=work.task,
            context=RunContext(store=store, folder=folder, progress=Meter(None)),
            seed=work.seed,
        )
        trained = train_student(
            student,
            [],
            settings,
            folder / "own",
            watch=clocks,
            seed=work.seed,
            on_policy=on_policy,
        )
    return trained.checkpoints[-1][1]


def _options(work: Work, folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder / "out"),
        "max_steps": work.steps,
        "per_device_train_batch_size": work.batch_size,
        "learning_rate": work.rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": round(work.warmup * work.steps),
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused",
        "use_cpu": True,
        "bf16": work.precision == "bfloat16",
        "gradient_checkpointing": False,
        "seed": work.seed,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_strategy": "no",
        "save_strategy": "no",
        "dataloader_pin_memory": False,
        "temperature": 1.0,
    }


def _rows(work: Work) -> list[dict[str, Any]]:
    """Returns the questions with their answers, which on-policy training does not read."""
    rows = []
    for question in questions_of(work).splits["train"]:
        prompt = FORMAT["prompt"].format(question=question.text)
        answer = f" Therefore, the answer is {question.answer}."
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        rows.append({"prompt": prompt, "messages": turns})
    return rows


def _models(work: Work, *, rounded: bool) -> tuple[PreTrainedModel, PreTrainedModel]:
    """Returns student and teacher; ``rounded``: the student's weights are bfloat16, too."""
    load: Any = AutoModelForCausalLM.from_pretrained
    own = torch.bfloat16 if rounded else torch.float32
    return load(work.student, dtype=own), load(work.teacher, dtype=teacher_dtype(work))


def _tokenizer(work: Work) -> PreTrainedTokenizerBase:
    load: Any = AutoTokenizer.from_pretrained
    tokenizer: PreTrainedTokenizerBase = load(work.student, padding_side="left")
    tokenizer.chat_template = VERBATIM
    return tokenizer


def gkd(work: Work, folder: Path, clocks: Clocks, *, rounded: bool = False) -> Path:
    """Train with TRL's GKDTrainer, reverse KL on what the student writes."""
    student, teacher = _models(work, rounded=rounded)
    config = GKDConfig(
        **_options(work, folder),
        lmbda=1.0,
        beta=1.0,
        max_new_tokens=work.max_tokens,
        max_length=512,
    )
    rows = Dataset.from_list([{"messages": row["messages"]} for row in _rows(work)])
    trainer = GKDTrainer(
        student,
        teacher_model=teacher,
        args=config,
        train_dataset=rows,
        processing_class=_tokenizer(work),
    )
    return _trained(trainer, folder, clocks, learned="labels")


def distillation(work: Work, folder: Path, clocks: Clocks, *, rounded: bool = False) -> Path:
    """Train with TRL's DistillationTrainer, reverse KL as it comes."""
    student, teacher = _models(work, rounded=rounded)
    config = DistillationConfig(
        **_options(work, folder), beta=1.0, max_completion_length=work.max_tokens
    )
    trainer = DistillationTrainer(
        student,
        teacher_model=teacher,
        args=config,
        train_dataset=Dataset.from_list([{"prompt": row["prompt"]} for row in _rows(work)]),
        processing_class=_tokenizer(work),
    )
    return _trained(trainer, folder, clocks, learned="completion_mask")


def gold(work: Work, folder: Path, clocks: Clocks, *, hybrid: bool) -> Path:
    """Train with TRL's GOLDTrainer, its ULD loss alone or with the divergence of equal tokens."""
    student, teacher = _models(work, rounded=False)
    config = GOLDConfig(
        **_options(work, folder),
        lmbda=1.0,
        beta=1.0,
        top_p=1.0,
        max_completion_length=work.max_tokens,
        max_length=512,
        use_uld_loss=True,
        uld_use_hybrid_loss=hybrid,
        teacher_tokenizer_name_or_path=str(work.teacher),
    )
    trainer = GOLDTrainer(
        student,
        teacher_model=teacher,
        args=config,
        train_dataset=Dataset.from_list([{"messages": row["messages"]} for row in _rows(work)]),
        processing_class=_tokenizer(work),
    )
    return _trained(trainer, folder, clocks, learned="labels")


def _trained(trainer: Any, folder: Path, clocks: Clocks, *, learned: str) -> Path:
    """Train, count the learned tokens of each step, and save the student."""
    compute_loss = trainer.compute_loss
    clocks.tokens.append(0)

    def counting(model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
        places = inputs[learned]
        count = places.sum() if learned == "completion_mask" else (places != -100).sum()
        clocks.tokens[-1] += int(count)
        return compute_loss(model, inputs, *arguments, **options)

    trainer.compute_loss = counting
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(clocks)
    trainer.train()
    place = folder / "trained"
    trainer.model.float().save_pretrained(place)
    trainer.processing_class.chat_template = None
    trainer.processing_class.save_pretrained(place)
    return place


SYSTEMS: dict[str, Callable[[Work, Path, Clocks], Path]] = {
    "potstill": partial(ours, top=20, steps_per_round=1),
    "potstill, rounds of 10 steps": partial(ours, top=20, steps_per_round=10),
    "GKD": gkd,
    "GKD, bf16 weights": partial(gkd, rounded=True),
    "Distillation": distillation,
    "Distillation, bf16 weights": partial(distillation, rounded=True),
    "GOLD": partial(gold, hybrid=False),
    "GOLD, hybrid": partial(gold, hybrid=True),
}
"""All that is measured, by name."""


def answered(folder: Path, task: Task, questions: Sequence[Question], longest: int) -> list[bool]:
    """Returns whether a student is right, question by question, answering greedily."""
    settings = LocalSettings.model_validate({"model": f"hf:{folder}", "device": "cpu"})
    model = settings.open()
    asked = {
        Request(
            prompt=FORMAT["prompt"].format(question=question.text),
            max_tokens=longest,
            question_id=question.id,
        ): question
        for question in questions
    }
    right = {
        asked[done.request].id: grade(task, done.text, asked[done.request]).correct
        for done in model.complete(asked)
    }
    return [right[question.id] for question in questions]


def run(system: str, work: Work, folder: Path) -> dict[str, Any]:
    """Train in this process; returns seconds and tokens of each step, memory and answers."""
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    disable_progress_bars()
    torch.manual_seed(work.seed)
    clocks = Clocks()
    place = SYSTEMS[system](work, folder, clocks)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    task = questions_of(work)
    tested = task.splits["test"][: work.test]
    return {
        "system": system,
        "seed": work.seed,
        "processor": [after - before for before, after in itertools.pairwise(clocks.processor)],
        "wall": [after - before for before, after in itertools.pairwise(clocks.wall)],
        "tokens": clocks.tokens[1 : len(clocks.processor)],
        "peak_mib": peak,
        "right": answered(place, task, tested, work.max_tokens) if tested else [],
    }


def run_to(place: Path, system: str, work: Work) -> None:
    """Train in this process, and write the figures to a file, whole or not at all."""
    with TemporaryDirectory() as folder:
        figures = run(system, work, Path(folder))
    part = place.with_suffix(".part")
    part.write_text(json.dumps(figures), encoding="utf-8")
    part.rename(place)
