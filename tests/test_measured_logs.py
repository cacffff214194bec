"""Scores and samples as other programs' logs: what stands in them, and that they are read."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped,unused-ignore]
import orjson
import pytest
import yaml
from click.testing import CliRunner, Result

from potstill.cli import main
from potstill.errors import ConfigError, DataError
from potstill.exchange import LogKind, export_logs
from potstill.exchange.json_lines import json_line
from potstill.exchange.lm_eval_results import file_keys
from potstill.exchange.measured_systems import digest, file_name
from potstill.keys import question_digest
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.records import (
    Checkpoint,
    Completion,
    Message,
    Prediction,
    Question,
    Request,
    Score,
    System,
)
from potstill.runtime.progress import Meter
from potstill.statistics import accuracy_interval

SCHEMAS = Path(__file__).parent / "data" / "every_eval_ever"
KINDS: tuple[LogKind, ...] = ("inspect", "lm_eval", "every_eval_ever")
HOSTILE = "</script><script>alert(1)</script>\x1b[31m\u202e\u2028 \x00"
TEACHER, START = System("teacher"), System("start", variant="zero_shot")
STUDENT = System("rationales", step=40)
RIGHT = {TEACHER: "1111", START: "0010", STUDENT: "1101"}
"""Each system's answers to the four test questions: 1 where it is right, 0 where it is wrong."""


