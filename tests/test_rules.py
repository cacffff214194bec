import gzip
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from potstill.cli import main
from potstill.errors import ConfigError, DataError
from potstill.records import AnswerType, Grade, RuleName, Task
from potstill.store import Store
from potstill.tasks import grade

LETTERS = ("a", "b", "c", "d", "e")


def read(
    rule: RuleName,
    text: str,
    gold: str,
    *,
    name: str = "any",
    answer_type: AnswerType = "number",
    choices: tuple[str, ...] = (),
) -> Grade:
    task = Task(name=name, answer_type=answer_type, splits={}, rule=rule)
    return grade(task, text, gold, choices=choices)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("3 and 4 --> 18 or 19 --> 20", "18"),  # first candidate after the first prefix
        ("3 and 4 and 18", "18"),  # last candidate without a prefix
        ("So 3. The answer is 18. 5 left.", "18"),
        ("3 and 4\nTherefore, the answer is 18 and 19.", "18"),
        ("The answer is 3 --> 1,018", "1018"),
        ("--> -18.50", "-18.50"),
        ("-->", None),
        ("none", None),
    ],
)
def test_fine_tune_cot_reads_after_its_prefix(text: str, answer: str | None) -> None:
    found = read("fine_tune_cot", text, "7")
    assert found.answer == answer
    assert found.rule == ("fine_tune_cot" if answer else "no_answer")


def test_fine_tune_cot_compares_some_sets_as_strings() -> None:
    assert read("fine_tune_cot", "--> 18.0", "18", name="svamp").correct
    assert not read("fine_tune_cot", "--> 18.0", "18", name="gsm8k").correct
    assert not read("fine_tune_cot", "--> 18.0", "18", name="multiarith").correct
    assert read("fine_tune_cot", "--> 1000", "9 * 2\n#### 1,000", name="gsm8k").correct


def choose(rule: RuleName, text: str, gold: str, name: str = "any") -> Grade:
    return read(rule, text, gold, name=name, answer_type="choice", choices=LETTERS)


def test_fine_tune_cot_finds_letters_in_words() -> None:
    assert choose("fine_tune_cot", "--> February (E)", "E").correct
    assert choose("fine_tune_cot", "--> February", "E", "date_understanding").answer == "F"
    assert choose("fine_tune_cot", "--> Answer B", "B").answer == "A"


def test_fine_tune_cot_reads_words_and_whole_texts() -> None:
    assert read("fine_tune_cot", "--> It is:Yes", "yes", answer_type="yes_no").correct
    assert read("fine_tune_cot", "--> 'ny.ao' ", "nyao", answer_type="text").correct
    assert not read("fine_tune_cot", "--> NYAO", "nyao", answer_type="text").correct


@pytest.mark.parametrize(
    ("text", "gold", "correct"),
    [
        ("5 and 18", "so 18", True),
        ("18.0", "18", True),
        ("-18", "18", True),  # signs are lost
        ("3,500", "2,500", True),  # only what follows the last comma counts
        ("2500", "2,500", False),
        ("18", "unknown", False),
        (".5", "0.5", True),
    ],
)
def test_flan_t5_cot_compares_the_last_numbers(text: str, gold: str, correct: bool) -> None:
    assert read("flan_t5_cot", text, gold).correct is correct


@pytest.mark.parametrize(
    ("text", "gold", "correct"),
    [
        ("So the answer is invalid.", "valid", True),  # substring
        ("So The answer is valid.", "valid", False),  # lower case only
        ("the answer is no. the answer is valid", "valid", False),  # up to the second one
    ],
)
def test_flan_t5_cot_looks_for_a_substring_in_bbh(text: str, gold: str, correct: bool) -> None:
    assert read("flan_t5_cot", text, gold, answer_type="text").correct is correct
    numbers = read("flan_t5_cot", "the answer is 12.", "1", name="bbh_object_counting")
    assert numbers.correct
    assert choose("flan_t5_cot", "the answer is (B).", "B").correct


def test_big_bench_hard_matches_exactly() -> None:
    assert choose("bbh", "So the answer is (B).", "B").correct
    assert choose("bbh", "(B)", "B").correct
    assert not choose("bbh", "So the answer is B.", "B").correct
    assert choose("bbh", "the answer is ", "B").rule == "no_answer"


def test_zero_shot_cot_reads_what_follows_its_trigger() -> None:
    text = "We get 5.\nTherefore, the answer (arabic numerals) is 1,018. Or 7."
    assert read("zero_shot_cot", text, "1018").correct
    assert read("zero_shot_cot", " 18. Then 5.", "18").correct
    assert not read("zero_shot_cot", " 18.0", "18").correct
    options = "(A) or (B)\nTherefore, among A through E, the answer is D."
    assert choose("zero_shot_cot", options, "D").correct


@pytest.mark.parametrize("rule", ["fine_tune_cot", "zero_shot_cot"])
def test_a_rule_without_the_answer_type_is_refused(rule: RuleName) -> None:
    with pytest.raises(ConfigError, match=f"task any: rule {rule} has no way .* type math"):
        read(rule, "--> 5", "5", answer_type="math")


def test_a_gold_answer_that_is_no_number_is_refused() -> None:
    with pytest.raises(DataError, match="'banana' is no number"):
        read("fine_tune_cot", "--> 5", "banana")


