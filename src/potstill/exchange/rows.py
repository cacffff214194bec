"""What is in a run's store, row by row: completions, rationales, and what trainers read.

The columns of exported files: what each holds, and as which type Parquet keeps it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from potstill.errors import ConfigError, DataError
from potstill.exchange.questions import Placed, TaskQuestions
from potstill.prompts.formats import FORMATS, DataFormat, format_named
from potstill.records import Message, TokenLogprobs
from potstill.store import PooledCompletion, PooledRationale, Store

Row = Mapping[str, object]


STAGES = ("generate", "import")
"""The stages whose completions are exported where no other is named: what training learns from."""


What = Literal["rationales", "completions", "chat", "prompt_completion"]
"""What is exported."""


DEFAULT_FORMATS: dict[What, str] = {"chat": "chat", "prompt_completion": "fine_tune_cot"}
"""How kept rationales are worded where no data format is named."""


Kind = Literal[
    "text", "whole number", "number", "texts", "messages", "numbers by token",
    "whole numbers by token", "bytes by token",
]  # fmt: skip
"""What a value is. By token: a list for each token, the chosen one first, then the likeliest."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an exported file."""

    name: str
    kind: Kind
    meaning: str


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


_QUESTION = (
    Column("question_id", "text", "The question's id; empty where it is no question of the task"),
    Column("question", "text", "The question's text"),
    Column("choices", "texts", "The texts of options A, B, C ... of a choice task"),
    Column("gold_answer", "text", "The right answer; for a choice task the letter of its option"),
    Column("task", "text", "The task's name"),
    Column("split", "text", "train, dev or test"),
)


RATIONALES = (
    *_QUESTION,
    Column("rationale", "text", "The reasoning, without the closing statement of the answer"),
    Column("answer", "text", "The answer as the grader read it; empty where it found none"),
    Column("verdict", "text", "kept, or the reason for being dropped"),
    Column("teacher", "text", "The model that wrote it"),
    Column("sample", "whole number", "Which of the question's samples it is, counted from 0"),
    Column("finish_reason", "text", "stop, length (cut at max_tokens) or content_filter"),
    Column("completion_id", "whole number", "The completion's row in the run's store"),
)


COMPLETIONS = (
    *_QUESTION,
    Column("model", "text", "The name that the completion is stored under"),
    Column("prompt", "text", "The text that was continued; empty where a chat was sent"),
    Column("messages", "messages", "The turns of the chat that was sent; empty for plain text"),
    Column("answer_prefix", "text", "What the answer had to begin with; it is not repeated"),
    Column("sample", "whole number", "Which sample of the request it is, counted from 0"),
    Column("text", "text", "What the model wrote"),
    Column("thinking", "text", "Its thinking, where the server keeps it apart"),
    Column("finish_reason", "text", "stop, length (cut at max_tokens), content_filter or error"),
    Column("error", "text", "Why there is no answer, where finish_reason is error"),
    Column("prompt_tokens", "whole number", "Tokens of the prompt, as the model counts them"),
    Column("completion_tokens", "whole number", "Tokens written, thinking included"),
    Column("cost", "number", "US dollars"),
    Column("temperature", "number", "Softmax temperature; 0 is greedy"),
    Column("top_p", "number", "Nucleus mass sampled from; 1 keeps every token"),
    Column("max_tokens", "whole number", "Longest completion"),
    Column("stop", "texts", "Strings that end the completion"),
    Column("top_logprobs", "whole number", "How many likeliest tokens were asked for"),
    Column("seed", "whole number", "Seeds the draws, together with the sample"),
    Column("stage", "text", "What asked for it: generate, or import where it came from a file"),
    Column("verdict", "text", "kept, or the reason for being dropped; empty before curation"),
    Column("completion_id", "whole number", "Its row in the run's store"),
)


LOGPROBS = (
    Column("logprobs", "numbers by token", "Natural logs of probabilities; none stands for zero"),
    Column("token_ids", "whole numbers by token", "Ids in the model's vocabulary; -1 is no token"),
    Column("token_bytes", "bytes by token", "The tokens' bytes, from servers; Base64 in JSON"),
)


CHAT = (Column("messages", "messages", "The user's turn and the assistant's"),)


def prompt_completion(*, chat: bool) -> tuple[Column, ...]:
    """The columns of what trainers call prompt-completion data.

    Args:
        chat: Whether both are turns of a chat in place of plain text.
    """
    kind: Kind = "messages" if chat else "text"
    return (
        Column("prompt", kind, "What the student is asked"),
        Column("completion", kind, "What it learns to answer"),
    )


def arrow_schema(columns: Sequence[Column]) -> Any:
    """The Parquet schema of these columns, as ``pyarrow.Schema``."""
    import pyarrow as pa

    by_token = {
        "numbers by token": pa.float32(),
        "whole numbers by token": pa.int32(),
        "bytes by token": pa.binary(),
    }
    types = {
        "text": pa.string(),
        "whole number": pa.int64(),
        "number": pa.float64(),
        "texts": pa.list_(pa.string()),
        "messages": pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
        **{kind: pa.list_(pa.list_(value)) for kind, value in by_token.items()},
    }
    return pa.schema([(column.name, types[column.kind]) for column in columns])
