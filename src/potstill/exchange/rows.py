"""The rows of exported files: completions, rationales, and what trainers read.

``completion_rows``, ``rationale_rows`` and ``training_rows`` read a run's store one row at a time,
as do :mod:`.preference_rows` and :mod:`.soft_target_rows`; ``columns.py`` says what the columns
hold. A rationale's row begins::

    {"question_id": "q2", "question": "What is 2 + 2?", "choices": [], "gold_answer": "4",
     "task": "sums", "split": "train", "rationale": "We double it.", "answer": "4", ...}
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from potstill.errors import ConfigError, DataError
from potstill.exchange.columns import (
    COMPLETIONS,
    LOGPROBS,
    QUESTION,
    RATIONALES,
    Column,
    chat_columns,
    prompt_completion,
)
from potstill.exchange.exported_thinking import ExportedThinking
from potstill.keys import question_digest
from potstill.prompts.formats import FORMATS, DataFormat, format_named
from potstill.prompts.styles import question_text
from potstill.records import Message, Question, Split, Task, TokenLogprobs
from potstill.store import GradedQuestion, PooledCompletion, PooledRationale, Store
from potstill.store.asked_questions import asks
from potstill.text.own_space import with_own_space
from potstill.text.thinking import answer_and_thinking

Row = Mapping[str, object]

EXPORTED_STAGES = ("generate", "import")
"""The stages whose completions are exported where no other is named: training learns from these."""

ExportKind = Literal[
    "rationales", "completions", "chat", "prompt_completion", "preference", "soft_targets"
]
"""The kinds of rows; all but the first two are for trainers."""

DEFAULT_FORMATS: dict[ExportKind, str] = {
    "chat": "chat",
    "prompt_completion": "fine_tune_cot",
    "preference": "fine_tune_cot",
}
"""The data format of rows for trainers where none is named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportTable:
    """Rows to be written, with their columns."""

    columns: Sequence[Column]
    records: Iterable[Sequence[Row]]
    """The rows of each stored record: a completion has one for each question that it answers."""

    total: int
    """The number of records."""

    data_format: str = ""
    """The data format of rows for trainers; empty for others."""

    left_out: Counter[str] = field(default_factory=Counter)
    """Numbers of records without a row, by a phrase that says why; counted as rows are taken."""


# the task's questions ----------------------------------------------------------------------------


class PlacedQuestion(NamedTuple):
    """A question and the split that it is in."""

    question: Question
    split: Split


