import json
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import ScriptedModel, sums

from potstill.errors import ConfigError, DataError
from potstill.evaluate import EvalModels, EvaluateSettings, Start, baseline_systems
from potstill.generate import GenerateSettings, teacher_asking
from potstill.papers.fine_tune_cot import EXEMPLARS as FINE_TUNE_COT
from potstill.pipeline.recipe import Recipe
from potstill.pipeline.run import Run
from potstill.prompts.exemplars import (
    Exemplar,
    ExemplarSettings,
    FewShot,
    FewShotSettings,
    read_few_shot,
)
from potstill.prompts.styles import prompt_for, style_named, worked
from potstill.records import Question, System
from potstill.runtime.progress import Meter
from potstill.sampling.ask import stem, unheld
from potstill.settings import build
from potstill.tasks import load_task, task_settings
from potstill.tasks.overlap import words

FEW_SHOT = GenerateSettings(prompt_style="few_shot_cot")
PROMPTS = "fine_tune_cot/few_shot_cot_prompts.json"


def own(*questions: str) -> FewShot:
    """Exemplars as a recipe gives them."""
    shown = tuple(
        ExemplarSettings(question=text, rationale="1 and 1 make 2.", answer="2")
        for text in questions
    )
    return read_few_shot(FewShotSettings(worked=shown), "sums")


def rendered(few_shot: FewShot) -> list[str]:
    """The words of the prompt up to the question that is asked."""
    heading = few_shot.style.template.partition("{exemplars}")[0]
    blocks = [worked(few_shot.style, exemplar) for exemplar in few_shot.exemplars]
    return (heading + few_shot.style.between.join(blocks)).split()


@pytest.mark.parametrize("task", FINE_TUNE_COT.counts)
def test_prompts_of_fine_tune_cot_come_back_as_published(shared_data: Path, task: str) -> None:
    file = shared_data / PROMPTS
    published = json.loads(file.read_text())
    assert set(published) == set(FINE_TUNE_COT.counts)
    few_shot = read_few_shot(FewShotSettings(file=file), task)
    assert len(few_shot.exemplars) == FINE_TUNE_COT.counts[task]
    assert tuple(published[task]["sample_indices"]) == FINE_TUNE_COT.positions.get(task, ())
    assert rendered(few_shot) == published[task]["prompt"].split()


def test_prompts_of_bbh_come_back_as_published(shared_data: Path) -> None:
    folder = shared_data / "bbh" / "cot-prompts"
    files = sorted(folder.glob("*.txt"))
    assert len(files) == 18
    for file in files:
        few_shot = read_few_shot(FewShotSettings(file=folder), f"bbh_{file.stem}")
        assert len(few_shot.exemplars) == 3
        assert rendered(few_shot) == file.read_text().partition("-----\n")[2].split()


def test_prompts_of_lib_prompt_are_read(shared_data: Path) -> None:
    folder = shared_data / "flan_t5_cot" / "lib_prompt"
    settings = FewShotSettings(file=folder / "prompt_complex.txt")
    few_shot = read_few_shot(settings, "gsm8k")
    assert len(few_shot.exemplars) == 8
    assert rendered(few_shot) == settings.file.read_text().split()  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r"'Question: There are 15 trees .* is not worded as"):
        read_few_shot(FewShotSettings(file=folder / "prompt_direct.txt"), "gsm8k")


@pytest.mark.parametrize(
    ("task", "path", "left_out"),
    [
        ("date_understanding", "date_understanding", {53, 143}),
        ("strategy_qa", "strategy_qa", {3, 7, 0}),
        ("aqua", "aqua", set()),
        ("coin_flip", "coin_flip", set()),
    ],
)
def test_published_exemplars_in_test_are_not_shown(
    shared_data: Path, task: str, path: str, left_out: set[int]
) -> None:
    raw = {"name": task, "path": str(shared_data / path), "split": "fine_tune_cot"}
    loaded = load_task(task_settings(raw, at="task"))
    given = read_few_shot(FewShotSettings(file=shared_data / PROMPTS), task)
    shown = unheld(given, [loaded])
    positions = FINE_TUNE_COT.positions[task]
    gone = {p for p, each in zip(positions, given.exemplars, strict=True)
            if each not in shown.exemplars}  # fmt: skip
    assert gone == left_out
    assert len(shown.notes) == len(left_out)
    held = {words(question.text) for question in loaded.splits["test"]}
    assert not held & {stem(each.question) for each in shown.exemplars}


def test_an_own_exemplar_from_test_is_refused_however_it_is_spelt() -> None:
    task = sums()
    text = task.splits["test"][0].text
    for spelt in (text, text.upper(), text.replace(" ", "  ").rstrip("?")):
        with pytest.raises(ConfigError, match="is a test question of sums"):
            unheld(own(spelt), [task])
    fine = own("What is 1 + 1?")
    assert unheld(fine, [task]) == fine
    assert unheld(own(text.replace("+", "-")), [task]).exemplars


