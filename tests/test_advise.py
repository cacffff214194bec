"""Advice before the spend: what is asked, that it is bought once, and what the figures say."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from commands import Commands, until
from loopback import Body, Fault, Loopback, prompt_of
from several_teachers import QUIET, write_recipe
from tiny_models import build_tiny_causal

from potstill.advise import plan_advice, plan_lines
from potstill.advise.advice_words import sentences
from potstill.advise.groups import by_length, by_teacher, by_thinking
from potstill.advise.trial import TriedRationale, spread_requests
from potstill.advise.ways import thinking_of, thinking_pairs, ways_of_asking, with_thinking
from potstill.cli import main
from potstill.errors import ConfigError
from potstill.models.settings import ModelSettings, model_settings
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.prompts.styles import style_named
from potstill.records import Likelihood, Question
from potstill.sampling.ask import PromptConfig, SamplingParams
from potstill.statistics import ClusterSums, difference_of_ratios, ratio_of_sums

T_1, T_2 = 12.7062047, 4.3026527
"""Student's t at 97.5% with one and two degrees of freedom."""


def sums(**values: float) -> dict[str, ClusterSums]:
    return {name: ClusterSums(value, 1.0) for name, value in values.items()}


# figures -----------------------------------------------------------------------------------------


def test_a_mean_and_a_ratio_have_their_t_intervals() -> None:
    mean = ratio_of_sums(sums(a=2, b=4))
    assert mean.value == 3 and mean.interval is not None
    assert mean.interval == pytest.approx((3 - T_1, 3 + T_1))  # the standard error is 1
    # 12 / 4 = 3; residuals 5 - 3 and 7 - 9; se = sqrt(2 / 1 * (4 + 4)) / 4 = 1
    ratio = ratio_of_sums({"a": ClusterSums(5, 1), "b": ClusterSums(7, 3)})
    assert ratio.value == 3
    assert ratio.interval == pytest.approx((3 - T_1, 3 + T_1))
    assert ratio_of_sums(sums(a=2)).interval is None
    assert ratio_of_sums(sums(a=2, b=2)).interval is None, "of their variance nothing is known"
    with pytest.raises(ValueError, match="no ratio"):
        ratio_of_sums({})


def test_a_difference_is_paired_on_the_questions_that_both_have() -> None:
    paired = difference_of_ratios(sums(a=2, b=4, c=6), sums(a=1, b=4, c=4))
    assert paired.value == 1  # differences 1, 0 and 2: standard error 1 / sqrt(3)
    half = T_2 / 3**0.5
    assert paired.interval == pytest.approx((1 - half, 1 + half))
    apart = difference_of_ratios(sums(a=2, b=4, c=6), sums(d=1, e=4, f=4))
    assert apart.interval is not None and paired.interval is not None
    # variances 4 / 3 and 3 / 3 add up, but for n / (n - 1) of the six questions: 6/5 for 3/2
    width = ((4 + 3) / 3 / (3 / 2) * (6 / 5)) ** 0.5
    assert apart.interval.high - apart.value == pytest.approx(T_2 * width)
    assert difference_of_ratios(sums(a=2, b=4), sums(a=1)).interval is None


def tried(
    label: str, question: int, measures: tuple[float, float, float] | None, **changes: Any
) -> TriedRationale:
    """One rationale; measures are mean log-probability, mean rank and local naturalness."""
    likelihood = None
    if measures is not None:
        likelihood = Likelihood(
            completion_id=1, student="s", tokens=9, mean_logprob=measures[0],
            mean_rank=measures[1], local_naturalness=measures[2],
        )  # fmt: skip
    values = {"right": True, "kept": True, "words": 10, "tokens": 20, "usd": 0.5, **changes}
    return TriedRationale(label=label, question_id=str(question), likelihood=likelihood, **values)


