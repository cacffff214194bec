"""``potstill init``: from a file as its user has it to a report, with no edit but the teacher."""

import fcntl
import html
import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from loopback import Body, Loopback, prompt_of

from potstill.cli import main
from potstill.models import open_model
from potstill.models.settings import LocalSettings
from potstill.pipeline.recipe import load_recipe
from potstill.records import Completion, Request
from potstill.serve.settings import ServeSettings
from potstill.store import Store
from potstill.tasks import load_task

SHORT = [
    "train.steps=2", "train.batch_size=2", "train.checkpoints=1", "train.max_length=64",
    "generate.samples=1", "evaluate.max_tokens=8",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def potstill(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def questions(count: int, words: tuple[str, str]) -> bytes:
    """A semicolon-separated table in Latin-1, as a German Excel writes it."""
    lines = [f"Ist {n} größer als {count - n}?;{words[n <= count - n]}" for n in range(count)]
    return "\r\n".join(["Frage;Antwort", *lines, ""]).encode("latin-1")


@pytest.mark.parametrize(
    ("words", "kind"), [(("yes", "no"), "yes_no"), (("ja", "nein"), "yes_no")], ids=["en", "de"]
)
def test_a_semicolon_table_in_latin_1_reaches_a_report(
    words: tuple[str, str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    Path("fragen.csv").write_bytes(questions(14, words))

    def answer(body: Body) -> list[str]:
        asked = re.match(r"Ist (\d+) größer als (\d+)\?", prompt_of(body))
        assert asked, prompt_of(body)
        word = words[int(asked[1]) <= int(asked[2])]
        return [f"{asked[1]} und {asked[2]}.\nThe answer is {word}."] * body.get("n", 1)

    made = potstill("init", "fragen.csv", "--set", "student=bundled:student")
    assert made.exit_code == 0, made.output
    assert "Ist 1 größer als 13?" in made.output and f"gold answer: {words[1]}" in made.output
    recipe = yaml.safe_load(Path("fragen.yaml").read_text(encoding="utf-8"))
    assert recipe["task"] == {
        "file": "fragen.csv", "encoding": "cp1252", "separator": ";", "question": "Frage",
        "answer": "Antwort", "answer_type": kind,
    } | ({"split_seed": seed} if (seed := recipe["task"].get("split_seed")) else {})  # fmt: skip
    with Loopback(answer) as server:
        teacher = {"model": "openai:mine", "base_url": server.url}
        sets = [f"teacher={json.dumps(teacher)}", *SHORT]
        done = potstill("run", "fragen.yaml", *[word for one in sets for word in ("--set", one)])
    assert done.exit_code == 0, done.output
    assert Path("runs/fragen/report.html").is_file()
    assert re.search(r"curate: (\d+) of \1 rationales kept", done.output), done.output
    assert re.search(r"^cost: .* for \d+ tokens; time: \d", done.output, re.MULTILINE)
    assert 'ask it: potstill ask runs/fragen "QUESTION"' in done.output
    headline = re.search(r"\n\n(.+)\nprice: not known\n  No other", done.output)
    end = done.output.splitlines()[-5:]
    assert end[0] == "report: runs/fragen/report.html"
    assert end[-1] == "  verify it: potstill verify runs/fragen --folder runs/fragen/model"
    assert headline
    page = html.unescape(Path("runs/fragen/report.html").read_text(encoding="utf-8"))
    assert all(sentence in page for sentence in re.split(r"(?<=\.) (?=[A-Z])", headline[1]))
    if kind == "yes_no":
        check_the_student_is_used(monkeypatch)


def check_the_student_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run of the recipe ``fragen.yaml`` answers, is served, and is reported by its folder."""
    asked = potstill("ask", "runs/fragen", "Ist 3 größer als 4?")
    assert asked.exit_code == 0, asked.output
    settings = LocalSettings(model="hf:runs/fragen/model")
    # In the words that fine_tune_cot trains on, greedily: what was measured.
    request = Request(prompt="Ist 3 größer als 4? ###", max_tokens=8, stop=("###", "END"))
    (expected,) = open_model(settings).complete([request])
    assert asked.stdout.split() == expected.text.split()
    assert ("cut off" in asked.stderr) == (expected.finish_reason == "length")
    assert "the question is empty" in potstill("ask", "runs/fragen", " ").stderr
    served: list[ServeSettings] = []
    monkeypatch.setattr("potstill.serve.server.serve", lambda settings, _: served.append(settings))
    done = potstill("serve", "runs/fragen", "--set", "port=0", "--set", "student.device=cpu")
    assert done.exit_code == 0, done.output
    assert served[0].student == LocalSettings(model="hf:runs/fragen/model", device="cpu")
    assert (served[0].student_format, served[0].name) == ("fine_tune_cot", "fragen")
    assert (served[0].temperature, served[0].max_tokens, served[0].port) == (0.0, 8, 0)
    for command in ("report", "plan", "curate"):
        done = potstill(command, "runs/fragen", "--quiet")
        assert done.exit_code == 0 and not done.stderr, done.output
        if command == "plan":
            assert re.search(r"measuring +starts and students are measured already", done.output)
            assert re.search(r"disk +nothing more; ", done.output)
    more = potstill("plan", "runs/fragen", "--set", "evaluate.max_tokens=9")
    assert re.search(r"measuring +about \d+ answers", more.output), more.output
    check_an_empty_answer_is_said(monkeypatch)


def check_an_empty_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "(the student's answer is empty: it wrote nothing"
    for text, thinking, end in (("", None, ")"), (" \n", None, ")"), ("", "Hm.", " behind its ")):
        empty = Completion(
            request=Request(prompt="1?"), sample=0, text=text, thinking=thinking,
            finish_reason="stop",
        )  # fmt: skip
        monkeypatch.setattr(
            "potstill.pipeline.chosen_student.ask_student", lambda *_, answer=empty: answer
        )
        asked = potstill("ask", "runs/fragen", "1?")
        assert (asked.exit_code, asked.stdout) == (0, "")
        assert words + end in asked.stderr


def test_what_a_file_holds_twice_and_numbers_among_words_are_said() -> None:
    rows = [(f"What is {n} and {n}?", str(2 * n)) for n in range(60)]
    rows[7] = (rows[7][0], "about 14 pens")
    again = [(rows[3][0].upper(), rows[3][1])]
    lines = ("question,answer", *(f"{question},{answer}" for question, answer in rows + again))
    Path("q.csv").write_text("\n".join(lines), encoding="utf-8")
    told = potstill("init", "q.csv").stdout
    assert "1 answer has words beside the number, such as 'about 14 pens'" in told
    assert re.search(r"of the \d+ \w+ questions 1 stands there already", told)
    Path("units.csv").write_text(
        "question,answer\n" + "".join(f"{n} and {n}?,{2 * n} pens\n" for n in range(60)), "utf-8"
    )
    told = potstill("init", "units.csv").stdout
    assert "words beside" not in told and "already" not in told


def test_a_path_that_is_not_there_is_told_with_the_folder_it_counts_from(tmp_path: Path) -> None:
    recipe = {
        "teacher": "bundled:teacher",
        "student": "bundled:student",
        "task": {"file": "no.csv"},
    }
    Path("inner").mkdir()
    Path("inner/r.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    refused = potstill("plan", "inner/r.yaml")
    assert refused.exit_code == 2 and f"no.csv: No such file or directory in {tmp_path}" in (
        refused.stderr
    )
    refused = potstill("plan", str(tmp_path / "other.yaml"))
    assert refused.stderr.endswith("other.yaml: No such file or directory.\n")


def test_a_run_without_a_student_says_so(tmp_path: Path) -> None:
    Path("q.csv").write_text("question,answer\n1?,1\n2?,2\n3?,3\n", encoding="utf-8")
    assert potstill("init", "q.csv", "--set", "teacher=bundled:teacher").exit_code == 0
    for command in ("ask", "serve"):
        refused = potstill(command, str(tmp_path), *(["1?"] if command == "ask" else []))
        assert refused.exit_code == 2 and "is no run: it holds no recipe.yaml" in refused.stderr
    Store(tmp_path / "runs" / "q" / "run.sqlite").close()
    refused = potstill("ask", "q.yaml", "1?")
    assert "runs/q has no chosen student yet. potstill run runs/q goes on" in refused.stderr
    Path("runs/q/run.lock").write_text("process 77")
    with Path("runs/q/run.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = potstill("ask", "q.yaml", "1?")
    assert "It is at work in process 77; potstill status runs/q says how far" in refused.stderr


@pytest.mark.parametrize(
    ("name", "text", "task"),
    [
        (
            "q.csv",
            "id,question,option_a,option_b,correct\n1,1?,x,y,A\n2,2?,x,y,B\n3,3?,x,y,B\n",
            {"question": "question", "answer": "correct", "choices": ["option_a", "option_b"],
             "id": "id"},
        ),
        (
            "q.tsv",
            "Aufgabe\tLösung\n1 + 1?\t2\n2 + 2?\t4\n3 + 3?\t6\n",
            {"separator": "\t", "question": "Aufgabe", "answer": "Lösung"},
        ),
        (
            "q.jsonl",
            "\n".join(f'{{"x": "what is {n} of it?", "y": "May {n}, 2020"}}' for n in (1, 2, 3)),
            {"question": "x", "answer": "y", "answer_type": "date"},
        ),
        (
            "q.jsonl",
            "\n".join(f'{{"question": "{n}? (A) one (B) two", "answer": "B"}}' for n in range(3)),
            {"question": "question", "answer": "answer", "answer_type": "choice"},
        ),
    ],
)  # fmt: skip
def test_columns_and_types_are_guessed(name: str, text: str, task: dict[str, object]) -> None:
    Path(name).write_text(text, encoding="utf-8")
    made = potstill("init", name)
    assert made.exit_code == 0, made.output
    read = yaml.safe_load(Path("q.yaml").read_text(encoding="utf-8"))["task"]
    read.pop("split_seed", None)
    assert read == {"file": name, **task}
    splits = load_task(load_recipe("q.yaml").task).splits
    assert all(splits.values()), "no split of even three questions is empty"


def test_what_is_guessed_wrong_is_said_with_set() -> None:
    Path("q.csv").write_text(
        "n,words,value,other\n1,a b,2,x\n2,c d,3,y\n3,e,4,z\n", encoding="utf-8"
    )
    unclear = potstill("init", "q.csv")
    assert unclear.exit_code == 2
    assert "which column holds the questions is not clear" in unclear.stderr
    assert "'n', 'words', 'value', 'other'. Say it with --set task.question=NAME" in unclear.stderr
    made = potstill("init", "q.csv", "--set", "task.question=words", "--set", "task.answer=value")
    assert made.exit_code == 0, made.output
    task = yaml.safe_load(Path("q.yaml").read_text(encoding="utf-8"))["task"]
    assert (task["question"], task["answer"]) == ("words", "value")


def test_a_recipe_that_is_there_is_not_overwritten() -> None:
    Path("q.csv").write_text("question,answer\n1?,1\n2?,2\n3?,3\n", encoding="utf-8")
    Path("q.yaml").write_text("mine", encoding="utf-8")
    refused = potstill("init", "q.csv")
    assert refused.exit_code == 2 and "q.yaml is there already" in refused.stderr
    assert Path("q.yaml").read_text(encoding="utf-8") == "mine"
    assert potstill("init", "q.csv", "--out", "other.yaml").exit_code == 0
    assert load_recipe("other.yaml").run == "runs/other"


def test_too_few_questions_are_refused_before_a_recipe_is_written() -> None:
    Path("q.csv").write_text("question,answer\n1?,1\n2?,2\n", encoding="utf-8")
    refused = potstill("init", "q.csv")
    assert refused.exit_code == 2
    assert "q.csv holds 2 questions, too few" in refused.stderr
    assert not Path("q.yaml").exists()


def test_a_small_file_says_how_little_it_tells() -> None:
    rows = "".join(f"{n}?,{n}\n" for n in range(12))
    Path("q.csv").write_text(f"question,answer\n{rows}", encoding="utf-8")
    made = potstill("init", "q.csv")
    assert "test question" in made.output and "points wide" in made.output
    assert "development question" in made.output


def test_a_table_without_a_header_is_answered_with_the_line_to_add() -> None:
    Path("q.csv").write_text("What is 1+1?,2\nWhat is 2+2?,4\n", encoding="utf-8")
    refused = potstill("init", "q.csv")
    assert refused.exit_code == 2 and "holds 'What is 1+1?', '2'." in refused.stderr
    assert "such as question,answer" in refused.stderr
