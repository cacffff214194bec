import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import ScriptedModel, context_of, sums
from tiny_models import build_tiny_causal

from potstill.errors import ModelError
from potstill.evaluate import (
    EvalModels,
    EvalTask,
    EvaluateSettings,
    Evaluation,
    Start,
    StudentOrigin,
    VoteSettings,
    evaluate,
    export_model,
    measure,
)
from potstill.evaluate.measure import EvalContext, counted_votes
from potstill.evaluate.systems import MeasuredSystem, start_system
from potstill.generate import GenerateSettings, teacher_asking
from potstill.grading.grade import grade
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.records import Checkpoint, Completion, Grade, Question, Request, System, Task
from potstill.runtime import Runtime
from potstill.runtime.context import RunContext
from potstill.runtime.events import EventLog
from potstill.runtime.progress import Meter
from potstill.store import Store


def checkpoint(student: str, step: int, data_format: str = "fine_tune_cot") -> Checkpoint:
    folder = f"checkpoints/{student}/{step}"
    return Checkpoint(
        student=student,
        step=step,
        folder=folder,
        data_format=data_format,
        encoder_decoder=False,
        examples=10,
        too_long=0,
    )


def right_up_to(highest: int, request: Request) -> str:
    """The right answer to questions about numbers up to ``highest``, else a wrong one."""
    found = re.search(r"What is (\d+)", str(request.prompt))
    assert found is not None
    number = int(found[1])
    return f"so --> {2 * number if number <= highest else -1}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "run.sqlite")


# sums(): dev questions are 5..8, test questions 9..14
TASK = sums(train=4, dev=4, test=6)
ENTRIES = [EvalTask(TASK, "target")]
ABILITY = {
    "checkpoints/answers_only/10": 6,  # 2 of 4 on dev, none on test
    "checkpoints/answers_only/20": 5,
    "checkpoints/rationales/10": 7,
    "checkpoints/rationales/20": 12,  # all of dev, 4 of 6 on test
    "checkpoints/rationales/30": 14,  # equal on dev, better on test: must not be chosen for it
}


def open_student(checkpoint: Checkpoint) -> ScriptedModel:
    highest, name = ABILITY[checkpoint.folder], checkpoint.folder
    return ScriptedModel(lambda r, s: right_up_to(highest, r), name=name)


def run(store: Store) -> tuple[ScriptedModel, Evaluation]:
    store.replace_training(
        [],
        [
            checkpoint("answers_only", 10, "fine_tune_answer"),
            checkpoint("answers_only", 20, "fine_tune_answer"),
            checkpoint("rationales", 10),
            checkpoint("rationales", 20),
            checkpoint("rationales", 30),
        ],
        settings_hash="h",
    )
    teacher = ScriptedModel(lambda r, s: right_up_to(14, r), chat=True, name="teacher")
    start = ScriptedModel(lambda r, s: right_up_to(9, r), name="start")
    settings = EvaluateSettings(bootstrap=500)
    contenders = against(teacher, start)
    return teacher, evaluate(ENTRIES, contenders, settings, context_of(store), seed=0)


def against(
    teacher: ScriptedModel,
    start: ScriptedModel,
    opener: Callable[[Checkpoint], ScriptedModel] = open_student,
) -> EvalModels:
    asking = teacher_asking(teacher, GenerateSettings(), seed=0)
    starts = (Start(System("start"), lambda: start, encoder_decoder=False),)
    return EvalModels(lambda: teacher, asking, starts, opener)


def test_checkpoints_are_chosen_on_development_questions_alone(store: Store) -> None:
    _, evaluation = run(store)
    scores = {(s.system.model, s.step, s.split): s for s in store.scores() if not s.system.variant}
    assert [s.step for s in store.scores() if s.split == "dev" and s.chosen] == [10, 20]
    assert scores["start", None, "dev"].correct == 4
    assert scores["rationales", 20, "dev"].correct == 4
    assert scores["rationales", 20, "test"].correct == 4
    assert ("rationales", 30, "test") not in scores
    chosen = evaluation.chosen
    assert chosen is not None and (chosen.student, chosen.step) == ("rationales", 20)


