"""What is in a run's store, row by row: completions, rationales, and what trainers read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

import numpy as np

from potstill.errors import ConfigError, DataError
from potstill.exchange.columns import (
    CHAT,
    COMPLETIONS,
    LOGPROBS,
    RATIONALES,
    Column,
    What,
    prompt_completion,
)
from potstill.exchange.questions import Placed, TaskQuestions
from potstill.prompts.formats import FORMATS, DataFormat, format_named
from potstill.records import Message, TokenLogprobs
from potstill.store import PooledCompletion, PooledRationale, Store

Row = Mapping[str, object]

STAGES = ("generate", "import")
"""The stages whose completions are exported where no other is named: what training learns from."""

DEFAULT_FORMATS: dict[What, str] = {"chat": "chat", "prompt_completion": "fine_tune_cot"}
"""How kept rationales are worded where no data format is named."""


class Table(NamedTuple):
    """Table to be written, and what they have."""

    columns: Sequence[Column]
    rows: Iterable[Row]
    total: int
    """How many there will be, as far as the store knows now."""

    wording: str = ""
    """The data format that words them, where one does."""


def completion_rows(
    store: Store,
    questions: TaskQuestions,
    *,
    stages: Sequence[str] = STAGES,
    logprobs: bool = False,
) -> Table:
    """Every stored completion of these stages, with the question that it answers.

    Args:
        store: Of the run.
        questions: Of its task.
        stages: Who asked for them, as the store names stages.
        logprobs: Whether the token probabilities come along.
    """
    columns = (*COMPLETIONS, *LOGPROBS) if logprobs else COMPLETIONS
    pool = store.pool(stages, logprobs=logprobs)
    rows = (_completion_row(each, questions, logprobs=logprobs) for each in pool)
    return Table(columns, rows, store.pool_size(stages))


def _completion_row(pooled: PooledCompletion, questions: TaskQuestions, *, logprobs: bool) -> Row:
    completion = pooled.completion
    request = completion.request
    placed = questions.by_id.get(pooled.question_id or "") or questions.asked_by(request)
    plain = isinstance(request.prompt, str)
    return {
        **_question_values(placed, questions),
        "model": pooled.model,
        "prompt": request.prompt if plain else None,
        "messages": None if plain else _turns(request.prompt),
        "answer_prefix": request.answer_prefix,
        "sample": completion.sample,
        "text": completion.text,
        "thinking": completion.thinking,
        "finish_reason": completion.finish_reason,
        "error": completion.error,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "cost": completion.cost,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens": request.max_tokens,
        "stop": list(request.stop),
        "top_logprobs": request.top_logprobs,
        "seed": request.seed,
        "stage": pooled.stage,
        "verdict": pooled.verdict,
        "completion_id": pooled.id,
        **(logprob_values(completion.logprobs) if logprobs else {}),
    }


def _question_values(placed: Placed | None, questions: TaskQuestions) -> Row:
    if placed is None:
        return dict.fromkeys(
            ("question_id", "question", "choices", "gold_answer", "task", "split"), None
        )
    question = placed.question
    return {
        "question_id": question.id,
        "question": question.text,
        "choices": list(question.choices),
        "gold_answer": question.answer,
        "task": questions.task.name,
        "split": placed.split,
    }


def _turns(prompt: str | Iterable[Message]) -> list[dict[str, str]]:
    """Chat messages as trainers and servers write them; plain text is the user's turn."""
    turns = (Message(role="user", content=prompt),) if isinstance(prompt, str) else prompt
    return [asdict(turn) for turn in turns]


def logprob_values(kept: TokenLogprobs | None) -> dict[str, object]:
    """Token probabilities as lists by token; what has no name as bytes has one as an id."""
    if kept is None:
        return {column.name: None for column in LOGPROBS}
    return {
        "logprobs": list(kept.logprobs),
        "token_ids": None if kept.ids is None else list(kept.ids),
        "token_bytes": None if kept.lengths is None else _named(kept),
    }


