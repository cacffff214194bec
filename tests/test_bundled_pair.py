"""The bundled models: what is on disk, what the tokenizers do, what they can."""

import json
import struct
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from potstill.models.settings import BUNDLED as NAMES
from potstill.prompts.formats import FORMATS
from potstill.prompts.styles import STYLES, prompt_for
from potstill.records import Question
from potstill.tasks import grade
from potstill.tasks.procedural import FAMILIES, problems, questions

BUNDLED = Path(__file__).parents[1] / "src" / "potstill" / "models" / "bundled"
every = pytest.mark.parametrize("name", NAMES)


def loaded(name: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(BUNDLED / name, dtype=torch.float32).eval()


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("teacher", 2_000_000, 4_000_000),
        ("student", 500_000, 900_000),
        ("guide", 2_000_000, 4_000_000),
    ],
)
def test_models_load_and_have_the_promised_size(name: str, least: int, most: int) -> None:
    model = loaded(name)
    assert least <= model.num_parameters() <= most
    assert all(bool(weights.isfinite().all()) for weights in model.parameters())


@every
def test_weights_are_float16_on_disk(name: str) -> None:
    with (BUNDLED / name / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    kinds = {entry["dtype"] for key, entry in header.items() if key != "__metadata__"}
    assert kinds == {"F16"}


@every
def test_tokenizers_round_trip_prompts_targets_and_all_of_ascii(name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED / name)
    texts = ["".join(map(chr, range(32, 127))), "a\n\n b  c\t ", " lead", "### --> \n### -->"]
    for family in FAMILIES:
        problem = problems(family, "test", 1, seed=0)[0]
        texts += [
            str(prompt_for(STYLES[s], problem.question)) for s in ("zero_shot", "zero_shot_cot")
        ]
        for data_format in FORMATS.values():
            if data_format.chat:  # these students have no chat template
                continue
            prompt = str(data_format.prompt(problem.question, encoder_decoder=False))
            target = data_format.target(
                problem.rationales[0], problem.question.answer, encoder_decoder=False
            )
            texts += [prompt, target, prompt + target]
    for text in texts:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@every
def test_encoding_adds_no_tokens_and_splits_numbers_into_digits(name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED / name)
    ids = tokenizer("407")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["4", "0", "7"]
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)
    assert tokenizer.chat_template is None


@every
def test_configuration_and_tokenizer_agree_on_special_tokens(name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED / name)
    config = json.loads((BUNDLED / name / "config.json").read_text())
    assert config["vocab_size"] == len(tokenizer)
    assert config["eos_token_id"] == tokenizer.eos_token_id
    assert config["pad_token_id"] == tokenizer.pad_token_id


def test_the_two_tokenizers_differ() -> None:
    teacher = AutoTokenizer.from_pretrained(BUNDLED / "teacher")
    student = AutoTokenizer.from_pretrained(BUNDLED / "student")
    assert teacher.get_vocab() != student.get_vocab()
    assert len(teacher) != len(student)


@every
def test_the_model_card_names_seed_licence_and_accuracies(name: str) -> None:
    card = (BUNDLED / name / "README.md").read_text(encoding="utf-8")
    assert "license: apache-2.0" in card
    assert "seed" in card
    assert all(family in card for family in FAMILIES)


@pytest.mark.slow
def test_the_teacher_answers_the_leading_family() -> None:
    assert right_answers("teacher", "two_step_arithmetic", 60) >= 45


@pytest.mark.slow
def test_the_guide_knows_where_to_begin() -> None:
    asked = problems("fact_chain", "test", 60, seed=1)
    texts = greedy("guide", tuple(problem.question for problem in asked))
    begins = [problem.rationales[0].split()[0] in text.split(".")[0]
              for problem, text in zip(asked, texts, strict=True)]  # fmt: skip
    assert sum(begins) >= 55
    assert right_answers("guide", "fact_chain", 60) >= 45


@pytest.mark.slow
def test_the_student_starts_weak() -> None:
    assert right_answers("student", "two_step_arithmetic", 60) <= 20


@cache
def greedy(name: str, asked: tuple[Question, ...]) -> list[str]:
    """Greedy zero-shot-CoT answers."""
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED / name)
    model = loaded(name)
    prompts = [str(prompt_for(STYLES["zero_shot_cot"], question)) for question in asked]
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    with torch.inference_mode():
        ids = model.generate(**batch, max_new_tokens=100, do_sample=False)
    written = ids[:, batch["input_ids"].shape[1] :]
    return list(tokenizer.batch_decode(written, skip_special_tokens=True))


def right_answers(name: str, family: str, count: int) -> int:
    """Greedy zero-shot-CoT answers to test questions that are right."""
    asked = tuple(questions(family, "test", count, seed=1))
    texts = greedy(name, asked)
    answer_type = FAMILIES[family].answer_type
    return sum(
        grade(answer_type, text, question).correct
        for text, question in zip(texts, asked, strict=True)
    )