def test_every_system_answers_the_same_test_questions(store: Store) -> None:
    run(store)
    asked = {
        system: [p.question_id for p in store.predictions() if p.system.label == system]
        for system in ("teacher", "start_zero_shot", "start", "answers_only", "rationales")
    }
    assert set(map(tuple, asked.values())) == {tuple(q.id for q in TASK.splits["test"])}
    right = {s.system.label: s.correct for s in store.scores() if s.split == "test"}
    assert right == {
        "teacher": 6, "start_zero_shot": 1, "start": 1, "answers_only": 0, "rationales": 4
    }  # fmt: skip


def test_answers_that_could_not_be_compared_in_time_are_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(task: Task, text: str, question: Question) -> Grade:
        graded = grade(task, text, question)
        return graded if graded.correct else replace(graded, rule="timeout")

    monkeypatch.setattr(measure, "grade", late)
    _, evaluation = run(store)
    told = [note for note in evaluation.left_out if "rationales on sums test" in note]
    assert told == [
        "rationales on sums test: whether 2 answers are right was not found out in time; counted "
        "as wrong"
    ]


@pytest.mark.parametrize(
    ("read", "counted"),
    [
        ([("9", "judge"), ("9", "judge"), ("9", "judge"), ("7", "last"), ("7", "last")],
         [None, None, None, "7", "7"]),  # drawing ended by the two sevens
        ([("9", "judge"), (None, "none")], ["9", None]),
    ],
)  # fmt: skip
def test_the_judge_s_readings_count_where_the_rules_read_none(
    read: list[tuple[str | None, str]], counted: list[str | None]
) -> None:
    graded = [Grade(answer=answer, correct=False, rule=rule) for answer, rule in read]
    assert counted_votes(graded) == counted


def test_students_vote_where_the_recipe_says_so(store: Store) -> None:
    """A student that is right in two of three samples, and always wrong when greedy."""

    def script(request: Request, sample: int) -> str:
        return right_up_to(14 if request.temperature and sample != 1 else 0, request)

    store.replace_training([], [checkpoint("rationales", 10)], settings_hash="h")
    model = ScriptedModel(script, name="student")
    settings = EvaluateSettings(bootstrap=100, vote=VoteSettings(samples=3))
    contenders = against(model, model, lambda folder: model)
    evaluation = evaluate(ENTRIES, contenders, settings, context_of(store), seed=0)
    test = {s.system.label: s for s in evaluation.scores if s.split == "test"}
    assert (test["rationales"].correct, test["rationales_vote"].correct) == (0, 6)
    assert evaluation.chosen is not None and evaluation.chosen.student == "rationales"
    comparison = next(c for c in evaluation.comparisons if c.second.label == "rationales_vote")
    assert comparison.first.label == "rationales"
    assert (comparison.only_first, comparison.only_second) == (0, 6)
    tokens = {p.system.label: p.completion_tokens for p in store.predictions()}
    assert tokens["rationales_vote"] == 3 * tokens["rationales"]


def test_students_are_compared_with_every_other_system(store: Store) -> None:
    run(store)
    found = {(c.first.label, c.second.label): c for c in store.comparisons()}
    assert ("rationales", "answers_only") in found and ("answers_only", "teacher") in found
    assert ("start", "teacher") not in found
    comparison = found["rationales", "teacher"]
    assert (comparison.only_first, comparison.only_second, comparison.total) == (0, 2, 6)
    assert comparison.p_value == pytest.approx(0.5)


def test_the_teacher_answers_test_questions_greedily(store: Store) -> None:
    teacher, _ = run(store)
    assert {(r.temperature, r.samples) for r in teacher.asked} == {(0.0, (0,))}


def test_a_file_that_lacks_answers_is_left_out(store: Store) -> None:
    class Silent(ScriptedModel):
        def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
            return super().complete(list(requests)[1:])  # a file that lacks one question

    teacher = Silent(lambda r, s: "The answer is 1.", chat=True, name="recorded")
    start = ScriptedModel(lambda r, s: right_up_to(9, r), name="start")
    settings = EvaluateSettings(bootstrap=100)
    found = evaluate(ENTRIES, against(teacher, start), settings, context_of(store), seed=0)
    assert found.left_out == ["teacher is left out on sums: it has no answer to 1 of 6 questions"]
    assert {score.system.label for score in store.scores()} == {"start_zero_shot", "start"}