WAYS = ways_of_asking(
    {"a": model_settings("bundled:teacher", at="a"), "b": model_settings("bundled:guide", at="b")}
)
KNOWN = {"a": True, "b": True}
DISAGREEING = [
    *(tried("a", n, (-1.0 - n / 100, 8.0, -2.0 - n / 50)) for n in range(4)),
    *(tried("b", n, (-2.0 - n / 90, 10.0, -3.0 - n / 60)) for n in range(4)),
    tried("b", 4, None, right=False, kept=False),
]
"""a is likelier and more natural; b has the lower ratio, about 5 to 8."""


def test_measures_that_disagree_are_told_with_their_places() -> None:
    compared = by_teacher(DISAGREEING, WAYS, KNOWN)
    a, b = compared.groups
    ratio = {group.name: group.measures["rank_surprisal"] for group in (a, b)}
    assert ratio["a"].estimate.value == pytest.approx(8 / 1.015)
    assert ratio["b"].estimate.value == pytest.approx(10 / (2 + 1.5 / 90))
    assert (ratio["a"].place, ratio["b"].place) == (2, 1)
    assert a.measures["likelihood"].place == a.measures["local_naturalness"].place == 1
    assert (b.rationales, b.right, b.kept, b.measured, b.questions) == (5, 4, 4, 4, 5)
    assert (b.tokens, b.usd) == (25.0, 0.625), "of the dropped one as well"
    assert b.right_interval == pytest.approx((0.3755, 0.9638), abs=1e-4)  # Wilson
    by_ratio, by_steps, by_likelihood = compared.differences
    assert (by_ratio.best, by_ratio.other) == ("b", "a")
    assert by_ratio.estimate.value == pytest.approx(ratio["b"].estimate.value - 8 / 1.015)
    assert by_ratio.is_shown and by_steps.is_shown
    assert by_likelihood.estimate.value == pytest.approx(1.0 + 1.5 * (1 / 90 - 1 / 100))
    (text,) = sentences([compared])
    assert text.startswith(
        "Teachers: best is b by the rank-surprisal ratio (shown); "
        "a by local naturalness (shown) and likelihood (shown). The two measures to go by disagree"
    )
    assert "right most often (a) and by the price (a, $0.50 a kept one)" in text


def test_a_difference_that_chance_may_make_is_not_shown() -> None:
    noisy = [
        *(tried("a", n, (-1.0, 4.0 + n, -2.0 - n)) for n in range(3)),
        *(tried("b", n, (-1.0, 6.0 - n, -2.0)) for n in range(3)),
    ]
    compared = by_teacher(noisy, WAYS, KNOWN)
    assert not any(difference.is_shown for difference in compared.differences)
    (text,) = sentences([compared])
    assert "(not shown)" in text and "(shown)" not in text
    assert "what is right most often (a and b alike)" in text
    assert "by the price (a and b alike, $0.50 a kept one)" in text


def test_a_teacher_that_is_shown_to_suit_is_advised() -> None:
    rows = [
        *(tried("a", n, (-1.0 - n / 100, 8.0, -2.0 - n / 50)) for n in range(4)),
        *(tried("b", n, (-1.0 - n / 90, 4.0, -1.0 - n / 60)) for n in range(4)),
    ]
    (text,) = sentences([by_teacher(rows, WAYS, {**KNOWN, "b": False})])
    assert "Learn from b rather than from a, with 100% right; curate.choose: rank" in text
    (text,) = sentences([by_teacher(rows, WAYS, KNOWN)])
    assert "with 100% right at $0.50 a kept one;" in text
    compared = by_teacher(rows[:4], WAYS, KNOWN)
    assert [*sentences([compared])] == ["Teachers: only a has a rationale that is kept."]
    none = [tried("a", 0, None, kept=False, right=False)]
    assert "no rationale is kept" in next(sentences([by_teacher(none, WAYS, KNOWN)]))
    (alone,) = sentences([by_teacher(rows[:4], WAYS[:1], KNOWN)])
    assert alone.startswith("Teachers: a is the only one")


