"""A served student is asked as clients ask it, and what differs is shown with its cause."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from deployed_run import deployed_run
from served_places import Json, Redirect, chat_routes, ollama_routes, server
from transformers import AutoTokenizer

from potstill.cli import main
from potstill.deploy.served_answers import ServedAnswer, ServedByOllama
from potstill.deploy.verification import is_equal
from potstill.pipeline.measured_student import MeasuredAnswer
from potstill.records import Prediction, Question, System, SystemEngine, Task
from potstill.runtime.number_formats import FLOAT32_STATES
from potstill.store import Store


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose student has answered two test questions, with 12 and 14."""
    folder = deployed_run(tmp_path_factory.mktemp("verify") / "run")
    with Store(folder / "run.sqlite") as store:
        (score,) = store.scores()
        predictions = [
            replace(
                one,
                text=f" It is {gold} pens. --> {gold}",
                answer=gold,
                correct=True,
                finish_reason="stop",
            )
            for one, gold in zip(store.predictions(), ("14", "16"), strict=True)
        ]
        store.replace_evaluation(
            [score], predictions, [], store.choices(), grader="1", settings_hash="x"
        )
    return folder


TEXTS = {
    "What is 7 + 7?": " It is 14 pens. --> 14",
    "What is 8 + 8?": " It is 16 pens. --> 16",
}


def verify(run: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["verify", str(run), *words, "--quiet"])


def asked(run: Path, text: str) -> list[int]:
    ids: list[int] = AutoTokenizer.from_pretrained(run / "model")(text)["input_ids"]
    return ids


def test_a_server_that_answers_as_measured(run: Path) -> None:
    with server(chat_routes(TEXTS)) as url:
        done = verify(run, "--server", f"{url}/v1")
    assert done.exit_code == 0, done.output
    assert done.output.startswith(
        "verify: 2 of 2 predictions equal (2 needed), 2 of them word for word: pens at http://"
    )
    assert "  right answers: 2 of 2 when measured, 2 as served\n" in done.output
    assert "likely cause" not in done.output