def measured_run(folder: Path, **sections: object) -> Run:
    """A run of three systems on four test questions; no model is loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    splits = ["train", "dev", *["test"] * 4]
    rows = [
        {"id": f"q/{n}", "question": f"What is {n} + {n}?", "answer": str(2 * n), "split": split}
        for n, split in enumerate(splits)
    ]
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "run": str(folder / "run"),
        "task": {"file": str(folder / "sums.jsonl"), "id": "id"},
        "teacher": {"model": "openai:big", "base_url": "http://secret.example:8000/v1",
                    "api_key_env": None},
        "student": {"model": "hf:Some/Start"},
        **sections,
    }  # fmt: skip
    (folder / "run.yaml").write_text(yaml.safe_dump(values))
    run = Run(load_recipe(folder / "run.yaml"), Meter(None))
    run.identity.check_task()
    (task,) = run.measured_tasks
    scores, predictions = [], []
    for system, right in RIGHT.items():
        marks = [mark == "1" for mark in right]
        predictions += [
            answer(system, task.name, question, correct=correct)
            for question, correct in zip(task.splits["test"], marks, strict=True)
        ]
        low, high = accuracy_interval(sum(marks), 4)
        scores.append(
            Score(
                system=system, task=task.name, split="test", correct=sum(marks), total=4,
                low=low, high=high, no_answer=0, truncated=1,
            )
        )  # fmt: skip
    checkpoint = Checkpoint(
        student="rationales", step=40, folder="x", data_format="fine_tune_cot",
        encoder_decoder=False, examples=4, too_long=0,
    )  # fmt: skip
    run.store.replace_training([], [checkpoint], settings_hash="x")
    run.store.replace_evaluation(scores, predictions, [], grader="1", settings_hash="x")
    asked = Completion(request=Request(prompt="p"), sample=0, text="t", finish_reason="stop")
    run.store.add_completions("m", [asked], stage="evaluate")
    return run


def answer(system: System, task: str, question: Question, *, correct: bool) -> Prediction:
    return Prediction(
        system=system, task=task, question_id=question.id, text=f"So. {HOSTILE}{question.answer}",
        answer=question.answer if correct else None, correct=correct,
        finish_reason="stop" if correct else "length", completion_tokens=7,
        question_digest=question_digest(question),
    )  # fmt: skip


def exported(tmp_path: Path, kind: LogKind) -> Path:
    out = tmp_path / kind
    with measured_run(tmp_path) as run:
        done = export_logs(run, out, kind)
    assert (done.systems, done.tasks, done.samples) == (3, 1, 12)
    assert not done.left_out
    return out


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def one_of(folder: Path, pattern: str, **wanted: Any) -> Any:
    """The one JSON file of a folder whose values at these names are these."""
    read = [json.loads(path.read_bytes()) for path in sorted(folder.rglob(pattern))]
    (found,) = [one for one in read if all(one[name] == value for name, value in wanted.items())]
    return found


# inspect_ai --------------------------------------------------------------------------------------


def test_an_inspect_log_has_score_and_samples_of_one_system(tmp_path: Path) -> None:
    out = exported(tmp_path, "inspect")
    logs = [json.loads(path.read_bytes()) for path in sorted(out.iterdir())]
    assert {log["eval"]["model"] for log in logs} == {
        "run/teacher", "run/start_zero_shot", "run/rationales",
    }  # fmt: skip
    (log,) = [one for one in logs if one["eval"]["model"] == "run/rationales"]
    assert log["version"] == 2 and log["status"] == "success"
    (score,) = log["results"]["scores"]
    assert score["metrics"]["accuracy"]["value"] == 0.75
    assert score["metrics"]["stderr"]["value"] == pytest.approx((0.75 * 0.25 / 4) ** 0.5)
    assert [sample["scores"]["correct"]["value"] for sample in log["samples"]] == [*"CCIC"]
    first = log["samples"][0]
    assert (first["id"], first["input"], first["target"]) == ("q/2", "What is 2 + 2?", "4")
    assert first["output"]["completion"] == f"So. {HOSTILE}4"
    reasons = [sample["output"]["choices"][0]["stop_reason"] for sample in log["samples"]]
    assert reasons == ["stop", "stop", "max_tokens", "stop"]
    assert (
        log["eval"]["metadata"] | {"step": 40, "trained_in_this_run": True}
        == (log["eval"]["metadata"])
    )
    asked = {one["eval"]["model"]: one["eval"]["metadata"]["asked"] for one in logs}
    assert asked == {
        "run/rationales": "fine_tune_cot", "run/start_zero_shot": "zero_shot",
        "run/teacher": "in its own way",
    }  # fmt: skip
    created = datetime.fromisoformat(log["eval"]["created"])
    assert abs((datetime.now(UTC) - created).total_seconds()) < 600


def test_inspect_reads_its_logs(tmp_path: Path) -> None:
    log = pytest.importorskip("inspect_ai.log")
    out = exported(tmp_path, "inspect")
    infos = log.list_eval_logs(str(out))
    assert len(infos) == 3
    for info in infos:
        read = log.read_eval_log(info)
        assert len(read.samples) == 4
        right = RIGHT[{"teacher": TEACHER, "rationales": STUDENT}.get(
            read.eval.model.split("/")[1], START)]  # fmt: skip
        assert [sample.scores["correct"].value == "C" for sample in read.samples] == [
            mark == "1" for mark in right
        ]


# lm-evaluation-harness ---------------------------------------------------------------------------


def test_lm_eval_finds_results_and_samples_by_their_names(tmp_path: Path) -> None:
    out = exported(tmp_path, "lm_eval")
    assert {path.name for path in out.iterdir()} == {"teacher", "start_zero_shot", "rationales"}
    results, samples = sorted((out / "rationales").iterdir())
    date = results.stem.removeprefix("results_")
    datetime.strptime(date, "%Y-%m-%dT%H-%M-%S.%f")
    assert samples.name == f"samples_sums_{date}.jsonl"
    read = json.loads(results.read_bytes())
    metrics = read["results"]["sums"]
    assert metrics.pop("exact_match,potstill") == 0.75
    assert set(metrics) == {"alias", "exact_match_stderr,potstill"}  # readers show every number
    assert read["n-samples"]["sums"] == {"original": 4, "effective": 4}
    lines = [json.loads(line) for line in samples.read_text("utf-8").splitlines()]
    assert [line["exact_match"] for line in lines] == [1, 1, 0, 1]
    assert lines[2]["filtered_resps"] == ["[invalid]"] and lines[0]["filtered_resps"] == ["4"]
    assert lines[0]["target_hash"] == hashlib.sha256(b"4").hexdigest()
    wanted = {
        "doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics",
        "doc_hash", "prompt_hash", "target_hash",
    }  # fmt: skip
    assert all(wanted <= set(line) for line in lines)


@pytest.fixture
def sent_to(tmp_path: Path) -> Run:
    """A run in which a plain prompt went to the student, and a chat to the start."""
    run = measured_run(tmp_path)
    (task,) = run.measured_tasks
    first = task.splits["test"][0]
    chat = (
        Message(role="system", content="Be brief."),
        Message(role="user", content=f"{first.text} Now."),
    )
    requests = {
        "hf:student": Request(
            prompt=f"Q: {first.text}\nA:", answer_prefix=" So", stop=("\n\n",), max_tokens=64
        ),
        "hf:Some/Start": Request(prompt=chat, temperature=0.5, seed=1, max_tokens=8),
    }
    answers = {one.system.model: one for one in run.store.predictions()
               if one.question_id == first.id}  # fmt: skip
    texts = {"hf:student": "of the student", "hf:Some/Start": "of the start"}
    for model, request in requests.items():
        asked = replace(request, question_id=first.id, task=task.name)
        sent = Completion(request=asked, sample=0, text=texts[model], finish_reason="stop")
        run.store.add_completions(model, [sent], stage="evaluate")
    written = {"rationales": texts["hf:student"], "start": texts["hf:Some/Start"]}
    predictions = [
        replace(one, text=written[one.system.model])
        if one == answers[one.system.model] and one.system.model in written
        else one
        for one in run.store.predictions()
    ]
    run.store.replace_evaluation(run.store.scores(), predictions, [], grader="1", settings_hash="x")
    return run


def samples_of(folder: Path, system: str) -> list[dict[str, Any]]:
    (file,) = (folder / system).glob("samples_*")
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_prompts_stand_in_logs_as_they_were_sent(sent_to: Run, tmp_path: Path) -> None:
    with sent_to as run:
        for kind in KINDS:
            export_logs(run, tmp_path / kind, kind)
    first, second = samples_of(tmp_path / "lm_eval", "rationales")[:2]
    plain = "Q: What is 2 + 2?\nA: So"
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 2 + 2? Now."},
    ]
    assert first["arguments"]["gen_args_0"] == {
        "arg_0": plain,
        "arg_1": {"do_sample": False, "temperature": 0.0, "max_gen_toks": 64, "until": ["\n\n"]},
    }
    assert first["prompt_as_sent"] and first["prompt_hash"] == digest(plain)
    assert second["arguments"]["gen_args_0"] == {"arg_0": "What is 3 + 3?", "arg_1": {}}
    assert not second["prompt_as_sent"]
    start = samples_of(tmp_path / "lm_eval", "start_zero_shot")[0]["arguments"]["gen_args_0"]
    assert json.loads(start["arg_0"]) == chat and start["arg_1"]["do_sample"]
    logs = [json.loads(path.read_bytes()) for path in (tmp_path / "inspect").iterdir()]
    inputs = {log["eval"]["model"]: log["samples"][0] for log in logs}
    assert inputs["run/rationales"]["input"] == plain
    assert inputs["run/start_zero_shot"]["input"] == chat
    assert [turn["role"] for turn in inputs["run/start_zero_shot"]["messages"]] == [
        "system", "user", "assistant",
    ]  # fmt: skip
    formatted = set()
    for path in (tmp_path / "every_eval_ever").rglob("*_samples.jsonl"):
        line = json.loads(path.read_text("utf-8").splitlines()[0])
        validator("instance_level_eval").validate(line)
        assert line["input"]["raw"] == "What is 2 + 2?"
        formatted.add(line["input"]["formatted"])
    assert formatted == {plain, orjson.dumps(chat).decode(), None}


def test_a_task_has_one_key_in_results_and_in_the_name_of_its_samples() -> None:
    keys = file_keys(["coins, zero_shot", "coins_zero_shot", "sums"])
    assert keys["sums"] == "sums" and keys["coins, zero_shot"] == "coins_zero_shot"
    assert len({*keys.values()}) == 3 and keys["coins_zero_shot"].startswith("coins_zero_shot-")
    assert all(file_name(key) == key for key in keys.values())


def test_systems_whose_labels_differ_in_signs_or_case_alone_have_files_of_their_own() -> None:
    keys = file_keys(["low rank", "low_rank", "Low-rank", "low-rank"])
    assert len({key.casefold() for key in keys.values()}) == 4
    assert keys["low rank"] == "low_rank"


@pytest.mark.slow
def test_lm_eval_makes_its_table_of_them(tmp_path: Path) -> None:
    utils = pytest.importorskip("lm_eval.utils")
    out = exported(tmp_path, "lm_eval")
    files = [str(path) for path in out.rglob("*.json*")]
    assert len(utils.get_results_filenames(files)) == 3
    found = utils.get_sample_results_filenames(files)
    assert {utils.get_file_task_name(Path(one).name) for one in found} == {"sums"}
    (read,) = [json.loads(path.read_bytes()) for path in out.glob("teacher/results_*")]
    assert "|sums |      0|potstill|     0|exact_match|" in utils.make_table(read)


# every_eval_ever ---------------------------------------------------------------------------------


def validator(name: str) -> Any:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_bytes())
    return jsonschema.Draft7Validator(schema)


def test_every_record_keeps_to_the_schema_of_every_eval_ever(tmp_path: Path) -> None:
    out = exported(tmp_path, "every_eval_ever")
    aggregates = sorted(out.rglob("*.json"))
    assert {path.relative_to(out).parts[:4] for path in aggregates} == {
        ("data", "sums", "openai", "big"),
        ("data", "sums", "Some", "Start"),
        ("data", "sums", "potstill", "run-rationales"),
    }
    for path in aggregates:
        record = json.loads(path.read_bytes())
        validator("eval").validate(record)
        details = record["detailed_evaluation_results"]
        samples = out / details["file_path"]
        assert samples.parent == path.parent and samples.stem == f"{path.stem}_samples"
        assert details["checksum"] == hashlib.sha256(samples.read_bytes()).hexdigest()
        lines = [json.loads(line) for line in samples.read_text("utf-8").splitlines()]
        assert details["total_rows"] == len(lines) == 4
        for line in lines:
            validator("instance_level_eval").validate(line)
            assert line["evaluation_id"] == record["evaluation_id"]
            assert line["model_id"] == record["model_info"]["id"]
    (path,) = [path for path in aggregates if path.parent.name == "run-rationales"]
    (result,) = json.loads(path.read_bytes())["evaluation_results"]
    assert result["score_details"]["score"] == 0.75
    interval = result["score_details"]["uncertainty"]["confidence_interval"]
    assert (interval["lower"], interval["upper"]) == tuple(accuracy_interval(3, 4))


# all of them -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_no_server_and_no_folder_of_this_machine_is_told(tmp_path: Path, kind: LogKind) -> None:
    out = exported(tmp_path, kind)
    for path in out.rglob("*"):
        assert path.is_dir() or b"secret.example" not in path.read_bytes()
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_says_what_it_wrote_and_what_it_left_out(tmp_path: Path, kind: str) -> None:
    with measured_run(tmp_path):
        pass
    questions = tmp_path / "sums.jsonl"
    questions.write_text(questions.read_text().replace("What is 3", "How much is 3"))
    done = command("export", tmp_path / "run.yaml", tmp_path / "out", "--what", kind)
    said = " ".join(done.output.split())
    assert done.exit_code == 0, done.output
    assert "export: 9 answers of 3 systems on 1 task in" in said
    assert "left out: answers to questions that the task has not now: 3" in said
    again = command("export", tmp_path / "run.yaml", tmp_path / "out", "--what", kind)
    assert again.exit_code == 2 and "is there already" in again.output


def test_what_does_not_fit_is_told_in_one_line(tmp_path: Path) -> None:
    with measured_run(tmp_path) as run:
        for options in (["--logprobs"], ["--stage", "evaluate"], ["--student", "rationales"]):
            out = tmp_path / "out"
            done = command("export", tmp_path / "run", out, "--what", "inspect", *options)
            assert done.exit_code == 2 and f"{options[0]} is for rows, not for inspect" in (
                " ".join(done.output.split())
            )
        run.store.replace_evaluation([], [], [], grader="1", settings_hash="x")
        with pytest.raises(DataError, match="run potstill evaluate"):
            export_logs(run, tmp_path / "out", "inspect")
    with measured_run(tmp_path / "other") as run, pytest.raises(ConfigError, match="new or empty"):
        export_logs(run, tmp_path, "inspect")


@pytest.mark.parametrize(
    ("text", "name"),
    [("bbh_navigate, answer_only", "bbh_navigate_answer_only"), ("../../x", "x"), ("a/b", "a_b")],
)
def test_a_name_is_safe_as_a_files(text: str, name: str) -> None:
    assert file_name(text) == name


@pytest.mark.parametrize("text", ["", "...", "数学"])
def test_a_name_of_nothing_else_gets_one(text: str) -> None:
    assert file_name(text).isalnum()


def test_a_line_of_json_is_one_line_to_every_reader() -> None:
    text = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\r\nh"
    line = json_line({"text": text})
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line) == {"text": text}