def test_lengths_are_thirds_by_words_and_equal_ones_stay_together() -> None:
    words = [5, 5, 5, 5, 8, 9, 12, 20, 21]
    rows = [
        tried("a", n, (-1.0 - n / 100, 2.0 + n, -1.0 - n / 9), words=count)
        for n, count in enumerate(words)
    ]
    compared = by_length([*rows, tried("a", 9, None, words=1, kept=False)], WAYS, KNOWN)
    assert [(group.name, group.words, group.kept) for group in compared.groups] == [
        ("short", (5, 5), 4), ("middle", (8, 9), 2), ("long", (12, 21), 3),
    ]  # fmt: skip
    (text,) = sentences([compared])
    assert text.startswith("Lengths: best is short by the rank-surprisal ratio")
    assert text.endswith("Prefer short rationales to long: curate.max_words: 9 leaves those out.")
    equal = by_length([row for row in rows if row.words == 5], WAYS, KNOWN)
    assert [group.name for group in equal.groups] == ["short"]
    assert by_length([], WAYS, KNOWN).groups == []


# thinking ----------------------------------------------------------------------------------------


def server_with(**body: object) -> ModelSettings:
    return model_settings({"model": "openai:m", "body": body}, at="teacher")


@pytest.mark.parametrize(
    ("body", "state", "other"),
    [
        ({"chat_template_kwargs": {"enable_thinking": False, "x": 1}}, False,
         {"chat_template_kwargs": {"enable_thinking": True, "x": 1}}),
        ({"chat_template_kwargs": {"thinking": True}}, True,
         {"chat_template_kwargs": {"thinking": False}}),
        ({"enable_thinking": True, "top_k": 3}, True, {"enable_thinking": False, "top_k": 3}),
        ({"think": False}, False, {"think": True}),
        ({"thinking": {"type": "enabled", "budget_tokens": 99}}, True,
         {"thinking": {"type": "disabled"}}),
        ({"thinking": {"type": "disabled"}}, False, {"thinking": {"type": "enabled"}}),
        ({"reasoning": {"enabled": True}}, True, {"reasoning": {"enabled": False}}),
        ({"think": True, "enable_thinking": True}, True,
         {"think": False, "enable_thinking": False}),
        ({}, None, None),
        ({"reasoning_effort": "low", "thinking": "yes"}, None, None),  # not known to switch
        ({"think": True, "enable_thinking": False}, None, None),  # it says both
    ],
)  # fmt: skip
def test_thinking_is_switched_by_the_field_that_the_recipe_gives(
    body: dict[str, object], state: bool | None, other: dict[str, object] | None
) -> None:
    settings = server_with(**body)
    assert thinking_of(settings) is state
    if state is not None:
        switched = with_thinking(settings, on=not state)
        assert switched.model_dump()["body"] == other and settings.model_dump()["body"] == body


def test_a_switched_teacher_stands_once() -> None:
    on, off = server_with(think=True), server_with(think=False)
    (own, other) = ways_of_asking({"teacher": on})
    assert (own.label, other.label) == ("teacher", "teacher, thinking off")
    (pair,) = thinking_pairs([own, other])
    assert (pair.on.thinking_label, pair.off.label) == ("teacher, thinking on", other.label)
    both = ways_of_asking({"teacher": off, "loud": on})
    assert [way.label for way in both] == ["teacher", "loud"]
    (pair,) = thinking_pairs(both)
    assert (pair.on.label, pair.off.label) == ("loud", "teacher")
    rows = [tried(label, n, (-1.0, rank + n, -2.0)) for label, rank in
            (("teacher", 3.0), ("loud", 9.0)) for n in range(3)]  # fmt: skip
    compared = by_thinking(rows, pair, {"teacher": True, "loud": True})
    assert [group.name for group in compared.groups] == [
        "loud, thinking on", "teacher, thinking off",
    ]  # fmt: skip
    assert compared.differences[0].best == "teacher, thinking off"
    assert not thinking_pairs(ways_of_asking({"a": server_with()}))


