"""The table of the papers' claims: figures by hand, verdicts, and that the page is current."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from script_modules import script_module

ROOT = Path(__file__).parents[1]
MINUS = "\N{MINUS SIGN}"


@pytest.fixture
def claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = script_module("claims")
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    return module


def put(folder: Path, **systems: list[tuple[int, int]]) -> None:
    """A result file ``made.json`` with the counts of each training."""
    named = {
        name: {"by_seed": {str(seed): pair for seed, pair in enumerate(counts)}}
        for name, counts in systems.items()
    }
    (folder / "made.json").write_text(json.dumps({"cores": 2, "made": {"tasks": {"sums": named}}}))


def figure(claims: ModuleType, **settings: object) -> object:
    shown = {"label": "a less b", "file": "made", "task": "sums", "plus": ["a"], "minus": ["b"]}
    return claims.Figure.model_validate({**shown, **settings})


def test_a_difference_is_paired_by_training(claims: ModuleType, tmp_path: Path) -> None:
    put(tmp_path, a=[(3, 4), (2, 4)], b=[(1, 4), (1, 4)])
    told, agrees, trainings = claims.find(figure(claims, expect="more"))
    # differences 0.5 and 0.25: standard error 0.125, t of one degree of freedom 12.706
    assert told == f"a less b: +37.5 [{MINUS}121.3, +196.3], 2 trainings"
    assert (agrees, trainings) == ("open", 2)


def test_a_contrast_adds_and_takes_away_systems_of_several_tasks(
    claims: ModuleType, tmp_path: Path
) -> None:
    put(tmp_path, a=[(4, 4), (4, 4)], b=[(2, 4), (3, 4)], c=[(1, 4), (1, 4)])
    contrast = figure(claims, plus=["a", "sums: c"], minus=["b", "c"])
    told, agrees, _ = claims.find(contrast)
    assert told.startswith("a less b: +37.5 [") and agrees is None


def test_equal_differences_have_no_interval(claims: ModuleType, tmp_path: Path) -> None:
    put(tmp_path, a=[(3, 4), (2, 4)], b=[(2, 4), (1, 4)])
    assert claims.find(figure(claims, expect="more")) == ("a less b: +25.0, 2 trainings", "yes", 2)
    compared = {"difference": 0.25, "interval": None, "runs": 2}
    (tmp_path / "made.json").write_text(json.dumps({"over": compared}))
    told = figure(claims, plus=[], minus=[], path=["over"], wording="compared", expect="more")
    assert claims.find(told) == ("a less b: +25.0, 2 trainings", "yes", 2)


def test_systems_of_other_seeds_are_an_error(claims: ModuleType, tmp_path: Path) -> None:
    put(tmp_path, a=[(3, 4), (2, 4)], b=[(2, 4)])
    with pytest.raises(SystemExit, match="made: a less b: the systems' seeds differ"):
        claims.find(figure(claims))


def test_what_is_no_difference_has_nothing_to_be_expected_of(claims: ModuleType) -> None:
    with pytest.raises(ValueError, match="expect: holds for a difference"):
        figure(claims, minus=[], expect="more")


def test_a_missing_file_is_not_run_yet_and_a_missing_system_an_error(
    claims: ModuleType, tmp_path: Path
) -> None:
    assert claims.find(figure(claims)).text == "a less b: not run yet"
    put(tmp_path, a=[(1, 2), (1, 2)])
    with pytest.raises(KeyError, match="made: no b on sums"):
        claims.find(figure(claims))


def test_a_comparison_of_the_file_is_over_trainings_or_over_questions(
    claims: ModuleType, tmp_path: Path
) -> None:
    pair = {"difference": -0.064, "interval": [-0.105, -0.023]}
    (tmp_path / "made.json").write_text(json.dumps({"five": {"runs": 5, **pair}, "one": pair}))
    settings = {"wording": "compared", "plus": [], "minus": [], "expect": "less"}
    over_runs = claims.find(figure(claims, path=["five"], **settings))
    told = f"a less b: {MINUS}6.4 [{MINUS}10.5, {MINUS}2.3], "
    assert over_runs == (told + "5 trainings", "yes", 5)
    assert claims.find(figure(claims, path=["one"], **settings)).text == told + "over the questions"


@pytest.mark.parametrize(
    ("expect", "interval", "agrees"),
    [
        ("more", (0.01, 0.2), "yes"), ("more", (-0.2, -0.01), "no"), ("more", (-0.1, 0.1), "open"),
        ("less", (-0.2, -0.01), "yes"), ("less", (0.01, 0.2), "no"),
        ("no_less", (-0.04, 0.2), "yes"), ("no_less", (-0.2, -0.06), "no"),
        ("no_less", (-0.06, 0.2), "open"), ("no_less", (-0.04, -0.01), "yes"),
        ("same", (-0.04, 0.05), "yes"), ("same", (0.06, 0.2), "no"), ("same", (-0.2, 0.01), "open"),
    ],
)  # fmt: skip
def test_a_figure_agrees_where_its_whole_interval_does(
    claims: ModuleType, expect: str, interval: tuple[float, float], agrees: str
) -> None:
    found = claims.agreement(figure(claims, expect=expect), claims.Interval(*interval))
    assert found == agrees


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([("a", "yes", 5), ("b", None, 3)], "holds"),
        ([("a", "yes", 3)], "holds so far"),
        ([("a", "yes", 5), ("b: not run yet", None, 5)], "holds so far"),
        ([("a", "yes", 5), ("b", "no", 5)], "does not hold"),
        ([("a", "yes", 5), ("b", "open", 5)], "open"),
        ([], "open"),
    ],
)
def test_a_verdict_needs_every_figure(
    claims: ModuleType, found: list[tuple[str, str | None, int]], verdict: str
) -> None:
    claim = claims.Claim(number="1", claim="a beats b", model="bundled pair")
    assert claims.verdict_of(claim, [claims.Found(*one) for one in found]) == verdict


def test_the_page_has_the_table_of_the_result_files() -> None:
    module = script_module("claims")
    page = (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")
    assert page == module.page(), "run: python scripts/claims.py"


def test_every_claim_of_the_papers_has_a_row_and_every_file_is_there() -> None:
    module = script_module("claims")
    listed = module.read_claims()
    assert [claim.number for claim in listed][:34] == [str(number) for number in range(1, 35)]
    for claim in listed:
        assert all((ROOT / name).is_file() for name in claim.recipes), claim.number
        assert "|" not in claim.claim + claim.note


def test_a_result_file_that_is_not_there_yet_is_what_its_recipe_writes() -> None:
    module = script_module("claims")
    for claim in module.read_claims():
        heads = "".join((ROOT / name).read_text(encoding="utf-8") for name in claim.recipes)
        for name in {one.file for one in claim.figures}:
            if not (module.RESULTS / f"{name}.json").exists():
                assert re.search(rf"benchmarks/results/{name}\.json", heads), name
