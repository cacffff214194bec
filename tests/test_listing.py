"""The lists of `potstill tasks`; every sample is graded as it says."""

import io

import pytest
import yaml
from click.testing import CliRunner
from rich.console import Console

from potstill.cli import main
from potstill.tasks import grade, task_named, task_names
from potstill.tasks.datasets import DATASETS
from potstill.tasks.datasets.bbh import BBH
from potstill.tasks.listing import SAMPLES, samples, task_page, tasks_table, verdict


def shown(content: object, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(content)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("name", task_names())
def test_samples_are_graded_as_they_say(name: str) -> None:
    three = samples(name)
    found = [grade(task_named(name), completion, question) for question, completion, _ in three]
    assert [verdict(each) for each in found] == [said for _, _, said in three]
    assert sorted(each.correct for each in found) == [False, True, True]
    right = {completion for (_, completion, said) in three if said == "right"}
    assert len(right) == 2
    assert found[0].rule == "marker"


def test_there_are_samples_of_every_task_and_of_no_other() -> None:
    assert set(yaml.safe_load(SAMPLES.read_text(encoding="utf-8"))) == set(task_names())


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_names_every_task(width: int) -> None:
    lines = shown(tasks_table(), width).splitlines()
    assert max(map(len, lines)) <= width
    first_words = [line.split()[0] for line in lines if line[:1].strip()]
    assert [word for word in first_words if word in task_names()] == task_names()


def test_a_wide_table_has_one_line_a_task_with_its_source_and_licence() -> None:
    lines = {
        line.split()[0]: line for line in shown(tasks_table(), 120).splitlines() if line[:1].strip()
    }
    for each in DATASETS.values():
        if each in BBH:
            continue
        assert each.source.rpartition("/")[2] in lines[each.name]
        licence = "no licence stated" if each.licence == "none" else each.licence
        assert f"({licence})" in lines[each.name]
        assert all(f"{size:,}" in lines[each.name] for size in each.sizes if size)


def test_a_page_shows_the_facts_and_three_live_verdicts() -> None:
    page = shown(task_page("SVAMP"), 100)
    for said in ("train 700, test 300", "ChilleD/SVAMP", "MIT", "SVAMP.json", "name: svamp"):
        assert said in page
    assert page.count("(rule ") == 3
    assert (page.count(": right"), page.count(": wrong")) == (2, 1)
    assert "not split" in shown(task_page("asdiv"), 100)
    assert "250, published for testing only" in shown(task_page("bbh_navigate"), 100)
    assert "drawn without end" in shown(task_page("coin_toss"), 100)
    assert "no answer: wrong" in shown(task_page("fact_chain"), 100)


def test_the_command_lists_shows_and_refuses() -> None:
    assert "gsm8k" in CliRunner().invoke(main, ["tasks"]).stdout
    assert "sample 3" in CliRunner().invoke(main, ["tasks", "bbh/navigate"]).stdout
    refused = CliRunner().invoke(main, ["tasks", "svmp"])
    assert refused.exit_code == 2
    assert refused.stderr == "Error: there is no task 'svmp'. Did you mean 'svamp'?\n"
