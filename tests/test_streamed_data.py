"""Data larger than memory: what is read from the store or a file is what was held before."""

import _sqlite3
import json
import tracemalloc
from collections.abc import Callable
from ctypes import CDLL, c_int64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from potstill.errors import StoreError
from potstill.evaluate.graded_answers import GradedAnswers
from potstill.keys import listed_hash, listed_hash_within, question_digest, settings_hash
from potstill.records import (
    Completion,
    Prediction,
    Question,
    Rationale,
    Request,
    SoftTargets,
    System,
    Task,
)
from potstill.report import write_report
from potstill.report.places import PlacesByKey
from potstill.store import Store, question_index, spooled_records, stored_rows
from potstill.store.unnamed_file import UnnamedFile
from potstill.tasks import load_task, task_settings
from potstill.train.batches import Order, Steps, plan_steps
from potstill.train.encoding import Encoded
from potstill.train.examples import make_examples
from potstill.train.settings import StudentSettings
from potstill.train.spooled_examples import SpooledExamples, facts_of

QUESTIONS = tuple(
    Question(id=f"q{number}", text=f"What is {number} + 1?", answer=str(number + 1))
    for number in range(6)
)
TASK = Task(name="sums", answer_type="number", splits={"train": QUESTIONS, "dev": (), "test": ()})


def filled(path: Path, text: str = "We add one to {}.") -> Store:
    """A store with two rationales of each question, the second of the last one dropped."""
    store = Store(path / "run.sqlite")
    rationales = []
    for number, question in enumerate(QUESTIONS):
        request = Request(prompt=question.text, samples=(0, 1), temperature=0.7)
        words = text.format(number)
        store.add_completions(
            "m",
            [
                Completion(request=request, sample=sample, text=words, finish_reason="stop")
                for sample in (0, 1)
            ],
            stage="generate",
        )
        rationales += [
            Rationale(
                question_id=question.id, completion_id=id_, sample=completion.sample, text=words,
                answer=question.answer, question_digest=question_digest(question),
                gold=question.answer, teacher="teacher" if number < 3 else "other",
                verdict="wrong_answer" if (number, completion.sample) == (5, 1) else "kept",
            )
            for id_, completion in store.completions("m", request)
        ]  # fmt: skip
    store.replace_rationales(rationales, grader="1", settings_hash="a")
    return store


