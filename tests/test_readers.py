"""The readers of the published sets: on the real files where they are, else on small ones."""

import json
import random
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from potstill import grade
from potstill.errors import ConfigError, DataError
from potstill.grading.answers import READERS
from potstill.prompts.styles import question_text
from potstill.records import Question
from potstill.tasks import _divided, load_task, task_settings
from potstill.tasks.datasets import DATASETS
from potstill.tasks.datasets.pool import Pool, Row

FOLDERS = {
    "single_eq": "singleeq",
    "addsub": "addsub",
    "multiarith": "multiarith",
    "svamp": "svamp",
    "date_understanding": "date_understanding",
    "tracking_shuffled_objects": "tracking_shuffled_objects",
    "last_letter_concatenation": "last_letters",
    "coin_flip": "coin_flip",
    "strategy_qa": "strategy_qa",
    "commonsense_qa": "commonsense_qa",
    "gsm8k": "gsm8k",
    "aqua": "aqua",
}
TOTALS = {
    "single_eq": 508, "addsub": 395, "multiarith": 600, "svamp": 1000, "date_understanding": 369,
    "tracking_shuffled_objects": 750, "last_letter_concatenation": 500, "coin_flip": 500,
    "strategy_qa": 2290, "commonsense_qa": 10962, "gsm8k": 7773, "aqua": 508,
}  # fmt: skip
ENDS = {  # the gold answers of the first question and of the last
    "single_eq": ("43", "5"),
    "addsub": ("43", "57"),
    "multiarith": ("39", "2"),
    "svamp": ("51", "11"),
    "last_letter_concatenation": ("yajo", "naae"),
    "coin_flip": ("yes", "yes"),
    "strategy_qa": ("Yes", "No"),
}


def pool(data: Path, name: str) -> Pool:
    return DATASETS[name].read(data / FOLDERS[name])


def everything(of: Pool) -> tuple[Question, ...]:
    return (*of.train, *of.dev, *of.test)


def valid(name: str, questions: tuple[Question, ...]) -> None:
    """Every gold answer fits its type, every id is unique, every text is clean."""
    reader = READERS[DATASETS[name].answer_type]
    assert all(reader.gold(question) for question in questions)
    assert len({question.id for question in questions}) == len(questions)
    assert all(question.text == question.text.strip() != "" for question in questions)
    assert not any("canary GUID" in question.text for question in questions)


@pytest.mark.parametrize("name", FOLDERS)
def test_every_question_is_read(shared_data: Path, name: str) -> None:
    questions = everything(pool(shared_data, name))
    assert len(questions) == TOTALS[name]
    valid(name, questions)


@pytest.mark.parametrize("name", FOLDERS)
def test_an_answer_is_graded_by_its_own_gold(shared_data: Path, name: str) -> None:
    for question in random.Random(0).sample(everything(pool(shared_data, name)), 40):
        assert grade(name, f"So it is. The answer is {question.answer}.", question).correct


@pytest.mark.parametrize("name", [name for name in FOLDERS if not DATASETS[name].own_split])
def test_the_published_splits_come_out_of_the_draw(shared_data: Path, name: str) -> None:
    file = shared_data / f"fine_tune_cot/split/{name}__default.json"
    positions = json.loads(file.read_text(encoding="utf-8"))
    whole = pool(shared_data, name).train
    divided = load_divided(shared_data, name, "fine_tune_cot")
    assert [each.id for each in divided.train] == [whole[at].id for at in positions["train"]]
    assert [each.id for each in divided.test] == [whole[at].id for at in positions["test"]]
    assert DATASETS[name].sizes == (len(positions["train"]), len(positions["test"]))


@pytest.mark.parametrize("name", ["multiarith", "date_understanding"])
def test_the_published_template_splits_come_out_of_the_draw(shared_data: Path, name: str) -> None:
    file = shared_data / f"fine_tune_cot/split/{name}__template.json"
    positions = json.loads(file.read_text(encoding="utf-8"))
    whole = pool(shared_data, name).train
    divided = load_divided(shared_data, name, "template")
    assert {each.id for each in divided.train} == {whole[at].id for at in positions["train"]}
    assert {each.id for each in divided.test} == {whole[at].id for at in positions["test"]}
    templates = Counter(question.template_id for question in whole)
    assert len(templates) == {"multiarith": 120, "date_understanding": 41}[name]


