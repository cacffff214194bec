"""Probabilities of the tokens of changed answers: which are scored, how often, what is shown."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import ScriptedModel, context_of, sums
from test_evaluate import against, checkpoint

from potstill.evaluate import EvalTask, EvaluateSettings, evaluate
from potstill.records import Completion, GivenText, Request, TokenLogprobs
from potstill.report.accuracy import read_results
from potstill.report.questions import browser_data
from potstill.sampling.answer_confidence import confidence_request, store_confidence
from potstill.store import Store

TASK = sums(train=4, dev=4, test=6)


class ScoringModel(ScriptedModel):
    """A scripted model on this machine: each byte of a given text is a token of chance 1/2."""

    engine = "transformers"
    scores_texts = True
    token_names = tuple(bytes([byte]) for byte in range(256))

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            if request.given is None:
                yield from super().complete([request])
                continue
            self.asked.append(request)
            text = request.given.text
            ids = np.frombuffer(text.encode(), np.uint8).astype(np.int32)[:, None]
            chances = np.full(ids.shape, np.log(0.5), np.float32)
            yield Completion(
                request=request, sample=0, text=text, finish_reason="stop",
                prompt_tokens=9, completion_tokens=9,
                logprobs=TokenLogprobs(logprobs=chances, ids=ids),
            )  # fmt: skip

    @property
    def scored(self) -> list[Request]:
        return [request for request in self.asked if request.given is not None]


def answer(request: Request, _: int) -> str:
    number = int(str(request.prompt).partition("What is ")[2].split()[0])
    return f"so --> {2 * number if number <= 10 else -1}"


def evaluated(store: Store, student: ScriptedModel, **settings: Any) -> None:
    """A run whose student is right on test questions 9 and 10 of 9..14, and its start on none."""
    store.replace_training([], [checkpoint("rationales", 10)], settings_hash="x")
    teacher = ScriptedModel(lambda r, s: "so --> 4", chat=True, name="openai:teacher")
    start = ScriptedModel(lambda r, s: "so --> -1", name="hf:start")
    evaluate(
        [EvalTask(TASK, "target")], against(teacher, start, lambda _: student),
        EvaluateSettings(bootstrap=500, **settings), context_of(store), seed=0,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "run.sqlite") as opened:
        yield opened


def texts_of(requests: Iterable[Request]) -> list[str]:
    return [request.given.text for request in requests if request.given is not None]


def test_the_changed_answers_alone_are_scored_once_and_cost_nothing(store: Store) -> None:
    student = ScoringModel(answer, name="hf:student")
    evaluated(store, student)
    assert texts_of(student.scored) == ["so --> 18", "so --> 20"]
    again = ScoringModel(answer, name="hf:student")
    evaluated(store, again)
    assert again.asked == []
    (kept,) = store.completions("hf:student", student.scored[0])
    assert (kept.completion.prompt_tokens, kept.completion.completion_tokens) == (0, 0)


@pytest.mark.parametrize(("most", "scored"), [(0, 0), (1, 1), (100, 2)])
def test_the_setting_bounds_them(store: Store, most: int, scored: int) -> None:
    student = ScoringModel(answer, name="hf:student")
    evaluated(store, student, confidence=most)
    assert len(student.scored) == scored


def test_a_model_without_probabilities_of_its_own_is_not_asked(store: Store) -> None:
    student = ScriptedModel(answer, name="vllm:student")
    evaluated(store, student)
    assert all(request.given is None for request in student.asked)


def test_the_page_shades_what_was_scored(store: Store) -> None:
    evaluated(store, ScoringModel(answer, name="hf:student"))
    data: Any = browser_data(read_results(store, [TASK]), store)
    rows = {row["id"]: row["answers"] for row in data["sets"][0]["rows"]}
    shaded = {
        (id_, one["system"]): (one["sure"], one["shades"])
        for id_, answers in rows.items()
        for one in answers
        if "shades" in one
    }
    (first, second) = (question.id for question in TASK.splits["test"][:2])
    assert set(shaded) == {(first, "rationales"), (second, "rationales")}
    sure, shades = shaded[first, "rationales"]
    assert sure == 50 and [tuple(one) for one in shades] == [(1, 50)] * len("so --> 18")


def test_thinking_and_empty_answers_are_left_alone_and_a_stop_is_heeded(store: Store) -> None:
    model = ScoringModel(answer, name="hf:student")
    request = Request(prompt="What is 9", answer_prefix="so")
    plain = Completion(request=request, sample=0, text=" it is", finish_reason="stop")
    others = [replace(plain, text=""), replace(plain, text="18", thinking="hm")]
    assert store_confidence(model, [plain, *others], store, stops=lambda: True) == 0
    assert store_confidence(model, [plain, *others], store, stops=lambda: False) == 1
    assert confidence_request(request, " it is") == replace(
        request, given=GivenText(text=" it is", ends=False)
    )
