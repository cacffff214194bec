"""Long words and lines in narrow places: shortened or broken where people can still read them."""

import io
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from potstill.cli.terminal import clean_warnings, echo
from potstill.runtime.fact_lines import FactLines
from potstill.text.short_paths import fit_words, wrapped

TEACHERS = [
    f"recorded:data/teacher_outputs/cot_granularity/SVAMP_ChatGPT_level{level}_ranked.json"
    for level in (3, 4)
]


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (79, "recorded:data/teacher_outputs/cot_granularity/SVAMP_ChatGPT_level3_ranked.json"),
        (64, "recorded:data/…/cot_granularity/SVAMP_ChatGPT_level3_ranked.json"),
        (50, "recorded:data/…/SVAMP_ChatGPT_level3_ranked.json"),
        (40, "…/SVAMP_ChatGPT_level3_ranked.json"),
        (20, "SVAMP_…3_ranked.json"),
    ],
)
def test_a_path_keeps_its_ends(width: int, shown: str) -> None:
    (short,) = fit_words([TEACHERS[0]], width)
    assert len(short) <= width
    assert short == shown or width == 20


@pytest.mark.parametrize("width", [60, 40, 20, 8])
def test_two_paths_of_one_name_stay_apart(width: int) -> None:
    paths = [f"hf:/models/{kind}/students/deep/down/checkpoint-000002" for kind in ("a", "b")]
    first, second = fit_words(paths, width)
    assert first != second
    assert all(len(line) <= width for text in (first, second) for line in text.split("\n"))


WORDS = st.text(alphabet="ab/_-.:…", min_size=1, max_size=40)


@given(st.lists(WORDS, min_size=1, max_size=6, unique=True), st.integers(1, 30))
def test_whatever_the_words_they_fit_and_differ(words: list[str], width: int) -> None:
    shown = fit_words([" ".join(words)], width)[0].split(" ")
    assert len(set(shown)) == len(words)
    assert all(len(line) <= width for word in shown for line in word.split("\n"))
    assert [one for one in words if len(one) <= width] == [
        one for one, whole in zip(shown, words, strict=True) if len(whole) <= width
    ]


@pytest.mark.parametrize("width", [120, 80, 60])
def test_facts_stand_on_whole_words(width: int) -> None:
    out = io.StringIO()
    value = f"{TEACHERS[0]}; prompts counted at 4 bytes a token, an estimate until it has answered"
    console = Console(file=out, width=width)
    console.print(FactLines([("teacher", value), ("a rather long name of a student", value)]))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    known = {*value.split(), *["teacher", "a", "rather", "long", "name", "of", "a", "student"]}
    strangers = {word for line in lines for word in line.split()} - known
    assert all("…" in word for word in strangers)


def test_lines_are_broken_between_words_and_indented() -> None:
    assert wrapped("  one two three four", 12) == ["  one two", "    three", "    four"]
    assert wrapped("", 12) == [""]
    assert wrapped("potstill-run/of-a-very-long/path", 12) == ["potstill-run/of-a-very-long/path"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_whole_words_and_commands_stay_on_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    sentence = "evaluate: it is not shown to be better than its start"
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        monkeypatch.setattr(sys, "stdout", stream)
        echo(sentence)
        echo(f"next: {sentence}", whole=True)
    assert pipe.getvalue() == f"{sentence}\nnext: {sentence}\n"
    warned = Terminal()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", warned)
        clean_warnings()
        assert logging.lastResort is not None
        logging.lastResort.handle(logging.makeLogRecord({"levelno": 30, "msg": sentence}))
    assert [len(line) <= 30 for line in warned.getvalue().splitlines()] == [True, True]
    *lines, command = terminal.getvalue().splitlines()
    assert command == f"next: {sentence}"
    assert max(map(len, lines)) <= 30 and " ".join(" ".join(lines).split()) == sentence
