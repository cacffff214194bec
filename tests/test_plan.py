"""A run's plan against figures worked by hand, and against what is then asked."""

import io
import json
import os
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from loopback import Body, Loopback, prompt_of, scripted
from rich.console import Console

from potstill.cli import main
from potstill.cli.stages import print_end
from potstill.models import BUNDLED_FOLDER, open_model
from potstill.models.settings import LocalSettings, OpenAISettings
from potstill.pipeline.cost_lines import cost_lines, guide_cost_notes
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.plan import Plan, Probe, plan_page, plan_run
from potstill.plan.estimate import LengthSample, Spread, counter_for, exactly, prompt_bytes, total
from potstill.plan.needs import Figures, Need, expected_draws
from potstill.plan.plan import evenly_spaced
from potstill.plan.throughput import estimate_throughput, measured_rate
from potstill.records import Message, Request
from potstill.report import ReportFiles
from potstill.runtime import progress
from potstill.runtime.progress import Meter
from potstill.runtime.tally import clock

TRAIN, DEV, TEST = 6, 2, 3


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(sums) as running:
        running.usage = {"prompt_tokens": 7, "completion_tokens": 10}
        yield running


def sums(body: Body) -> list[str]:
    """Answers of one word."""
    return [text.split()[-1] for text in scripted(body)]


def sum_of(body: Body) -> int:
    """Right for even numbers alone."""
    number = int(prompt_of(body).split("Ann has ")[1].split()[0])
    return 2 * number + number % 2


def half_right(body: Body) -> list[str]:
    return [f"The answer is {sum_of(body)}."] * body.get("n", 1)


def recipe_file(folder: Path, server: Loopback, **sections: object) -> Path:
    splits = ["train"] * TRAIN + ["dev"] * DEV + ["test"] * TEST
    rows = [
        {"q": f"Ann has {n} pens and buys {n} more. How many?", "a": 2 * n, "split": split}
        for n, split in enumerate(splits)
    ]
    questions = folder / "questions.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "run": str(folder / "run"),
        "task": {"file": str(questions), "question": "q", "answer": "a", "answer_type": "number"},
        "teacher": server_at(server),
        "student": "bundled:student",
        "generate": {"samples": 2, "max_tokens": 100},
        "evaluate": {"max_tokens": 50},
        **sections,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def server_at(server: Loopback, name: str = "scripted", **settings: object) -> dict[str, object]:
    return {
        "model": f"openai:{name}", "base_url": server.url, "api_key_env": None,
        "prompt_price": 2.0, "completion_price": 10.0, **settings,
    }  # fmt: skip


def planned(path: Path, *changes: str) -> Plan:
    return plan_run(load_recipe(path, changes))


def generate(path: Path, *changes: str) -> None:
    with Run(load_recipe(path, changes), Meter(None)) as run:
        run.generate()


def by_what(plan: Plan) -> dict[str, Figures]:
    return {each.need.what: each for each in plan.figures}


def shown(plan: Plan) -> str:
    console = Console(width=100, highlight=False)
    with console.capture() as capture:
        console.print(plan_page(plan))
    return capture.get()


# a run that has not begun ------------------------------------------------------------------------


def test_nothing_is_asked_and_nothing_is_written(tmp_path: Path, server: Loopback) -> None:
    path = recipe_file(tmp_path, server)
    before = sorted(tmp_path.iterdir())
    plan = planned(path)
    assert not plan.begun and server.bodies == [] and sorted(tmp_path.iterdir()) == before
    found = by_what(plan)
    rationales, measured = found["rationales"], found["teacher on questions test"]
    assert rationales.samples == exactly(2 * TRAIN) and rationales.requests == exactly(TRAIN)
    assert measured.samples == exactly(TEST)
    assert rationales.completion_tokens.expected is None
    assert rationales.completion_tokens.most == 2 * TRAIN * 100
    # 4 bytes a token are an estimate; at most there is a token a byte and 64 around the turn
    asked = sum(prompt_bytes(request) for request in rationales.need.sure)
    assert rationales.prompt_tokens == Spread(asked / 4, asked / 4, asked / 4, asked + 64 * TRAIN)
    most = (asked + 64 * TRAIN) * 2.0 / 1e6 + 2 * TRAIN * 100 * 10.0 / 1e6
    assert rationales.usd.most == pytest.approx(most) and rationales.usd.expected is None
    assert "an estimate until this model has answered" in " ".join(shown(plan).split())


