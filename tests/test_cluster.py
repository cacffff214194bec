"""Models on a cluster: all is answered, nothing is bought twice, limits hold over all workers."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from chaos import Chaos, bought_again
from chaos_wire import Habits
from fakes import context_of
from local_workers import LocalWorker, LocalWorkers, open_on_workers, use_local_workers
from test_budget import HANGING, QUICK, ROUNDING, billed, drawn_prices, drawn_requests
from test_kill import COMPLETIONS, SCORES, rows, write_questions, write_recipe
from test_score_command import chaos_settings
from test_score_command import requests as scored_requests

import potstill
from potstill.errors import BudgetError, ModelError
from potstill.models import Model, open_model
from potstill.models.cluster import worker_pool
from potstill.models.cluster.asked_workers import WorkersFailed
from potstill.models.cluster.messages import WorkerStart
from potstill.models.openai import client
from potstill.models.openai.rate_limit import Rate
from potstill.models.settings import OpenAISettings
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.records import Amount, Completion, Request
from potstill.runtime import LimitSharing, Runtime
from potstill.runtime.budget import Budget, BudgetSettings
from potstill.runtime.events import EventLog
from potstill.sampling.ask import complete_missing
from potstill.store import Store
from potstill.store.probability_codec import ProbabilityForm

CALM = Habits(share=0.0)
PASSING = dict.fromkeys(["429", "500", "503_after", "reset_within", "truncated", "not_json"], 1.0)
"""Faults behind which the answer is the same when it is asked for again."""

PROBABILITIES = (
    "SELECT hex(request_key), sample, tokens, top, hex(logprobs), ids, collisions, missing_mass"
    " FROM logprobs JOIN completions ON id = completion_id ORDER BY 1, 2"
)


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> LocalWorkers:
    monkeypatch.setattr(client, "FIRST_BACKOFF", 0.01)
    return use_local_workers(monkeypatch)


def teacher(server: Chaos, runtime: Runtime, *, workers: int, **settings: Any) -> Model:
    prompt, cached, completion = server.habits.prices
    values = {
        "model": "openai:chaos", "base_url": server.url, "api_key_env": None, "concurrency": 8,
        "timeout": 5.0, "prompt_price": prompt, "cached_price": cached,
        "completion_price": completion, **settings,
    }  # fmt: skip
    return open_on_workers(OpenAISettings.model_validate(values), runtime, workers=workers)


def questions(count: int, samples: int = 2) -> list[Request]:
    return [Request(prompt=f"Q{n}", samples=tuple(range(samples))) for n in range(count)]


def texts(completions: Sequence[Completion]) -> dict[tuple[str, int], str]:
    """Returns the texts by question and sample; each comes once."""
    assert max(Counter((str(c.request.prompt), c.sample) for c in completions).values()) == 1
    return {(str(c.request.prompt), c.sample): c.text for c in completions}


# what is answered ---------------------------------------------------------------------------------


def test_workers_give_the_answers_that_one_process_gives(workers: LocalWorkers) -> None:
    with Chaos(Habits(seed=3, share=0.3, kinds=PASSING, calm_after=5)) as server:
        alone = OpenAISettings(
            model="openai:chaos", base_url=server.url, api_key_env=None, concurrency=8
        )
        runtime = Runtime()
        found = list(teacher(server, runtime, workers=3).complete(questions(60)))
        assert len(workers.started) == 3
        assert all(completion.error is None for completion in found)
        assert runtime.events.retries.total() > 10, "workers' faults are counted in the run's log"
        expected = texts(list(potstill.open_model(alone).complete(questions(60))))
    assert texts(found) == expected
    assert all(completion.request in questions(60) for completion in found)


@pytest.mark.parametrize("form", ["exact", "compact"])
def test_workers_pack_probabilities_into_the_bytes_that_one_process_stores(
    form: ProbabilityForm, workers: LocalWorkers, tmp_path: Path
) -> None:
    stored: list[list[tuple[object, ...]]] = []
    with Chaos(Habits(seed=3, share=0.3, kinds=PASSING, calm_after=5)) as server:
        settings = chaos_settings(server.url)
        for model in (open_model(settings), open_on_workers(settings, Runtime(), workers=2)):
            run = tmp_path / str(len(stored))
            with Store(run / "run.sqlite") as store:
                store.probability_form = form
                wanted = scored_requests(20)
                complete_missing(model, wanted, context_of(store), label="x", stage="score")
            stored.append(rows(run, PROBABILITIES))
        direct = list(open_on_workers(settings, Runtime(), workers=1).complete(scored_requests(3)))
    assert stored[0] == stored[1] and len(stored[0]) == 20
    assert len(workers.started) == 3
    assert all(completion.logprobs is not None for completion in direct), "to be looked at"


def test_what_lost_workers_had_in_flight_is_asked_again_and_nothing_else(
    workers: LocalWorkers,
) -> None:
    draws = random.Random(5)

    def lose_some(worker: LocalWorker) -> None:
        if draws.random() < 0.05 and len(workers.started) < 14:
            worker.lose()

    workers.before_report = lose_some
    budget, events = Budget(), EventLog()
    told: list[dict[str, Any]] = []
    events.listeners.append(lambda name, fields: told.append({"event": name, **fields}))
    with Chaos(Habits(share=0.0, latency=0.002, prices=(2.0, 1.0, 8.0))) as server:
        model = teacher(server, Runtime(budget=budget, events=events), workers=3)
        found = list(model.complete(questions(200)))
        again, bill = bought_again(server.events), billed(server)
    assert len(texts(found)) == 400 and all(completion.error is None for completion in found)
    losses = [event for event in told if event.get("status") == "lost"]
    assert len(losses) >= 3 and len(workers.started) == 3 + len(losses)
    assert again <= sum(event["samples"] for event in losses)
    assert budget.in_flight == Amount()
    assert budget.spent.usd >= bill.usd - ROUNDING, "what was lost counts at its most"


def test_workers_that_are_lost_one_after_the_other_end_the_asking(workers: LocalWorkers) -> None:
    workers.lost_at_start = 1000
    with Chaos(CALM) as server:
        model = teacher(server, Runtime(), workers=2)
        with pytest.raises(ModelError, match="12 workers were lost one after the other"):
            list(model.complete(questions(5)))
        assert not server.events
        workers.lost_at_start = 3
        assert len(list(model.complete(questions(5)))) == 10, "asked again, others are started"


def test_stopped_what_is_in_flight_arrives_and_nothing_more_is_sent(workers: LocalWorkers) -> None:
    runtime = Runtime()
    with Chaos(Habits(share=0.0, latency=0.01)) as server:
        model = teacher(server, runtime, workers=2)
        found: list[Completion] = []
        with closing(model.complete_in_groups(questions(400))) as groups:
            for group in groups:
                found += group
                runtime.stop.set()
        delivered = [event for event in server.events if event["what"] == "delivered"]
    assert 0 < len(found) == sum(len(event["seeds"]) for event in delivered) < 100
    assert not workers.alive


def test_workers_stay_for_what_is_asked_next_until_they_are_released(workers: LocalWorkers) -> None:
    with Chaos(CALM) as server:
        model = teacher(server, runtime := Runtime(), workers=2)
        for start in range(3):
            asked = [Request(prompt=f"Q{start}-{n}") for n in range(10)]
            assert len(list(model.complete(asked))) == 10
        assert len(workers.alive) == len(workers.started) == 2
        runtime.release()
        model.opened()
        assert runtime.events.in_flight == 0 and not runtime.events.notes
        model.release()  # type: ignore[attr-defined]
    assert not workers.alive


# limits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seeds", [range(6), pytest.param(range(6, 50), marks=pytest.mark.slow)], ids=str
)
def test_no_bill_passes_the_budget_though_workers_are_lost(
    seeds: range, tmp_path: Path, workers: LocalWorkers
) -> None:
    outcomes = [ended_by_budget(seed, tmp_path / f"{seed}.jsonl", workers) for seed in seeds]
    assert 0 < sum(outcomes) < len(outcomes)


def ended_by_budget(seed: int, journal: Path, workers: LocalWorkers) -> bool:
    """One run of three workers, some of which are lost; its account is held against the bill."""
    draws = random.Random(seed)
    habits = Habits(seed=seed, share=draws.uniform(0, 0.6), kinds=HANGING if seed % 10 == 0
                    else QUICK, prices=drawn_prices(draws), latency=0.002)  # fmt: skip
    usd, tokens = 10 ** draws.uniform(-3, 0.5), int(10 ** draws.uniform(2.5, 5))
    if seed % 4 == 3:  # enough for all of it, whatever is lost
        usd, tokens = 1000.0, 10**8
    limit = BudgetSettings(
        usd=None if seed % 3 == 0 else usd, tokens=None if seed % 3 == 1 else tokens
    )
    kills = iter(sorted(draws.sample(range(5, 60), 3)))
    reports, next_kill = 0, next(kills)

    def lose_some(worker: LocalWorker) -> None:
        nonlocal reports, next_kill
        reports += 1
        if reports == next_kill:
            next_kill = next(kills, 0)
            worker.lose()

    workers.before_report = lose_some
    with Chaos(habits) as server, Budget(limit, journal=journal) as budget:
        model = teacher(server, Runtime(budget=budget), workers=3, retries=2,
                        timeout=0.3 if seed % 10 == 0 else 5.0)  # fmt: skip
        ended = False
        try:
            list(model.complete(drawn_requests(draws)))
        except BudgetError:
            ended = True
        bill = billed(server)
    assert limit.usd is None or bill.usd <= limit.usd + ROUNDING
    assert limit.tokens is None or bill.tokens <= limit.tokens
    assert budget.in_flight == Amount()
    assert budget.spent.usd >= bill.usd - ROUNDING and budget.spent.tokens >= bill.tokens
    return ended


def test_a_server_gets_no_more_at_once_from_all_workers_than_from_one(
    workers: LocalWorkers,
) -> None:
    with Chaos(Habits(share=0.0, latency=0.01)) as server:
        list(teacher(server, Runtime(), workers=4, concurrency=8).complete(questions(80, 1)))
        most = max(event["in_flight"] for event in server.events if event["what"] == "asked")
    assert {worker.inside._runtime.sharing.among for worker in workers.started} == {4}
    assert 4 <= most <= 8


def test_no_more_workers_are_started_than_a_server_may_have_requests(
    workers: LocalWorkers,
) -> None:
    with Chaos(CALM) as server:
        list(teacher(server, Runtime(), workers=9, concurrency=2).complete(questions(10)))
    assert len(workers.started) == 2


def test_a_limit_a_minute_is_shared_evenly() -> None:
    alone, quarter = Rate(60.0), Rate(60.0, LimitSharing(4))
    assert [alone.take(1, at=0.0) for _ in range(3)] == [0.0, 1.0, 2.0]
    assert [quarter.take(1, at=0.0) for _ in range(3)] == [0.0, 4.0, 8.0]
    sharing = LimitSharing(2)
    rate = Rate(60.0, sharing)
    rate.take(1, at=0.0)
    sharing.among = 1  # the other one is lost
    assert [rate.take(1, at=0.0) for _ in range(2)] == [2.0, 3.0]


# what workers say ---------------------------------------------------------------------------------


def test_an_error_of_the_model_is_the_askers_and_ends_all_workers(workers: LocalWorkers) -> None:
    with Chaos(Habits(share=1.0, kinds={"401": 1})) as server:
        model = teacher(server, Runtime(), workers=2)
        with pytest.raises(ModelError, match=r"the worker on .*wants a key"):
            list(model.complete(questions(20)))
    assert not workers.alive


def test_another_potstill_on_a_node_is_refused(
    workers: LocalWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        worker_pool, "WorkerStart", lambda **values: WorkerStart(**values | {"version": "0.0.1"})
    )
    with (
        Chaos(CALM) as server,
        pytest.raises(ModelError, match=r"it has potstill .*, and this process 0[.]0[.]1"),
    ):
        teacher(server, Runtime(), workers=1).opened()


def test_a_defect_in_a_worker_is_raised_with_its_traceback(
    workers: LocalWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Iterator[list[Completion]]:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("potstill.models.openai.model.OpenAIModel.complete_in_groups", broken)
    with Chaos(CALM) as server, pytest.raises(WorkersFailed, match="ZeroDivisionError: a bug"):
        list(teacher(server, Runtime(), workers=1).complete(questions(3)))


# every stage --------------------------------------------------------------------------------------


SMALL = {
    "generate": {"samples": 1, "max_tokens": 48},
    "curate": {"right_answer": False},
    "train": {"steps": 2, "batch_size": 2, "checkpoints": 1, "precision": "float32"},
    "evaluate": {"max_tokens": 12},
    "guide": {"policies": [{"when": "first"}]},
}


def stage_results(run: Path) -> list[list[tuple[object, ...]]]:
    """Returns the answers, scores, guidance and engines in a run's store."""
    queries = [
        COMPLETIONS,
        SCORES,
        "SELECT kind, name, accuracy, total, teacher_tokens FROM guided_scores ORDER BY 1, 2",
        "SELECT model, start, step, engine, number_format FROM engines ORDER BY 1, 2, 3",
    ]
    return [rows(run, query) for query in queries]


@pytest.mark.slow
def test_all_stages_on_workers_give_what_one_process_gives(
    workers: LocalWorkers, tmp_path: Path
) -> None:
    write_questions(tmp_path / "questions.jsonl", 20)
    results = {}
    # One worker: transformers does not load two models in two threads of one process.
    for name, changes in {"alone": [], "workers": ["run_on=ray", "run_on.workers=1"]}.items():
        recipe = write_recipe(tmp_path, name, questions=tmp_path / "questions.jsonl", **SMALL)
        with Run(load_recipe(recipe, changes)) as run:
            run.generate()
            run.curate()
            run.train()
            run.evaluate()
            run.guide()
        results[name] = stage_results(tmp_path / name)
        assert bool(workers.started) == (name == "workers") and not workers.alive
    assert {worker.inside._start.settings.model for worker in workers.started} > {
        "bundled:teacher", "bundled:student"
    }  # fmt: skip
    assert results["workers"] == results["alone"]
    assert all(results["alone"])
