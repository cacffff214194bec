"""The columns of exported files: what each holds, and the type that Parquet keeps it as."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

ColumnKind = Literal[
    "text", "truth", "whole number", "number", "texts", "messages", "whole numbers",
    "numbers by token", "whole numbers by token", "bytes by token",
]  # fmt: skip
"""The kind of a column's values. By token: a list for each token, of completions the chosen one
first, then the likeliest ones."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an exported file."""

    name: str
    kind: ColumnKind
    meaning: str
    fields: tuple[str, ...] = ("role", "content")
    """The fields of each message, in a column of messages."""


QUESTION = (
    Column("question_id", "text", "The question's id; empty where it is no question of the task"),
    Column("question", "text", "The question's text"),
    Column("choices", "texts", "The texts of options A, B, C ... of a choice task"),
    Column("gold_answer", "text", "The right answer; for a choice task the letter of its option"),
    Column("task", "text", "The task's name"),
    Column("split", "text", "train, dev or test"),
)

RATIONALES = (
    *QUESTION,
    Column("rationale", "text", "The reasoning, without the closing statement of the answer"),
    Column("answer", "text", "The answer as the grader read it; empty where it found none"),
    Column("verdict", "text", "kept, or the reason for being dropped"),
    Column("mark", "truth", "Whether people found it sound; empty where nobody has marked it"),
    Column("teacher", "text", "The model that wrote it"),
    Column("sample", "whole number", "Which of the question's samples it is, counted from 0"),
    Column(
        "finish_reason", "text", "stop, length (a cut), content_filter, or the server's own word"
    ),
    Column("completion_id", "whole number", "The completion's row in the run's store"),
)

COMPLETIONS = (
    *QUESTION,
    Column("model", "text", "The name that the completion is stored under"),
    Column("prompt", "text", "The text that was continued; empty where a chat was sent"),
    Column("messages", "messages", "The turns of the chat that was sent; empty for plain text"),
    Column("answer_prefix", "text", "What the answer had to begin with; it is not repeated"),
    Column("sample", "whole number", "Which sample of the request it is, counted from 0"),
    Column("text", "text", "What the model wrote"),
    Column("thinking", "text", "Its thinking, where the server keeps it apart"),
    Column("thinking_ended", "truth", "Whether its thinking was ended at thinking_tokens"),
    Column(
        "finish_reason",
        "text",
        "stop, length (a cut), content_filter, error, or the server's own word",
    ),
    Column("error", "text", "Why there is no answer, where finish_reason is error"),
    Column("prompt_tokens", "whole number", "Tokens of the prompt, as the model counts them"),
    Column("completion_tokens", "whole number", "Tokens written, thinking included"),
    Column("cost", "number", "US dollars; the most that it can be where a token count is 0"),
    Column("temperature", "number", "Softmax temperature; 0 is greedy"),
    Column("top_p", "number", "Nucleus mass sampled from; 1 keeps every token"),
    Column("max_tokens", "whole number", "Longest completion"),
    Column("thinking_tokens", "whole number", "Most tokens of thinking; empty for no such limit"),
    Column("stop", "texts", "Strings that end the completion"),
    Column("top_logprobs", "whole number", "How many likeliest tokens were asked for"),
    Column("scored_ends", "truth", "Whether a scored text ends its answer; empty if written"),
    Column("scored_ids", "whole numbers", "The tokens in which a scored text was written"),
    Column("scored_kept_at", "text", "What chose the tokens whose likeliest ones are stored"),
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


SOFT_TARGETS = (
    Column("question_id", "text", "The question's id"),
    Column("input_ids", "whole numbers", "The student's tokens of prompt and target"),
    Column("attention_mask", "whole numbers", "1 for each token"),
    Column("labels", "whole numbers", "The same tokens; -100 at the prompt's, which have no loss"),
    Column("target_token_ids", "whole numbers by token", "Candidates for the token after this one"),
    Column(
        "target_logprobs",
        "numbers by token",
        "Natural logs of the teacher's probabilities of these; -1e9 where there is no candidate",
    ),
    Column("target_mask", "whole numbers by token", "1 where there is a candidate, else 0"),
)


def chat_columns(*fields: str) -> tuple[Column, ...]:
    """The column of chats as trainers read them.

    Args:
        fields: Fields of messages beside role and content.
    """
    meaning = "The user's turn and the assistant's"
    return (Column("messages", "messages", meaning, ("role", "content", *fields)),)


def prompt_completion(*fields: str, chat: bool) -> tuple[Column, ...]:
    """The columns of what trainers call prompt-completion data.

    Args:
        fields: Fields of messages beside role and content.
        chat: Whether both are turns of a chat in place of plain text.
    """
    kind: ColumnKind = "messages" if chat else "text"
    names = ("role", "content", *fields)
    return (
        Column("prompt", kind, "What the student is asked", names),
        Column("completion", kind, "What it learns to answer", names),
    )


def preference_columns(*, chat: bool) -> tuple[Column, ...]:
    """The columns of pairs of a right and a wrong answer.

    Args:
        chat: Whether all three are turns of a chat in place of plain text.
    """
    kind: ColumnKind = "messages" if chat else "text"
    return (
        Column("prompt", kind, "What the student is asked"),
        Column("chosen", kind, "A kept rationale, closed by the gold answer"),
        Column("rejected", kind, "A rationale of the same question, closed by its wrong answer"),
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
        "truth": pa.bool_(),
        "whole number": pa.int64(),
        "number": pa.float64(),
        "texts": pa.list_(pa.string()),
        "whole numbers": pa.list_(pa.int32()),
        **{kind: pa.list_(pa.list_(value)) for kind, value in by_token.items()},
    }

    def type_of(column: Column) -> Any:
        if column.kind == "messages":
            return pa.list_(pa.struct([(field, pa.string()) for field in column.fields]))
        return types[column.kind]

    return pa.schema([(column.name, type_of(column)) for column in columns])
