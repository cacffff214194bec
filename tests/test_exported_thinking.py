"""Rows for trainers hold the thinking that a student learns, as its template renders it."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from exchange_runs import TEACHER, open_run, write_recipe
from pyarrow import parquet
from test_thinking_students import LAST, TEMPLATES, example, learned, template, tokenizer
from tiny_models import build_tiny_causal
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from potstill.errors import ConfigError
from potstill.exchange import export_run
from potstill.generate import teacher_asking
from potstill.keys import settings_hash
from potstill.models.local.thinking_rendering import thinking_messages
from potstill.pipeline.run import Run
from potstill.records import Completion
from potstill.train.encoding import Encoder
from potstill.train.examples import make_examples

ANSWER = "So 7.\nThe answer is 7."
TURNS = [{"role": "user", "content": "3 + 4?"}]
FIELD_ALONE = template(
    "{{ '[T]' + m.reasoning_content + '[/T]' if m.reasoning_content }}"
    "{{ m['content'].split('[/T]')[-1].split('</think>')[-1].lstrip() }}"
)


@pytest.mark.parametrize("name", [*TEMPLATES, "field alone"])
def test_a_message_is_rendered_as_it_is_trained_on(name: str) -> None:
    made = tokenizer(TEMPLATES[name][0] if name in TEMPLATES else FIELD_ALONE)
    way = thinking_messages(made)
    for thinking in (None, "Hm. 3, then 4."):
        prompt, target = learned(made, example(thinking))
        row = way.message(ANSWER, thinking)
        whole = made.apply_chat_template([*TURNS, row], tokenize=False)
        if name == "dropped":
            continue
        assert whole == prompt + target + "\n"
    assert bool(way.differs) == (name == "dropped")
    by_field = name in ("field", "opened", "field alone")
    assert way.field == ("reasoning_content" if by_field else "")


def test_a_template_that_closes_the_thinking_in_its_prompt_is_left_as_it_was() -> None:
    closed = template(LAST, "<think>\n{% if not enable_thinking %}\n</think>\n\n{% endif %}")
    made = tokenizer(closed)
    assert "leaves the thinking of answers out" in thinking_messages(made).differs
    assert made.chat_template == closed


STUDENTS: dict[str, Any] = {
    "keeping": {"data_format": "chat", "thinking": "keep"},
    "dropping": {"data_format": "chat"},
    "mixed": {"data_format": "chat", "thinking": {"long": 1, "short": 1}},
    "plain": {"data_format": "fine_tune_cot", "thinking": "keep"},
    "bare": {"data_format": "chat_answer"},
}


def thinking_run(folder: Path, chat_template: str) -> tuple[Run, PreTrainedTokenizerFast]:
    """A run with six kept rationales, all but one of them behind thinking."""
    start = build_tiny_causal(folder / "start", "qwen2", chat=True)
    tokenizer(chat_template).save_pretrained(start)
    made = AutoTokenizer.from_pretrained(start)
    assert isinstance(made, PreTrainedTokenizerFast)
    recipe = write_recipe(folder, student=f"hf:{start}")
    values = yaml.safe_load(recipe.read_text())
    recipe.write_text(yaml.safe_dump(values | {"train": {"students": STUDENTS, "steps": 1}}))
    run = open_run(recipe)
    asking = teacher_asking(TEACHER, run.recipe.generate, seed=run.recipe.seed)
    for question in run.task.splits["train"]:
        request = asking.request(question, task=run.task.name)
        completions = [
            Completion(
                request=request, sample=sample, finish_reason="stop",
                text=f"We double it, way {sample}.\nThe answer is {question.answer}.",
                thinking=None if (question.id, sample) == ("q3", 0) else f"Hm, {question.id}?",
            )
            for sample in range(2)
        ]  # fmt: skip
        run.store.add_completions(TEACHER.name, completions, stage="generate")
    made_by = settings_hash(run.recipe.teacher.model_dump(mode="json"))
    run.store.remember_teacher(TEACHER, settings_hash=made_by)
    run.curate()
    return run, made


def trained_texts(run: Run, made: PreTrainedTokenizerFast, name: str) -> list[str]:
    """Returns the texts that a student is trained on, prompts included, decoded from token ids."""
    (student,) = (one for key, one in run.students.settled.items() if key.model == name)
    rationales = run.store.training_rationales(run.task)
    rows = [one.completion_id for one in rationales]
    examples = make_examples(
        rationales, run.task.splits["train"], student, encoder_decoder=False,
        seed=run.recipe.seed, thinking=run.store.thinking_of(rows),
    )  # fmt: skip
    encoded = Encoder(made, encoder_decoder=False).encode(examples, max_length=9999).examples
    return [str(made.decode([*one.prompt, *one.target])) for one in encoded]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("marks", ["content", "field alone"])
def test_rows_render_to_what_is_trained_on(
    tmp_path: Path, marks: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = FIELD_ALONE if marks == "field alone" else TEMPLATES[marks][0]
    run, made = thinking_run(tmp_path, text)
    file = tmp_path / "rows.jsonl"
    end = str(made.eos_token)
    with run, caplog.at_level(logging.WARNING):
        for name, long in (("keeping", 5), ("dropping", 0), ("mixed", 3)):
            trained = trained_texts(run, made, name)
            assert sum("Hm, " in one for one in trained) == long
            for kind in ("chat", "prompt_completion"):
                caplog.clear()
                export_run(run, file, kind, student=name, data_format="chat", overwrite=True)
                told = f"{long} rows hold the teacher's thinking, as {name} learns it"
                assert (told in caplog.text) == (long > 0)
                rows = [row.get("messages") or row["prompt"] + row["completion"]
                        for row in lines(file)]  # fmt: skip
                rendered = [made.apply_chat_template(row, tokenize=False) for row in rows]
                assert [str(one).rstrip("\n") for one in rendered] == trained
        trained = trained_texts(run, made, "plain")
        export_run(run, file, "prompt_completion", data_format="fine_tune_cot", overwrite=True)
        rows = [row["prompt"] + row["completion"] + end for row in lines(file)]
        assert rows == trained and sum("<think>" in row for row in rows) == 5
        # by default as the first student that learns in this wording, its field in the columns
        packed = tmp_path / "rows.parquet"
        export_run(run, packed, "chat")
        (first, *_) = parquet.read_table(packed).to_pylist()
        fields = {"role", "content"} | ({"reasoning_content"} if marks == "field alone" else set())
        assert first["messages"][-1].keys() == fields
        with pytest.raises(ConfigError, match="no student 'other'"):
            export_run(run, file, "chat", student="other", overwrite=True)
        with pytest.raises(ConfigError, match="the student bare learns no rationales"):
            export_run(run, file, "chat", student="bare", overwrite=True)
        with pytest.raises(ConfigError, match="a student is named for chat"):
            export_run(run, file, "rationales", student="mixed", overwrite=True)