GOLDS: dict[AnswerType, str] = {"number": "1", "choice": "A", "yes_no": "no", "text": "x"}
RULE_NAMES: tuple[RuleName, ...] = ("fine_tune_cot", "flan_t5_cot", "zero_shot_cot", "bbh")


@given(st.text(max_size=300))
def test_any_text_is_graded_without_error(text: str) -> None:
    for rule in RULE_NAMES:
        for answer_type, gold in GOLDS.items():
            found = read(rule, text, gold, answer_type=answer_type)
            assert (found.answer is None) == (found.rule == "no_answer")
            assert found.answer is not None or not found.correct


@pytest.mark.parametrize("rule", RULE_NAMES)
@pytest.mark.parametrize("piece", ["1", "1.", "-->", "the answer is", " ", "A", "\x00"])
def test_a_long_text_is_graded_at_once(rule: RuleName, piece: str) -> None:
    start = time.process_time()
    read(rule, piece * (1_000_000 // len(piece)), "18", name="svamp")
    assert time.process_time() - start < 2  # at most 0.2 on an idle core


LOG_TYPES: dict[str, AnswerType] = {
    "addsub": "number",
    "aqua": "choice",
    "coin_flip": "yes_no",
    "commonsensqa": "choice",
    "multiarith": "number",
    "singleeq": "number",
    "svamp": "number",
}
TRIGGERS: dict[AnswerType, str] = {
    "number": "Therefore, the answer (arabic numerals) is",
    "choice": "Therefore, among A through E, the answer is",
    "yes_no": "Therefore, the answer (Yes or No) is",
}
BLOCK = re.compile(
    r"^\d_th_sampling\n(?P<shown>.*?)^pred_before : (?P<before>.*?)^pred_after : (?P<after>.*?)\n"
    r"pred_list : .*?^GT : (?P<gold>.*?)\n\*{25}\n",
    re.MULTILINE | re.DOTALL,
)


@pytest.mark.parametrize("method", ["zero_shot", "zero_shot_cot"])
@pytest.mark.parametrize("name", LOG_TYPES)
def test_accuracies_of_the_zero_shot_cot_logs(shared_data: Path, name: str, method: str) -> None:
    file = shared_data / f"teacher_outputs/zero_shot_cot_logs/{name}_{method}.log"
    log = file.read_text(encoding="utf-8")
    correct = total = 0
    for block in BLOCK.finditer(log):
        cleansed = logged(name, TRIGGERS[LOG_TYPES[name]] + block["before"], block["gold"])
        assert (cleansed.answer or "") == block["after"]
        shown = block["shown"].partition("A: Let's think step by step.")[2]
        text = shown if method == "zero_shot_cot" else block["before"]
        correct, total = correct + logged(name, text, block["gold"]).correct, total + 1
    assert total == int(re.findall(r"^data size : (\d+)$", log, re.MULTILINE)[0])
    published = re.findall(r"^accuracy : (.+)$", log, re.MULTILINE)[-1]
    assert str(correct * 1.0 / total * 100) == published


def logged(name: str, text: str, gold: str) -> Grade:
    return read("zero_shot_cot", text, gold, name=name, answer_type=LOG_TYPES[name])


def published(folder: Path) -> Iterator[tuple[str, float, list[dict[str, str]]]]:
    for metrics in sorted(folder.glob("*_eval_metrics.json")):
        task = metrics.name.removesuffix("_eval_metrics.json")
        file = folder / f"{task}.json"
        packed = file.with_suffix(".json.gz")
        raw = gzip.decompress(packed.read_bytes()) if packed.exists() else file.read_bytes()
        yield task, json.loads(metrics.read_bytes())["accuracy"], json.loads(raw)["outputs"]


@pytest.mark.parametrize("mode", ["cot", "direct"])
def test_accuracies_of_big_bench_hard(shared_data: Path, mode: str) -> None:
    tasks = 0
    for task, accuracy, rows in published(
        shared_data / "teacher_outputs/bbh_code_davinci_002" / mode
    ):
        correct = sum(
            read(
                "bbh", row["prediction"], row["target"], name=f"bbh_{task}", answer_type="text"
            ).correct
            for row in rows
        )
        assert correct / len(rows) * 100 == pytest.approx(accuracy, abs=1e-9), task
        tasks += 1
    assert tasks == 18


def test_a_files_name_says_nothing_of_the_prompt_style(tmp_path: Path) -> None:
    file = tmp_path / "pens, answer_only.jsonl"
    rows = [
        {"question": f"Which pen is number {n}?", "answer": "red", "split": split}
        for n, split in enumerate(("train", "dev", "test"))
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    bought = tmp_path / "bought.jsonl"
    bought.write_text(json.dumps({**rows[0], "rationale": "It may be red."}))
    recipe = {
        "run": str(tmp_path / "run"),
        "task": {"file": str(file), "answer_type": "text", "rule": "flan_t5_cot"},
        "teacher": f"recorded:{bought}",
        "student": "bundled:student",
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    for command, code in (("generate", 0), ("curate", 2)):  # none is kept
        done = CliRunner().invoke(main, [command, str(path)])
        assert done.exit_code == code, done.output
    # Asked for the answer alone it would be right: the gold answer occurs in the text.
    with Store(tmp_path / "run" / "run.sqlite", read_only=True) as store:
        assert [one.verdict for one in store.rationales()] == ["no_answer"]