class TaskQuestions:
    """The questions of a task, by id and by text.

    Args:
        task: Its questions, of all splits.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.by_id: dict[str, PlacedQuestion] = {}
        self._by_text: defaultdict[str, list[PlacedQuestion]] = defaultdict(list)
        for split, questions in task.splits.items():
            for question in questions:
                placed = PlacedQuestion(question, split)
                self.by_id.setdefault(question.id, placed)
                texts = (_one_spaced(question.text), _one_spaced(question_text(question)))
                for text in dict.fromkeys(texts):
                    self._by_text[text].append(placed)

    @property
    def all(self) -> list[Question]:
        """The questions of all splits."""
        return [placed.question for placed in self.by_id.values()]

    def with_text(self, text: str) -> list[PlacedQuestion]:
        """The questions with this text, with or without their options; white space aside."""
        return self._by_text.get(_one_spaced(text), [])

    def answered_by(self, pooled: PooledCompletion) -> list[PlacedQuestion]:
        """The task's questions that a stored completion answers; several have the same text.

        They are those that its request was asked for, or that it was curated as answering. A
        question whose text was edited since is not asked by the request any more.
        """
        asked = [question.id for question in pooled.questions if question.task == self.task.name]
        ids = dict.fromkeys([*asked, *(graded.id for graded in pooled.verdicts)])
        request = pooled.completion.request
        return [
            placed
            for id_ in ids
            if (placed := self.by_id.get(id_)) and asks(request, placed.question)
        ]

    def verdict_on(self, pooled: PooledCompletion, placed: PlacedQuestion | None) -> str | None:
        """The verdict on a completion as the answer to one question; None where there is none.

        One by another gold answer than the question has now is none. Where ids were changed, the
        verdict on the same text stands.
        """
        verdicts = pooled.verdicts
        if placed is not None:
            verdicts = tuple(graded for graded in verdicts if self._stands(graded, placed.question))
        return next((graded.verdict for graded in verdicts), None)

    def _stands(self, graded: GradedQuestion, question: Question) -> bool:
        """Whether a verdict on a text that the completion was asked is one on this question."""
        if graded.id != question.id and graded.id in self.by_id:
            return False  # of two questions with one text, each has its own
        if not graded.digest:
            return True
        return (graded.digest, graded.gold) == (question_digest(question), question.answer)


def _one_spaced(text: str) -> str:
    return " ".join(text.split())


# completions -------------------------------------------------------------------------------------


def completion_rows(
    store: Store,
    questions: TaskQuestions,
    *,
    stages: Sequence[str] = EXPORTED_STAGES,
    logprobs: bool = False,
) -> ExportTable:
    """Every stored completion of these stages, with the question that it answers.

    One that answers several questions of the same text has a row for each.

    Args:
        store: The run's store.
        questions: The questions of its task.
        stages: The stages that asked for them.
        logprobs: Whether to add the token probabilities.
    """
    columns = (*COMPLETIONS, *LOGPROBS) if logprobs else COMPLETIONS
    pool = store.pool(stages, logprobs=logprobs)
    records = (
        [
            _completion_row(pooled, placed, questions, logprobs=logprobs)
            for placed in questions.answered_by(pooled) or (None,)
        ]
        for pooled in pool
    )
    return ExportTable(columns=columns, records=records, total=store.pool_size(stages))


def _completion_row(
    pooled: PooledCompletion,
    placed: PlacedQuestion | None,
    questions: TaskQuestions,
    *,
    logprobs: bool,
) -> Row:
    completion = pooled.completion
    request = completion.request
    plain = isinstance(request.prompt, str)
    return {
        **_question_values(placed, questions.task),
        "model": pooled.model,
        "prompt": request.prompt if plain else None,
        "messages": None if plain else chat_turns(request.prompt),
        "answer_prefix": request.answer_prefix,
        "sample": completion.sample,
        "text": completion.text,
        "thinking": completion.thinking,
        "thinking_ended": completion.thinking_ended,
        "finish_reason": completion.finish_reason,
        "error": completion.error,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "cost": completion.cost,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens": request.max_tokens,
        "thinking_tokens": request.thinking_tokens,
        "stop": list(request.stop),
        "top_logprobs": request.top_logprobs,
        "scored_ends": request.given.ends if request.given else None,
        "scored_ids": list(request.given.ids) if request.given else None,
        "scored_kept_at": request.given.kept_at if request.given else None,
        "seed": request.seed,
        "stage": pooled.stage,
        "verdict": questions.verdict_on(pooled, placed),
        "completion_id": pooled.id,
        **(logprob_values(completion.logprobs) if logprobs else {}),
    }


def _question_values(placed: PlacedQuestion | None, task: Task) -> Row:
    """The values of the columns ``QUESTION``; None in each where there is no question."""
    if placed is None:
        return {column.name: None for column in QUESTION}
    question = placed.question
    return {
        "question_id": question.id,
        "question": question.text,
        "choices": list(question.choices),
        "gold_answer": question.answer,
        "task": task.name,
        "split": placed.split,
    }


def chat_turns(prompt: str | Iterable[Message]) -> list[dict[str, str]]:
    """Chat messages as trainers and servers write them; plain text is the user's turn."""
    turns = (Message(role="user", content=prompt),) if isinstance(prompt, str) else prompt
    return [asdict(turn) for turn in turns]


def logprob_values(logprobs: TokenLogprobs | None) -> dict[str, object]:
    """Token probabilities as lists by token; tokens are named by id, or by bytes from servers."""
    if logprobs is None:
        return {column.name: None for column in LOGPROBS}
    return {
        "logprobs": list(logprobs.logprobs),
        "token_ids": None if logprobs.ids is None else list(logprobs.ids),
        "token_bytes": None if logprobs.lengths is None else _token_bytes(logprobs),
    }


def _token_bytes(logprobs: TokenLogprobs) -> list[list[bytes]]:
    """The bytes of every token and its alternatives, cut out of the one string that holds all."""
    assert logprobs.lengths is not None
    # The running sum of the (tokens, 1 + alternatives) lengths is where each token's bytes end.
    ends = np.cumsum(logprobs.lengths, dtype=np.int64).tolist()
    lengths = logprobs.lengths.ravel().tolist()
    names = [
        logprobs.token_bytes[end - length : end] for end, length in zip(ends, lengths, strict=True)
    ]
    width = logprobs.lengths.shape[1]
    return [names[start : start + width] for start in range(0, len(names), width)]


# rationales --------------------------------------------------------------------------------------


def rationale_rows(store: Store, questions: TaskQuestions) -> ExportTable:
    """Every rationale with its verdict, whether it was kept or not.

    One whose question or gold answer has changed since curation names no question.

    Raises:
        DataError: Nothing has been curated yet.
    """
    pool = store.pooled_rationales(questions.all)
    records = ([_rationale_row(pooled, questions)] for pooled in pool)
    total = sum(stored_verdicts(store).values())
    return ExportTable(columns=RATIONALES, records=records, total=total)


def _rationale_row(pooled: PooledRationale, questions: TaskQuestions) -> Row:
    rationale = pooled.rationale
    placed = questions.by_id[rationale.question_id] if pooled.question else None
    return {
        **_question_values(placed, questions.task),
        "rationale": rationale.text,
        "answer": rationale.answer,
        "verdict": rationale.verdict,
        "mark": rationale.mark,
        "teacher": without_address(pooled.model),
        "sample": rationale.sample,
        "finish_reason": pooled.finish_reason,
        "completion_id": rationale.completion_id,
    }


