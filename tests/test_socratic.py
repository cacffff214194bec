"""Socratic students at inference: the alternation, pairs as systems, whole runs."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from fakes import context_of, sums
from speakers import Speaker
from tiny_models import build_tiny_causal, build_tiny_seq2seq

from potstill.cli import main
from potstill.errors import ConfigError
from potstill.evaluate import EvalModels, EvalTask, EvaluateSettings, Start, evaluate
from potstill.evaluate.socratic import (
    SocraticConfig,
    SubquestionPlan,
    Written,
    alternate,
    pair_checkpoints,
)
from potstill.generate import GenerateSettings, teacher_asking
from potstill.pipeline.recipe import load_recipe
from potstill.records import Checkpoint, Completion, FinishReason, Question, Request, System
from potstill.sampling.rounds import drive_in_batches
from potstill.store import Store, StoredCompletion

JANET = Question(
    id="janet", text="Janet has 16 eggs, eats 3 and sells the rest at $2.", answer="26"
)


# The alternation

OWN = SubquestionPlan()


def said(text: str, reason: FinishReason = "stop") -> StoredCompletion:
    completion = Completion(
        request=Request(prompt=""), sample=0, text=text, finish_reason=reason, cost=0.25,
        completion_tokens=len(text.split()),
    )  # fmt: skip
    return StoredCompletion(7, completion)


def written(
    answers: list[str | StoredCompletion | None],
    manner: SocraticConfig = SocraticConfig(),  # noqa: B008
    plan: SubquestionPlan = OWN,
) -> tuple[list[str], Written]:
    """Returns who was asked for what, and the text written from these answers, all of them used."""
    left = [said(each) if isinstance(each, str) else each for each in answers]
    asked = []

    def answered(turns: Any) -> list[StoredCompletion | None]:
        (turn,) = turns
        asked.append(f"{turn.role}|{turn.question.text.removeprefix(JANET.text)}")
        return [left.pop(0)]

    found = drive_in_batches({"janet": alternate(JANET, manner, plan)}, answered)["janet"]
    assert not left
    return asked, found


def test_the_two_alternate_until_the_questioner_is_done() -> None:
    asked, found = written([" a?", " 1.", " b?", " 2.\nThe answer is 2.", " Done."])
    assert asked == [
        "questioner|",
        "solver|\nQ: a?",
        "questioner|\nQ: a?\nA: 1.",
        "solver|\nQ: a?\nA: 1.\nQ: b?",
        "questioner|\nQ: a?\nA: 1.\nQ: b?\nA: 2.\nThe answer is 2.",
    ]
    assert (found.text, found.finish_reason) == ("a? 1.\nb? 2.\nThe answer is 2.", "stop")
    assert (found.completion_tokens, found.cost, found.completion_id) == (9, 1.25, 7)


@pytest.mark.parametrize(
    ("answers", "reason", "text"),
    [
        (["Done."], "stop", ""),
        (["done"], "stop", ""),
        (["  \n"], "stop", ""),
        (["a?", "1.", ""], "stop", "a? 1."),
        ([said("How many eggs does", "length")], "length", ""),
        (["a?", "1.", said("b", "length")], "length", "a? 1."),
        (["a?", said("1 + 1 +", "length")], "length", "a? 1 + 1 +"),
        (["a?", "", "b?", "2.", "Done."], "stop", "b? 2."),
        (["a?", "1.", "a?", "1.", "a?", "1.", "a?"], "length", "a? 1.\na? 1.\na? 1."),
        (["a?", "1.", "b?", "2.", "c?", "3.", "Done."], "stop", "a? 1.\nb? 2.\nc? 3."),
        ([None], "error", ""),
        (["a?", None], "error", ""),
        (["a?", said("x", "content_filter")], "content_filter", "a? x"),
    ],
)
def test_how_an_alternation_ends(
    answers: list[str | StoredCompletion | None], reason: str, text: str
) -> None:
    _, found = written(answers, SocraticConfig(most=3))
    assert (found.finish_reason, found.text) == (reason, text)


@pytest.mark.parametrize(
    ("manner", "plan", "answers", "roles", "reason"),
    [
        (
            SocraticConfig(counts=True),
            OWN,
            ["2", "a?", "1.", "b?", "2."],
            "NCSCS",
            "stop",
        ),
        (SocraticConfig(counts=True), OWN, ["many", "a?", "1."], "NCS", "stop"),
        (
            SocraticConfig(counts=True, most=2),
            OWN,
            ["9", "a?", "1.", "b?", "2."],  # told that they are 2
            "NCSCS",
            "length",
        ),
        (
            SocraticConfig(counts=True),
            OWN,
            ["3", "a?", "1.", "Done."],
            "NCSC",
            "stop",
        ),
        (SocraticConfig(), SubquestionPlan(number=1), ["a?", "1."], "CS", "stop"),
        (SocraticConfig(most=1), SubquestionPlan(number=2), ["a?", "1."], "CS", "length"),
        (SocraticConfig(), SubquestionPlan(questions=("a?", "b?")), ["1.", "2."], "SS", "stop"),
        (SocraticConfig(most=1), SubquestionPlan(questions=("a?", "b?")), ["1."], "S", "length"),
    ],
)
def test_counts_and_questions_that_are_given(
    manner: SocraticConfig, plan: SubquestionPlan, answers: list[Any], roles: str, reason: str
) -> None:
    letters = {"counter": "N", "counted_questioner": "C", "questioner": "Q", "solver": "S"}
    asked, found = written(answers, manner, plan)
    assert "".join(letters[each.partition("|")[0]] for each in asked) == roles
    assert found.finish_reason == reason


def test_exchanges_of_any_length_are_driven_in_rounds() -> None:
    def counting(number: int) -> Any:
        total = 0
        for _ in range(number):
            total += yield number
        return total

    rounds: list[list[int]] = []

    def answered(asked: Any) -> list[int]:
        rounds.append(list(asked))
        return [10 * each for each in asked]

    found = drive_in_batches({n: counting(n) for n in (2, 0, 1)}, answered)
    assert found == {2: 40, 0: 0, 1: 10} and list(found) == [2, 0, 1]
    assert rounds == [[2, 1], [2]]


# Pairs as systems


def checkpoint(student: str, step: int, data_format: str) -> Checkpoint:
    return Checkpoint(
        student=student, step=step, folder=f"{student}/{step}", data_format=data_format,
        encoder_decoder=False, examples=10, too_long=0,
    )  # fmt: skip


CHECKPOINTS = [
    checkpoint("rationales", 9, "fine_tune_cot"),
    checkpoint("asker", 10, "socratic_questioner"),
    checkpoint("asker", 20, "socratic_questioner"),
    checkpoint("solver", 10, "socratic_solver"),
    checkpoint("solver", 15, "socratic_solver"),
    checkpoint("solver", 25, "socratic_solver"),
]
TASK = sums(train=2, dev=3, test=4)  # dev asks about 3 to 5, test about 6 to 9
PAIR = {"questioner": "asker", "solver": "solver"}


def asks(request: Request, sample: int) -> str:
    """Asks once, of 7 nothing but the whole."""
    text = str(request.prompt)
    if "A:" in text:
        return " Done."
    return " What is it?" if "What is 7" in text else " What is it twice?"


def solves(best: int, request: Request) -> str:
    """Right where it is asked for twice a number that is not above its best."""
    number = int(re.findall(r"What is (\d+)", str(request.prompt))[-1])
    right = number <= best and "twice" in str(request.prompt)
    return f" It is {2 * number if right else 1}."


def says(request: Request, sample: int) -> str:
    """The teacher's own decomposition; it says nothing of 8."""
    number = int(re.findall(r"What is (\d+)", str(request.prompt))[-1])
    return f"What is it twice? {2 * number}." if number != 8 else "16."