def test_a_question_is_never_among_its_own_exemplars() -> None:
    teacher = ScriptedModel(lambda request, sample: "2")
    first, second = sums().splits["train"][:2]
    asking = teacher_asking(teacher, FEW_SHOT, seed=0, few_shot=own("what is  1 + 1"))
    assert asking.request(first).prompt == f"\nQ: {first.text}\nA:"
    assert asking.request(second).prompt == (
        "Q: what is  1 + 1\nA: 1 and 1 make 2. The answer is 2.\nQ: What is 2 + 2?\nA:"
    )
    choice = Question(id="c", text="Which one?", answer="A", choices=("this", "that"))
    lettered = own("Which one? Answer choices: (A) this, (B) that.")
    request = teacher_asking(teacher, FEW_SHOT, seed=0, few_shot=lettered).request(choice)
    assert "1 and 1" not in str(request.prompt)


def test_braces_of_an_exemplar_are_kept() -> None:
    style = style_named("few_shot_cot")
    exemplar = Exemplar(question="{answer}?", rationale="{question}", answer="{rationale}")
    shown = prompt_for(style, Question(id="q", text="Why?", answer=""), [exemplar])
    assert shown == "Q: {answer}?\nA: {question} The answer is {rationale}.\nQ: Why?\nA:"


def test_the_start_is_measured_with_exemplars_where_there_are_some() -> None:
    teacher = ScriptedModel(lambda request, sample: "2")
    asking = teacher_asking(teacher, GenerateSettings(), seed=0, few_shot=own("What is 1 + 1?"))
    assert asking.exemplars == ()

    def systems(few_shot: FewShot | None) -> dict[str, str]:
        start = Start(System("start"), lambda: teacher, encoder_decoder=False)
        contenders = EvalModels(lambda: teacher, asking, (start,), lambda _: teacher, few_shot)
        made = baseline_systems(contenders, EvaluateSettings())
        question = sums().splits["test"][0]
        return {each.system.label: str(each.asking.request(question).prompt) for each in made}

    assert list(systems(None)) == ["teacher", "start_zero_shot", "start"]
    prompts = systems(own("What is 1 + 1?"))
    assert prompts["start_few_shot"].startswith("Q: What is 1 + 1?\nA: 1 and 1 make 2.")
    emptied = replace(own("What is 1 + 1?"), exemplars=())
    assert "start_few_shot" not in systems(emptied)


def test_few_shot_without_exemplars_is_refused() -> None:
    with pytest.raises(ConfigError, match="no exemplars to show"):
        teacher_asking(ScriptedModel(lambda request, sample: ""), FEW_SHOT, seed=0)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("{", DataError, "is not JSON"),
        ("[]", DataError, "must hold"),
        ('{"aqua": {}}', ConfigError, "has no exemplars for gsm8k; it has aqua"),
        ('{"gsm8k": {}}', DataError, "no text under 'prompt'"),
        ('{"gsm8k": {"prompt": "Q: a\\nA: b. The answer is c."}}', DataError, "1 exemplars, expe"),
        ('{"gsm8k": {"prompt": "Q: a\\nA: b."}}', DataError, "'Q: a.* is not worded"),
    ],
)
def test_a_wrong_file_is_refused_in_words(
    tmp_path: Path, content: str, error: type[Exception], message: str
) -> None:
    file = tmp_path / "prompts.json"
    file.write_text(content)
    with pytest.raises(error, match=message):
        read_few_shot(FewShotSettings(file=file), "gsm8k")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt cannot be read"):
        read_few_shot(FewShotSettings(file=tmp_path / "none.txt"), "gsm8k")


def recipe_of(folder: Path, **settings: object) -> Recipe:
    """A recipe for a file of questions that each stand there twice, once with a dot."""
    texts = [f"How much is {n} and {n}" for n in range(40)]
    rows = [{"question": text, "answer": "1"} for text in (*texts, *(f"{t}." for t in texts))]
    file = folder / "own.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    raw = {
        "run": str(folder / "run"),
        "task": {"file": str(file)},
        "teacher": "bundled:teacher",
        "student": "bundled:student",
    }
    return build(Recipe, {**raw, **settings}, at="recipe")


def test_a_run_drops_the_overlap_before_the_teacher_is_asked(tmp_path: Path) -> None:
    with Run(recipe_of(tmp_path), Meter(None)) as run:
        kept, found = run.task, run.overlaps
    with Run(recipe_of(tmp_path, overlap={"drop": True}), Meter(None)) as run:
        dropped = run.task
        assert run.overlaps == found
    ids = {each.id for each in dropped.splits["train"]}
    gone = {each.id for each in kept.splits["train"]} - ids
    assert gone == found[0].ids | found[1].ids and gone
    assert dropped.splits["test"] == kept.splits["test"]
    assert dropped.notes[-1].startswith(f"{len(gone)} training questions left out")


def test_a_run_refuses_exemplars_from_any_test_set_before_it_starts(tmp_path: Path) -> None:
    two_step = "two_step_arithmetic"
    leak = load_task(task_settings(two_step, at="task")).splits["test"][0]
    shown = [{"question": leak.text, "rationale": "It is so.", "answer": leak.answer}]
    recipe = recipe_of(tmp_path, exemplars=shown, evaluate={"tasks": [two_step]})
    with (
        Run(recipe, Meter(None)) as run,
        pytest.raises(ConfigError, match="is a test question of two_step_arithmetic"),
    ):
        run.check()
    assert recipe_of(tmp_path, exemplars=shown).exemplars is not None
    with pytest.raises(ConfigError, match="few_shot_cot, and no exemplars are given"):
        recipe_of(tmp_path, generate={"prompt_style": "few_shot_cot"})
    with pytest.raises(ConfigError, match="either worked or file"):
        recipe_of(tmp_path, exemplars={})
