"""The choice of checkpoint and the price in other abilities; models answer by a script."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import ScriptedModel, context_of, sums

from potstill.errors import ConfigError
from potstill.evaluate import (
    DevScorer,
    EvalContext,
    EvalModels,
    EvalTask,
    EvaluateSettings,
    Evaluation,
    Start,
    TaskSets,
    entries,
    evaluate,
    roles,
)
from potstill.generate import GenerateSettings, teacher_asking
from potstill.pipeline.recipe import Recipe
from potstill.pipeline.run import Run
from potstill.prompts.styles import Exemplar
from potstill.records import Checkpoint, Question, Request, Split, System, Task
from potstill.runtime.progress import Meter
from potstill.settings import build
from potstill.store import Store
from potstill.tasks import grade, load_task

QUIET = Meter(None)
START = System("start")
SUMS = sums(train=4, dev=4, test=6)  # dev asks for 5 to 8, test for 9 to 14
EXEMPLARS = (Exemplar(question="What is 1 + 1?", rationale="1 and 1 make 2.", answer="2"),)


def asking_to(verb: str, name: str) -> Task:
    """A task whose dev questions are about 1 to 4, its test questions about 5 to 8."""

    def questions(split: Split, numbers: range) -> tuple[Question, ...]:
        return tuple(
            Question(id=f"{split}/{n}", text=f"{verb} {n}!", answer=str(2 * n)) for n in numbers
        )

    dev, test = questions("dev", range(1, 5)), questions("test", range(5, 9))
    return Task(name=name, answer_type="number", splits={"train": (), "dev": dev, "test": test})


ADDED, DOUBLED = asking_to("Add", "added"), asking_to("Double", "doubled")
ABILITY = {  # the highest number that a checkpoint gets right, by verb
    "rationales/10": {"What is": 6, "Add": 4, "Double": 8},
    "rationales/20": {"What is": 7, "Add": 3, "Double": 3},
    "rationales/30": {"What is": 14, "Add": 1, "Double": 0},
    "start": {"What is": 0, "Add": 2, "Double": 8},
    "teacher": {"What is": 99, "Add": 99, "Double": 99},
}


class Scripted(ScriptedModel):
    """Answers the question that its prompt ends with, as well as its ability says."""

    def __init__(self, name: str, ability: Mapping[str, int]) -> None:
        def script(request: Request, sample: int) -> str:
            asked = re.findall(r"(What is|Add|Double) (\d+)", str(request.prompt))[-1]
            number = int(asked[1])
            return f"The answer is {2 * number if number <= ability[asked[0]] else -1}."

        super().__init__(script, name=name)


MODELS = {name: Scripted(name, ability) for name, ability in ABILITY.items()}


def checkpoint(step: int, data_format: str = "fine_tune_cot") -> Checkpoint:
    return Checkpoint(
        student="rationales",
        step=step,
        folder=f"rationales/{step}",
        data_format=data_format,
        encoder_decoder=False,
        examples=10,
        too_long=0,
    )


def contenders(models: Mapping[str, ScriptedModel]) -> EvalModels:
    asking = teacher_asking(models["teacher"], GenerateSettings(), seed=0)
    start = Start(System("start"), lambda: models["start"], encoder_decoder=False)
    teacher = models["teacher"]
    return EvalModels(
        lambda: teacher, asking, (start,), lambda one: models[one.folder], None, EXEMPLARS
    )


def settings(**values: object) -> EvaluateSettings:
    return build(EvaluateSettings, {"bootstrap": 100, **values}, at="evaluate")


GENERIC = {"tasks": ["coin_toss"]}  # the tasks themselves are given as loaded
FAMILY = {"out_of_distribution": ["svamp"], "generic": GENERIC}
SETS = TaskSets(SUMS, (ADDED,), (DOUBLED,))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "run.sqlite")


def run(
    store: Store,
    chosen_by: EvaluateSettings,
    models: Mapping[str, ScriptedModel] = MODELS,
    sets: TaskSets = SETS,
    data_format: str = "fine_tune_cot",
) -> Evaluation:
    checkpoints = [checkpoint(step, data_format) for step in (10, 20, 30)]
    store.replace_training([], checkpoints, settings_hash="h")
    measured_on = entries(sets, chosen_by)
    return evaluate(measured_on, contenders(models), chosen_by, context_of(store), seed=0)


CHOICES = {"in_distribution": 30, "out_of_distribution": 10, "worst_case": 20, "pareto": 10}


@pytest.mark.parametrize("rule", CHOICES)
def test_the_recipes_rule_chooses_and_the_others_are_shown(store: Store, rule: str) -> None:
    found = run(store, settings(select=rule, **FAMILY))
    assert {each.rule: each.step for each in store.choices()} == CHOICES
    assert [each.rule for each in store.choices() if each.used] == [rule]
    taken = CHOICES[rule]
    assert found.chosen is not None and found.chosen.step == taken
    tests = {each.system.label: each for each in found.scores if each.split == "test"}
    assert tests["rationales"].step == taken and tests["rationales"].chosen
    others = {f"rationales@{step}" for step in CHOICES.values()} - {f"rationales@{taken}"}
    assert {name for name in tests if "@" in name} == others
    assert not any(tests[name].chosen for name in others)
    pairs = {(each.first.label, each.second.label) for each in found.comparisons}
    assert {pair for pair in pairs if "@" in str(pair)} == {("rationales", each) for each in others}


def test_every_checkpoint_and_the_start_are_followed(store: Store) -> None:
    dev = [each for each in run(store, settings(**FAMILY)).scores if each.split == "dev"]
    right = {(each.system.model, each.step, each.task): each.correct for each in dev}
    assert right == {
        ("start", None, "sums"): 0, ("start", None, "added"): 2, ("start", None, "doubled"): 4,
        ("rationales", 10, "sums"): 2, ("rationales", 10, "added"): 4,
        ("rationales", 10, "doubled"): 4, ("rationales", 20, "sums"): 3,
        ("rationales", 20, "added"): 3, ("rationales", 20, "doubled"): 3,
        ("rationales", 30, "sums"): 4, ("rationales", 30, "added"): 1,
        ("rationales", 30, "doubled"): 0,
    }  # fmt: skip
    assert {each.step for each in dev if each.chosen} == {30}


def test_test_questions_choose_nothing(tmp_path: Path) -> None:
    """Students that turn their abilities upside down on test questions are chosen alike."""
    swap = {10: 30, 20: 20, 30: 10}
    test_texts = [
        question.text for task in (SUMS, ADDED, DOUBLED) for question in task.splits["test"]
    ]

    class Swapped(ScriptedModel):
        def __init__(self, step: int) -> None:
            def script(request: Request, sample: int) -> str:
                other = swap[step] if request.question in test_texts else step
                return MODELS[f"rationales/{other}"].script(request, sample)

            super().__init__(script, name=f"swapped/{step}")

    swapped = MODELS | {f"rationales/{step}": Swapped(step) for step in swap}
    found = []
    for name, models in (("plain", MODELS), ("swapped", swapped)):
        with Store(tmp_path / f"{name}.sqlite") as store:
            found.append(run(store, settings(**FAMILY), models))
    plain, other = ({s.task: s.correct for s in each.scores if s.chosen} for each in found)
    assert plain != other
    assert found[0].choices == found[1].choices and found[0].chosen == found[1].chosen


class DevelopmentOnly(dict[Split, tuple[Question, ...]]):
    def __getitem__(self, split: Split) -> tuple[Question, ...]:
        assert split == "dev", f"{split} questions were looked at"
        return super().__getitem__(split)


def following(store: Store, chosen_by: EvaluateSettings) -> DevScorer:
    """Returns a scorer over tasks that refuse access to all but their development questions."""
    only = [
        entry._replace(task=replace(entry.task, splits=DevelopmentOnly(entry.task.splits)))
        for entry in entries(SETS, chosen_by)
    ]
    bench = EvalContext(context_of(store), left_out=[])
    return DevScorer(only, contenders(MODELS), chosen_by, bench)


def test_training_can_end_on_the_trade_off(store: Store) -> None:
    """Generic accuracy: 100% at the start, then 100%, 75%, 0%; the target: 50%, 75%, 100%."""
    development = following(store, settings(**FAMILY))
    checkpoints = [checkpoint(step) for step in (10, 20, 30)]
    losses = {0.2: 20, 0.25: 30, 1.0: None}
    for allowed, ends_at in losses.items():
        ended = [
            each.step
            for number, each in enumerate(checkpoints, start=1)
            if development.ends(checkpoints[:number], start=START, generic_loss=allowed)
        ]
        assert next(iter(ended), None) == ends_at
    assert not development.ends(checkpoints, start=START, patience=1)
    assert development.ends([checkpoints[2], checkpoints[1]], start=START, patience=1)


def test_what_was_asked_while_training_is_not_asked_again(store: Store) -> None:
    models = {name: Scripted(name, ability) for name, ability in ABILITY.items()}
    run(store, settings(**FAMILY), models)
    asked = [request for model in models.values() for request in model.asked]
    again = {name: Scripted(name, ability) for name, ability in ABILITY.items()}
    run(store, settings(select="pareto", **FAMILY), again)
    assert asked and not any(model.asked for model in again.values())


def test_published_prompts_of_a_generic_set_are_asked_with_and_without_reasoning(
    shared_data: Path,
) -> None:
    snarks = {
        "name": "bbh_snarks", "path": str(shared_data / "bbh/snarks.json"),
        "split": "hash", "dev": 20, "test": 20,
    }  # fmt: skip
    asked = ["few_shot_cot", "answer_only"]
    prompts = shared_data / "bbh/cot-prompts"
    chosen_by = settings(
        generic={"tasks": [snarks], "asked": asked, "exemplars": {"file": prompts}}
    )
    assert chosen_by.generic is not None
    sets = TaskSets(SUMS, generic=(load_task(chosen_by.generic.tasks[0]),))
    found = {entry.name: entry for entry in entries(sets, chosen_by)}
    heading = "Determine which of two sentences is sarcastic."
    for way in asked:
        entry = found[f"bbh_snarks, {way}"]
        assert len(entry.task.splits["dev"]) == len(entry.task.splits["test"]) == 20
        assert entry.asking is not None
        prompt = str(entry.asking.request(entry.task.splits["dev"][0]).prompt)
        assert prompt.startswith(heading) and prompt.count("\nQ: ") == 4
        assert prompt.count("step by step") == (4 if way == "few_shot_cot" else 0)
        assert prompt.count("\nA: (") == (0 if way == "few_shot_cot" else 3)


WAYS = {
    "tasks": ["coin_toss"],
    "asked": ["few_shot_cot", "answer_only", "zero_shot_cot"],
    "rules": ["potstill", "flan_t5_cot"],
    "exemplars": [{"question": "Double 9!", "rationale": "9 and 9.", "answer": "18"}],
}


def test_a_generic_task_is_asked_in_several_ways_and_graded_by_several_rules(store: Store) -> None:
    models = {name: Scripted(name, ability) for name, ability in ABILITY.items()}
    chosen_by = settings(generic=WAYS)
    sets = TaskSets(SUMS, generic=(DOUBLED,))
    assert roles(entries(sets, chosen_by)) == {
        "sums": "target",
        "doubled, few_shot_cot": "generic",
        "doubled, few_shot_cot, flan_t5_cot rule": "generic_other_rule",
        "doubled, answer_only": "generic",
        "doubled, answer_only, flan_t5_cot rule": "generic_other_rule",
        "doubled, zero_shot_cot": "generic",
        "doubled, zero_shot_cot, flan_t5_cot rule": "generic_other_rule",
    }
    found = run(store, chosen_by, models, sets)
    prompts = {request.prompt for request in models["rationales/30"].asked}
    assert "Q: Double 9!\nA: 9 and 9. The answer is 18.\nQ: Double 5!\nA:" in prompts
    assert "Q: Double 9!\nA: 18\n\nQ: Double 5!\nA:" in prompts
    for model in models.values():  # asked once, graded twice; the start is not asked in three ways
        keys = [(request.prompt, request.samples) for request in model.asked]
        assert len(keys) == len(set(keys))
    tested = [each for each in found.scores if each.split == "test"]
    generic = {each.system.label for each in tested if each.task.startswith("doubled")}
    assert generic == {"teacher", "start", "rationales", "rationales@20"}


@pytest.mark.parametrize(
    ("way", "text", "right"),
    [
        ("few_shot_cot", "So the answer is 10.", True),
        ("few_shot_cot", "The answer is 10.", False),  # it knows lower case only
        ("few_shot_cot", "10", False),
        ("answer_only", "10", True),
        ("answer_only", "100", True),  # a substring will do
        ("answer_only", "11", False),
    ],
)
def test_the_published_parser_knows_how_was_asked(way: str, text: str, right: bool) -> None:
    sets = TaskSets(SUMS, generic=(replace(DOUBLED, name="bbh_doubled"),))
    tasks = {each.name: each.task for each in entries(sets, settings(generic=WAYS))}
    asked = tasks[f"bbh_doubled, {way}, flan_t5_cot rule"]
    assert grade(asked, text, asked.splits["test"][0]).correct is right


def test_other_graders_stand_beside_and_choose_nothing(store: Store) -> None:
    development = DevScorer(
        entries(TaskSets(SUMS, generic=(DOUBLED,)), settings(generic=WAYS)),
        contenders(MODELS),
        settings(generic=WAYS),
        EvalContext(context_of(store), left_out=[]),
    )
    scores = development.score_checkpoint(checkpoint(20))
    assert len(scores) == 7
    assert len(development.standing(scores).generic) == 3


def test_students_and_start_are_asked_in_further_formats(store: Store) -> None:
    models = {name: Scripted(name, ability) for name, ability in ABILITY.items()}
    formats = ["in_context_cot", "zero_shot_cot"]
    chosen_by = settings(asked_in=formats, **FAMILY)
    found = run(store, chosen_by, models, data_format="zero_shot_cot")
    measured = {(each.system.label, each.task) for each in found.scores if each.split == "test"}
    in_context = {pair for pair in measured if pair[0].endswith("_in_context_cot")}
    assert in_context == {
        (f"{name}_in_context_cot", task)
        for name in ("start", "rationales")
        for task in ("sums", "added")  # a format is for the task that was trained for, and its like
    }
    systems = {system for system, _ in measured}
    assert "rationales_zero_shot_cot" not in systems and "start_zero_shot_cot" in systems
    assert any(
        str(request.prompt).startswith("Q: What is 1 + 1?\nLet's think step by step\n1 and 1")
        for request in models["rationales/30"].asked
    )
    pairs = {(each.first.label, each.second.label) for each in found.comparisons}
    assert ("rationales_in_context_cot", "start_in_context_cot") in pairs
    assert ("rationales", "rationales_in_context_cot") in pairs
    assert ("rationales", "start_in_context_cot") not in pairs


def test_formats_that_show_exemplars_need_some(store: Store) -> None:
    store.replace_training([], [checkpoint(10, "in_context_cot")], settings_hash="h")
    none = contenders(MODELS)._replace(exemplars=())
    with pytest.raises(ConfigError, match="in_context_cot shows worked questions"):
        evaluate([EvalTask(SUMS, "target")], none, settings(), context_of(store), seed=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"select": "worst_case"}, "List them in evaluate.out_of_distribution"),
        ({"select": "out_of_distribution"}, "List them in evaluate.out_of_distribution"),
        ({"select": "pareto"}, "Give evaluate.generic its tasks"),
        ({"asked_in": ["in_contxt"]}, "no data format 'in_contxt'"),
        ({"asked_in": ["explain"]}, "gives no answer"),
        ({"generic": {"tasks": []}}, "generic.tasks"),
        ({"generic": {**GENERIC, "asked": ["fw_shot"]}}, "no prompt style 'fw_shot'"),
        ({"generic": {**GENERIC, "asked": ["answer_only"]}}, "Set generic.exemplars"),
        ({"generic": {**GENERIC, "rules": ["bbh", "bbh"]}}, "rules names one twice"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    values: Mapping[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(**values)


def test_a_followed_task_needs_development_questions() -> None:
    untested = Task(name="bbh_snarks", answer_type="choice", splits={**DOUBLED.splits, "dev": ()})
    with pytest.raises(ConfigError, match=r"bbh_snarks has no dev questions.*split: hash"):
        entries(TaskSets(SUMS, generic=(untested,)), settings(**FAMILY))
    listed = entries(TaskSets(SUMS, further=(untested,)), settings())
    assert roles(listed) == {"sums": "target", "bbh_snarks": "further"}


def test_a_task_that_is_listed_twice_is_measured_once() -> None:
    twice = TaskSets(SUMS, (ADDED,), (DOUBLED,), (DOUBLED, ADDED))
    assert roles(entries(twice, settings(**FAMILY))) == {
        "sums": "target", "added": "out_of_distribution", "doubled": "generic"
    }  # fmt: skip
    assert twice.others == [ADDED, DOUBLED]
    other = asking_to("Triple", "doubled")
    with pytest.raises(ConfigError, match="doubled is listed twice with different questions"):
        entries(twice._replace(further=(other,)), settings(**FAMILY))


def recipe_of(folder: Path, **train: object) -> Recipe:
    values = {
        "run": str(folder / "run"), "task": "coin_toss", "teacher": "bundled:teacher",
        "student": "bundled:student", "train": train,
    }  # fmt: skip
    return build(Recipe, values, at="recipe")


def test_ending_on_generic_loss_needs_generic_tasks(tmp_path: Path) -> None:
    assert recipe_of(tmp_path, stop={"patience": 2}).train.stop
    with pytest.raises(ConfigError, match=r"generic_loss is 0\.1, and no generic tasks are"):
        recipe_of(tmp_path, stop={"generic_loss": 0.1})


def test_each_start_has_its_name(tmp_path: Path) -> None:
    def names(**train: object) -> dict[str, str]:
        with Run(recipe_of(tmp_path, **train), QUIET) as opened:
            starts = opened.students.starts.items()
            return {student.label: start.system.label for student, start in starts}

    assert names() == {"answers_only": "start", "rationales": "start"}
    own = {"a": {}, "b": {"start": "hf:other"}}
    assert names(students=own) == {"a": "start", "b": "start_b"}
    sweep = {"small": "bundled:student", "large": "hf:other"}
    assert names(students={"a": {}}, starts=sweep) == {"a_small": "start", "a_large": "start_large"}