@pytest.fixture(params=[10**9, 0], ids=["held", "read anew"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether records are held, as in small runs."""
    monkeypatch.setattr(stored_rows, "HELD", request.param)
    monkeypatch.setattr(stored_rows, "PAGE", 5)
    return bool(request.param)


def test_rationales_are_the_same_whether_they_are_held_or_read_anew(
    tmp_path: Path, kept: bool
) -> None:
    with filled(tmp_path) as store:
        found = store.rationales()
        assert isinstance(found, list) == kept
        assert [(one.question_id, one.sample) for one in found] == [
            (question.id, sample) for question in QUESTIONS for sample in (0, 1)
        ]
        assert found[-1].verdict == "wrong_answer" and found[3] == [*found][3]
        assert [*found[2:4]] == [found[2], found[3]]
        assert store.training_rationales(TASK) is not None
        changed = replace(QUESTIONS[2], answer="99")
        current = store.current_rationales([QUESTIONS[0], changed, QUESTIONS[5]])
        assert [one.question_id for one in current.rationales] == ["q0", "q0", "q5", "q5"]
        assert current.outdated == 8


def test_who_reads_what_was_replaced_meanwhile_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_rows, "HELD", 0)
    with filled(tmp_path) as store, Store(store.path, read_only=True) as reader:
        found = reader.rationales()
        with reader.unchanging():
            assert found[0].question_id == "q0"
            store.replace_rationales([], grader="1", settings_hash="b")
            assert found[0].question_id == "q0", "it sees the file as it was"
        with pytest.raises(StoreError, match="Repeat the command"):
            _ = found[0]


def test_examples_are_the_same_whether_rationales_are_held_or_read_anew(
    tmp_path: Path, kept: bool
) -> None:
    student = StudentSettings.model_validate(
        {"data_format": {"fine_tune_cot": 0.5, "fine_tune_answer": 0.5}, "max_rationales": 1}
    )
    with filled(tmp_path) as store:
        examples = make_examples(
            store.rationales(), QUESTIONS, student, encoder_decoder=False, seed=0
        )
        assert len(examples) == 12
        assert examples[5].target == " We add one to 5. --> 6"
        assert [one.target for one in examples[6:8]] == [" 1", " 2"]
        assert [*examples.data_formats()] == [one.data_format for one in examples]
        assert examples[-1].question_id == "q5"
        with pytest.raises(IndexError):
            _ = examples[12]


def test_examples_of_long_rationales_take_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_rows, "HELD", 0)
    monkeypatch.setattr(stored_rows, "PAGE", 2)
    student = StudentSettings.model_validate({"data_format": "fine_tune_cot"})
    with filled(tmp_path, text="a long way " * 50_000) as store:  # 6.6 MB in all
        tracemalloc.start()
        examples = make_examples(
            store.rationales(), QUESTIONS, student, encoder_decoder=False, seed=0
        )
        assert sum(len(one.target) for one in examples) > 5e6
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 5e6


SOFT = SoftTargets(
    ids=np.array([[4, 5], [6, -1]], np.int32),
    probabilities=np.array([[0.5, 0.25], [1.0, 0.0]], np.float32),
    tail=np.array([0.25, 0.0], np.float32),
    soft=np.array([True, False]),
)
ENCODED = [
    Encoded([1, 2], [4, 6], question_id="é", data_format="b", soft=SOFT),
    Encoded([1], [7, 8, 9], weight=0.25, data_format="a", skip=1, unlikely=True),
    Encoded([1, 2], [4, 7, 6], question_id="é", data_format="a", places=(0, 2)),
]


def same(one: Encoded, two: Encoded) -> bool:
    softs = (one.soft, two.soft)
    if softs != (None, None):
        first, second = softs
        assert first is not None and second is not None
        for name in ("ids", "probabilities", "tail", "soft"):
            own, other = getattr(first, name), getattr(second, name)
            assert own.dtype == other.dtype and np.array_equal(own, other)
    return one._replace(soft=None) == two._replace(soft=None)


def test_encoded_examples_come_out_of_their_file_as_they_went_in(tmp_path: Path) -> None:
    spooled = SpooledExamples(iter(ENCODED), tmp_path / "made")
    assert all(map(same, spooled, ENCODED)) and len(spooled) == 3
    assert same(spooled[-1], ENCODED[2]) and [*map(same, spooled[1:], ENCODED[1:])] == [True, True]
    assert [*(tmp_path / "made").iterdir()] == [], "the file has no name"
    for facts in (spooled.facts, facts_of(ENCODED)):
        assert facts.lengths.tolist() == [4, 4, 5]
        assert facts.trained.tolist() == [2, 2, 2]
        assert [*facts.data_formats()] == ["b", "a", "a"]
        assert facts.questions.tolist() == [0, 1, 0]
        assert facts.unlikely.tolist() == [False, True, False]
        assert facts.soft_share == 1 / 6
        assert {*facts.format_names} == {"a", "b"}


def test_steps_hold_the_same_from_a_file_and_in_the_order_of_former_versions(
    tmp_path: Path,
) -> None:
    examples = [
        Encoded([number], [0] * (1 + number % 4), question_id=f"q{number // 3}", data_format="a")
        for number in range(9)
    ]
    spooled = SpooledExamples(examples, tmp_path)
    order = Order(4, siblings=2, by_length=True, seed=3)
    plans = [[list(step) for step in plan_steps(some, order, 5)] for some in (examples, spooled)]
    assert plans[0] == plans[1] == FORMER_PLAN
    for step in range(5):
        parts = [Steps(some, plans[0], batch_tokens=9)[step] for some in (examples, spooled)]
        assert parts[0] == parts[1]


FORMER_PLAN = [[3, 5, 7, 6], [4, 1, 2, 8], [0, 1, 2, 6], [8, 7, 4, 3], [0, 5, 3, 7]]


VALUES = st.recursive(
    st.none() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=2),
    max_leaves=6,
)


@settings(max_examples=60)
@given(st.lists(VALUES, max_size=4), st.lists(VALUES, max_size=3), VALUES)
def test_hashes_of_streams_are_those_of_lists(
    first: list[object], second: list[object], value: object
) -> None:
    assert listed_hash(iter(first)) == settings_hash(first)
    assert listed_hash(iter(first), iter(second)) == settings_hash(first, second)
    assert listed_hash_within([value], iter(first), [second, 0]) == settings_hash(
        value, first, second, 0
    )


def test_graded_answers_come_back_from_their_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooled_records, "HELD", 2)
    answers = [
        Prediction(
            system=System("rationales", step=4), task="sums", question_id=f"q{number}",
            text=f"é {number}\n", answer=None if number == 3 else "1", correct=number % 2 == 0,
            finish_reason="length" if number > 2 else "stop", completion_tokens=number,
            thinking_ended=[None, True, False][number % 3], question_digest="d",
        )
        for number in range(5)
    ]  # fmt: skip
    graded = GradedAnswers()
    for answer in answers:
        graded.add(answer)
    assert [*graded] == [*graded] == answers
    score = graded.score(answers[0].system, TASK, "test")
    assert (score.correct, score.total, score.no_answer, score.truncated) == (3, 5, 1, 2)
    assert score.thinking_ended == 2


def test_places_are_found_by_key() -> None:
    places = PlacesByKey(["b", "a", "b", None, "a", "b"])
    assert (places.of("b"), places.of("a"), places.of("c")) == ([0, 2, 5], [1, 4], [])
    assert PlacesByKey([]).of("a") == []


def test_a_file_without_a_name_gives_back_what_it_was_given(tmp_path: Path) -> None:
    file = UnnamedFile(tmp_path)
    for number in range(2_000):
        file.append(bytes([number % 256]) * (number % 1_500))
    assert len(file) == 2_000
    for number in (1_999, 0, 999, 1_000, 1_500):  # the last waits to be written, two are empty
        assert file.read(number) == bytes([number % 256]) * (number % 1_500)
    assert [*tmp_path.iterdir()] == []


def most_memory(work: Callable[[], object]) -> int:
    """The bytes that Python held at most while it worked, beyond those before."""
    tracemalloc.start()
    work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_a_report_holds_no_rationales_but_those_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_rows, "HELD", 0)
    monkeypatch.setattr(stored_rows, "PAGE", 2)
    monkeypatch.setattr("potstill.report.questions.MOST_QUESTIONS", 2)
    most, folder = [], tmp_path
    for number, long in enumerate(("", "", "a long way " * 50_000)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with filled(folder, text="We add one to {}. " + long) as store:  # 6.6 MB in the last
            most.append(most_memory(lambda: write_report(store, [TASK], folder)))  # noqa: B023
    assert most[2] - most[1] < 3e6, "the first has loaded modules as well"
    page = (folder / "report.html").read_text()
    assert "11 of 12" in page or "91.7%" in page


def test_sqlite_sorts_on_the_disk_after_prompts_were_looked_up(tmp_path: Path) -> None:
    most_of_sqlite = CDLL(_sqlite3.__file__).sqlite3_memory_highwater
    most_of_sqlite.restype = c_int64
    model, rationales = "m" * 20_000, []
    with Store(tmp_path / "run.sqlite") as store:
        for number in range(500):  # who wrote them is 10 MB to sort
            question = f"What is {number} + 1?"
            request = Request(prompt=question, question_id=f"q{number}", task="sums")
            one = Completion(request=request, sample=0, text="So.", finish_reason="stop")
            store.add_completions(model, [one], stage="generate")
            ((id_, _),) = store.completions(model, request)
            rationales.append(
                Rationale(
                    question_id=f"q{number}", completion_id=id_, text="So.", answer="1",
                    verdict="kept", sample=0,
                )
            )  # fmt: skip
        store.replace_rationales(rationales, grader="1", settings_hash="a")
        assert len(store.sent_about("sums", "q7", stage="generate")) == 1
        most_of_sqlite(1)  # counts anew
        (writer,) = store.writers()
        assert (writer.model, writer.total) == (model, 500)
        assert most_of_sqlite(1) < 8e6


def test_texts_that_are_searched_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_index, "_BLOCK", 100_000)
    texts = [f"q{number} " + "long " * (1 + number % 7 * 10_000) + "é." for number in range(80)]
    index = question_index.QuestionIndex()
    assert sum(map(len, texts)) > 11e6

    def asked(place: int) -> question_index.IndexedQuestion:
        return question_index.IndexedQuestion(
            place=place, id=f"q{place}", template=None, length=place, split_by=0, cut=False,
            unanswered=False, none_kept=False, right=[], verdicts=[], words=texts[place], row=b"",
        )  # fmt: skip

    assert most_memory(lambda: index.add(0, map(asked, range(80)))) < 4e6
    for words, found in (
        ("q0 l", [0]), ("q7", [7, *range(70, 80)]), ("long é.", [*range(80)]), ("é.q", []),
        ("q79 ", [79]), ("absent", []),
    ):  # fmt: skip
        sought = question_index.QuestionFilter(words=words, order="order")
        assert [place for place, _ in index.find(0, sought)] == found, words
    index.close()


def test_a_file_of_questions_is_let_go_row_by_row(tmp_path: Path) -> None:
    note = "a note " * 5_000
    rows = [
        {"question": f"What is {number} + 1?", "answer": number + 1, "note": note}
        for number in range(160)
    ]
    path = tmp_path / "sums.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))  # 5.6 MB
    read: list[Task] = []
    settings = task_settings({"file": path}, at="task")
    assert most_memory(lambda: read.append(load_task(settings))) < 2e6
    assert sum(map(len, read[0].splits.values())) == 160
