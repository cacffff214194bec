"""A plan for several workers: their time, what limits them first, what is taken for granted."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_plan import some_figures

from potstill.cli import main
from potstill.models.settings import ModelSettings, OpenAISettings, VLLMSettings
from potstill.pipeline.recipe import load_recipe
from potstill.plan.throughput import Throughput
from potstill.plan.worker_plan import WorkerPlan, plan_workers
from potstill.plan.worker_table import worker_facts
from potstill.prompts.styles import style_named
from potstill.sampling.ask import PromptConfig, SamplingParams
from potstill.sampling.debate import AskedTeacher

ENGINE = VLLMSettings(model="vllm:big")
SERVER = OpenAISettings(model="openai:big")
ASKED = AskedTeacher(
    "teacher", "big", PromptConfig(style=style_named("instruct_cot"), sampling=SamplingParams())
)


def planned(
    workers: int,
    settings: ModelSettings = ENGINE,
    seconds: float | None = 1_000.0,
    *,
    samples: int = 100_000,
    **sections: Any,
) -> WorkerPlan:
    """A plan of samples of five tokens, four to a request, whose prompts have seven tokens."""
    recipe = load_recipe(
        {
            "run": "unused",
            "task": {"name": "two_step_arithmetic"},
            "teacher": {"model": "vllm:big"},
            "student": "bundled:student",
            **sections,
        }
    )
    figures = some_figures(samples=samples, requests=samples // 4)
    figures.need.teacher = ASKED
    throughput = Throughput(seconds, "as fast as the probe")
    return plan_workers(recipe, workers, [("teacher", settings, throughput)], [figures], [])


def test_engines_of_their_own_divide_the_time_and_take_gpu_hours() -> None:
    (teacher,) = planned(10).teachers
    assert (teacher.requests, teacher.samples) == (2_500, 10_000)
    assert teacher.tokens == (25_000 * 7 + 100_000 * 5) / 10
    assert teacher.seconds == 100 and teacher.limit == "workers"
    assert teacher.gpu_hours == pytest.approx(10 * 100 / 3600)
    assert teacher.store_rate == pytest.approx(1e6 / 82)  # 82 microseconds an answer
    assert teacher.enough_workers == pytest.approx(1_000 / 8.2)  # the store takes 8.2 s for all


def test_with_more_workers_than_the_store_serves_it_is_the_limit() -> None:
    (teacher,) = planned(5_000).teachers
    assert teacher.seconds == pytest.approx(8.2) and teacher.limit == "store"
    (wide,) = planned(100, generate={"top_logprobs": 5}).teachers
    # six log-probabilities at each of five tokens take 0.035 microseconds each
    assert wide.store_rate == pytest.approx(1e6 / (82 + 30 * 0.035))
    assert wide.limit == "workers"


def test_limits_a_minute_hold_for_all_workers_together() -> None:
    server = SERVER.model_copy(update={"requests_per_minute": 600.0})
    (teacher,) = planned(100, server, seconds=9_000.0).teachers
    assert (teacher.seconds, teacher.limit) == (25_000 / 10, "limits a minute")
    assert teacher.gpu_hours is None, "the server is somebody else's"
    assert teacher.enough_workers == pytest.approx(9_000 / 2_500)


def test_an_unknown_rate_is_said_and_not_guessed() -> None:
    plan = planned(8, SERVER, seconds=None)
    (teacher,) = plan.teachers
    assert (teacher.seconds, teacher.limit, teacher.gpu_hours) == (None, "", None)
    lines = dict(worker_facts(plan))
    assert "not known" in lines["8 workers"]
    (nothing,) = planned(8, samples=0).teachers
    assert nothing.seconds == 0.0


def test_the_disk_is_what_answers_and_their_probabilities_take() -> None:
    plain, exact, compact = (
        planned(1, generate={"top_logprobs": top}, store={"probabilities": form}).store_bytes
        for top, form in ((0, "exact"), (20, "exact"), (20, "compact"))
    )
    text = 25_000 * 350 + 100_000 * 250 + (25_000 * 7 + 100_000 * 5) * 4.5
    assert plain == text
    assert exact - plain == pytest.approx(500_000 * (5.5 + 4.6 * 20))
    assert compact - plain == pytest.approx(500_000 * (6.9 + 2.5 * 20))


def test_every_assumption_stands_on_the_page() -> None:
    plan = planned(4)
    assumed = [text for name, text in worker_facts(plan) if name == "assumed"]
    assert assumed == plan.assumptions and len(assumed) == 4
    assert "each worker has an engine of its own, on one GPU" in assumed[0]


def test_the_command_plans_for_workers_on_its_page_and_as_json(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "task: {name: two_step_arithmetic, train: 8, dev: 2, test: 2}\n"
        "teacher: {model: 'openai:big', base_url: 'http://127.0.0.1:9/v1', api_key_env: null}\n"
        f"student: bundled:student\nrun: {tmp_path / 'run'}\n"
    )
    shown = CliRunner().invoke(main, ["plan", str(recipe), "--workers", "4"])
    assert shown.exit_code == 0, shown.output
    assert "4 workers" in shown.output and "assumed" in shown.output
    without = CliRunner().invoke(main, ["plan", str(recipe)])
    assert "workers" not in without.output
    told = CliRunner().invoke(main, ["plan", str(recipe), "--workers", "4", "--json"])
    values = json.loads(told.stdout)["workers"]
    assert values["workers"] == 4 and values["teachers"][0]["seconds"] is None
    none = CliRunner().invoke(main, ["plan", str(recipe), "--workers", "0"])
    assert none.exit_code == 2