def load_divided(data: Path, name: str, split: str) -> Pool:
    """The published set divided, before development questions and duplicates are taken out."""
    settings = task_settings({"name": name, "path": data, "split": split}, at="task")
    return _divided(DATASETS[name], pool(data, name), settings)


def test_a_published_split_may_be_set_aside(shared_data: Path) -> None:
    whole = everything(pool(shared_data, "commonsense_qa"))
    divided = load_divided(shared_data, "commonsense_qa", "hash")
    assert (divided.train, divided.test) == (whole, ())  # the hash divides it further on
    kept = load_divided(shared_data, "commonsense_qa", "fine_tune_cot")
    assert (len(kept.train), len(kept.test)) == DATASETS["commonsense_qa"].sizes
    with pytest.raises(ConfigError, match="the questions have no template ids"):
        load_divided(shared_data, "commonsense_qa", "template")


@pytest.mark.parametrize("name", ENDS)
def test_the_first_and_the_last_question_have_the_published_answers(
    shared_data: Path, name: str
) -> None:
    questions = pool(shared_data, name).train
    assert (questions[0].answer, questions[-1].answer) == ENDS[name]


def test_options_of_dates_stand_as_in_the_published_prompt(shared_data: Path) -> None:
    file = shared_data / "fine_tune_cot/few_shot_cot_prompts.json"
    prompt = json.loads(file.read_text(encoding="utf-8"))["date_understanding"]
    published = [line[3:] for line in prompt["prompt"].splitlines() if line.startswith("Q: ")]
    answers = [line.rpartition("answer is ")[2].rstrip(".")
               for line in prompt["prompt"].splitlines() if line.startswith("A: ")]  # fmt: skip
    questions = pool(shared_data, "date_understanding").train
    shown = [questions[at] for at in prompt["sample_indices"]]
    assert [" ".join(question_text(each).split()) for each in shown] == published
    assert [each.answer for each in shown] == answers
    assert Counter(len(question.choices) for question in questions) == {6: 311, 5: 58}


def test_options_of_objects_are_worded_as_published(shared_data: Path) -> None:
    question = pool(shared_data, "tracking_shuffled_objects").train[0]
    assert question_text(question).endswith(
        "At the end of the game, Alice has the\nWhich choice is true? "
        "Answer choices: (A) orange ball, (B) white ball, (C) blue ball."
    )
    assert question.answer == "C"


def test_the_development_split_of_commonsense_qa_is_its_test_split(shared_data: Path) -> None:
    read = pool(shared_data, "commonsense_qa")
    assert (len(read.train), len(read.test)) == DATASETS["commonsense_qa"].sizes
    first = read.test[0]
    assert (first.choices[0], first.answer) == ("bank", "A")
    assert first.text.startswith("A revolving door")


def test_aqua_without_its_training_file_says_so(shared_data: Path) -> None:
    read = pool(shared_data, "aqua")
    assert (len(read.train), len(read.test)) == (254, 254)
    assert read.train[0].choices == ("32400", "6000", "600", "60000", "10")
    assert read.notes == (
        "aqua: no train.json, so the 254 development questions are for training.",
    )


def test_aqua_draws_its_training_questions_as_published(tmp_path: Path, shared_data: Path) -> None:
    row = '{"question": "%d?", "options": ["A)1", "B)2"], "correct": "A", "rationale": ""}\n'
    train = "".join(row % number for number in range(97_467))
    (tmp_path / "train.json").write_text(train, encoding="utf-8")
    (tmp_path / "test.json").write_text(row % 0, encoding="utf-8")
    file = shared_data / "fine_tune_cot/split/aqua__default.json"
    positions = json.loads(file.read_text(encoding="utf-8"))["train"]
    read = DATASETS["aqua"].read(tmp_path)
    assert [question.text for question in read.train] == [f"{position}?" for position in positions]
    assert read.notes == ("aqua: 10000 of 97467 training questions drawn.",)