def test_a_server_on_this_machine_is_asked_past_a_proxy(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with server({"/v1/models": lambda _: {"data": []}}) as url:
        done = verify(run, "--server", f"{url}/v1")
    assert "offers 0 models" in done.output, done.output


def test_a_redirect_is_not_followed_since_the_key_would_go_along(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[object] = []

    def elsewhere(body: Json) -> Json:
        reached.append(body)
        return {"data": [{"id": "pens"}]}

    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with (
        server({"/login": elsewhere}) as other,
        server({"/v1/models": lambda _: Redirect(f"{other}/login")}) as url,
    ):
        done = verify(run, "--server", f"{url}/v1")
    assert done.exit_code == 2 and "answered 302" in done.output, done.output
    assert not reached and "sk-secret" not in done.output


def test_ollama_is_asked_with_the_question_alone(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server(ollama_routes(TEXTS)) as url:
        monkeypatch.setenv("OLLAMA_HOST", url.removeprefix("http://"))
        done = verify(run, "--ollama", "pens")
    assert done.exit_code == 0, done.output
    assert "2 of 2 predictions equal" in done.output


def test_ollama_may_listen_at_an_ipv6_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "[::1]")
    assert ServedByOllama("pens").where.endswith("http://[::1]:11434")


def test_the_same_answer_in_other_words_is_equal(run: Path) -> None:
    texts = TEXTS | {"What is 8 + 8?": " It makes 16. --> 16"}
    with server(chat_routes(texts)) as url:
        done = verify(run, "--server", f"{url}/v1")
    assert done.exit_code == 0, done.output
    assert "2 of 2 predictions equal (2 needed), 1 of them word for word" in done.output
    assert "the first other wording (the prediction is the same)" in done.output
    assert "they part at character 3;" in done.output


OTHER = {question: text.replace("pens. --> 1", "pens. --> 9") for question, text in TEXTS.items()}

ROUNDED = {**TEXTS, "What is 7 + 7?": OTHER["What is 7 + 7?"]}
"""Half of the answers are the measured ones."""


@pytest.mark.parametrize(
    ("texts", "told", "cause"),
    [
        (OTHER, {"prompt_tokens": 99},
         "the template: the server counts 99 tokens of the prompt, and the measured one has"),
        (OTHER, {"apply_template": {"prompt": "<|im_start|>user\nWhat is 7 + 7?"}},
         "the template: the server's prompt is another. Measured with 'What is 7 + 7? ###'"),
        (OTHER, {"tokenize": {"tokens": [5, 6]}},
         "the template: the server's prompt is another (2 tokens, measured"),
        (dict.fromkeys(TEXTS, ""), {"reasoning": "It is 14 pens. --> 14"},
         "the server failed on this question"),
        ({question: f"{text}\nSo --> 3" for question, text in TEXTS.items()}, {},
         "the end: the server went on where the student had ended"),
        ({question: text[:3] for question, text in TEXTS.items()}, {"finish_reason": "length"},
         "the length: the server cut the answer; it was measured with at most 8 tokens"),
        ({question: text[:3] for question, text in TEXTS.items()}, {},
         "stop strings: the server ended the answer before ' is 14 pens. --> 14'"),
        (OTHER, {"props": {"model_ftype": "Q4_1"}},
         "quantisation: the server's weights are Q4_1; see what it was measured in"),
        (ROUNDED, {"props": {"model_ftype": "BF16"}},
         "the number format: the server's weights are BF16"),
        (ROUNDED, {}, "the number format, as all else that is told agrees"),
        (OTHER, {}, "the weights: with the same prompt 0% of the answers have the measured words"),
        (OTHER, {"props": {"model_ftype": "BF16"}}, "the weights: with the same prompt 0% of the"),
    ],
)  # fmt: skip
def test_the_cause_of_a_difference_is_looked_for(
    run: Path, texts: dict[str, str], told: dict[str, Any], cause: str
) -> None:
    with server(chat_routes(texts, **told)) as url:
        done = verify(run, "--server", f"{url}/v1")
    assert done.exit_code == 1, done.output
    equal = sum(texts[question] == text for question, text in TEXTS.items())
    assert f"verify: {equal} of 2 predictions equal" in done.output
    assert "the first other prediction: question " in done.output
    assert f"likely cause: {cause}" in done.output


@pytest.mark.parametrize(
    ("number_format", "advice"),
    [
        ("float32", "Have the server compute in float32 (vLLM: --dtype float32) where it does not"),
        (FLOAT32_STATES, "Have the server compute in float32 (vLLM: --dtype float32) where"),
        ("bfloat16", "Two programs round otherwise in 16 bits: measure in float32 and serve in it"),
    ],
)
def test_what_helps_against_rounding(
    run: Path, tmp_path: Path, number_format: str, advice: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    with Store(folder / "run.sqlite") as store:
        (checkpoint,) = store.checkpoints()
        system = replace(checkpoint.system, step=checkpoint.step)
        engine = SystemEngine(system=system, engine="transformers", number_format=number_format)
        store.replace_evaluation(
            store.scores(), list(store.predictions()), [], store.choices(), [engine],
            grader="1", settings_hash="x",
        )  # fmt: skip
    with server(chat_routes(ROUNDED)) as url:
        done = verify(folder, "--server", f"{url}/v1")
    assert f"measured in {number_format};" in done.output
    assert advice in done.output


def test_a_server_that_draws_its_tokens_is_found(run: Path) -> None:
    count = iter(range(100))
    routes = chat_routes(TEXTS)

    def answer(_: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": f" It is {next(count)}."}
        return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}

    with server({**routes, "/v1/chat/completions": answer}) as url:
        done = verify(run, "--server", f"{url}/v1")
    assert done.exit_code == 1
    assert "likely cause: chance: asked again, the server answers otherwise" in done.output


def test_ollama_tells_its_quantisation(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with server(ollama_routes(OTHER, quantization_level="Q4_K_M")) as url:
        monkeypatch.setenv("OLLAMA_HOST", url)
        done = verify(run, "--ollama", "pens")
    assert done.exit_code == 1
    assert "likely cause: quantisation: the server's weights are Q4_K_M" in done.output


def test_as_many_have_to_be_equal_as_are_asked_for(run: Path) -> None:
    texts = TEXTS | {"What is 8 + 8?": " It is 15 pens. --> 15"}
    with server(chat_routes(texts)) as url:
        assert verify(run, "--server", f"{url}/v1").exit_code == 1
        assert verify(run, "--server", f"{url}/v1", "--equal", "1").exit_code == 0
        assert verify(run, "--server", f"{url}/v1", "--questions", "1").exit_code == 0
        fewer = verify(run, "--server", f"{url}/v1", "--equal", "2")
        assert "  right answers: 2 of 2 when measured, 1 as served\n" in fewer.output
        done = verify(run, "--server", f"{url}/v1", "--equal", "3")
    assert done.exit_code == 2
    assert "3 predictions are to be equal, and 2 questions are asked" in done.output


def test_a_model_is_named_where_there_are_several(run: Path) -> None:
    both = {"data": [{"id": "pens"}, {"id": "base"}]}
    with server({**chat_routes(TEXTS), "/v1/models": lambda _: both}) as url:
        done = verify(run, "--server", f"{url}/v1")
        assert done.exit_code == 2
        assert "offers 2 models (pens, base). Name one with --model" in done.output
        assert verify(run, "--server", f"{url}/v1", "--model", "pens").exit_code == 0


def test_a_server_that_is_not_there_is_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with server({}) as url:
        done = verify(run, "--server", f"{url}/v1")
        assert done.exit_code == 2
        assert "/v1/models answered 404: " in done.output
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-mine")
        assert "sk-secret" not in verify(run, "--server", f"{url}/v1").output
    done = verify(run, "--server", f"{url}/v1")
    assert done.exit_code == 2
    assert "was not reached" in done.output


def test_no_answer_is_equal_to_no_other() -> None:
    task = Task(name="sums", answer_type="number", splits={})
    question = Question(id="1", text="How many?", answer="3")
    none = Prediction(
        system=System("s"), task="sums", question_id="1", text="Some.", answer=None, correct=False,
        finish_reason="stop", completion_tokens=1,
    )  # fmt: skip
    measured = MeasuredAnswer(question, none)

    def same(text: str) -> bool:
        return is_equal(task, measured, ServedAnswer(text, "stop", 0))

    assert same(" Some.\n")
    assert not same("None.")
    assert not is_equal(task, measured, ServedAnswer("Some.", "error", 0, error="broken"))


def test_answers_of_another_question_are_not_demanded(run: Path, tmp_path: Path) -> None:
    """A question that was edited since has another digest, and its answer is none to it."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    with Store(folder / "run.sqlite") as store:
        (score,) = store.scores()
        edited = [replace(one, question_digest="of another") for one in store.predictions()]
        store.replace_evaluation(
            [score], edited, [], store.choices(), grader="1", settings_hash="x"
        )
    with server(chat_routes(TEXTS)) as url:
        done = verify(folder, "--server", f"{url}/v1")
    assert done.exit_code == 2
    assert "holds no answers of rationales to the test questions" in done.output
    assert json.dumps(TEXTS) not in done.output
