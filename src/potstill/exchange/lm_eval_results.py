"""An evaluation as lm-evaluation-harness writes its own with ``--log_samples``.

``FOLDER/SYSTEM/results_DATE.json`` holds a system's scores on all tasks, and
``samples_TASK_DATE.jsonl`` beside it its answers, a line each. TASK is the task's key in both: its
name, made fit for a file's. The metric is ``exact_match``: the
final answer is the gold answer, under the name of the rule that read it as the filter.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson

import potstill
from potstill.exchange.json_lines import json_line
from potstill.exchange.measured_systems import (
    MeasuredRun,
    SentPrompt,
    SystemOnTask,
    digest,
    file_name,
)
from potstill.records import Prediction, Question
from potstill.whole_files import whole_file, write_whole

METRIC = "exact_match"
"""lm-evaluation-harness's name for the share of final answers that are the gold answer."""


def write_lm_eval_results(evaluation: MeasuredRun, folder: Path) -> Iterator[SystemOnTask]:
    """Write the results, and yield each system on each task once its samples are there."""
    by_label: defaultdict[str, list[SystemOnTask]] = defaultdict(list)
    for measured in evaluation.measured:
        by_label[measured.system.label].append(measured)
    at = datetime.fromtimestamp(evaluation.answered_at, UTC).replace(tzinfo=None)
    date = at.isoformat(timespec="microseconds").replace(":", "-")
    folders = file_keys([*by_label])
    for label, tasks in by_label.items():
        own = folder / folders[label]
        hashes = {}
        keys = file_keys([measured.task.name for measured in tasks])
        for measured in tasks:
            key = keys[measured.task.name]
            path = own / f"samples_{key}_{date}.jsonl"
            hashes[key] = _write_samples(path, measured, evaluation)
            yield measured
        results = lm_eval_results(evaluation, label, tasks, hashes, folders[label])
        write_whole(own / f"results_{date}.json", orjson.dumps(results, option=orjson.OPT_INDENT_2))


def file_keys(names: Sequence[str]) -> dict[str, str]:
    """Returns the part of a file's name for each name, no two alike on any disk."""
    keys: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        key = file_name(name)
        keys[name] = f"{key}-{digest(name)[:8]}" if key.casefold() in taken else key
        taken.add(key.casefold())
    return keys


def _write_samples(path: Path, measured: SystemOnTask, evaluation: MeasuredRun) -> str:
    """Write a task's samples; returns what stands for all of them."""
    hashes = []
    with whole_file(path) as file:
        for place, (question, prediction) in enumerate(measured.answers):
            prompt = evaluation.prompt(question, prediction)
            sample = lm_eval_sample(place, question, prediction, measured.task.rule, prompt)
            hashes += [str(sample[name]) for name in ("doc_hash", "prompt_hash", "target_hash")]
            file.write(json_line(sample))
    return digest("".join(hashes))


def lm_eval_sample(
    place: int, question: Question, prediction: Prediction, rule: str, prompt: SentPrompt
) -> dict[str, object]:
    """Returns one answer as a line of samples."""
    doc = {
        "id": question.id,
        "question": question.text,
        "choices": list(question.choices),
        "answer": question.answer,
        "template_id": question.template_id,
    }
    return {
        "doc_id": place,
        "doc": doc,
        "target": question.answer,
        "arguments": {"gen_args_0": {"arg_0": prompt.text, "arg_1": _generation(prompt)}},
        "resps": [[prediction.text]],
        "filtered_resps": [prediction.answer or "[invalid]"],
        "filter": rule,
        "metrics": [METRIC],
        "doc_hash": digest(orjson.dumps(doc).decode()),
        "prompt_hash": digest(prompt.text),
        "target_hash": digest(question.answer),
        METRIC: float(prediction.correct),
        "finish_reason": prediction.finish_reason,
        "completion_tokens": prediction.completion_tokens,
        "prompt_as_sent": prompt.is_known,
    }


def _generation(prompt: SentPrompt) -> dict[str, object]:
    """Returns how the answer was generated, by lm-evaluation-harness's names."""
    if not prompt.is_known:
        return {}
    return {
        "do_sample": bool(prompt.temperature),
        "temperature": prompt.temperature,
        "max_gen_toks": prompt.max_tokens,
        "until": list(prompt.stop),
    }


def lm_eval_results(
    evaluation: MeasuredRun,
    label: str,
    tasks: list[SystemOnTask],
    hashes: dict[str, str],
    sanitized: str,
) -> dict[str, object]:
    """Returns a system's scores as the file of results holds them.

    Args:
        evaluation: The run.
        label: The system's.
        tasks: Its answers, task by task.
        hashes: The digest of its samples, by the task's key.
        sanitized: The name of its folder.
    """
    model = tasks[0].model
    keys = file_keys([measured.task.name for measured in tasks])
    by_key = {keys[measured.task.name]: measured for measured in tasks}
    return {
        "results": {key: _result(measured) for key, measured in by_key.items()},
        "group_subtasks": {key: [] for key in by_key},
        "configs": {key: _config(key, measured) for key, measured in by_key.items()},
        "versions": dict.fromkeys(by_key, 0),
        "n-shot": dict.fromkeys(by_key, 0),
        "higher_is_better": {key: {METRIC: True} for key in by_key},
        "n-samples": {
            key: {
                "original": len(measured.task.splits["test"]),
                "effective": measured.score.total,
            }
            for key, measured in by_key.items()
        },
        "config": {
            "model": "potstill",
            "model_args": {
                "system": label,
                "model": model,
                "trained_in_this_run": model is None,
                "step": tasks[0].score.step,
                "program": tasks[0].engine or None,
            },
            "batch_size": None,
            "limit": None,
        },
        "git_hash": None,
        "date": evaluation.answered_at,
        "task_hashes": hashes,
        "model_source": "potstill",
        "model_name": f"{evaluation.run}/{label}",
        "model_name_sanitized": sanitized,
        "potstill_version": potstill.__version__,
    }


def _result(measured: SystemOnTask) -> dict[str, object]:
    """Returns the metrics; readers take every number here for one."""
    rule = measured.task.rule
    return {
        "alias": measured.task.name,
        f"{METRIC},{rule}": measured.accuracy,
        f"{METRIC}_stderr,{rule}": measured.standard_error,
    }


def _config(key: str, measured: SystemOnTask) -> dict[str, object]:
    task, score = measured.task, measured.score
    return {
        "task": key,
        "dataset_path": measured.source or task.name,
        "dataset_name": task.measured_set or task.name,
        "test_split": "test",
        "num_fewshot": 0,
        "output_type": "generate_until",
        "metric_list": [{"metric": METRIC, "aggregation": "mean", "higher_is_better": True}],
        "filter_list": [{"name": task.rule}],
        "repeats": 1,
        "metadata": {
            "version": 0,
            "asked": measured.asked,
            "licence": task.licence or None,
            "wilson_95": [score.low, score.high],
            "no_answer": score.no_answer,
            "truncated": score.truncated,
        },
    }