def test_a_key_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with Loopback() as server:
        path = recipe_file(tmp_path, server, teacher="openai:gpt-4o-mini")
    text = " ".join(shown(planned(path)).split())
    assert "$0.15 and $0.60 a million tokens read and written (price table of 20" in text
    changes = ("teacher.model=openai:gpt-4o-mini", "teacher.mode=batch")
    text = " ".join(shown(planned(path, *changes)).split())
    assert "$0.0750 and $0.30" in text and "batches are done within a day each" in text


# a run that has begun ----------------------------------------------------------------------------


def test_a_judge_and_its_missing_key_are_told_before_anything_is_spent(
    tmp_path: Path, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    judge = {"model": "openai:judge", "base_url": "https://judge.example/v1"}
    path = recipe_file(tmp_path, server, judge={**judge, "api_key_env": "JUDGE_KEY"})
    plan = planned(path, "task.rule=judge", "budget.tokens=1000000")
    assert plan.judge == "openai:judge"
    assert len(plan.keys) == 1 and "JUDGE_KEY" in plan.keys[0]
    told = " ".join(shown(plan).split())
    assert "openai:judge reads each rationale and measured answer that the rules cannot" in told
    monkeypatch.setenv("JUDGE_KEY", "sk-judge")
    assert planned(path, "task.rule=judge").keys == []
    refused = CliRunner().invoke(main, ["check", str(path), "--set", "task.rule=judge"])
    assert refused.exit_code == 0, refused.output
    monkeypatch.delenv("JUDGE_KEY")
    refused = CliRunner().invoke(main, ["check", str(path), "--set", "task.rule=judge"])
    assert refused.exit_code == 2 and "JUDGE_KEY" in refused.output


def test_what_is_stored_is_not_planned_again_and_tells_how_long_answers_are(
    tmp_path: Path, server: Loopback
) -> None:
    path = recipe_file(tmp_path, server)
    generate(path)
    plan = planned(path)
    found = by_what(plan)
    assert found["rationales"].need.there == 2 * TRAIN and not found["rationales"].need.missing
    assert found["rationales"].usd == Spread()
    # each request said 10 tokens for its two samples, and 7 for its prompt
    measured = found["teacher on questions test"]
    assert measured.completion_tokens == Spread(5.0 * TEST, 15.0, 15.0, 50.0 * TEST)
    assert measured.prompt_tokens.expected == pytest.approx(7 * TEST, rel=0.02)
    assert "as in 6 stored prompts; answers as long as its 12 stored" in " ".join(
        shown(plan).split()
    )


def test_a_plan_is_made_beside_a_writer(tmp_path: Path, server: Loopback) -> None:
    path = recipe_file(tmp_path, server)
    with Run(load_recipe(path), Meter(None)) as run:
        run.generate()
        kept = (tmp_path / "run" / "log.jsonl").read_bytes()
        assert by_what(planned(path))["rationales"].need.there == 2 * TRAIN
        assert (tmp_path / "run" / "log.jsonl").read_bytes() == kept


def test_a_run_that_was_stopped_tells_how_long_the_rest_takes(
    tmp_path: Path, server: Loopback
) -> None:
    path = recipe_file(tmp_path, server)
    before = planned(path)
    assert before.seconds.asking is None
    assert "the time of asking and measuring is not known" in " ".join(shown(before).split())
    generate(path, "task.train=4")
    plan = planned(path)
    words = " ".join(shown(plan).split())
    assert "samples/s, as measured in this run" in words
    (teacher,), students = plan.teachers, plan.students.students
    training = sum(student.seconds for student in students)
    assert plan.seconds == (teacher.throughput.seconds, training)
    asking = plan.seconds.asking
    assert asking and f"in all about {clock(asking + training)}: asking {clock(asking)}," in words
    assert "the time of measuring is not known" in words


def test_the_plan_is_what_is_then_asked(tmp_path: Path, server: Loopback) -> None:
    path = recipe_file(tmp_path, server, teacher=server_at(server, chat=False))
    # two steps: at first the second ones are a bound, once for every sample
    first = by_what(planned(path))
    assert first["rationales, final answers"].requests.most == 2 * TRAIN
    assert first["rationales, final answers"].prompt_tokens.expected is None
    generate(path, "task.train=4")
    plan = by_what(planned(path))
    steps, finals = plan["rationales"], plan["rationales, final answers"]
    # each request said 10 tokens: 5 for each of two rationales, all 10 for a final answer
    assert steps.completion_tokens.expected == 4 * 5 and finals.completion_tokens.expected == 40
    assert steps.need.there == 8 and steps.samples.most == 4
    assert finals.need.there == 8 and (finals.need.sure, finals.samples.most) == ([], 4)
    asked = len(server.bodies)
    generate(path)
    assert len(server.bodies) - asked == steps.requests.most + finals.requests.most
    assert not any(
        each.need.sure for each in planned(path).figures if each.need.stage != "evaluate"
    )


def test_adaptive_rounds_are_bounded_and_the_next_one_is_known(
    tmp_path: Path, server: Loopback
) -> None:
    server.answerer = half_right
    path = recipe_file(tmp_path, server)
    changes = ("generate.enough_right=1", "generate.samples=4")
    fresh = by_what(planned(path, *changes))["rationales"]
    assert [request.samples for request in fresh.need.sure] == [(0,)] * TRAIN
    assert fresh.samples == Spread(24.0, 6.0 + 18, 24.0, 24.0)  # nothing measured: at most
    generate(path)  # two samples of each; the three even ones are solved
    again = by_what(planned(path, *changes))["rationales"]
    assert [request.samples for request in again.need.sure] == [(2, 3)] * (TRAIN // 2)
    assert again.need.later == [] and again.need.there == 3 * 1 + 3 * 2
    asked = len(server.bodies)
    generate(path, *changes)
    assert [body.get("n") for body in server.bodies[asked:]] == [2] * (TRAIN // 2)


def test_draws_until_enough_are_right() -> None:
    # the second draw is made if the first was wrong, the third if both were: 1/2 + 1/4
    assert expected_draws(0.5, wanted=1, drawn=1, limit=3) == pytest.approx(0.75)
    assert expected_draws(0.0, wanted=2, drawn=2, limit=8) == pytest.approx(6)
    assert expected_draws(1.0, wanted=2, drawn=2, limit=8) == pytest.approx(0)


def test_several_teachers_and_their_debate(tmp_path: Path, server: Loopback) -> None:
    teachers = {"other": server_at(server, "other")}
    sections = {"teachers": teachers, "generate": {"samples": 2, "debate": {"rounds": 2}}}
    path = recipe_file(tmp_path, server, **sections)
    fresh = by_what(planned(path))
    names = [name for name in fresh if name != "teacher on questions test"]
    assert names == [
        "rationales of teacher", "rationales of other",
        "debate round 1 of teacher", "debate round 1 of other",
        "debate round 2 of teacher", "debate round 2 of other",
    ]  # fmt: skip
    assert all(fresh[name].samples.most == 2 * TRAIN for name in names)
    assert fresh["debate round 1 of other"].requests.most == 2 * TRAIN
    generate(path)
    bodies = len(server.bodies)
    done = by_what(planned(path))
    assert all(done[name].need.there == 2 * TRAIN for name in names)
    assert not any(done[name].need.missing for name in names) and len(server.bodies) == bodies
    # the first round is known when the first answers are there
    halfway = by_what(planned(path, "seed=0", "generate.debate.rounds=3"))
    third = halfway["debate round 3 of other"].need
    assert len(third.sure) == 2 * TRAIN and third.later == []


def test_steps_inside_answers_are_a_bound(tmp_path: Path, server: Loopback) -> None:
    policies = ["never", "first", {"first_n": 3}, {"at": 2}, "when_unsure"]
    guide = {"policies": policies, "controls": ["hint", "wrong_chain"], "chains": 4}
    path = recipe_file(tmp_path, server, guide=guide)
    found = by_what(planned(path))
    # three steps in a row share the first one; one more by itself, one hint; first on dev
    steps = found["steps inside answers"]
    assert steps.samples.expected == pytest.approx((3 + 1 + 1) * TEST + DEV)
    assert steps.samples.most == 3 * ((3 + 1 + 1) * TEST + DEV)
    assert steps.completion_tokens.most == 64 * steps.samples.most
    assert found["chains that may err"].samples == exactly(4 * TEST)
    assert "teacher on questions" not in found, "evaluation has asked the same"


def test_steps_handed_over_anywhere_are_bounded_and_both_splits_answered(
    tmp_path: Path, server: Loopback
) -> None:
    policies = [{"any_step": {"steps": 2}}, {"route": {"signal": "entropy"}}]
    found = by_what(planned(recipe_file(tmp_path, server, guide={"policies": policies})))
    # On test one first step and two others; on dev the first, and two at each of 7 thresholds.
    steps = found["steps inside answers"]
    assert steps.samples.most == 3 * ((1 + 2) * TEST + (1 + 7 * 2) * DEV)
    assert found["teacher on questions"].samples == exactly(DEV), "test is asked by evaluation"
    (tmp_path / "given").mkdir()
    given = [{"any_step": {"steps": 2, "threshold": 0.5}}, {"route": {"threshold": 0.5}}]
    found = by_what(planned(recipe_file(tmp_path / "given", server, guide={"policies": given})))
    assert found["steps inside answers"].samples.most == 3 * (1 + 2) * TEST
    assert "teacher on questions" not in found


# the probe ---------------------------------------------------------------------------------------


def test_a_probe_is_kept_and_not_asked_again(tmp_path: Path, server: Loopback) -> None:
    path = recipe_file(tmp_path, server, budget={"usd": 1.0})
    result = CliRunner().invoke(main, ["plan", str(path), "--probe", "2"])
    assert result.exit_code == 0, result.output
    assert [prompt_of(body).split()[2] for body in server.bodies] == ["0", "3"]
    assert all(body["n"] == 2 for body in server.bodies)
    text = " ".join(result.output.split())
    assert "answers as long as its 4 stored rationales" in text
    # 2 requests of 7 and 10 tokens at $2 and $10 a million
    assert "$1.00 ($0.0002 spent): suffices" in text
    assert "s an answer, if the server takes 7 at once" in text
    assert by_what(planned(path))["rationales"].need.there == 4
    generate(path)
    assert len(server.bodies) == TRAIN
    assert len({json.dumps(body, sort_keys=True) for body in server.bodies}) == TRAIN


def test_a_probe_that_has_nothing_to_ask_leaves_the_recipe_of_the_run(
    tmp_path: Path, server: Loopback
) -> None:
    path = recipe_file(tmp_path, server)
    generate(path, "generate.samples=3")
    kept, asked = (tmp_path / "run" / "recipe.yaml").read_text(), len(server.bodies)
    result = CliRunner().invoke(main, ["plan", str(path), "--probe", "2"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "recipe.yaml").read_text() == kept
    assert len(server.bodies) == asked


def test_a_probe_is_spread_over_the_questions() -> None:
    requests = [Request(prompt=str(n)) for n in range(10)]
    assert [each.prompt for each in evenly_spaced(requests, 4)] == ["0", "2", "5", "7"]
    assert evenly_spaced(requests[:2], 4) == requests[:2] and evenly_spaced([], 4) == []


def test_a_probe_keeps_to_the_budget(tmp_path: Path, server: Loopback) -> None:
    path = recipe_file(tmp_path, server, budget={"usd": 0.00001})
    result = CliRunner().invoke(main, ["plan", str(path), "--probe", "2"])
    assert result.exit_code == 2 and "budget" in result.output and server.bodies == []


@pytest.mark.parametrize("count", [1, 2, TRAIN])
@pytest.mark.parametrize("text", ["", " \n"])
def test_a_probe_of_a_server_without_text_ends_with_its_fault(
    tmp_path: Path, server: Loopback, count: int, text: str
) -> None:
    server.answerer = lambda body: [text] * body.get("n", 1)
    path = recipe_file(tmp_path, server)
    result = CliRunner().invoke(main, ["plan", str(path), "--probe", str(count)])
    assert result.exit_code == 2, result.output
    assert "without any text" in result.output
    server.answerer = sums
    other = recipe_file(tmp_path, server, run=str(tmp_path / "other"))
    assert CliRunner().invoke(main, ["plan", str(other), "--probe", str(count)]).exit_code == 0


# budgets and time --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "verdict"),
    [
        ({"usd": 100}, "suffices"),
        ({"usd": 0.001}, "suffices for what is expected, not for the most"),
        ({"tokens": 200}, "stops after about 2 of 3 questions (teacher on questions test)"),
    ],
)
def test_the_budget_beside_the_cost(
    tmp_path: Path, server: Loopback, budget: dict[str, float], verdict: str
) -> None:
    path = recipe_file(tmp_path, server)
    generate(path)  # 6 requests of 17 tokens and $0.000114; 3 of 7 and 5 tokens are left
    text = " ".join(shown(planned(path, f"budget={json.dumps(budget)}")).split())
    if "tokens" in budget:  # 102 are spent, and 24 more are 2 of the 3 that are left
        text = " ".join(shown(planned(path, "budget={tokens: 126}")).split())
        assert "126 tokens (102 tokens spent)" in text
    assert f"spent): {verdict}" in text


def test_the_budget_stops_the_rationales_first(tmp_path: Path, server: Loopback) -> None:
    path = recipe_file(tmp_path, server)
    rationales = by_what(planned(path))["rationales"].usd.most
    text = " ".join(shown(planned(path, f"budget.usd={rationales / 2}")).split())
    assert (
        "stops after about 3 of 6 questions (rationales) if every answer is as long as it may be"
        in text
    )


def test_time_is_by_what_was_measured_and_by_the_limits(tmp_path: Path) -> None:
    events = [
        {"event": "progress", "label": "rationales of teacher", "new": 100, "seconds": 10.0},
        {"event": "progress", "label": "rationales of teacher", "new": 300, "seconds": 20.0},
        {"event": "retry", "kind": "429"},
        {"event": "progress", "label": "rationales of other", "new": 1, "seconds": 90.0},
        {"event": "progress", "label": "rationales of teacher, round 1", "new": 100, "seconds": 5},
    ]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(event) + "\n" for event in events) + '{"event": "prog')
    assert measured_rate(log, "teacher") == 400 / 25
    assert measured_rate(log, "third") is None and measured_rate(tmp_path / "no", "x") is None

    figures = [some_figures(samples=400, requests=100)]
    server = OpenAISettings(model="openai:x", concurrency=10)
    assert estimate_throughput(server, figures, 16.0, None).seconds == 25
    assert estimate_throughput(server, figures, None, None).seconds is None
    seen = Probe(requests=5, samples=20, failed=0, seconds=4.0, latency=3.0)
    assert (
        estimate_throughput(server, figures, 16.0, seen).seconds == 30
    )  # 100 requests of 3 s, 10 at once
    here = LocalSettings(model="bundled:teacher")
    assert estimate_throughput(here, figures, None, seen).seconds == 80  # 20 samples took 4 s
    slow = server.model_copy(update={"requests_per_minute": 60.0})
    assert estimate_throughput(slow, figures, 16.0, None) == (100, "by the limits a minute")
    few = server.model_copy(update={"tokens_per_minute": 1000.0})
    assert estimate_throughput(few, figures, 16.0, None).seconds == 60 * (100 * 7 + 400 * 5) / 1000


def some_figures(*, samples: int, requests: int) -> Figures:
    need = Need(stage="generate", what="rationales", teacher=None, questions=1)  # type: ignore[arg-type]
    prompts, written = exactly(requests * 7), exactly(samples * 5)
    return Figures(need, exactly(requests), exactly(samples), prompts, written, Spread())


# lengths and tokens ------------------------------------------------------------------------------


def test_the_interval_of_a_mean_length_worked_by_hand() -> None:
    # residuals -10, 0, 10; error 10 / sqrt(3); Student's t of 2 degrees is 4.302653 at 97.5%
    one = LengthSample([[10], [20], [30]]).one(most=100)
    assert one == pytest.approx((20, 0, 20 + 4.302653 * 10 / 3**0.5, 100))
    assert LengthSample([[10], [20], [30]]).one(most=25) == (20, 0, 25, 25)


def test_answers_to_one_request_do_not_count_as_independent() -> None:
    once, twice = LengthSample([[18], [20], [22]]), LengthSample([[18, 18], [20, 20], [22, 22]])
    assert once.one(99) == pytest.approx(twice.one(99))


def test_the_interval_has_the_mean_of_further_answers_nineteen_times_in_twenty() -> None:
    import numpy as np

    numbers, hits = np.random.default_rng(0), 0
    for _ in range(400):
        centres = numbers.normal(200, 40, size=25)
        groups = [[int(each + numbers.normal(0, 20)) for _ in range(4)] for each in centres]
        low, high = LengthSample(groups).one(10_000)[1:3]
        hits += low < 200 < high
    assert 0.92 < hits / 400 < 0.98


def test_one_answer_has_no_interval_and_none_has_no_expectation() -> None:
    assert LengthSample([[10]]).one(64) == (10, 0, 64, 64)
    assert LengthSample([[]]).one(64) == (None, 0, 64, 64)


def test_sums_are_not_expected_where_a_part_is_not() -> None:
    known, unknown = Spread(1, 0.5, 2, 3), Spread(None, 0, 5, 5)
    assert known.plus(known) == (2, 1, 4, 6) == known.times(2)
    assert total([known, unknown]) == (None, 0.5, 7, 8)
    assert unknown.times(0) == Spread()


def test_a_local_teachers_prompts_are_counted_as_it_counts_them() -> None:
    settings = LocalSettings(model="bundled:teacher", device="cpu")
    counter = counter_for(settings, [(100, 1)])
    requests = [Request(prompt=f"Q: What is {n} + {n}?\nA:", max_tokens=1) for n in (1, 22, 333)]
    answered = {
        each.request.prompt: each.prompt_tokens for each in open_model(settings).complete(requests)
    }
    assert {each.prompt: counter.tokens(each) for each in requests} == answered
    assert counter.exact and counter.how == "by the model's own tokenizer"


def test_tiktoken_counts_where_its_file_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    class Encoding:
        def encode_ordinary(self, text: str) -> list[str]:
            return text.split()

    def get_encoding(name: str) -> Encoding:
        opened.append(name)
        return Encoding()

    fake = types.ModuleType("tiktoken")
    fake.encoding_name_for_model = {"gpt-4o-mini": "o200k_base"}.__getitem__  # type: ignore[attr-defined]
    fake.get_encoding = get_encoding  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tiktoken", fake)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    chat = Request(prompt=(Message(role="system", content="be brief"),
                           Message(role="user", content="one two three")))  # fmt: skip
    known = OpenAISettings(model="openai:gpt-4o-mini")
    assert not counter_for(known, []).exact and opened == []
    # the name under which tiktoken keeps the file of o200k_base
    (tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790").touch()
    counter = counter_for(known, [])
    assert counter.exact and opened == ["o200k_base"]
    assert counter.tokens(chat) == 5 + 2 * 4 + 3
    assert counter.tokens(Request(prompt="one two")) == 2
    assert not counter_for(OpenAISettings(model="openai:unknown"), []).exact
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    assert not counter_for(known, []).exact


# the page ----------------------------------------------------------------------------------------


def test_the_page_fits_a_hundred_columns(tmp_path: Path, server: Loopback) -> None:
    generic = {"tasks": [{"name": "two_step_arithmetic", "train": 1, "dev": 2, "test": 900}]}
    sections = {
        "teachers": {"a_teacher_with_a_long_name": server_at(server, "other")},
        "generate": {"samples": 64, "max_tokens": 32768, "debate": {"rounds": 1}},
        "evaluate": {"max_tokens": 32768, "generic": generic},
        "budget": {"usd": 123456, "tokens": 10**12},
        "guide": {},
    }
    text = shown(planned(recipe_file(tmp_path, server, **sections)))
    assert max(map(len, text.splitlines())) <= 100
    assert "rationales of" in text and "…" not in text


def test_unknown_costs_are_not_taken_for_nothing(tmp_path: Path, server: Loopback) -> None:
    teacher = {"model": "openai:mine", "base_url": server.url, "api_key_env": None}
    text = shown(planned(recipe_file(tmp_path, server, teacher=teacher)))
    assert "not known; set prompt_price and completion_price of teacher" in text
    assert "$0" not in text
    free = {**teacher, "prompt_price": 0, "completion_price": 0}
    assert "cost nothing" in words_of(planned(recipe_file(tmp_path, server, teacher=free)))


def test_what_was_paid_at_unknown_costs_is_not_said_to_be_nothing(
    tmp_path: Path, server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = {"model": "openai:mine", "base_url": server.url, "api_key_env": None}
    path = recipe_file(tmp_path, server, teacher=teacher, evaluate={"teacher": False})
    with Run(load_recipe(path)) as run:
        run.generate()
        budget = run.runtime.budget
        print_end(run, ReportFiles(path, path, "The student is trained.", []))
        notes = [*cost_lines(run.recipe, run.store), *guide_cost_notes(run.recipe, run.store)]
        tokens = budget.spent.tokens
    text = shown(planned(path))
    assert tokens and "$" not in text
    assert "nothing more; what was paid so far is not known" in text
    told = capsys.readouterr().out
    assert f"cost: not known for {tokens:,} tokens" in told and "$" not in told
    unknown = "The prices of openai:mine are not known: set prompt_price and completion_price, in"
    assert unknown in " ".join(told.split())
    assert [unknown in note for note in notes] == [True, True]


def test_a_local_teacher_has_no_costs_on_its_page(tmp_path: Path, server: Loopback) -> None:
    text = shown(planned(recipe_file(tmp_path, server, teacher="bundled:teacher")))
    assert "$" not in text and "prompts counted by the model's own tokenizer" in text


def test_a_teacher_behind_vllm_is_planned_without_starting_it(
    tmp_path: Path, server: Loopback
) -> None:
    teacher = {"model": f"vllm:{BUNDLED_FOLDER / 'teacher'}", "chat": False}
    path = recipe_file(tmp_path, server, teacher=teacher)
    plan = planned(path)
    text = " ".join(shown(plan).split())
    assert "$" not in text and "prompts counted by the model's own tokenizer" in text
    own = by_what(planned(path, "teacher=bundled:teacher"))["rationales"]
    assert by_what(plan)["rationales"].prompt_tokens == own.prompt_tokens


# the students ------------------------------------------------------------------------------------


def words_of(plan: Plan) -> str:
    return " ".join(shown(plan).split())


def test_a_new_student_is_planned_with_steps_time_memory_and_disk(
    tmp_path: Path, server: Loopback
) -> None:
    train = {"epochs": 4, "batch_size": 8, "checkpoints": 2}
    plan = planned(recipe_file(tmp_path, server, train=train))
    answers, rationales = plan.students.students
    # Without rationales there is one example to a question; with them at most each sample's.
    assert answers.examples == (TRAIN, True) and rationales.examples == (2 * TRAIN, False)
    assert answers.steps == (3, True) and rationales.steps == (6, False)
    weights = rationales.parameters
    assert rationales.trained == weights > 600_000
    # Float32 checkpoints of a small model; two moments of AdamW while it is trained.
    assert rationales.disk == 2 * 4 * weights and rationales.disk_meanwhile == 8 * weights
    assert rationales.memory > 16 * weights
    told = re.match(r"at ([\d,]+) tokens a second by a trial of a step just now", rationales.how)
    assert told is not None
    rate = float(told[1].replace(",", ""))
    assert rationales.seconds == pytest.approx(6 * rationales.step_tokens / rate, rel=0.01)
    assert rationales.step_tokens > answers.step_tokens > 8
    text = words_of(plan)
    assert "from bundled:student, 669 thousand weights" in text
    steps = f"at most 6 steps of about {rationales.step_tokens:,.0f} tokens"
    assert f"at most 12 examples, {steps}; training at most about 0:" in text
    # 2 development questions for the start and 2 checkpoints of 2 students; 3 of test, each way.
    assert plan.students.measured_here == 2 * (1 + 4) + 3 * (2 + 2)


def test_examples_longer_than_the_limit_count_for_no_time(tmp_path: Path, server: Loopback) -> None:
    train = {"steps": 10, "batch_size": 8, "max_length": 40}
    _, rationales = planned(recipe_file(tmp_path, server, train=train)).students.students
    assert rationales.step_tokens <= 8 * 40  # a usual rationale has some hundred tokens


def test_what_a_plan_looks_at_is_shown_while_it_does(
    tmp_path: Path, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    out = io.StringIO()
    plan_run(load_recipe(recipe_file(tmp_path, server)), meter=Meter(Console(file=out)))
    labels = [line.partition(": ")[0] for line in out.getvalue().splitlines()]
    assert [*dict.fromkeys(labels)][-1] == "trying a step of each start's training"


def test_a_trial_beside_other_work_says_so(
    tmp_path: Path, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for load, is_told in ((2.5, False), (9.2, True)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        student, _ = planned(recipe_file(tmp_path, server)).students.students
        assert ("a load of 9 on 2 processors" in student.how) is is_told


def test_low_rank_additions_are_counted_apart(tmp_path: Path, server: Loopback) -> None:
    train = {"steps": 4, "checkpoints": 1, "lora": {"rank": 4}}
    plan = planned(recipe_file(tmp_path, server, train=train))
    student = plan.students.students[0]
    assert 0 < student.trained < student.parameters / 10
    assert student.disk_meanwhile == 8 * student.trained
    assert "are added and trained" in words_of(plan)


def test_models_that_do_not_exist_are_said_and_the_command_fails(
    tmp_path: Path, server: Loopback
) -> None:
    path = recipe_file(tmp_path, server, student=f"hf:{tmp_path}/none")
    result = CliRunner().invoke(main, ["plan", str(path)])
    assert result.exit_code == 2
    assert "rationales" in result.stdout  # the plan is shown all the same
    assert "none is not a folder" in result.stderr
    teacher = planned(recipe_file(tmp_path, server, teacher=f"hf:{tmp_path}/absent"))
    (fault,) = teacher.faults
    assert "absent is not a folder" in fault


def test_a_missing_key_is_said(
    tmp_path: Path, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    teacher = {"model": "openai:big", "base_url": "https://a.test/v1", "api_key_env": "SOME_KEY"}
    path = recipe_file(tmp_path, server, teacher=teacher)
    plan = planned(path)
    assert not plan.faults
    assert "set the environment variable SOME_KEY" in words_of(plan)
    monkeypatch.setenv("SOME_KEY", "k")
    assert planned(path).keys == []


def test_a_recording_is_planned_with_what_it_holds(tmp_path: Path, server: Loopback) -> None:
    recording = tmp_path / "recorded.jsonl"
    row = {"question": "Ann has 2 pens and buys 2 more. How many?", "rationale": "It is 4."}
    recording.write_text(json.dumps(row) + "\n")
    plan = planned(recipe_file(tmp_path, server, teacher=f"recorded:{recording}"))
    assert total(figures.samples for figures in plan.figures).most == 1
    assert plan.teachers[0].absent == 2 * TRAIN - 1 + TEST
    assert "the file lacks 14 of the samples" in words_of(plan)


def trained_recipe(tmp_path: Path, server: Loopback) -> Path:
    """The recipe of a run whose student has learned answers in 3 steps."""
    path = recipe_file(
        tmp_path,
        server,
        train={
            "steps": 3,
            "checkpoints": 1,
            "students": {"a": {"data_format": "fine_tune_answer"}},
        },
    )
    with Run(load_recipe(path), Meter(None)) as run:
        run.train()
    return path


def test_what_holds_for_all_students_is_told_once(tmp_path: Path, server: Loopback) -> None:
    students = {
        name: {"data_format": "fine_tune_answer", "steps": steps}
        for name, steps in (("short", 3), ("long", 6))
    }
    path = recipe_file(tmp_path, server, train={"batch_size": 2, "students": students})
    lines = shown(planned(path)).splitlines()
    told = {line.split()[0]: " ".join(line.split()[1:]) for line in lines if line[:1].isalpha()}
    assert told["short"].startswith("6 examples, 3 steps of about ")
    assert told["long"].startswith("6 examples, 6 steps of about ")
    words = words_of(planned(path))
    for once in ("from bundled:student", "learning rate", "weight decay", "tokens a second"):
        assert words.count(once) == 1
    assert words.index("each from bundled:student") > words.index("6 steps of about")


def test_a_trained_student_is_not_planned_again(tmp_path: Path, server: Loopback) -> None:
    path = trained_recipe(tmp_path, server)
    (student,) = planned(path).students.students
    assert student.done == 3 and student.seconds == 0
    assert "1 checkpoints" not in words_of(planned(path))
    assert "3 steps; trained already" in words_of(planned(path))


@pytest.mark.parametrize(
    ("changes", "done"),
    [
        (["train.steps=2"], 0),
        (["train.steps=4"], 0),
        (["train.learning_rate=0.001"], 0),
        (["evaluate.max_tokens=20"], 3),
    ],
)
def test_a_student_of_another_recipe_is_planned_again(
    tmp_path: Path, server: Loopback, changes: list[str], done: int
) -> None:
    path = trained_recipe(tmp_path, server)
    (student,) = planned(path, *changes).students.students
    assert student.done == done
    assert ("trained already" in words_of(planned(path, *changes))) == (done == 3)
