"""A budget is never exceeded, by the server's own bill, whatever goes wrong on the way."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from chaos import Chaos, chaos_process, read_events, sent_after_success
from chaos_faults import ASTRAY, FAULTS
from chaos_wire import Habits
from click.testing import CliRunner
from commands import SHORT_BACKOFF, Commands, until
from test_kill import rows, write_questions, write_recipe

from potstill.cli import main
from potstill.errors import BudgetError, ConfigError
from potstill.models.openai import client
from potstill.models.openai.model import OpenAIModel
from potstill.models.settings import OpenAISettings
from potstill.pipeline.recipe import load_recipe
from potstill.records import Amount, Completion, Request
from potstill.runtime import Runtime
from potstill.runtime.budget import Budget, BudgetSettings
from potstill.runtime.cost_words import cost_words

STORED = "SELECT sample FROM completions WHERE finish_reason = 'stop'"
ROUNDING = 1e-9
"""US dollars by which two sums of the same prices in another order may differ."""

SLOW = ("huge", "stall", "late")
QUICK = {kind: weight for kind, weight in FAULTS.items() if kind not in (*SLOW, *ASTRAY)}
HANGING = {**QUICK, "late": 3.0, "stall": 1.0}


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_BACKOFF", 0.002)


def drawn_requests(draws: random.Random) -> list[Request]:
    """Forty prompts with how many samples they get, and how long."""
    return [
        Request(
            prompt=f"Question {number}: " + "how many? é " * draws.randrange(20),
            samples=tuple(range(draws.randrange(1, 4))),
            temperature=draws.choice([0.0, 0.7]),
            max_tokens=draws.randrange(1, 400),
        )
        for number in range(40)
    ]


def billed(server: Chaos) -> Amount:
    """The sum of the server's bills."""
    events = [event for event in server.events if event["what"] == "billed"]
    return Amount(sum(each["tokens"] for each in events), sum(each["usd"] for each in events))


def teacher_of(server: Chaos, budget: Budget, **settings: Any) -> OpenAIModel:
    prompt, cached, completion = server.habits.prices
    values = {
        "model": "openai:chaos", "base_url": server.url, "api_key_env": None, "concurrency": 8,
        "timeout": 5.0, "retries": 2, "prompt_price": prompt, "cached_price": cached,
        "completion_price": completion, **settings,
    }  # fmt: skip
    return OpenAIModel(OpenAISettings.model_validate(values), Runtime(budget))


def answers(teacher: OpenAIModel, requests: Sequence[Request]) -> tuple[list[Completion], bool]:
    """Returns the answers before the end, and whether the budget ended it."""
    found: list[Completion] = []
    try:
        found.extend(teacher.complete(requests))
    except BudgetError:
        return found, True
    return found, False


def drawn_prices(draws: random.Random) -> tuple[float, float, float]:
    prompt = draws.uniform(0.1, 20)
    return prompt, prompt * draws.uniform(0.1, 1), draws.uniform(0.1, 80)


@pytest.mark.parametrize(
    "seeds", [range(12), pytest.param(range(12, 100), marks=pytest.mark.slow)], ids=str
)
def test_no_bill_passes_the_budget_in_a_hundred_runs(seeds: range, tmp_path: Path) -> None:
    outcomes = [ended_by_budget(seed, tmp_path / f"{seed}.jsonl") for seed in seeds]
    assert 0 < sum(outcomes) < len(outcomes)


def ended_by_budget(seed: int, journal: Path) -> bool:
    """One run with everything drawn from the seed; its account is held against the bill."""
    draws = random.Random(seed)
    hangs = seed % 10 == 0
    habits = Habits(seed=seed, share=draws.uniform(0, 0.6), kinds=HANGING if hangs else QUICK,
                    prices=drawn_prices(draws), latency=draws.choice([0, 0.002]))  # fmt: skip
    usd, tokens = 10 ** draws.uniform(-3, 0.5), int(10 ** draws.uniform(2.5, 5))
    limit = BudgetSettings(
        usd=None if seed % 3 == 0 else usd, tokens=None if seed % 3 == 1 else tokens
    )
    with Chaos(habits) as server, Budget(limit, journal=journal) as budget:
        teacher = teacher_of(server, budget, timeout=0.3 if hangs else 5.0,
                             concurrency=draws.choice([1, 3, 16]))  # fmt: skip
        _, ended = answers(teacher, drawn_requests(draws))
        bill = billed(server)
    assert limit.usd is None or bill.usd <= limit.usd + ROUNDING
    assert limit.tokens is None or bill.tokens <= limit.tokens
    assert budget.in_flight == Amount()
    assert budget.spent.usd >= bill.usd - ROUNDING
    assert budget.spent.tokens >= bill.tokens
    kept = Budget(limit, journal=journal).spent
    assert kept.tokens == budget.spent.tokens
    assert kept.usd == pytest.approx(budget.spent.usd)
    return ended