# what is asked -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, {0: 1}),
        (2, {0: 1, 2: 1}),
        (5, {0: 1, 1: 1, 2: 1, 3: 1, 4: 1}),
        (7, {0: 2, 1: 1, 2: 2, 3: 1, 4: 1}),
        (99, {0: 3, 1: 3, 2: 3, 3: 3, 4: 3}),
    ],
)
def test_rationales_are_spread_over_the_questions(count: int, expected: dict[int, int]) -> None:
    asking = PromptConfig(
        style=style_named("instruct_cot"), sampling=SamplingParams(samples=8, temperature=1.0)
    )
    questions = [Question(id=str(n), text=f"What is {n}?", answer="1") for n in range(5)]
    requests = spread_requests(asking, questions, "sums", count=count, samples=3)
    asked = {int(str(request.question_id)): len(request.samples) for request in requests}
    assert asked == expected
    assert all(request.samples == (*range(len(request.samples)),) for request in requests)


def number_in(body: Body) -> int:
    return int(prompt_of(body).partition("What is ")[2].split()[0])


def brief(body: Body) -> list[str]:
    n = number_in(body)
    return [f"{n} + {n} = {2 * n}.\nThe answer is {2 * n}."] * body.get("n", 1)


def wordy(body: Body) -> list[str]:
    """Wrong for 2, and long where it thinks."""
    n = number_in(body)
    steps = " ".join(f"Count on to {n + step}." for step in range(1, n + 2))
    if body.get("think"):
        steps += " Look at it once more, from the other end. It stays."
    return [f"We take {n} twice. {steps}\nThe answer is {2 * n + (n == 2)}."] * body.get("n", 1)


@pytest.fixture
def servers() -> Iterator[tuple[Loopback, Loopback]]:
    with Loopback(brief) as one, Loopback(wordy) as two:
        yield one, two


def at(server: Loopback, **changes: Any) -> dict[str, Any]:
    return {"model": "openai:m", "base_url": server.url, "api_key_env": None, "retries": 0,
            "prompt_price": 2.0, "completion_price": 10.0, **changes}  # fmt: skip


def recipe_of(folder: Path, teachers: list[object], **sections: object) -> Path:
    """A recipe whose student is a tiny model of random weights."""
    student = folder / "student"
    if not student.exists():
        build_tiny_causal(student)
    given = {
        "student": {"model": f"hf:{student}", "device": "cpu"},
        "train": {"students": {"s": {"data_format": "fine_tune_cot"}}},
        **sections,
    }
    return write_recipe(folder / "r.yaml", teachers, **given)