# sets without files here -------------------------------------------------------------------------

ASDIV = """<Machine-Reading-Corpus-File><ProblemSet>
<Problem ID="n1"><Body>Seven apples.</Body><Question>How many?</Question>
<Answer>9 (apples)</Answer></Problem>
<Problem ID="n2"><Body>Two.</Body><Question>Who?</Question><Answer>Tom</Answer></Problem>
<Problem ID="n3"><Body>Two.</Body><Question>How?</Question><Answer>2:3</Answer></Problem>
</ProblemSet></Machine-Reading-Corpus-File>"""


def test_asdiv_says_how_many_problems_have_no_number(tmp_path: Path) -> None:
    (tmp_path / "ASDiv.xml").write_text(ASDIV, encoding="utf-8")
    pool = DATASETS["asdiv"].read(tmp_path)
    assert [(one.id, one.text, one.answer) for one in pool.train] == [
        ("asdiv/n1", "Seven apples. How many?", "9")
    ]
    assert pool.notes == ("asdiv: 2 of 3 problems left out: no single number answers.",)


def test_asdiv_with_entities_is_not_read(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "cc">]><a>&b;</a>'
    (tmp_path / "ASDiv.xml").write_text(bomb, encoding="utf-8")
    with pytest.raises(DataError, match="DOCTYPE"):
        DATASETS["asdiv"].read(tmp_path)


def math_file(folder: Path, split: str, subject: str, number: int, solution: str) -> None:
    path = folder / split / subject / f"{number}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    row = {"problem": f"{subject} {number}?", "level": "Level 1", "type": "x", "solution": solution}
    path.write_text(json.dumps(row), encoding="utf-8")


def test_math_is_read_from_its_folders_in_order(tmp_path: Path) -> None:
    math_file(tmp_path, "train", "geometry", 10, r"so $\boxed{\frac{1}{2}}$")
    math_file(tmp_path, "train", "geometry", 9, r"first \boxed{3}, then \boxed{x_{1} = 4}.")
    math_file(tmp_path, "train", "algebra", 1, r"$\boxed 2$ it is.")
    math_file(tmp_path, "test", "algebra", 0, r"\fbox{$(1,\infty)$}")
    read = DATASETS["math"].read(tmp_path)
    assert [(question.id, question.answer) for question in read.train] == [
        ("math/train/algebra/1", "2"),
        ("math/train/geometry/9", "x_{1} = 4"),
        ("math/train/geometry/10", r"\frac{1}{2}"),
    ]
    assert [question.answer for question in read.test] == [r"$(1,\infty)$"]
    valid("math", everything(read))


@pytest.mark.parametrize(
    ("solution", "message"),
    [("no box", r"math/train/algebra/1: the solution has no \\boxed"), (None, "holds no SUBJECT")],
)
def test_a_wrong_folder_of_math_is_refused(
    tmp_path: Path, solution: str | None, message: str
) -> None:
    if solution:
        math_file(tmp_path, "train", "algebra", 1, solution)
    with pytest.raises(DataError, match=message):
        DATASETS["math"].read(tmp_path)


# the hub -----------------------------------------------------------------------------------------

