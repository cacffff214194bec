"""An evaluation as logs of inspect_ai: one file of JSON for each system on each task.

``inspect view --log-dir FOLDER`` shows them, and ``inspect_ai.log.read_eval_log`` reads them. The
form is inspect's log format, version 2 (``EvalLog``). A sample's input is
the prompt as it was sent; where the store cannot tell for certain, the question with its options.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson

import potstill
from potstill.exchange.measured_systems import (
    MeasuredRun,
    SentPrompt,
    SystemOnTask,
    digest,
    file_name,
)
from potstill.records import Prediction, Question
from potstill.whole_files import write_whole

SCORER = "correct"
"""The name of the score: whether the final answer is the gold answer, by the task's rule."""

STOP_REASONS = {
    "stop": "stop",
    "length": "max_tokens",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
}
"""inspect's word for a finish reason; any other is ``unknown``, and is kept in the metadata."""


def write_inspect_logs(evaluation: MeasuredRun, folder: Path) -> Iterator[SystemOnTask]:
    """Write the logs, and yield each system on each task once its file is there."""
    for measured in evaluation.measured:
        log = inspect_log(evaluation, measured)
        task = file_name(measured.task.name).replace("_", "-")
        stamp = _timestamp(evaluation).replace(":", "-")
        write_whole(
            folder / f"{stamp}_{task}_{_ident(evaluation, measured)}.json", orjson.dumps(log)
        )
        yield measured


def inspect_log(evaluation: MeasuredRun, measured: SystemOnTask) -> dict[str, object]:
    """Returns one system on one task as an ``EvalLog``."""
    task, score = measured.task, measured.score
    model = f"{evaluation.run}/{measured.system.label}"
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": _ident(evaluation, measured),
            "run_id": digest("run", evaluation.run)[:22],
            "created": _timestamp(evaluation),
            "task": task.name,
            "task_id": digest("task", task.name)[:22],
            "task_version": 0,
            "dataset": {
                "name": task.measured_set or task.name,
                "location": measured.source or None,
                "samples": len(measured.answers),
                "sample_ids": [question.id for question, _ in measured.answers],
                "shuffled": False,
            },
            "model": model,
            "model_args": {},
            "config": {"epochs": 1},
            "packages": {"potstill": potstill.__version__},
            "scorers": [{"name": SCORER, "metadata": {"rule": task.rule}}],
            "metadata": _about(measured),
        },
        "plan": {"name": "potstill evaluate", "steps": [], "config": {}},
        "results": {
            "total_samples": score.total,
            "completed_samples": score.total,
            "scores": [
                {
                    "name": SCORER,
                    "scorer": SCORER,
                    "params": {"rule": task.rule},
                    "scored_samples": score.total,
                    "unscored_samples": 0,
                    "metrics": _metrics(measured),
                }
            ],
        },
        "stats": {"started_at": "", "completed_at": _timestamp(evaluation), "model_usage": {}},
        "samples": [_sample(model, *pair, evaluation.prompt(*pair)) for pair in measured.answers],
    }


def _ident(evaluation: MeasuredRun, measured: SystemOnTask) -> str:
    """Returns the log's own name, the same whenever it is made."""
    return digest(evaluation.run, measured.system.label, measured.task.name)[:22]


def _timestamp(evaluation: MeasuredRun) -> str:
    return datetime.fromtimestamp(evaluation.answered_at, UTC).isoformat(timespec="seconds")


def _about(measured: SystemOnTask) -> dict[str, object]:
    """Returns what inspect has no field for."""
    system, score = measured.system, measured.score
    return {
        "system": system.label,
        "kind": system.model,
        "start": system.start,
        "asked": measured.asked,
        "step": measured.score.step,
        "trained_in_this_run": measured.model is None,
        "program": measured.engine or None,
        "split": score.split,
        "no_answer": score.no_answer,
        "truncated": score.truncated,
        "licence": measured.task.licence or None,
    }


def _metrics(measured: SystemOnTask) -> dict[str, object]:
    values = {
        "accuracy": measured.accuracy,
        "stderr": measured.standard_error,
        "wilson_low": measured.score.low,
        "wilson_high": measured.score.high,
    }
    return {name: {"name": name, "value": value, "params": {}} for name, value in values.items()}


def _sample(
    model: str, question: Question, prediction: Prediction, prompt: SentPrompt
) -> dict[str, object]:
    asked = [{"role": role or "user", "content": text} for role, text in prompt.turns]
    if not prompt.is_chat:
        asked = [{"role": "user", "content": prompt.text}]
    reason = STOP_REASONS.get(prediction.finish_reason, "unknown")
    answer = {"role": "assistant", "content": prediction.text, "source": "generate", "model": model}
    return {
        "id": question.id,
        "epoch": 1,
        "input": asked if prompt.is_chat else prompt.text,
        "choices": list(question.choices) or None,
        "target": question.answer,
        "messages": [*({**turn, "source": "input"} for turn in asked), answer],
        "output": {
            "model": model,
            "choices": [{"message": answer, "stop_reason": reason}],
            "completion": prediction.text,
        },
        "scores": {
            SCORER: {
                "value": "C" if prediction.correct else "I",
                "answer": prediction.answer,
                "explanation": None if prediction.answer else "no answer was read in the text",
            }
        },
        "metadata": {
            "finish_reason": prediction.finish_reason,
            "completion_tokens": prediction.completion_tokens,
            "thinking_ended": prediction.thinking_ended,
            "template_id": question.template_id,
            "question": question.text,
            "prompt_as_sent": prompt.is_known,
        },
    }