class Models:
    """Every model of a run; all break down together after so many answers."""

    def __init__(self, last: int | None = None) -> None:
        self.teacher = Speaker(says, name="teacher")
        self.start = Speaker(lambda *_: "0", name="start")
        self.students = {
            "rationales/9": Speaker(lambda *_: "so --> 0", name="r"),
            "asker/10": Speaker(asks, name="asker/10"),
            "asker/20": Speaker(asks, name="asker/20", last=last),
            "solver/10": Speaker(lambda r, _: solves(4, r), name="solver/10"),
            "solver/15": Speaker(lambda r, _: solves(8, r), name="solver/15"),
            "solver/25": Speaker(lambda r, _: solves(4, r), name="solver/25"),
        }

    @property
    def contenders(self) -> EvalModels:
        asking = teacher_asking(
            self.teacher, GenerateSettings(prompt_style="zero_shot_subquestions"), seed=0
        )
        start = Start(System("start"), lambda: self.start, encoder_decoder=False)
        return EvalModels(
            lambda: self.teacher, asking, (start,), lambda one: self.students[one.folder]
        )

    @property
    def asked(self) -> list[tuple[str, Request]]:
        return [(each.name, request) for each in self.students.values() for request in each.asked]


def measured(store: Store, models: Models, **pair: object) -> Any:
    ways = EvaluateSettings.model_validate(
        {"bootstrap": 100, "socratic": {"pair": {**PAIR, **pair}}}
    )
    store.replace_training([], CHECKPOINTS, settings_hash="h")
    entries = [EvalTask(TASK, "target")]
    return evaluate(entries, models.contenders, ways, context_of(store), seed=0)