def test_a_system_all_of_whose_answers_failed_is_not_measured_as_wrong(store: Store) -> None:
    class Failing(ScriptedModel):
        def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for made in super().complete(requests):
                yield replace(made, text="", finish_reason="error", error="HTTP 400: no")

    teacher = Failing(lambda r, s: "", chat=True, name="server")
    start = ScriptedModel(lambda r, s: right_up_to(9, r), name="start")
    settings = EvaluateSettings(bootstrap=100)
    with pytest.raises(ModelError, match=r"server: all of \d+ samples failed, .* HTTP 400: no"):
        evaluate(ENTRIES, against(teacher, start), settings, context_of(store), seed=0)
    assert store.scores() == []


def test_the_chosen_student_is_exported_with_its_card(store: Store, tmp_path: Path) -> None:
    run(store)
    source = tmp_path / "checkpoints/rationales/20"
    source.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json", "optimizer.pt"):
        (source / name).write_text(name)
    origin = StudentOrigin(task="sums", start="hf:small", formats=["fine_tune_cot"])
    export_model(checkpoint("rationales", 20), store.scores(), tmp_path, origin)
    place = export_model(checkpoint("rationales", 20), store.scores(), tmp_path, origin)
    names = {file.name for file in place.iterdir()}
    assert names == {
        *("config.json", "model.safetensors", "tokenizer.json"),
        *("README.md", "checksums.sha256"),
    }
    card = (place / "README.md").read_text()
    assert "{question} ###" in card and "| rationales | sums | 4/6 | 66.7% |" in card
    assert {path for path in tmp_path.iterdir() if path.is_dir()} == {source.parents[1], place}


def test_a_starts_cut_rationale_is_asked_for_its_answer_as_published(store: Store) -> None:
    def script(request: Request, sample: int) -> str:
        right = 2 * int(re.search(r"What is (\d+)", str(request.prompt))[1])  # type: ignore[index]
        is_second = "Therefore, the answer is" in str(request.prompt)
        return f" {right}." if is_second else "word " * 600

    start = ScriptedModel(script, name="start")
    teacher = ScriptedModel(script, name="teacher")
    models = against(teacher, start)
    evaluate(ENTRIES, models, EvaluateSettings(bootstrap=500), context_of(store), seed=0)
    scores = {score.system.label: score for score in store.scores() if score.split == "test"}
    assert (scores["start"].correct, scores["start"].truncated) == (6, 6)
    # A teacher's cut rationale is not paid for twice.
    assert scores["teacher"].correct == 0


@pytest.mark.parametrize("chat", [False, True])
def test_a_start_is_asked_as_a_teacher_of_the_same_weights_would_be(chat: bool) -> None:
    model = ScriptedModel(lambda r, s: "", chat=chat)
    start = Start(System("start"), lambda: model, encoder_decoder=False, chat=chat)
    asking = start_system(start, EvaluateSettings()).asking
    assert asking.style == teacher_asking(model, GenerateSettings(), seed=0).style
    request = asking.request(TASK.splits["test"][0])
    assert isinstance(request.prompt, tuple) == chat


def test_a_runs_start_is_known_to_be_a_chat_model_by_its_tokenizer(tmp_path: Path) -> None:
    for chat in (False, True):
        folder = build_tiny_causal(tmp_path / str(chat), chat=chat)
        recipe = {
            "run": str(tmp_path / f"run{chat}"),
            "task": {"name": "fact_chain", "train": 4, "dev": 2, "test": 2},
            "teacher": "bundled:teacher",
            "student": {"model": f"hf:{folder}", "device": "cpu"},
        }
        with Run(load_recipe(recipe), Meter(None)) as run:
            (start,) = run.students.eval_models.starts
        assert start.chat == chat


def test_the_view_says_which_model_is_loaded(store: Store, tmp_path: Path) -> None:
    events = EventLog(tmp_path / "log.jsonl")
    context = RunContext(store=store, folder=tmp_path, progress=Meter(None, Runtime(events=events)))
    system = System(model="rationales", step=20)
    measured = MeasuredSystem(system, lambda: ScriptedModel(lambda request, sample: ""), None)  # type: ignore[arg-type]
    EvalContext(context, left_out=[]).opened(measured)
    events.close()
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    labels = [json.loads(line)["label"] for line in lines]
    assert {*labels} == {"loading rationales step 20"}
