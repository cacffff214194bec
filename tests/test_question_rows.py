"""The browser of questions, before it is a page: rows, counts, what stands behind an answer."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from guided_run import predicted
from report_run import RATIONALES, START, TEACHER, score, task

from potstill.records import (
    Completion,
    Prediction,
    Rationale,
    Request,
    System,
    TokenLogprobs,
)
from potstill.report import questions
from potstill.report.accuracy import Results, read_results
from potstill.report.answer_origins import token_shades
from potstill.report.question_rows import QuestionRows
from potstill.report.questions import browser_data, facets, question_sets, thirds
from potstill.store import Store

SUMS = task("sums", 3, 6)
ZERO_SHOT = System("start", variant="zero_shot")


def answered(system: System, number: int, right: bool, **more: Any) -> Prediction:
    values: dict[str, Any] = {
        "system": system,
        "task": "sums",
        "question_id": f"test-{number}",
        "text": "First, 2 + 2 = 4.\nSo it is 4.",
        "answer": "4",
        "correct": right,
        "finish_reason": "stop",
        "completion_tokens": 10 + number,
    }
    return Prediction(**values | more)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "run.sqlite") as store:
        yield store


def results_of(store: Store, predictions: list[Prediction]) -> Results:
    systems = dict.fromkeys(prediction.system for prediction in predictions)
    store.replace_evaluation(
        [
            *(score(system, "sums", 3, 6) for system in systems),
            score(RATIONALES, "sums", 3, 6, "dev"),
        ],
        predictions,
        [],
        grader="2",
        settings_hash="c",
    )
    return read_results(store, [SUMS])


def sums_rows(data: dict[str, Any]) -> dict[str, Any]:
    return {row["id"]: row for row in data["sets"][0]["rows"]}


def test_questions_on_which_start_and_student_differ_come_first(store: Store) -> None:
    rights = [(True, True), (True, False), (False, True), (False, False)]
    results = results_of(
        store,
        [
            answered(system, number, right[place])
            for number, right in enumerate(rights)
            for place, system in enumerate((START, RATIONALES))
        ]
        + [answered(TEACHER, number, right=number != 3) for number in range(5)],
    )
    (test,) = question_sets(results, QuestionRows(results))
    # lost and gained; then those where the teacher alone is right, or nobody is
    assert test.by_disagreement[:2] == [1, 2]
    assert test.facets["changed"] == [[1, 1], [1, 1]]
    assert test.facets["systems"] == {
        "start": [2, 2], "rationales": [2, 2], "teacher": [4, 1]
    }  # fmt: skip
    assert test.facets["pair"] == ("start", "rationales")


def test_a_page_holds_no_more_bytes_than_it_may_and_counts_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = [
        answered(system, number, right=(number == 4) == (system is START), text="x" * 2_000)
        for number in range(6)
        for system in (START, RATIONALES)
    ]
    predictions[0] = replace(predictions[0], correct=True)  # on question 0 both are right
    results = results_of(store, predictions)
    one = len(orjson.dumps(next(iter(sums_rows(browser_data(results)).values()))))
    monkeypatch.setattr(questions, "MOST_BYTES", 3 * one + 100)
    data: Any = browser_data(results)
    assert list(sums_rows(data)) == ["test-1", "test-2", "test-3"]
    assert (data["sets"][0]["total"], data["sets"][0]["changed"]) == (6, [[1, 1], [4, 0]])


def test_the_first_step_in_which_teacher_and_student_differ_is_marked(store: Store) -> None:
    told = "First, 2 + 2 = 4.\nThen 4 + 1 = 5.\nSo it is 5."
    written = "First,  2 + 2 = 4.\nThen 4 + 1 = 6."
    results = results_of(
        store,
        [answered(TEACHER, 0, True, text=told), answered(RATIONALES, 0, False, text=written)],
    )
    differs = sums_rows(browser_data(results))["test-0"]["differs"]
    spans = {"teacher": told, "rationales": written}
    shown = {name: spans[name][start:end] for name, (start, end) in differs.items()}
    assert shown == {"teacher": "Then 4 + 1 = 5.", "rationales": "Then 4 + 1 = 6."}


def test_the_same_text_of_two_ways_of_asking_keeps_its_own_prompt(store: Store) -> None:
    """Both ways wrote one text for question 0; other questions tell how each system is asked."""
    predictions, completions = [], []
    for number, question in enumerate(SUMS.splits["test"]):
        for system, cue in ((ZERO_SHOT, "A:"), (START, "Let's think.")):
            text = "the same" if number == 0 else f"{cue} {number}"
            request = Request(
                prompt=f"{question.text}\n{cue}", question_id=question.id, task="sums"
            )
            completions.append(
                Completion(
                    request=request,
                    sample=0,
                    text=text,
                    finish_reason="stop",
                    thinking="hm" if system is START else None,
                )
            )
            predictions.append(answered(system, number, True, text=text))
    store.add_completions("hf:small", completions, stage="evaluate")
    results = results_of(store, [*predictions, answered(RATIONALES, 0, True, text="elsewhere")])
    row = sums_rows(browser_data(results, store))["test-0"]
    prompts = {
        answer["system"]: row["prompts"][answer["prompt"]][0][1].splitlines()[-1]
        for answer in row["answers"]
        if "prompt" in answer
    }
    assert prompts == {"start_zero_shot": "A:", "start": "Let's think."}  # none that is not known
    thought = {answer["system"]: answer.get("thinking") for answer in row["answers"]}
    assert thought == {"start_zero_shot": None, "start": "hm", "rationales": None}


def test_rationales_show_what_was_sent_and_how_sure_the_teacher_was(store: Store) -> None:
    question = SUMS.splits["train"][0]
    request = Request(prompt=question.text, top_logprobs=1)
    record = TokenLogprobs(
        logprobs=np.log(np.array([[0.5, 0.5], [0.9, 0.9], [1.0, 1.0]], np.float32)),
        token_bytes="üü b b..".encode(),
        lengths=np.array([[2, 2], [2, 2], [1, 1]], np.uint16),
    )
    store.add_completions(
        "openai:big",
        [
            Completion(
                request=request, sample=0, text="ü b.", finish_reason="length",
                completion_tokens=3, logprobs=record,
            )
        ],
        stage="generate",
    )  # fmt: skip
    (stored,) = store.completions("openai:big", request)
    store.replace_rationales(
        [
            Rationale(
                question_id=question.id, completion_id=stored.id, sample=0, text="ü b.",
                answer=None, verdict="unfinished",
            )
        ],
        grader="1",
        settings_hash="a",
    )  # fmt: skip
    data: Any = browser_data(read_results(store, [SUMS]), store)
    (row,) = (row for row in data["sets"][0]["rows"] if row["id"] == question.id)
    (written,) = row["written"]
    assert (written["finish"], written["tokens"], written["sure"]) == ("length", 3, 80)
    assert written["shades"] == [(1, 50), (2, 90), (1, 100)]
    assert row["prompts"] == [[("", question.text)]]
    assert data["sets"][0]["verdicts"] == {"unfinished": 1}
    assert data["sets"][0]["none_kept"] == 1


@pytest.mark.parametrize(
    ("text", "shades"),
    [("ab", [(1, 50), (1, 90)]), ("b", [(1, 90)]), ("", []), ("other", [])],
)
def test_shades_belong_to_the_characters_of_the_text(
    text: str, shades: list[tuple[int, int]]
) -> None:
    record = TokenLogprobs(
        logprobs=np.log(np.array([[0.5], [0.9]], np.float32)),
        token_bytes=b"ab",
        lengths=np.array([[1], [1]], np.uint16),
    )
    assert token_shades(record, text) == shades
    by_ids = TokenLogprobs(logprobs=record.logprobs, ids=np.array([[1], [2]], np.int32))
    assert token_shades(by_ids, text) == []


def test_guided_answers_stand_among_systems_with_the_teachers_words_marked() -> None:
    from guided_run import SCORES
    from guided_run import results_of as guided_results

    answers = [predicted("first", 0, True), predicted("never", 0, False)]
    data: Any = browser_data(guided_results(SCORES, answers))
    (row,) = (row for row in data["sets"][0]["rows"] if row["answers"])
    (answer,) = row["answers"]  # the student alone is a system of its own
    assert answer["system"] == "guided:first" and data["labels"]["guided:first"].startswith("Guid")
    (span,) = answer["guided"]
    assert answer["text"][slice(*span)] == "There are 6 apples."


def test_texts_of_a_megabyte_are_shown_by_their_ends(store: Store) -> None:
    long = "x" * 1_000_000
    huge = replace(SUMS.splits["test"][0], text=long, choices=(long,), template_id=long)
    tasks = [replace(SUMS, splits={**SUMS.splits, "test": (huge,)})]
    results_of(store, [answered(START, 0, False, text=long, answer=long)])
    results = read_results(store, tasks)
    assert len(orjson.dumps(browser_data(results))) < 20_000


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [([3, 1, 2, 6, 5, 4], (2, 4)), ([1, 1, 1, 9], None), ([5, 5], None), ([], None)],
)
def test_thirds_of_the_questions_by_length(
    lengths: list[int], expected: tuple[int, int] | None
) -> None:
    assert thirds(lengths) == expected


def test_an_empty_set_has_nothing_to_filter_by() -> None:
    assert facets([], None)["changed"] is None