CSQA: Row = {
    "id": "q1", "question": "Where?", "question_concept": "x", "answerKey": "B",
    "choices": {"label": ["A", "B"], "text": ["here", "there"]},
}  # fmt: skip
HUB: dict[str, tuple[Row, str]] = {
    "gsm8k": ({"question": "Why?", "answer": "So. #### 1,000"}, "1000"),
    "svamp": ({"ID": "c-1", "Body": "A.", "Question": "B?", "Answer": "4.0"}, "4"),
    "multiarith": ({"question": " How  many? ", "final_ans": "7"}, "7"),
    "aqua": ({"question": "Q?", "options": ["A)1", "B)2"], "correct": "B", "rationale": ""}, "B"),
    "commonsense_qa": (CSQA, "B"),
    "strategy_qa": ({"qid": "x", "question": "Is it?", "answer": True, "facts": ""}, "Yes"),
    "last_letter_concatenation": ({"question": "Join.", "answer": "ab"}, "ab"),
    "asdiv": ({"body": "A.", "question": "B?", "answer": "9 (apples)", "formula": ""}, "9"),
    "math": ({"problem": "P", "level": "1", "type": "t", "solution": r"\boxed{5}"}, "5"),
    "bbh_snarks": ({"input": "Which?\nOptions:\n(A) x\n(B) y", "target": "(B)"}, "B"),
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[tuple[object, ...]]]:
    """Puts one row of a task on a hub that is none, and keeps what was asked of it."""

    def serve(name: str) -> list[tuple[object, ...]]:
        asked: list[tuple[object, ...]] = []

        def rows(dataset: str, *, config: str | None = None, split: str) -> list[Row]:
            asked.append((dataset, config, split))
            return [HUB[name][0]]

        file = "bbh" if name.startswith("bbh") else name
        module = import_module(f"potstill.tasks.datasets.{file}")
        monkeypatch.setattr(module, "hub_rows", rows)
        return asked

    return serve


@pytest.mark.parametrize("name", HUB)
def test_rows_of_the_hub_are_read(
    hub: Callable[[str], list[tuple[object, ...]]], name: str
) -> None:
    asked = hub(name)
    dataset = DATASETS[name]
    assert dataset.read_hub
    read = dataset.read_hub()
    assert {question.answer for question in everything(read)} == {HUB[name][1]}
    assert {str(dataset) for dataset, _, _ in asked} == {dataset.hub.partition(" ")[0]}
    if name not in ("svamp", "commonsense_qa"):  # whose ids are the row's own
        valid(name, everything(read))


def test_every_set_with_a_name_on_the_hub_has_a_reader_that_is_tested() -> None:
    with_hub = {each.name for each in DATASETS.values() if each.hub}
    assert with_hub == {each.name for each in DATASETS.values() if each.read_hub}
    assert {name for name in with_hub if not name.startswith("bbh")} == set(HUB) - {"bbh_snarks"}


def test_a_set_that_is_not_on_the_hub_says_where_it_is() -> None:
    with pytest.raises(ConfigError, match=r"Get questions.json from https://.* as path"):
        load_task(task_settings("single_eq", at="task"))


def test_positions_do_not_count_on_the_hub(
    hub: Callable[[str], list[tuple[object, ...]]],
) -> None:
    hub("svamp")
    with pytest.raises(ConfigError, match=r"counts positions in SVAMP\.json"):
        load_task(task_settings({"name": "svamp", "split": "fine_tune_cot"}, at="task"))


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("single_eq", "questions.json", [{"iIndex": 0, "sQuestion": "?", "lSolutions": []}], "one"),
        ("coin_flip", "coin_flip.json", [], "list of objects as 'examples'"),
        ("coin_flip", "coin_flip.json", {"examples": [{"answer": "no"}]}, "there is no 'question'"),
        (
            "date_understanding",
            "task.json",
            {"examples": [{"input": "?", "target_scores": {"a": 1, "b": 1}}]},
            "date_understanding/0: target_scores is .*; one option must have 1",
        ),
        ("aqua", "test.json", {"question": "?", "options": ["1"], "correct": "A"}, "no train.json|"
            "neither train.json"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_refused_with_its_place(
    tmp_path: Path, name: str, file: str, content: object, message: str
) -> None:
    (tmp_path / file).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        DATASETS[name].read(tmp_path)


def test_the_draw_is_numpys(shared_data: Path) -> None:
    """A second way to the published positions, so that a change of numpy's stream is told apart."""
    file = shared_data / "fine_tune_cot/split/svamp__default.json"
    order = np.random.RandomState(0).permutation(1000)
    assert sorted(order[:700].tolist()) == json.loads(file.read_text(encoding="utf-8"))["train"]
