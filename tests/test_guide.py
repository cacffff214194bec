"""The guide stage: policies, controls and baselines on a scripted pair, worked by hand."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from fakes import sums
from older_stores import forget_promised_accuracies
from speakers import Speaker, number, student_is_sure, student_says, teacher_says

from potstill.cli import main
from potstill.errors import ConfigError, ModelError
from potstill.guide import GuidanceResult, GuideModels, GuideSettings, guide
from potstill.guide.baselines import pass_at, route_by_doubt
from potstill.guide.scoring import leaks
from potstill.prompts.formats import format_named
from potstill.prompts.styles import style_named
from potstill.records import AnswerType, GuidedScore, Question, Task
from potstill.report.tables import guided_table
from potstill.runtime.context import RunContext
from potstill.runtime.progress import Meter
from potstill.sampling.ask import PromptConfig, SamplingParams
from potstill.settings import build
from potstill.store import Store

TASK = sums(train=4, dev=4, test=4)  # 5 to 8, and 9 to 12
EVERYTHING = {
    "policies": ["never", "first", {"at": 2}, {"first_n": 2}, "when_unsure", "learned"],
    "controls": ["own_first", "wrong_chain", "other_problem", "random_step", "hint", "question"],
    "pass_at": [1, 2, 4],
    "self_guidance": ["zero_shot"],
    "bootstrap": 100,
}


def parties(**changes: Any) -> GuideModels:
    style = format_named("fine_tune_cot").style(encoder_decoder=False)
    teacher_asking = PromptConfig(
        style=style_named("zero_shot"), sampling=SamplingParams(max_tokens=50)
    )
    asking = PromptConfig(style=style, sampling=SamplingParams(max_tokens=50))
    values: dict[str, Any] = {
        "student": Speaker(student_says, name="student", sure=student_is_sure),
        "student_asking": asking,
        "lead": " ",
        "teacher": Speaker(teacher_says, name="teacher"),
        "teacher_asking": teacher_asking,
        "question_asking": replace(teacher_asking, style=style_named("zero_shot_quest_cot")),
        "continues": True,
        "start": lambda: Speaker(lambda request, _: f" {2 * number(request)}", name="start"),
    }
    return GuideModels(**{**values, **changes})


def run(
    folder: Path, pair: GuideModels, settings: Mapping[str, object], task: Task = TASK
) -> GuidanceResult:
    made = build(GuideSettings, settings, at="guide")
    asked = [style_named(name) for name in made.self_guidance]
    styles = {style.name: PromptConfig(style=style, sampling=SamplingParams()) for style in asked}
    with Store(folder / "run.sqlite") as store:
        context = RunContext(store=store, folder=folder, progress=Meter(None))
        paired = replace(pair, self_asking=styles)
        return guide(task, paired, made, context, layout="sentences", seed=0)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GuidanceResult]:
    folder = tmp_path_factory.mktemp("run")
    return folder, run(folder, parties(), EVERYTHING)


def score(found: GuidanceResult, policy: str, split: str = "test") -> GuidedScore:
    (one,) = (s for s in found.scores if (s.policy.label, s.split) == (policy, split))
    return one


def right(folder: Path, policy: str) -> list[int]:
    """The numbers of the test questions that a policy answers rightly."""
    with Store(folder / "run.sqlite", read_only=True) as store:
        predictions = store.guided_predictions()
    return [
        int(each.question_id.removeprefix("test/"))
        for each in predictions
        if (each.policy.label, each.split) == (policy, "test") and each.correct
    ]


@pytest.mark.parametrize(
    ("policy", "numbers"),
    [
        ("never", [9, 11]),
        ("first", [10, 11, 12]),
        ("at_2", []),
        ("first_n_2", [10, 11, 12]),
        ("when_unsure_min_logprob", [9, 10, 11, 12]),
        ("control_own_first", [9, 11]),
        ("control_wrong_chain", []),
        ("control_other_problem", []),
        ("control_hint", []),
        ("control_question", [10, 11, 12]),
        ("zero_shot", [9, 10, 11, 12]),
    ],
)
def test_who_answers_what(
    measured: tuple[Path, GuidanceResult], policy: str, numbers: list[int]
) -> None:
    folder, found = measured
    assert right(folder, policy) == numbers
    assert score(found, policy).accuracy == len(numbers) / score(found, policy).total


def test_the_first_steps_score_by_hand(measured: tuple[Path, GuidanceResult]) -> None:
    first, never = score(measured[1], "first"), score(measured[1], "never")
    assert (first.policy.kind, never.policy.kind) == ("policy", "alone")
    assert (first.guided, first.leaked, first.total) == (4, 0, 4)
    assert (first.teacher_tokens, first.student_tokens) == (3, 2)  # "Take 9 twice", "--> 18"
    assert first.cost == 1.0
    assert (first.difference, first.p_value) == (0.25, 1.0)  # 2 against 1 of 3 that differ
    assert first.unleaked_accuracy == 0.75
    assert (never.difference, never.p_value, never.teacher_tokens) == (None, None, 0)
    teacher = score(measured[1], "teacher")
    assert (teacher.policy.kind, teacher.accuracy, teacher.teacher_tokens) == ("alone", 1.0, 10)


def test_a_conditional_policy_pays_for_what_it_asks(measured: tuple[Path, GuidanceResult]) -> None:
    unsure = score(measured[1], "when_unsure_min_logprob")
    assert (unsure.guided, unsure.teacher_tokens) == (2, 1.5)
    # the draft of 2 and four draws of 1 each, then 4 alone or 2 guided
    assert unsure.student_tokens == 2 + 4 + 3


def test_thresholds_are_chosen_on_development_questions(
    measured: tuple[Path, GuidanceResult],
) -> None:
    folder, found = measured
    kept = json.loads((folder / "guide.json").read_text())
    doubt = -math.log(0.2)
    assert kept["thresholds"]["when_unsure_min_logprob"] == pytest.approx(doubt, abs=1e-6)
    assert score(found, "first", "dev").accuracy == 1.0
    assert score(found, "when_unsure_min_logprob", "dev").guided == 2
    assert any("fewest teacher tokens" in note for note in found.notes)


def test_leaks_are_left_out_of_the_second_accuracy(measured: tuple[Path, GuidanceResult]) -> None:
    second = score(measured[1], "first_n_2")
    assert (second.leaked, second.unleaked_accuracy) == (4, None)  # "It is 18."
    with Store(measured[0] / "run.sqlite", read_only=True) as store:
        predictions = [
            each for each in store.guided_predictions() if each.policy.label == "first_n_2"
        ]
        assert store.guided_scores() == measured[1].scores
    assert predictions[0].guidance == "Take 9 twice.\nIt is 18."
    assert [each.steps for each in predictions] == [2, 2, 2, 2]


def test_questions_without_a_wrong_chain_are_left_out(
    measured: tuple[Path, GuidanceResult],
) -> None:
    wrong = score(measured[1], "control_wrong_chain")
    assert (wrong.total, wrong.difference) == (3, -2 / 3)  # 12 has none; 9 and 11 are lost
    assert any("control_wrong_chain has nothing to begin 1 of 4" in n for n in measured[1].notes)


def test_a_random_step_costs_what_its_part_of_the_chain_does(
    measured: tuple[Path, GuidanceResult],
) -> None:
    with Store(measured[0] / "run.sqlite", read_only=True) as store:
        found = [e for e in store.guided_predictions() if e.policy.label == "control_random_step"]
    for each, n in zip(found, (9, 10, 11, 12), strict=True):
        assert each.guidance in (f"Take {n} twice.", f"It is {2 * n}.")
        assert each.text == f"{each.guidance} --> {2 * n if each.correct else 1}"
        chain = f" Take {n} twice. It is {2 * n}. The answer is {2 * n}."
        assert each.teacher_tokens == round(10 * len(each.guidance) / len(chain))


def test_other_problems_are_never_the_same_question(measured: tuple[Path, GuidanceResult]) -> None:
    with Store(measured[0] / "run.sqlite", read_only=True) as store:
        found = [e for e in store.guided_predictions() if e.policy.label == "control_other_problem"]
    told = {each.question_id.removeprefix("test/"): each.guidance.split()[1] for each in found}
    assert sorted(told) == sorted(told.values())
    assert all(own != other for own, other in told.items())


def test_routing_lies_between_the_two_and_doubt_finds_the_errors(
    measured: tuple[Path, GuidanceResult],
) -> None:
    half = score(measured[1], "routing_random_0.5")
    assert (half.policy.kind, half.accuracy, half.guided) == ("routing", 0.75, 2)
    assert (half.teacher_tokens, half.student_tokens) == (5, 2)
    assert half.p_value is None
    doubtful = score(measured[1], "routing_entropy_0.5")
    assert (doubtful.accuracy, doubtful.teacher_tokens) == (1.0, 5)
    # both of the two sure ones are right either way
    assert score(measured[1], "routing_entropy_0.75").accuracy == 1.0


def test_pass_at_k_of_the_student(measured: tuple[Path, GuidanceResult]) -> None:
    # one of four samples is right
    accuracies = [score(measured[1], f"pass_at_{k}").accuracy for k in (1, 2, 4)]
    assert accuracies == pytest.approx([0.25, 0.5, 1.0])


def test_the_table_shows_test_scores_but_not_the_curves_of_routing(
    measured: tuple[Path, GuidanceResult],
) -> None:
    tested = [each.policy.label for each in measured[1].scores if each.split == "test"]
    curves = {each for each in tested if each.startswith(("routing_m", "routing_e", "routing_d"))}
    shown = list(guided_table(measured[1].scores).columns[0].cells)
    assert curves and "routing_random_0.5" in shown
    assert shown == [each for each in tested if each not in curves and "prompt_tokens" not in each]


@pytest.mark.parametrize("size", [1, 4, 6])
def test_pass_at_k_is_the_share_of_all_draws_of_k(size: int) -> None:
    for right_ones in range(size + 1):
        samples = [place < right_ones for place in range(size)]
        for k in range(1, size + 1):
            draws = list(combinations(samples, k))
            expected = sum(any(draw) for draw in draws) / len(draws)
            assert pass_at(size, right_ones, k) == pytest.approx(expected)


def test_equal_doubts_share_what_is_left() -> None:
    doubts = {"a": 1.0, "b": 3.0, "c": 1.0, "d": math.inf, "e": 1.0}
    assert route_by_doubt(doubts, 0.5) == pytest.approx(
        {"d": 1, "b": 1, "a": 1 / 6, "c": 1 / 6, "e": 1 / 6}
    )
    assert route_by_doubt(doubts, 0.0) == dict.fromkeys(doubts, 0.0)
    assert route_by_doubt(doubts, 1.0) == dict.fromkeys(doubts, 1.0)


@pytest.mark.parametrize(
    ("answer_type", "gold", "guidance", "leaked"),
    [
        ("number", "1", "She has 12 eggs.", False),
        ("number", "12", "She has 12 eggs.", True),
        ("number", "1200", "That is $1,200.", True),
        ("number", "1,200", "That is 1200.0 in all", True),
        ("number", "3", "It costs 3.5.", False),
        ("number", "5", "So -5.", False),
        ("number", "7", "", False),
        ("number", "12", "She has twelve eggs.", True),
        ("number", "1/2", "That is 0.5 of it.", True),
        ("date", "05/01/2021", "So it is May 1, 2021.", True),
        ("date", "05/01/2021", "So it is May 2, 2021.", False),
        ("list", "apple, pear", "Sorted: apple, pear.", True),
        ("list", "apple, pear", "Sorted: pear, apple.", False),
        ("math", r"\frac{1}{2}", "So it is 1/2.", True),
        ("yes_no", "True", "True, it is.", True),
        ("yes_no", "yes", "Yesterday it rained.", False),
        ("yes_no", "yes", "Yes, it did.", True),
        ("text", "an owl", "It is An Owl.", True),
        ("text", "owl", "It is an owlet.", False),
        ("choice", "B", "So (B) fits.", True),
        ("choice", "B", "Bees fit best.", False),
        ("choice", "B", "It is a red box.", True),
        ("choice", "B", "It is a redbox.", False),
        ("choice", "A", "A box is what I see.", False),
        ("choice", "A", "So option A.", True),
        ("choice", "A", "So (C).", False),
    ],
)
def test_leakage(answer_type: AnswerType, gold: str, guidance: str, leaked: bool) -> None:
    choices = ("a blue one", "red box", "none") if answer_type == "choice" else ()
    question = Question(id="q", text="?", answer=gold, choices=choices)
    task = Task(name="t", answer_type=answer_type, splits={})
    assert leaks(task, question, guidance) is leaked


def asked(pair: GuideModels) -> tuple[int, int]:
    assert isinstance(pair.student, Speaker)
    assert isinstance(pair.teacher, Speaker)
    return len(pair.student.asked), len(pair.teacher.asked)


def test_a_second_run_asks_nothing(measured: tuple[Path, GuidanceResult]) -> None:
    folder, found = measured
    again = parties()
    assert run(folder, again, EVERYTHING) == found
    assert asked(again) == (0, 0)


@pytest.mark.parametrize("last", [(3, None), (None, 2), (40, None), (None, 20)])
def test_a_run_that_broke_down_goes_on_where_it_was(
    tmp_path: Path, measured: tuple[Path, GuidanceResult], last: tuple[int | None, int | None]
) -> None:
    broken = parties(
        student=Speaker(student_says, name="student", sure=student_is_sure, last=last[0]),
        teacher=Speaker(teacher_says, name="teacher", last=last[1]),
    )
    with pytest.raises(ConnectionError):
        run(tmp_path, broken, EVERYTHING)
    rest, whole = parties(), parties()
    assert run(tmp_path, rest, EVERYTHING) == measured[1]
    (tmp_path / "other").mkdir()
    run(tmp_path / "other", whole, EVERYTHING)
    both = [a + b for a, b in zip(asked(broken), asked(rest), strict=True)]
    assert both == list(asked(whole))


def test_policies_share_what_they_ask_alike(tmp_path: Path) -> None:
    pair = parties()
    run(tmp_path, pair, {"policies": [{"first_n": 2}], "routing": False})
    # four chains, four first steps, four second ones
    assert asked(pair)[1] == 12


def test_the_overall_budget_is_kept_and_counts_what_is_stored(tmp_path: Path) -> None:
    settings = {"overall_budget": 9, "step_tokens": 3, "routing": False}
    first = run(tmp_path, parties(), settings)
    guided = score(first, "first")
    assert (guided.guided, guided.teacher_tokens) == (3, 9 / 4)
    assert any("guide.overall_budget was used up: 1 requests" in note for note in first.notes)
    again = parties()
    assert run(tmp_path, again, settings) == first
    assert asked(again) == (0, 0)


class Failing(Speaker):
    """Fails where asked for a step that ends at a stop string; on some questions, or on all."""

    spared: tuple[int, ...] = ()

    def completion(self, request: Any, sample: int) -> Any:
        made = super().completion(request, sample)
        if ". " not in request.stop or number(request) in self.spared:
            return made
        return replace(made, text="", finish_reason="error", error="HTTP 400: no stop")


def test_a_silent_teacher_is_told_of(tmp_path: Path) -> None:
    teacher = Failing(teacher_says, name="teacher")
    teacher.spared = (9,)
    found = run(tmp_path, parties(teacher=teacher), {})
    assert score(found, "first").guided == 1
    assert "first: the teacher did not answer for 3 of 4 questions" in " ".join(found.notes)


def test_a_teacher_that_gives_no_step_at_all_is_not_measured_as_if_it_had(tmp_path: Path) -> None:
    pair = parties(teacher=Failing(teacher_says, name="teacher"))
    with pytest.raises(ModelError, match=r"all of 4 samples failed, .* HTTP 400: no stop"):
        run(tmp_path, pair, {})


def test_a_teacher_that_answers_nothing_ends_the_stage(tmp_path: Path) -> None:
    class Silent(Failing):
        def completion(self, request: Any, sample: int) -> Any:
            made = super().completion(request, sample)
            return replace(made, text="", finish_reason="error", error="overloaded")

    with pytest.raises(ModelError, match="overloaded"):
        run(tmp_path, parties(teacher=Silent(teacher_says, name="teacher")), {})


def test_no_gain_on_development_questions_means_never(tmp_path: Path) -> None:
    pair = parties(teacher=Speaker(lambda *_: " Guess. The answer is 0.", name="teacher"))
    found = run(tmp_path, pair, {"policies": ["when_unsure", "learned"]})
    for policy in ("when_unsure_min_logprob", "learned"):
        assert score(found, policy).guided == 0
        assert score(found, policy).accuracy == score(found, "never").accuracy
    assert any("never asks the teacher: always guiding" in note for note in found.notes)
    kept = json.loads((tmp_path / "guide.json").read_text())
    assert kept["thresholds"] == {"when_unsure_min_logprob": None, "learned": None}


def test_a_given_threshold_asks_nothing_of_development(tmp_path: Path) -> None:
    policy = {"when": "when_unsure", "signal": "min_logprob", "threshold": 1.0}
    pair = parties()
    found = run(tmp_path, pair, {"policies": [policy], "routing": False})
    assert score(found, "when_unsure_min_logprob").guided == 2
    assert {each.split for each in found.scores} == {"test"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policies": [{"at": 2}]}, "at_2, and teacher cannot go on"),
        ({"policies": [{"first_n": 2}]}, "cannot go on"),
        ({"kind": "question"}, "guidance by questions"),
        ({"controls": ["question"]}, "guidance by questions"),
    ],
)
def test_recorded_teachers_write_first_steps_only(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, parties(continues=False), settings)


def test_recorded_first_steps_are_cut_from_whole_answers(tmp_path: Path) -> None:
    class Recorded(Speaker):
        def completion(self, request: Any, sample: int) -> Any:
            whole = replace(request, stop=())
            return replace(super().completion(whole, sample), request=request)

    pair = parties(teacher=Recorded(teacher_says, name="recorded"), continues=False)
    assert score(run(tmp_path, pair, {}), "first").accuracy == 0.75
    with Store(tmp_path / "run.sqlite", read_only=True) as store:
        assert {len(e.guidance.split()) for e in store.guided_predictions() if e.guidance} == {3}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policies": ["first", "first"]}, "policies names first twice"),
        (
            {"policies": [{"any_step": {"steps": 2}}, "any_step"]},
            "policies names any_step_entropy twice",
        ),
        (
            {"self_guidance": [{"template": "{question}"}] * 2},
            "self_guidance names own_[0-9a-f]+ t",
        ),
        ({"pass_at": [5, 5]}, "pass_at names 5 twice"),
        ({"pass_at": [0]}, "from 1 on"),
        ({"draws": 0, "policies": [{"when_unsure": {"signal": "disagreement"}}]}, "draws is 0"),
        ({"self_guidance": ["quest"]}, "no prompt style 'quest'"),
        ({"keep_gain": 0}, "greater than 0"),
        ({"control": []}, "Did you mean 'controls'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(GuideSettings, settings, at="guide")


def recipe(folder: Path, **more: object) -> Path:
    values = {
        "run": str(folder / "run"),
        "task": {"name": "fact_chain", "train": 12, "dev": 6, "test": 6},
        "teacher": "bundled:teacher",
        "student": {"model": "bundled:student", "device": "cpu"},
        "generate": {"samples": 4, "temperature": 0.7, "max_tokens": 96},
        "train": {"steps": 2, "batch_size": 4, "checkpoints": 1},
        "evaluate": {"max_tokens": 64},
        "guide": {**EVERYTHING, "self_guidance": ["zero_shot_cot", "zero_shot_quest_cot"]},
        **more,
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.mark.slow
def test_a_whole_run_with_guidance(tmp_path: Path) -> None:
    invoke: Callable[..., Any] = CliRunner().invoke
    file = recipe(tmp_path)
    done = invoke(main, ["run", str(file)])
    assert done.exit_code == 0, done.output
    assert "Guidance on 6 test questions" in done.output
    with Store(tmp_path / "run" / "run.sqlite", read_only=True) as store:
        scores, stages = store.guided_scores(), {each.name: each for each in store.stages()}
        alone = [
            e for e in store.guided_predictions() if (e.policy.label, e.split) == ("never", "test")
        ]
        own = [e for e in store.guided_predictions() if e.policy.label == "control_own_first"]
        evaluated = {
            e.question_id: e for e in store.predictions() if e.system.label == "rationales"
        }
    assert {"never", "teacher", "first", "at_2", "learned"} <= {
        each.policy.label for each in scores
    }
    assert stages["guide"].tokens > 0
    assert stages["guide"].seconds > 0
    for each in alone:  # the student alone is the student as it was evaluated
        assert each.text == evaluated[each.question_id].text
    assert [e.text.strip() for e in own] == [e.text.strip() for e in alone]
    again = invoke(main, ["guide", str(file)])
    assert again.exit_code == 0, again.output
    assert "next: potstill report" in again.output
    with Store(tmp_path / "run" / "run.sqlite", read_only=True) as store:
        assert store.guided_scores() == scores
        assert {each.name: each.tokens for each in store.stages()}["guide"] == stages[
            "guide"
        ].tokens


@pytest.mark.slow
def test_two_promised_accuracies_on_the_bundled_pair(tmp_path: Path) -> None:
    policies = [{"route": {"accuracy_at_least": accuracy}} for accuracy in (0.05, 0.4)]
    labels = [f"route_min_logprob_accuracy_{accuracy}" for accuracy in (0.05, 0.4)]
    file = recipe(
        tmp_path,
        task={"name": "fact_chain", "train": 4, "dev": 20, "test": 6},
        teacher="bundled:guide",
        generate={"samples": 1, "max_tokens": 96},
        train={
            "steps": 2,
            "batch_size": 4,
            "checkpoints": 1,
            "students": {"rationales": {"data_format": "fine_tune_cot"}},
        },
        evaluate={"max_tokens": 64, "teacher": False},
        guide={"policies": policies, "routing": False, "draws": 0, "bootstrap": 100},
    )
    folder = tmp_path / "run"
    done = invoked("run", file)
    low, high = json.loads((folder / "guide.json").read_text())["thresholds"].items()
    assert [low[0], high[0]] == labels and low[1] > high[1]
    assert guided_labels(folder) == labels * 2  # on development questions and on test questions
    page = (folder / "report.html").read_text()
    assert all(label in done and label in page for label in labels)
    with Store(folder / "run.sqlite", read_only=True) as store:
        scores, bought = store.guided_scores(), store.pool_size(("guide",))
    invoked("guide", file)
    with Store(folder / "run.sqlite", read_only=True) as store:
        assert (store.guided_scores(), store.pool_size(("guide",))) == (scores, bought)
    forget_promised_accuracies(folder / "run.sqlite")
    invoked("report", file)
    assert guided_labels(folder) == ["route_min_logprob"] * 2
    invoked("guide", file)
    invoked("report", file)
    assert guided_labels(folder) == labels * 2
    with Store(folder / "run.sqlite", read_only=True) as store:
        assert (store.guided_scores(), store.pool_size(("guide",))) == (scores, bought)


def invoked(*arguments: object) -> str:
    """Returns the output of a command that succeeds."""
    done = CliRunner().invoke(main, [str(one) for one in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def guided_labels(folder: Path) -> list[str]:
    """The policies ``route`` of a run's summary, in its order."""
    guided = json.loads((folder / "summary.json").read_text())["guidance"]["fact_chain"]
    return [each["policy"] for each in guided["scores"] if each["policy"].startswith("route")]


@pytest.mark.slow
def test_guidance_before_evaluation_says_what_comes_first(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["guide", str(recipe(tmp_path))])
    assert done.exit_code == 2
    assert "Run potstill evaluate first" in done.output


def test_a_guided_student_has_to_be_trained(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["guide", str(recipe(tmp_path, guide={"student": "nobody"}))])
    assert done.exit_code == 2
    assert "guide.student is 'nobody', which is not trained" in done.output