def test_a_generous_budget_stops_nothing(tmp_path: Path) -> None:
    requests = drawn_requests(random.Random(1))
    limit = BudgetSettings(usd=10.0, tokens=1_000_000)
    with (
        Chaos(Habits(seed=1, kinds=QUICK, prices=(2.0, 1.0, 8.0))) as server,
        Budget(limit, journal=tmp_path / "spending.jsonl") as budget,
    ):
        found, ended = answers(teacher_of(server, budget, retries=8), requests)
        bill = billed(server)
    assert not ended
    assert len(found) == sum(len(request.samples) for request in requests)
    assert sum(each.finish_reason == "error" for each in found) < 0.1 * len(found)
    assert bill.usd <= budget.spent.usd < limit.usd  # type: ignore[operator]


def test_without_faults_the_account_is_the_bill_to_the_cent(tmp_path: Path) -> None:
    requests = drawn_requests(random.Random(2))
    with (
        Chaos(Habits(seed=2, share=0.0, prices=(2.0, 0.5, 8.0))) as server,
        Budget(journal=tmp_path / "spending.jsonl") as budget,
    ):
        found, _ = answers(teacher_of(server, budget), requests)
        bill = billed(server)
    assert budget.spent.tokens == bill.tokens
    assert budget.spent.usd == pytest.approx(bill.usd)
    assert sum(completion.cost for completion in found) == pytest.approx(bill.usd)


def log_bill(log: Path) -> int:
    """Tokens that a server in a process of its own has billed so far."""
    return sum(each["tokens"] for each in read_events(log) if each["what"] == "billed")


def recipe_of(folder: Path, url: str, count: int) -> Path:
    write_questions(folder / "questions.jsonl", count)
    teacher = {"model": "openai:chaos", "base_url": url, "api_key_env": None, "concurrency": 16}
    return write_recipe(folder, "run", questions=folder / "questions.jsonl", teacher=teacher)


def test_a_command_stopped_by_its_budget_says_so_and_goes_on_where_it_was(tmp_path: Path) -> None:
    said, bills = list[str](), list[int]()
    with Chaos(Habits(seed=3, share=0.0, latency=0.002)) as server:
        recipe = recipe_of(tmp_path, server.url, 100)
        for tokens, code in ((500, 2), (6000, 2), (9000, 2), (1_000_000, 0), (500, 0)):
            change = ("--set", f"budget.tokens={tokens}")
            result = CliRunner().invoke(main, ["generate", str(recipe), *change])
            assert result.exit_code == code
            said.append(result.output)
            bills.append(billed(server).tokens)
    assert "the budget of 6,000 tokens is spent" in said[1]
    assert bills[0] <= 500 and 5000 < bills[1] <= 6000 < bills[2] <= 9000
    assert bills[3] == bills[4], "what is there was bought again"
    assert not sent_after_success(server.events)
    assert len(rows(tmp_path / "run", STORED)) == 4 * 60


@pytest.mark.slow
def test_kill_9_does_not_make_a_run_forget_what_it_has_spent(
    commands: Commands, tmp_path: Path
) -> None:
    commands.before = SHORT_BACKOFF
    draws, tokens, codes = random.Random(4), 2000, []
    habits = Habits(seed=4, kinds=QUICK, latency=0.01)
    with chaos_process(tmp_path, habits) as (url, log):
        recipe = recipe_of(tmp_path, url, 400)
        codes.append(commands.run("generate", str(recipe), "--set", f"budget.tokens={tokens}"))
        whole = log.stat().st_size
        for _ in range(25):
            # Within what one command asks of the server, so that most are met at their work.
            growth = draws.choice([None, draws.uniform(0.0, 0.5) * whole])
            change = f"budget.tokens={tokens}"
            with commands.start("generate", str(recipe), "--set", change) as command:
                if growth is not None:
                    goal = log.stat().st_size + growth
                    until(lambda: command.ended or log.stat().st_size >= goal)  # noqa: B023
                    command.kill()
                codes.append(command.wait())
            assert log_bill(log) <= tokens
            tokens += draws.randrange(4000)
    assert codes.count(-9) >= 5 and codes.count(2) >= 5


def test_dollars_that_are_not_known_are_said_so() -> None:
    budget = Budget(BudgetSettings(tokens=100), unpriced=["openai:m"])
    with pytest.raises(BudgetError, match="0 tokens and dollars that are not known so far"):
        budget.begin(Amount(200))
    assert cost_words(0.0, ["openai:m"]) == "cost not known"
    assert cost_words(0.25, ["openai:m"]) == "$0.25 and more, not known"
    assert cost_words(0.0, []) == "$0.00"


def test_a_budget_without_a_limit_of_answers_is_refused(tmp_path: Path) -> None:
    """Nobody would know what a request may cost before it is paid."""

    def recipe(**body: object) -> dict[str, object]:
        return {
            "run": str(tmp_path / "run"),
            "task": {"name": "two_step_arithmetic"},
            "teacher": {"model": "openai:big", "body": body},
            "student": "bundled:student",
            "budget": {"tokens": 10_000},
        }

    for body in ({"max_tokens": None}, {"max_tokens": None, "max_output_tokens": 100}):
        with pytest.raises(ConfigError, match="body of openai:big takes out the limit"):
            load_recipe(recipe(**body))
    load_recipe(recipe(max_tokens=None, max_completion_tokens=100))
    load_recipe({**recipe(max_tokens=None), "budget": None})