def test_a_pair_stands_beside_the_other_systems(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        evaluation = measured(store, Models())
        right = {s.system.label: s.correct for s in store.scores() if s.split == "test"}
        answers = {p.question_id: p for p in store.predictions() if p.system.label == "pair"}
        compared = {(c.first.label, c.second.label): c for c in store.comparisons()}
        chosen = [(c.student, c.step, c.used) for c in store.choices()]
    # asker/20 stands in for the third; solver/15 is right about all of dev, as solver/25 is not.
    assert chosen == [("rationales", 9, True), ("pair", 35, True)]
    assert right == {
        "teacher": 4, "start_zero_shot": 0, "start": 0, "rationales": 0,
        "pair": 2, "pair_teacher_questions": 2,
    }  # fmt: skip
    assert answers["test/6"].text == "What is it twice? It is 12."
    assert [answers[f"test/{n}"].correct for n in (6, 7, 8, 9)] == [True, False, True, False]
    assert compared["pair", "rationales"].only_first == 2
    paired = compared["pair", "pair_teacher_questions"]
    assert (paired.only_first, paired.only_second) == (1, 1)
    assert ("pair", "teacher") in compared
    assert evaluation.chosen.student == "rationales", "what is exported answers alone"
    assert evaluation.left_out == [
        "pair_teacher_questions step 35 on sums test: the teacher gave no sub-questions for 1 of 4 "
        "questions; each is put to the students whole"
    ]


def test_development_questions_alone_choose_a_pairs_checkpoints(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        measured(store, Models(), teacher_questions=False)
        dev = {s.step: (s.correct, s.chosen) for s in store.scores()
               if (s.system.model, s.split) == ("pair", "dev")}  # fmt: skip
        test = [s.step for s in store.scores() if (s.system.label, s.split) == ("pair", "test")]
    assert dev == {20: (2, False), 35: (3, True), 45: (2, False)}
    assert test == [35]


def test_a_killed_evaluation_asks_for_no_turn_twice(tmp_path: Path) -> None:
    calm = Models()
    with Store(tmp_path / "calm.sqlite") as store:
        measured(store, calm)
        expected = store.scores(), store.predictions()
    killed: list[Models] = []
    with Store(tmp_path / "killed.sqlite") as store:
        for last in range(1, 99):
            killed.append(Models(last))
            try:
                measured(store, killed[-1])
            except ConnectionError:
                continue
            break
        assert (store.scores(), store.predictions()) == expected
    assert len(killed) > 3
    again = [each for models in killed for each in models.asked]
    assert len(again) == len(set(again)), "a stored turn was asked for again"
    assert set(again) == set(calm.asked)


def test_one_student_takes_both_roles(tmp_path: Path) -> None:
    def both(request: Request, sample: int) -> str:
        turn = solves(9, request) if str(request.prompt).endswith("A:") else asks(request, sample)
        return turn

    models = Models()
    models.students["both/4"] = Speaker(both, name="both")
    ways = EvaluateSettings.model_validate(
        {"bootstrap": 100, "socratic": {"one": {"questioner": "both", "solver": "both"}}}
    )
    with Store(tmp_path / "run.sqlite") as store:
        store.replace_training([], [checkpoint("both", 4, "socratic_questioner")], settings_hash="")
        entries = [EvalTask(TASK, "target")]
        evaluation = evaluate(entries, models.contenders, ways, context_of(store), seed=0)
        right = {s.system.label: (s.step, s.correct) for s in store.scores() if s.split == "test"}
    assert right["one"] == (4, 3), "but for 7, of which it asks the wrong question"
    assert right["one_teacher_questions"] == (4, 3), "but for 8, where it gets the whole question"
    assert evaluation.chosen is None


def test_a_pair_is_told_the_teachers_count(tmp_path: Path) -> None:
    asked: list[str] = []

    def counted(request: Request, sample: int) -> str:
        asked.append(str(request.prompt).rpartition("\n")[2])
        return " What is it twice?"

    models = Models()
    models.students |= {name: Speaker(counted, name=name) for name in ("asker/10", "asker/20")}
    with Store(tmp_path / "run.sqlite") as store:
        measured(store, models, count="teacher", teacher_questions=False)
        right = {s.system.label: s.correct for s in store.scores() if s.split == "test"}
    assert right["pair"] == 3 and set(asked) == {"Question 1 of 1:"}


def test_a_pair_needs_its_students() -> None:
    of_pair = EvaluateSettings.model_validate({"socratic": {"pair": PAIR}}).socratic["pair"]
    pairs = pair_checkpoints("pair", of_pair, CHECKPOINTS)
    assert [(pair.questioner.step, pair.solver.step) for pair in pairs] == [
        (10, 10), (20, 15), (20, 25)
    ]  # fmt: skip
    assert [pair.step for pair in pairs] == [20, 35, 45]
    with pytest.raises(ConfigError, match=r"socratic.pair names solver, which has no checkpoint"):
        pair_checkpoints("pair", of_pair, CHECKPOINTS[:3])


# Whole runs


STUDENTS = {
    "rationales": {"data_format": "fine_tune_cot"},
    "asker": {"data_format": "socratic_questioner"},
    "solver": {"data_format": "socratic_solver"},
    "both": {"data_format": "socratic"},
    "planner": {"data_format": "socratic_planner"},
}
PAIRS: dict[str, dict[str, object]] = {
    "pair": {**PAIR},
    "one": {"questioner": "both", "solver": "both", "teacher_questions": False},
    "planned": {"questioner": "planner", "solver": "solver", "count": "own", "most_questions": 3},
}


def recipe(folder: Path, start: Path, **more: object) -> Path:
    """A run on human decompositions in GSM8K's layout, which stand in the place of a teacher."""
    rows = []
    for n, split in enumerate([*["train"] * 8, *["dev"] * 3, *["test"] * 3], start=2):
        solution = (
            f"How many are there at first? ** There are {n}.\n"
            f"How many are there then? ** There are {n} + 3 = <<{n}+3={n + 3}>>{n + 3}.\n"
            f"#### {n + 3}"
        )
        question = f"There are {n}, then 3 more come. How many are there then?"
        rows.append({"q": question, "a": str(n + 3), "split": split, "s": solution})
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    teacher = {
        "model": f"recorded:{folder / 'questions.jsonl'}",
        "question_field": "q",
        "rationale_field": "s",
    }
    values = {
        "run": str(folder / "run"),
        "task": {"file": str(folder / "questions.jsonl"), "question": "q", "answer": "a"},
        "teacher": teacher,
        "student": {"model": f"hf:{start}", "device": "cpu"},
        "train": {
            "steps": 4,
            "batch_size": 8,
            "siblings": 4,
            "checkpoints": 2,
            "students": STUDENTS,
        },
        "evaluate": {
            "max_tokens": 24,
            "bootstrap": 100,
            "socratic": {name: {"turn_tokens": 12, **pair} for name, pair in PAIRS.items()},
        },
        **more,
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.mark.slow
@pytest.mark.parametrize("build", [build_tiny_causal, build_tiny_seq2seq])
def test_a_whole_run_with_pairs(build: Callable[[Path], Path], tmp_path: Path) -> None:
    invoke: Callable[..., Any] = CliRunner().invoke
    file = recipe(tmp_path, build(tmp_path / "start"))
    done = invoke(main, ["run", str(file)])
    assert done.exit_code == 0, done.output
    with Store(tmp_path / "run" / "run.sqlite", read_only=True) as store:
        tested = {s.system.label: s.total for s in store.scores() if s.split == "test"}
        examples = {each.student: each.examples for each in store.checkpoints()}
        used = {(c.student, c.step) for c in store.choices() if c.used}
        predictions = store.predictions()
        stages = {each.name: each.tokens for each in store.stages()}
    named = {"rationales", "pair", "pair_teacher_questions", "one", "planned"}
    assert named < set(tested) and set(tested.values()) == {3}
    assert not {"asker", "solver", "both", "planner"} & set(tested)
    assert examples == {"rationales": 8, "asker": 24, "solver": 16, "both": 40, "planner": 24}
    assert {name for name, _ in used} == {"rationales", "pair", "one", "planned"}
    assert {step for name, step in used if name == "pair"} <= {4, 8}
    given = [p.text for p in predictions if p.system.label == "pair_teacher_questions"]
    assert all(text.startswith(("", "How many are there")) for text in given)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "pair_teacher_questions" in page or "pair teacher questions" in page
    assert (tmp_path / "run" / "model" / "config.json").is_file()
    for command in (["regrade", str(tmp_path / "run")], ["evaluate", str(file)]):
        again = invoke(main, command)
        assert again.exit_code == 0, again.output
    with Store(tmp_path / "run" / "run.sqlite", read_only=True) as store:
        assert store.predictions() == predictions
        assert {each.name: each.tokens for each in store.stages()} == stages


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["evaluate.socratic={}"], "the student asker answers no question alone"),
        (["evaluate.socratic.pair.solver=asker"], "needs asker as solver, which is not trained"),
        (["evaluate.socratic.pair.questioner=nobody"], "needs nobody as questioner"),
        (["evaluate.socratic.pair.count=own"], "asker as counted_questioner"),
        (["evaluate.socratic.both={questioner: both, solver: both}"], "would both be called both"),
        (["train.stop.patience=1"], "asker answers no question alone"),
        (["teacher=bundled:teacher"], "such as .*instruct_decomposition"),
        (
            [
                "evaluate.select=pareto",
                "evaluate.generic={tasks: [coin_flip], asked: [zero_shot_cot]}",
            ],
            "which cannot be asked in the prompt styles of generic.asked",
        ),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(
    changes: list[str], message: str, tmp_path: Path
) -> None:
    file = recipe(tmp_path, tmp_path)
    assert set(load_recipe(file).evaluate.socratic) == set(PAIRS)
    with pytest.raises(ConfigError, match=message):
        load_recipe(file, changes)


def test_rationales_that_cannot_be_taken_apart_are_told_of(tmp_path: Path) -> None:
    """A student of turns alone has nothing to learn from plain chains."""
    file = recipe(tmp_path, build_tiny_causal(tmp_path / "start"))
    questions = tmp_path / "questions.jsonl"
    plain = questions.read_text().replace("How many are there at first? ** ", "")
    questions.write_text(re.sub(r"How many are there then\? \*\* ", "", plain))
    for command in ("generate", "curate"):
        assert CliRunner().invoke(main, [command, str(file)]).exit_code == 0
    done = CliRunner().invoke(main, ["train", str(file)])
    assert done.exit_code == 2
    assert "none of 8 kept rationales can be taken apart" in " ".join(done.output.split())