def _named(kept: TokenLogprobs) -> list[list[bytes]]:
    assert kept.lengths is not None
    ends = np.cumsum(kept.lengths, dtype=np.int64)
    names = [
        kept.token_bytes[end - length : end]
        for end, length in zip(ends.tolist(), kept.lengths.ravel().tolist(), strict=True)
    ]
    width = kept.lengths.shape[1]
    return [names[start : start + width] for start in range(0, len(names), width)]


def rationale_rows(store: Store, questions: TaskQuestions) -> Table:
    """Every rationale with its verdict, whether it was kept or not.

    Raises:
        DataError: Nothing has been curated yet.
    """
    return Table(
        RATIONALES,
        (_rationale_row(each, questions) for each in store.pooled_rationales()),
        sum(_curated(store).values()),
    )


def _rationale_row(pooled: PooledRationale, questions: TaskQuestions) -> Row:
    rationale = pooled.rationale
    placed = questions.by_id.get(rationale.question_id)
    return {
        **_question_values(placed, questions),
        "question_id": rationale.question_id,
        "rationale": rationale.text,
        "answer": rationale.answer,
        "verdict": rationale.verdict,
        "teacher": without_address(pooled.model),
        "sample": rationale.sample,
        "finish_reason": pooled.finish_reason,
        "completion_id": rationale.completion_id,
    }


def without_address(model: str) -> str:
    """A model's name without the address of the server that was asked, which may be private."""
    kind = model.partition(":")[0]
    return model.rpartition("@")[0] or model if kind in ("openai", "vllm") else model


def trained_rows(
    store: Store, questions: TaskQuestions, what: What, data_format: str | None = None
) -> Table:
    """The kept rationales as a trainer reads them, closed by the gold answer.

    Args:
        store: Of the run.
        questions: Of its task.
        what: ``chat`` or ``prompt_completion``.
        data_format: How they are worded; ``chat`` or ``fine_tune_cot`` by default.

    Raises:
        ConfigError: The data format shows no rationale, a part of one, or worked questions, or is
            no chat where one is wanted.
        DataError: Nothing has been curated yet.
    """
    wording = _wording(what, data_format or DEFAULT_FORMATS[what])
    columns = CHAT if what == "chat" else prompt_completion(chat=wording.chat)
    kept = (each for each in store.pooled_rationales() if each.rationale.verdict == "kept")
    rows = (_trained_row(each, questions, what, wording) for each in kept)
    return Table(columns, rows, _curated(store).get("kept", 0), wording.name)


def _trained_row(
    pooled: PooledRationale, questions: TaskQuestions, what: What, wording: DataFormat
) -> Row:
    placed = questions.by_id.get(pooled.rationale.question_id)
    if placed is None:
        raise DataError(
            f"the rationale of question {pooled.rationale.question_id!r} is kept, and the task has "
            "no such question any more. Run potstill curate again."
        )
    question = placed.question
    prompt = wording.prompt(question, encoder_decoder=False)
    target = wording.target(pooled.rationale.text, question.answer, encoder_decoder=False)
    answer = [{"role": "assistant", "content": target}]
    if what == "chat":
        return {"messages": [*_turns(prompt), *answer]}
    if wording.chat:
        return {"prompt": _turns(prompt), "completion": answer}
    return {"prompt": prompt, "completion": target}


def _wording(what: What, name: str) -> DataFormat:
    """The data format, if it can be exported.

    Raises:
        ConfigError: It cannot.
    """
    whole = [each for each in FORMATS.values() if each.needs_rationale and each.role is None]
    fitting = [
        each.name for each in whole if not each.needs_exemplars and (each.chat or what != "chat")
    ]
    if format_named(name).name not in fitting:
        raise ConfigError(f"{what} cannot be worded as {name}; take one of {', '.join(fitting)}.")
    return format_named(name)


def _curated(store: Store) -> dict[str, int]:
    verdicts = store.verdicts()
    if not verdicts:
        raise DataError(
            f"{store.path.parent} has no rationales yet; run potstill curate on its recipe first."
        )
    return verdicts