def command(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def asked_samples(server: Loopback) -> int:
    return sum(body.get("n", 1) for body in server.bodies)


def test_each_teacher_is_asked_once_and_generate_finds_what_it_said(
    tmp_path: Path, servers: tuple[Loopback, Loopback], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    one, two = servers
    path = recipe_of(tmp_path, [at(one), at(two, body={"think": False})])
    shown = command("advise", str(path), "--rationales", "12", "--quiet")
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith(
        "advise: teacher, 4 rationales: 0 stored, 4 to ask\n"
        "advise: b, 4 rationales: 0 stored, 4 to ask\n"
        "advise: b, thinking on, 4 rationales: 0 stored, 4 to ask\n"
        "advise: cost at most $0."
    )
    assert max(map(len, shown.output.splitlines())) <= 80
    rows = [line.split() for line in shown.output.splitlines()]
    assert ["b", "4", "75%", "[30,", "95]", "3"] in [row[:6] for row in rows]
    heads = ["teachers", "rank-surprisal", "local", "naturalness", "likelihood"]
    assert heads in rows and ["thinking", *heads[1:]] in rows and ["lengths", *heads[1:]] in rows
    assert "Teachers: best is " in shown.output and "Thinking: best is " in shown.output
    assert (asked_samples(one), asked_samples(two)) == (4, 8)
    assert [body.get("think") for body in two.bodies].count(True) == 4

    again = command("advise", str(path), "--rationales", "12", "--json", "--quiet")
    assert (asked_samples(one), asked_samples(two)) == (4, 8), "nothing is bought again"
    told = json.loads(again.stdout)
    assert "advise: nothing more is to be paid" in again.stderr
    assert told["asked"]["b, thinking on"] == {"stored": 4, "to_ask": 0}
    assert told["usd_spent"] == told["tokens_spent"] == 0
    first = told["groups"][0]
    assert [first[name] for name in ("kind", "name", "kept", "right")] == [
        "teacher", "teacher", 4, 4,
    ]  # fmt: skip
    ratio = first["rank_surprisal"]
    assert ratio["low"] < ratio["value"] < ratio["high"] and ratio["place"] in (1, 2)
    assert first["usd_a_kept_rationale"] == pytest.approx((7 * 2 + 20 * 10) / 1e6)
    assert {row["kind"] for row in told["differences"]} == {"teacher", "thinking", "length"}

    with Run(load_recipe(path), QUIET) as run:
        stages = {stage.name: stage.tokens for stage in run.store.stages()}
        assert stages.keys() == {"generate", "advise"}
        assert stages["generate"] >= 12 * 20 and stages["advise"] == 0
        drawn = run.generate()
        assert {name: result.counts.there for name, result in drawn.items()} == {
            "teacher": 4, "b": 4,
        }  # fmt: skip
        run.curate()
        assert {row.teacher for row in run.store.rationales()} == {"teacher", "b"}
    assert asked_samples(one) == 8, "of two samples a question, one was there"


def test_one_teacher_without_a_switch_has_lengths_and_its_measures(
    tmp_path: Path, servers: tuple[Loopback, Loopback]
) -> None:
    path = recipe_of(tmp_path, [at(servers[1])])
    shown = command("advise", str(path), "--rationales", "6", "--quiet")
    assert shown.exit_code == 0, shown.output
    assert "Teachers: teacher is the only one" in shown.output
    assert "Lengths: best is " in shown.output
    assert "the body of teacher has no switch" in " ".join(shown.output.split())
    assert asked_samples(servers[1]) == 6


def test_a_budget_ends_the_asking_and_what_came_is_measured(
    tmp_path: Path, servers: tuple[Loopback, Loopback]
) -> None:
    one, two = servers
    path = recipe_of(
        tmp_path, [at(one, concurrency=1), at(two, concurrency=1)],
        budget={"tokens": 400}, generate={"samples": 1, "max_tokens": 64},
    )  # fmt: skip
    shown = command("advise", str(path), "--quiet")
    assert shown.exit_code == 0, shown.output
    assert "budget 400 tokens (0 tokens spent) may end it early" in shown.output
    text = " ".join(shown.output.split())
    assert "was not asked to the end: the budget of 400 tokens is spent" in text
    with Run(load_recipe(path), QUIET) as run:
        assert 0 < run.runtime.budget.spent.tokens <= 400
    assert 0 < asked_samples(one) + asked_samples(two) < 8


def test_a_teacher_that_fails_keeps_no_other_from_it(
    tmp_path: Path, servers: tuple[Loopback, Loopback]
) -> None:
    one, two = servers
    one.faults = [Fault(status=401)] * 4
    path = recipe_of(tmp_path, [at(one), at(two)])
    shown = command("advise", str(path), "--quiet")
    assert shown.exit_code == 0, shown.output
    assert "teacher was not asked to the end: " in " ".join(shown.output.split())
    assert "Teachers: only b has a rationale that is kept." in shown.output
    assert command("advise", str(path), "--quiet").exit_code == 0
    two.faults = one.faults = [Fault(status=401)] * 8
    fresh = command("advise", str(path), "--set", f"run={tmp_path / 'other'}", "--quiet")
    assert fresh.exit_code == 2
    errors = [line for line in fresh.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and "401" in errors[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["train.students={s: {data_format: fine_tune_answer}}"], "no student learns them in a"),
        (["student=hf:nowhere/at/all"], "nowhere/at/all"),
        (["teacher.api_key_env=NO_SUCH_KEY", "teacher.base_url=http://192.0.2.1/v1"],
         "NO_SUCH_KEY"),
    ],
)  # fmt: skip
def test_what_would_stop_it_is_told_in_a_line_before_anything_is_paid(
    tmp_path: Path, servers: tuple[Loopback, Loopback], changes: list[str], message: str
) -> None:
    path = recipe_of(tmp_path, [at(servers[0]), at(servers[1])])
    words = [word for change in changes for word in ("--set", change)]
    shown = command("advise", str(path), *words, "--quiet")
    assert shown.exit_code == 2
    (error,) = [line for line in shown.stderr.splitlines() if line.startswith("Error: ")]
    assert message in error
    assert servers[0].bodies == servers[1].bodies == []


def test_fewer_rationales_than_teachers_are_refused(
    tmp_path: Path, servers: tuple[Loopback, Loopback]
) -> None:
    path = recipe_of(tmp_path, [at(servers[0]), at(servers[1])])
    with Run(load_recipe(path), QUIET) as run:
        with pytest.raises(ConfigError, match=r"--rationales is 1, and there are 2 ways to ask"):
            plan_advice(run, 1)
        line = next(plan_lines(plan_advice(run, 2)))
        assert line == "advise: teacher, 1 rationales: 0 stored, 1 to ask"


def test_without_torch_the_install_command_is_told(tmp_path: Path) -> None:
    path = recipe_of(tmp_path, ["bundled:teacher"])
    code = f"""
import sys
class Absent:
    def find_spec(name, path=None, target=None):
        if name in ("torch", "transformers"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent)
from potstill.cli import main
main(["advise", {str(path)!r}, "--quiet"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "pip install 'potstill[local]'" in done.stderr


def test_recorded_teachers_are_tried_on_questions_that_all_of_them_have(tmp_path: Path) -> None:
    teachers = []
    for name, numbers in (("x", (2, 3, 5)), ("y", (3, 4, 5))):
        rows = [{"question": f"What is {n} + {n}?",
                 "rationale": f"{name} says {n} twice. The answer is {2 * n}."}
                for n in numbers]  # fmt: skip
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        teachers.append(f"recorded:{file}")
    path = recipe_of(tmp_path, [*teachers], generate={"samples": 1})
    shown = command("advise", str(path), "--json", "--quiet")
    told = json.loads(shown.stdout)
    groups = [group for group in told["groups"] if group["kind"] == "teacher"]
    assert [(group["rationales"], group["right"]) for group in groups] == [(2, 2), (2, 2)]
    assert groups[0]["usd_a_kept_rationale"] == 0
    assert groups[0]["tokens_a_kept_rationale"] is None, "nobody counted them"


@pytest.mark.timeout(120)
def test_killed_and_repeated_it_buys_nothing_twice(
    commands: Commands, tmp_path: Path, servers: tuple[Loopback, Loopback]
) -> None:
    one, two = servers
    path = recipe_of(tmp_path, [at(one, concurrency=1), at(two, concurrency=1)])
    with commands.start("advise", str(path), "--quiet") as process:
        until(lambda: process.ended or asked_samples(two) >= 2)
        process.kill()
        assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    whole = json.loads(command("advise", str(path), "--json", "--quiet").stdout)
    assert {row["rationales"] for row in whole["groups"] if row["kind"] == "teacher"} == {8}
    assert asked_samples(one) == 8
    assert 8 <= asked_samples(two) <= 8 + 2, "but for the request that was in flight"
    calm = recipe_of(tmp_path, [at(one), at(two)], run=str(tmp_path / "calm"))
    undisturbed = json.loads(command("advise", str(calm), "--json", "--quiet").stdout)
    assert undisturbed["groups"] == whole["groups"]
    assert undisturbed["differences"] == whole["differences"]
