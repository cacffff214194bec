"""Files that are damaged or made to harm, and a system that refuses: one line, and the way out."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner
from test_train import learner, losses, settings, sums
from tiny_models import build_tiny_causal
from torch import nn

from potstill.cli import main
from potstill.cli.app import SYSTEM_REASONS
from potstill.errors import BudgetError, ConfigError
from potstill.models.openai.http_errors import message_of
from potstill.pipeline.recipe import load_recipe
from potstill.records import Amount
from potstill.runtime.budget import Budget, BudgetSettings
from potstill.train.student import train_student
from potstill.whole_files import library_faults
from potstill.yaml_text import parse_yaml

# YAML


def aliases(levels: int) -> str:
    """Each level stands for ten of the one before."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        many = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{many}]")
    return "\n".join(lines)


def merges(levels: int) -> str:
    """The same by merged mappings, which the loader copies while it reads."""
    lines = ["a0: &a0 {k: v}"]
    for level in range(1, levels):
        many = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} {{<<: [{many}], k{level}: v}}")
    return "\n".join(lines)


BOMBS = {
    "nested lists": "[" * 20_000 + "]" * 20_000,
    "nested mappings": "{a: " * 20_000 + "}" * 20_000,
    "nested, not closed": "[" * 20_000,
    "nested by lines": "\n".join(" " * depth + "- a:" for depth in range(2_000)),
    "aliases": aliases(12),
    "merges": merges(12),
    "a value of itself": "a: &a [*a]",
    "a key of itself": "&a {*a : 1}",
    "a number of 5,000 digits": "seed: " + "9" * 5_000,
    "no such day": "seed: 2001-99-99",
    "a list as a key": "? [a, b]\n: c",
    "a tab": "train:\n\tsteps: 3",
    "two documents": "seed: 1\n---\nseed: 2",
    "an object": "seed: !!python/object/apply:os.system [exit]",
    "no UTF-8": "seed: \udcff",
    "a control character": "seed: \x00",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_a_recipe_made_to_harm_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_bytes(text.encode("utf-8", "surrogateescape"))
    begin = time.process_time()
    with pytest.raises(ConfigError, match=r"recipe\.yaml") as refused:
        load_recipe(recipe)
    assert "\n" not in str(refused.value)
    assert time.process_time() - begin < 10
    # The same as a change on the command line.
    if "\udcff" not in text and "\0" not in text:
        result = CliRunner().invoke(main, ["plan", str(recipe), "--set", f"train={text}"])
        assert result.exit_code == 2
        assert "Traceback" not in result.output


def test_aliases_are_read_as_ever() -> None:
    text = "base: &base {steps: 3, rate: 1.5}\none: {<<: *base, steps: 4}\ntwo: *base\nempty:\n"
    base = {"steps": 3, "rate": 1.5}
    assert parse_yaml(text) == {
        "base": base, "one": {"steps": 4, "rate": 1.5}, "two": base, "empty": None,
    }  # fmt: skip
    assert parse_yaml("") is None


# spending.jsonl

SPENT = '{"spent":true,"tokens":50,"usd":0.5}\n'
BEGIN = '{"begin":1,"tokens":10,"usd":0.1}\n'
DAMAGED_JOURNALS = {
    "empty": "",
    "no JSON": SPENT + "garbage\n" + BEGIN,
    "bytes": SPENT + "\udcff\udcfe\n",
    "zeros, as after a power cut": "\0" * 64 + "\n",
    "a list": "[]\n",
    "a number": "7\n",
    "nothing": "{}\n",
    "null": "null\n",
    "no tokens": '{"spent":true,"usd":0.5}\n',
    "tokens in words": '{"spent":true,"tokens":"many","usd":0.5}\n',
    "tokens below zero": '{"spent":true,"tokens":-5,"usd":0.5}\n',
    "half a token": '{"spent":true,"tokens":0.5,"usd":0.5}\n',
    "null dollars": '{"spent":true,"tokens":5,"usd":null}\n',
    "endless dollars": '{"spent":true,"tokens":5,"usd":1e999}\n',
    "dollars below zero": '{"begin":1,"tokens":5,"usd":-0.5}\n',
    "a label of no text": '{"begin":1,"tokens":5,"usd":0.5,"label":["a"]}\n',
    "no label": '{"left":true,"tokens":5,"usd":0.5}\n',
    "a number of no number": '{"begin":"one","tokens":5,"usd":0.5}\n',
    "two kinds": '{"begin":1,"end":1,"tokens":5,"usd":0.5}\n',
    "deep": "[" * 5_000 + "]" * 5_000 + "\n",
    "carriage returns alone": SPENT.replace("\n", "\r") + "\r",
}


@pytest.mark.parametrize("text", DAMAGED_JOURNALS.values(), ids=DAMAGED_JOURNALS.keys())
def test_a_damaged_account_is_told_and_a_limit_is_not_passed_by_it(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    journal = tmp_path / "spending.jsonl"
    journal.write_bytes(text.encode("utf-8", "surrogateescape"))
    with (
        Budget(BudgetSettings(usd=9.0), journal=journal, before=Amount(7, 0.25)) as budget,
        pytest.raises(BudgetError, match=r"spending\.jsonl is damaged .*at least 7 tokens"),
    ):
        budget.begin(Amount(1, 0.1))
    assert journal.read_bytes() == text.encode("utf-8", "surrogateescape")
    assert not caplog.text
    with Budget(journal=journal, before=Amount(7, 0.25)) as budget:
        assert "is damaged" in caplog.text
        assert budget.spent.tokens >= 7
        budget.begin(Amount(1, 0.1))
    caplog.clear()
    assert Budget(journal=journal).spent.tokens >= 8
    assert not caplog.text


def test_a_last_line_that_was_cut_off_is_no_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = tmp_path / "spending.jsonl"
    journal.write_text(SPENT + BEGIN + '{"begin":2,"tok')
    assert Budget(BudgetSettings(usd=9.0), journal=journal).spent == Amount(60, 0.6)
    assert not caplog.text


@pytest.mark.parametrize("place", ["folder", "loop"])
def test_an_account_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, place: str) -> None:
    journal = tmp_path / "spending.jsonl"
    journal.mkdir() if place == "folder" else journal.symlink_to(journal)
    with pytest.raises(ConfigError, match=r"cannot read .*spending\.jsonl"):
        Budget(journal=journal)


# Answers of servers


@pytest.mark.parametrize("depth", [200, 260, 900, 100_000])
def test_an_error_body_may_be_nested_however_deep(depth: int) -> None:
    body = b'{"error": ' + b'{"a": ' * depth + b"1" + b"}" * depth + b"}"
    assert message_of(body)
    assert len(message_of(b"[" * depth + b"]" * depth)) <= 2**16


# Full disks


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Makes every write beyond ``size`` bytes of a file fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [1_000, 60_000, 250_000])
def test_a_checkpoint_that_does_not_fit_on_the_disk_is_told_and_written_later(
    tmp_path: Path, size: int
) -> None:
    start = build_tiny_causal(tmp_path / "start", "qwen3")
    wanted = settings(steps=2, checkpoints=1)
    with largest_file(size), pytest.raises((OSError, ConfigError)) as refused:
        train_student(learner(start), sums(), wanted, tmp_path / "out")
    number = getattr(refused.value, "errno", None)
    assert isinstance(refused.value, ConfigError) or number in SYSTEM_REASONS
    assert not list((tmp_path / "out").glob("checkpoint-*"))
    again = train_student(learner(start), sums(), wanted, tmp_path / "out")
    assert len(losses(again)) == 2  # of the first step and the last


def test_what_torch_says_of_a_full_disk_is_an_error_of_the_system(tmp_path: Path) -> None:
    with largest_file(100), pytest.raises(OSError) as refused, library_faults(tmp_path):
        torch.save(nn.Linear(100, 100).state_dict(), tmp_path / "optimizer.pt")
    assert refused.value.errno in SYSTEM_REASONS
    with pytest.raises(RuntimeError, match="ours"), library_faults(tmp_path):
        raise RuntimeError("ours")


@pytest.mark.parametrize("number", SYSTEM_REASONS)
def test_what_the_system_refuses_is_told_in_one_line(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(number, os.strerror(number), "/some/where")

    monkeypatch.setitem(main.commands, "schema", click.Command("schema", callback=refuse))
    result = CliRunner().invoke(main, ["schema"])
    assert result.exit_code == 2
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    with pytest.raises(OSError):
        monkeypatch.setattr("potstill.cli.app.SYSTEM_REASONS", {})
        CliRunner().invoke(main, ["schema"], catch_exceptions=False)


def test_few_open_files_may_be_more(monkeypatch: pytest.MonkeyPatch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        CliRunner().invoke(main, ["schema"])
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(4096, hard) or hard < 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
