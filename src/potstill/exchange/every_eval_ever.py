"""An evaluation as records of every_eval_ever, the shared database of evaluation results.

Each system on each task is an aggregate record with its answers beside it, under the paths that the
database wants::

    data/TASK/DEVELOPER/MODEL/UUID.json   data/TASK/DEVELOPER/MODEL/UUID_samples.jsonl

The form is its JSON schema, version 0.3.0 (github.com/evaleval/every_eval_ever). What a run cannot
know, such as who publishes, says so.
"""

import hashlib
import time
import uuid
from collections.abc import Iterator
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
from potstill.prompts.styles import question_text
from potstill.records import Prediction, Question
from potstill.whole_files import write_whole

SCHEMA = "0.3.0"
"""The version of the schema that the records follow."""

NOT_STATED = "not stated"
"""The text for fields of the schema that no run knows."""


def write_every_eval_ever(evaluation: MeasuredRun, folder: Path) -> Iterator[SystemOnTask]:
    """Write the records, and yield each system on each task once its files are there."""
    now = str(int(time.time()))
    for measured in evaluation.measured:
        name = digest(evaluation.run, measured.system.label, measured.task.name)
        ident = uuid.UUID(bytes=bytes.fromhex(name)[:16], version=4)
        developer, model = model_id(evaluation, measured).split("/")
        place = Path("data", file_name(measured.task.name), developer, model)
        record = aggregate(evaluation, measured, now=now)
        lines = [
            json_line(instance(record, measured, *pair, evaluation.prompt(*pair)))
            for pair in measured.answers
        ]
        if lines:
            samples = place / f"{ident}_samples.jsonl"
            write_whole(folder / samples, b"".join(lines))
            record["detailed_evaluation_results"] = {
                "format": "jsonl",
                "file_path": samples.as_posix(),
                "hash_algorithm": "sha256",
                "checksum": hashlib.sha256(b"".join(lines)).hexdigest(),
                "total_rows": len(lines),
            }
        packed = orjson.dumps(record, option=orjson.OPT_INDENT_2)
        write_whole(folder / place / f"{ident}.json", packed)
        yield measured


def model_id(evaluation: MeasuredRun, measured: SystemOnTask) -> str:
    """Returns a model as ``DEVELOPER/NAME``, each fit for a folder's name.

    A model of the hub has its name there; any other stands under the kind of model that it is, and
    one that the run trained under potstill.
    """
    if measured.model is None:
        return f"potstill/{file_name(f'{evaluation.run}-{measured.system.label}')}"
    kind, _, where = measured.model.partition(":")
    parts = where.split("/")
    if len(parts) == 2 and all(parts):
        return f"{file_name(parts[0])}/{file_name(parts[1])}"
    return f"{file_name(kind)}/{file_name(parts[-1])}"


def aggregate(evaluation: MeasuredRun, measured: SystemOnTask, *, now: str) -> dict[str, object]:
    """Returns the aggregate record of one system on one task.

    Args:
        evaluation: The evaluation.
        measured: The system and the task.
        now: When the record is made, in seconds since 1970.
    """
    system, task = measured.system, measured.task
    ident = model_id(evaluation, measured)
    record: dict[str, object] = {
        "schema_version": SCHEMA,
        "evaluation_id": f"{task.name} ({system.label})/{ident}/{now}",
        "evaluation_timestamp": str(int(evaluation.answered_at)),
        "retrieved_timestamp": now,
        "source_metadata": {
            "source_name": evaluation.run,
            "source_type": "evaluation_run",
            "source_organization_name": NOT_STATED,
            "evaluator_relationship": "first_party" if measured.model is None else "third_party",
        },
        "eval_library": {"name": "potstill", "version": potstill.__version__},
        "model_info": _model_info(evaluation, measured, ident),
        "evaluation_results": [_result(measured)],
    }
    return record


def _model_info(evaluation: MeasuredRun, measured: SystemOnTask, ident: str) -> dict[str, object]:
    system = measured.system
    kind = (measured.model or "hf:").partition(":")[0]
    details = {
        "deployment_type": "unknown" if kind in ("openai", "recorded") else "self_deployed",
        "model_availability": "unknown",
        "system": system.label,
        "asked": measured.asked,
        "trained_in_run": evaluation.run if measured.model is None else "no",
    }
    if measured.score.step is not None:
        details["step"] = str(measured.score.step)
    info: dict[str, object] = {
        "name": f"{evaluation.run}/{system.label}" if measured.model is None else ident,
        "id": ident,
        "additional_details": details,
    }
    if measured.engine:
        info["inference_engine"] = {"name": measured.engine}
    return info


def _result(measured: SystemOnTask) -> dict[str, object]:
    task, score = measured.task, measured.score
    source = {"source": measured.source or NOT_STATED, "licence": task.licence or NOT_STATED}
    return {
        "evaluation_result_id": _result_id(measured),
        "evaluation_name": task.name,
        "source_data": {
            "dataset_name": task.measured_set or task.name,
            "source_type": "other",
            "additional_details": {"split": score.split, **source},
        },
        "metric_config": {
            "evaluation_description": "The share of questions whose final answer, as read in the "
            f"text by the rule {task.rule}, is the gold answer.",
            "metric_id": "accuracy",
            "metric_name": "Accuracy",
            "metric_kind": "accuracy",
            "metric_unit": "proportion",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
        },
        "score_details": {
            "score": measured.accuracy,
            "details": {
                "correct": str(score.correct),
                "total": str(score.total),
                "no_answer": str(score.no_answer),
                "truncated": str(score.truncated),
            },
            "uncertainty": {
                "standard_error": {"value": measured.standard_error, "method": "analytic"},
                "confidence_interval": {
                    "lower": score.low,
                    "upper": score.high,
                    "confidence_level": 0.95,
                    "method": "Wilson score",
                },
                "num_samples": score.total,
            },
        },
    }


def _result_id(measured: SystemOnTask) -> str:
    return f"{measured.task.name}/{measured.system.label}/accuracy"


def instance(
    record: dict[str, object],
    measured: SystemOnTask,
    question: Question,
    prediction: Prediction,
    prompt: SentPrompt,
) -> dict[str, object]:
    """Returns one answer as a line of samples; texts that are not known are left out."""
    asked = question_text(question)
    info = record["model_info"]
    assert isinstance(info, dict)
    attribution = {
        "turn_idx": 0,
        "source": "output.raw",
        "extracted_value": prediction.answer,
        "extraction_method": f"potstill, rule {measured.task.rule}",
        "is_terminal": True,
    }
    return {
        "schema_version": SCHEMA,
        "evaluation_id": record["evaluation_id"],
        "model_id": info["id"],
        "evaluation_name": measured.task.name,
        "evaluation_result_id": _result_id(measured),
        "sample_id": question.id,
        "sample_hash": hashlib.sha256((asked + question.answer).encode()).hexdigest(),
        "interaction_type": "single_turn",
        "input": {
            "raw": asked,
            "formatted": prompt.text if prompt.is_known else None,
            "reference": [question.answer],
            "choices": list(question.choices) or None,
        },
        "output": {"raw": [prediction.text]},
        "messages": None,
        "answer_attribution": [] if prediction.answer is None else [attribution],
        "evaluation": {"score": float(prediction.correct), "is_correct": prediction.correct},
        "metadata": {
            "finish_reason": prediction.finish_reason,
            "completion_tokens": str(prediction.completion_tokens),
            **({"template_id": question.template_id} if question.template_id else {}),
        },
    }
