from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
import yaml

from potstill.errors import ConfigError
from potstill.models.openai.cost import TABLE, Prices, prices_of, taken
from potstill.models.settings import OpenAISettings
from potstill.pipeline.recipe import load_recipe

LOOPBACK = "http://127.0.0.1:8000/v1"


def server(name: str, **settings: object) -> OpenAISettings:
    return OpenAISettings.model_validate({"model": f"openai:{name}", **settings})


def test_a_listed_model_has_the_price_of_its_host() -> None:
    assert prices_of(server("gpt-4o-mini")) == Prices(0.15, 0.075, 0.6, known=True, listed=True)
    assert not prices_of(server("gpt-4o-mini", base_url="https://example.org/v1")).known


def test_a_dated_name_falls_back_to_its_base_name_unless_it_is_listed_itself() -> None:
    assert prices_of(server("gpt-4o-mini-2024-07-18")) == prices_of(server("gpt-4o-mini"))
    assert prices_of(server("gpt-4o-2024-08-06")).prompt == 2.5
    assert prices_of(server("gpt-4o-2024-05-13")).prompt == 5.0


@pytest.mark.parametrize(
    "name", ["gpt-4o-mini-audio", "ft:gpt-4o-mini-2024-07-18:me::1", "gpt-4o-"]
)
def test_a_name_that_only_looks_alike_has_no_price(name: str) -> None:
    assert prices_of(server(name)) == Prices(0, 0, 0, known=False, listed=False)


def test_the_batch_endpoint_takes_half_where_the_table_says_so() -> None:
    assert prices_of(server("gpt-5-mini", mode="batch")) == Prices(0.125, 0.0125, 1.0)
    flash = {"base_url": "https://api.deepseek.com", "mode": "batch"}
    assert prices_of(server("deepseek-flash", **flash)).prompt == 0.3


def test_the_recipe_wins_price_by_price() -> None:
    dearer = prices_of(server("gpt-4o-mini", completion_price=7.0))
    assert dearer == Prices(0.15, 0.075, 7.0, known=True, listed=True)
    own = prices_of(server("gpt-4o-mini", prompt_price=1.0, completion_price=7.0, mode="batch"))
    assert own == Prices(1.0, 1.0, 7.0, known=True, listed=False), "as they stand, no discount"
    assert prices_of(server("gpt-4o-mini", cached_price=0.01)).cached == 0.01


def test_a_server_of_ones_own_is_unknown_until_it_is_given_a_price() -> None:
    assert prices_of(server("mine", base_url=LOOPBACK)) == Prices(0, 0, 0, False, False)
    assert not prices_of(server("mine", base_url=LOOPBACK, prompt_price=0)).known
    free = prices_of(server("mine", base_url=LOOPBACK, prompt_price=0, completion_price=0))
    assert free == Prices(0, 0, 0, known=True, listed=False)


def test_the_table_is_dated_and_its_prices_make_sense() -> None:
    assert date(2026, 1, 1) < taken()
    for host in yaml.safe_load(TABLE.read_text())["hosts"].values():
        assert 0 < host.get("batch", 1) <= 1
        for model in host["models"].values():
            assert set(model) <= {"prompt", "cached", "completion"}
            assert (
                0 < model.get("cached", model["prompt"]) <= model["prompt"] <= model["completion"]
            )


def recipe(folder: Path, teacher: Mapping[str, object], budget: Mapping[str, object]) -> Path:
    path = folder / "recipe.yaml"
    values = {"task": "two_step_arithmetic", "student": "bundled:student"}
    path.write_text(yaml.safe_dump({**values, "teacher": dict(teacher), "budget": dict(budget)}))
    return path


def test_a_budget_in_dollars_is_refused_where_the_price_is_unknown(tmp_path: Path) -> None:
    mine = {"model": "openai:mine", "base_url": LOOPBACK}
    with pytest.raises(ConfigError, match=r"not known. Set its prompt_price and completion_price"):
        load_recipe(recipe(tmp_path, mine, {"usd": 5}))
    free = {**mine, "prompt_price": 0, "completion_price": 0}
    assert load_recipe(recipe(tmp_path, free, {"usd": 5})).budget
    assert load_recipe(recipe(tmp_path, mine, {"tokens": 1000})).budget
    assert load_recipe(recipe(tmp_path, {"model": "openai:gpt-5-mini"}, {"usd": 5})).budget
