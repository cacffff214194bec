"""A budget of thinking: the closing mark is written for a model that would think on."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from tiny_models import build_tiny_causal
from transformers import AutoTokenizer

from potstill.cli import main
from potstill.errors import ConfigError
from potstill.evaluate.graded_answers import GradedAnswers
from potstill.evaluate.settings import EvaluateSettings
from potstill.keys import request_body, request_key, stored_request
from potstill.models.local.model import HFModel
from potstill.models.settings import LocalSettings
from potstill.pipeline.recipe import Recipe
from potstill.records import Completion, Message, Prediction, Request, System, Task
from potstill.report import accuracy_table
from potstill.report.accuracy import read_results
from potstill.report.tables import summary
from potstill.serve.settings import ServeSettings
from potstill.settings import build
from potstill.store import Store

OPENED = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: <think>\n{% endif %}"
)
CLOSING = "\n</think>\n\n"
ASKED = (Message(role="user", content="3 + 4?"),)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    """Writes at random, and never ends its thinking."""
    folder = build_tiny_causal(tmp_path_factory.mktemp("m") / "m", "qwen3", chat=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = OPENED
    tokenizer.save_pretrained(folder)
    settings = LocalSettings(model=f"hf:{folder}", device="cpu", dtype="float32")
    return HFModel(settings, source=str(folder))


def greedy(model: HFModel, ids: list[int], count: int) -> list[int]:
    """Writes so many tokens by the bare model."""
    ids = list(ids)
    for _ in range(count):
        with torch.no_grad():
            logits = model.model(torch.tensor([ids])).logits[0, -1]
        ids.append(int(logits.argmax()))
    return ids[-count:]


def test_the_mark_is_written_at_the_budget_and_the_model_goes_on_from_it(model: HFModel) -> None:
    tokenizer = model.tokenizer
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "3 + 4?"}], tokenize=False, add_generation_prompt=True
    )
    prompt = tokenizer(str(asked), add_special_tokens=False)["input_ids"]
    thought = greedy(model, prompt, 6)
    closing = tokenizer(CLOSING, add_special_tokens=False)["input_ids"]
    answer = greedy(model, [*prompt, *thought, *closing], 20 - 6 - len(closing))
    assert not {*thought, *answer} & {tokenizer.eos_token_id}, "or the test says nothing"
    request = Request(prompt=ASKED, max_tokens=20, thinking_tokens=6, top_logprobs=1)
    (completion,) = model.complete([request])
    assert completion.thinking_ended is True
    assert completion.thinking == str(tokenizer.decode(thought)).strip()
    assert completion.text == str(tokenizer.decode(answer)).strip()
    assert (completion.finish_reason, completion.completion_tokens) == ("length", 20)
    assert completion.logprobs is not None and completion.logprobs.ids is not None
    assert completion.logprobs.ids[:, 0].tolist() == [*thought, *closing, *answer]


def test_every_sample_has_its_own_budget(model: HFModel) -> None:
    request = Request(
        prompt=ASKED, samples=(0, 1, 2), temperature=1.0, max_tokens=30, thinking_tokens=4
    )
    free = Request(prompt=ASKED, samples=(0, 1, 2), temperature=1.0, max_tokens=4)
    held = {one.sample: one for one in model.complete([request])}
    for cut in model.complete([free]):
        assert cut.thinking is not None and cut.text == ""
        if cut.finish_reason == "length":  # it would have thought on
            assert held[cut.sample].completion_tokens > 4


def test_who_does_not_think_is_left_alone(model: HFModel) -> None:
    plain = Request(prompt="3 + 4?", max_tokens=12)
    (free,) = model.complete([plain])
    (held,) = model.complete([Request(prompt="3 + 4?", max_tokens=12, thinking_tokens=3)])
    assert held.text == free.text and held.thinking is None
    assert (free.thinking_ended, held.thinking_ended) == (None, False)


def test_a_budget_is_part_of_a_requests_key_and_its_absence_is_not() -> None:
    plain, held = Request(prompt="Q"), Request(prompt="Q", thinking_tokens=8)
    assert request_key("m", plain) != request_key("m", held)
    assert b"thinking" not in request_body("m", plain)
    _, again = stored_request(request_body("m", held).decode(), max_tokens=512, samples=(0,))
    assert again == held


RECIPE: dict[str, Any] = {
    "run": "runs/r", "task": "coin_toss", "teacher": "bundled:teacher",
    "evaluate": {"max_tokens": 200, "thinking_tokens": 100},
}  # fmt: skip


def test_where_no_mark_can_be_written_it_is_refused_before_anything_is_asked(
    tmp_path: Path,
) -> None:
    assert build(Recipe, {**RECIPE, "student": "bundled:student"}, at="r").evaluate.greedy == (
        EvaluateSettings(max_tokens=200, thinking_tokens=100).greedy
    )
    served = {"model": f"hf:{tmp_path}", "serve": "vllm"}
    build(Recipe, {**RECIPE, "student": served}, at="r")  # its server is asked twice
    with pytest.raises(ConfigError, match="leaves no room for an answer"):
        build(EvaluateSettings, {"max_tokens": 100, "thinking_tokens": 100}, at="evaluate")
    for student in ({"model": "openai:m", "prefill": "none"}, "recorded:r.jsonl"):
        with pytest.raises(ConfigError, match="cannot go on from an answer that is begun"):
            build(ServeSettings, {"student": student, "thinking_tokens": 10}, at="serve")
    for student in ("openai:m", "vllm:m"):
        assert build(ServeSettings, {"student": student, "thinking_tokens": 10}, at="serve")
    assert build(ServeSettings, {"student": "bundled:student", "thinking_tokens": 10}, at="serve")


def test_what_was_ended_is_kept_beside_answers_and_counted(tmp_path: Path) -> None:
    """An answer without a budget, or of an older potstill, says nothing of it."""
    requests = {text: Request(prompt=text, thinking_tokens=4) for text in "abc"}
    ended = {"a": True, "b": False, "c": None}
    with Store(tmp_path / "run.sqlite") as store:
        store.add_completions(
            "m",
            [
                Completion(request=request, sample=0, text="7.", finish_reason="stop",
                           thinking_ended=ended[text])
                for text, request in requests.items()
            ],
            stage="evaluate",
        )  # fmt: skip
        read = {text: store.completions("m", one)[0].completion for text, one in requests.items()}
        pooled = [one.completion.thinking_ended for one in store.pool(("evaluate",))]
        assert {text: one.thinking_ended for text, one in read.items()} == ended
        assert pooled == [True, False, None]
        predictions = [
            Prediction(system=System("start"), task="t", question_id=text, text="7.", answer="7",
                       correct=True, finish_reason="stop", completion_tokens=9,
                       thinking_ended=ended[text])
            for text in "abc"
        ]  # fmt: skip
        task = Task(name="t", splits={"train": (), "dev": (), "test": ()}, answer_type="number")
        scores = []
        for name, chosen in (
            ("start", predictions),
            ("other", [replace(one, thinking_ended=None) for one in predictions]),
        ):
            graded = GradedAnswers()
            for prediction in chosen:
                graded.add(prediction)
            scores.append(graded.score(System(name), task, "test"))
        assert [score.thinking_ended for score in scores] == [1, None]
        store.replace_evaluation(scores, predictions, [], grader="g", settings_hash="h")
        assert store.predictions() == predictions
        table = accuracy_table(store, [task])
        shown = summary(read_results(store, [task]))["tasks"]
    assert str(table.caption) == "thinking ended at its limit, t: start 1/3"
    assert isinstance(shown, dict)
    assert (
        shown["t"]["start"]["thinking_ended"] == 1 and "thinking_ended" not in shown["t"]["other"]
    )


@pytest.mark.parametrize("ended", [True, False, None])
def test_ask_says_where_thinking_was_ended(
    ended: bool | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    request = Request(prompt="3 + 4?", thinking_tokens=1200)
    answer = Completion(
        request=request, sample=0, text="7.", finish_reason="stop", thinking_ended=ended
    )
    monkeypatch.setattr("potstill.cli.tools.open_run", lambda *_, **__: nullcontext())
    monkeypatch.setattr("potstill.pipeline.chosen_student.ask_student", lambda *_: answer)
    done = CliRunner().invoke(main, ["ask", str(tmp_path), "3 + 4?"])
    told = "(its thinking was ended at 1,200 tokens, evaluate.thinking_tokens)"
    assert done.exit_code == 0 and done.output.startswith("7.\n")
    assert (told in done.output) == (ended is True)