def without_address(model: str) -> str:
    """A model's name without the address of the server that was asked, which may be private."""
    kind = model.partition(":")[0]
    return model.rpartition("@")[0] or model if kind in ("openai", "vllm") else model


# rows for trainers -------------------------------------------------------------------------------


def training_rows(
    store: Store,
    questions: TaskQuestions,
    kind: ExportKind,
    wording: DataFormat,
    thinking: ExportedThinking,
) -> ExportTable:
    """The kept rationales as a trainer reads them, closed by the gold answer.

    Args:
        store: The run's store.
        questions: The questions of its task.
        kind: ``chat`` or ``prompt_completion``.
        wording: How they are worded; see :func:`wording_of`.
        thinking: The thinking that they are to hold.

    Raises:
        DataError: Nothing has been curated yet.
    """
    total = stored_verdicts(store).get("kept", 0)
    fields = [thinking.messages.field] if thinking.messages.field else []
    if kind == "chat":
        columns = chat_columns(*fields)
    else:
        columns = prompt_completion(*fields, chat=wording.chat)
    records = (
        [_training_row(store, pooled, kind, wording, thinking)]
        for pooled in store.pooled_rationales(questions.all)
        if pooled.rationale.verdict == "kept"
    )
    return ExportTable(columns=columns, records=records, total=total, data_format=wording.name)


def wording_of(store: Store, kind: ExportKind, data_format: str | None = None) -> DataFormat:
    """The data format that rows for trainers are worded in.

    Args:
        store: The run's store.
        kind: ``chat``, ``prompt_completion`` or ``preference``.
        data_format: Its name; by default as the run's first student of a chat learned them, else
            ``chat`` or ``fine_tune_cot``.

    Raises:
        ConfigError: The data format shows no rationale, a part of one, or worked questions, or is
            no chat where one is wanted.
    """
    return _exportable_format(kind, data_format or _trained_format(store, kind))


def _training_row(
    store: Store,
    pooled: PooledRationale,
    kind: ExportKind,
    wording: DataFormat,
    thinking: ExportedThinking,
) -> Row:
    question = question_of(pooled)
    prompt = wording.prompt(question, encoder_decoder=False)
    target = target_of(store, pooled, wording, question.answer)
    thought = thinking.of(pooled.rationale.completion_id)
    if kind != "chat" and not wording.chat:
        return {"prompt": prompt, "completion": thinking.completion(target, thought)}
    answer = [thinking.message(target, thought)]
    if kind == "chat":
        return {"messages": [*chat_turns(prompt), *answer]}
    return {"prompt": chat_turns(prompt), "completion": answer}


def question_of(pooled: PooledRationale) -> Question:
    """Returns the question of a rationale that is exported for trainers.

    Raises:
        DataError: The task has not the question any more that it was graded on.
    """
    if pooled.question is None:
        rationale = pooled.rationale
        verdict = rationale.verdict.replace("_", " ")
        raise DataError(
            f"the rationale of question {rationale.question_id!r} is there ({verdict}), and the "
            "task has no such question any more, or has changed its text or gold answer. Run "
            "potstill curate again."
        )
    return pooled.question


def target_of(store: Store, pooled: PooledRationale, wording: DataFormat, answer: str) -> str:
    """Returns a rationale in the words of a data format, closed by an answer."""
    # An older potstill curated texts with their thinking.
    reasoning, _ = answer_and_thinking(pooled.rationale.text)
    if wording.verbatim:
        for _, found in store.texts_of([pooled.rationale.completion_id]):
            reasoning = with_own_space(reasoning, found.text)
    return wording.target(reasoning, answer, encoder_decoder=False)


def _trained_format(store: Store, kind: ExportKind) -> str:
    """Returns the chat format that students were trained in, else the usual one."""
    fitting = _fitting_formats("chat")
    trained = (checkpoint.data_format for checkpoint in store.checkpoints())
    return next((name for name in trained if name in fitting), DEFAULT_FORMATS[kind])


def _exportable_format(kind: ExportKind, name: str) -> DataFormat:
    """The data format, if rows of this kind can be worded in it.

    Raises:
        ConfigError: They cannot.
    """
    fitting = _fitting_formats(kind)
    if name not in fitting:
        raise ConfigError(f"{kind} cannot be worded as {name}; take one of {', '.join(fitting)}.")
    return format_named(name)


def _fitting_formats(kind: ExportKind) -> list[str]:
    return [
        known
        for known, data_format in FORMATS.items()
        if data_format.needs_rationale
        and data_format.role is None
        and not data_format.needs_exemplars
        and (data_format.chat or kind != "chat")
    ]


def stored_verdicts(store: Store) -> dict[str, int]:
    """Returns how many rationales have each verdict.

    Raises:
        DataError: Nothing has been curated yet.
    """
    verdicts = store.verdicts()
    if not verdicts:
        raise DataError(
            f"{store.path.parent} has no rationales yet; run potstill curate on its recipe first."
        )
    return verdicts
