"""Pairs of a right and a wrong rationale of one question, as trainers of preferences read them.

A pair's prompt and answers are worded as one data format words them. The right rationale is closed
by the gold answer, the wrong one by the wrong answer that was read in it::

    {"prompt": "What is 2 + 2? ###", "chosen": " We double it. --> 4",
     "rejected": " We guess. --> 1"}

That is the form of TRL's ``DPOTrainer`` and its kin, in plain text or, for chats, in messages.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import Literal

from potstill.exchange.columns import preference_columns
from potstill.exchange.rows import (
    ExportTable,
    Row,
    TaskQuestions,
    chat_turns,
    question_of,
    stored_verdicts,
    target_of,
)
from potstill.prompts.formats import DataFormat
from potstill.records import Question
from potstill.store import PooledRationale, Store

Side = Literal["kept", "wrong_answer"]
"""The verdicts of a pair's rationales."""

OTHER_SIDE: dict[Side, Side] = {"kept": "wrong_answer", "wrong_answer": "kept"}


def preference_rows(store: Store, questions: TaskQuestions, wording: DataFormat) -> ExportTable:
    """Returns the pairs of a run, the i-th right rationale of a question with its i-th wrong one.

    Each rationale stands in one pair at most. Questions without a right or without a wrong answer
    give no pair, and are counted; so are rationales beyond the pairs of their question.

    Args:
        store: The run's store.
        questions: The questions of its task.
        wording: How the rows are worded; see :func:`potstill.exchange.rows.wording_of`.

    Raises:
        DataError: Nothing has been curated yet.
    """
    verdicts = stored_verdicts(store)
    pairing = _Pairing(store, questions, wording)
    return ExportTable(
        columns=preference_columns(chat=wording.chat),
        records=pairing.records(),
        total=verdicts.get("kept", 0) + verdicts.get("wrong_answer", 0),
        data_format=wording.name,
        left_out=pairing.left_out,
    )


class _Pairing:
    """Pairs rationales as they come; only those that wait for the other side are held."""

    def __init__(self, store: Store, questions: TaskQuestions, wording: DataFormat) -> None:
        self._store, self._questions, self._wording = store, questions, wording
        self._waiting: defaultdict[tuple[str, Side], deque[str]] = defaultdict(deque)
        self._paired: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()

    def records(self) -> Iterator[Sequence[Row]]:
        """Yields for each right or wrong rationale the pair that it completes, if any."""
        for pooled in self._store.pooled_rationales(self._questions.all):
            verdict = pooled.rationale.verdict
            if verdict == "kept" or verdict == "wrong_answer":
                side: Side = "kept" if verdict == "kept" else "wrong_answer"
                yield self._taken(pooled, question_of(pooled), side)
        self._count_left_out()

    def _taken(self, pooled: PooledRationale, question: Question, side: Side) -> Sequence[Row]:
        answer = question.answer if side == "kept" else pooled.rationale.answer
        if answer is None:  # an older potstill told no wrong answer from none
            self.left_out["wrong rationales that state no answer"] += 1
            return ()
        text = target_of(self._store, pooled, self._wording, answer)
        others = self._waiting[question.id, OTHER_SIDE[side]]
        if not others:
            self._waiting[question.id, side].append(text)
            return ()
        self._paired[question.id] += 1
        other = others.popleft()
        return (self._row(question, *((text, other) if side == "kept" else (other, text))),)

    def _row(self, question: Question, chosen: str, rejected: str) -> Row:
        prompt = self._wording.prompt(question, encoder_decoder=False)
        if not self._wording.chat:
            return {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        return {
            "prompt": chat_turns(prompt),
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
        }

    def _count_left_out(self) -> None:
        for (question_id, side), texts in self._waiting.items():
            if not texts:
                continue
            words = "right" if side == "kept" else "wrong"
            if self._paired[question_id]:
                self.left_out[f"{words} rationales beyond the pairs of their question"] += len(
                    texts
                )
            else:
                lacking = "wrong" if side == "kept" else "right"
                self.left_out[f"questions without a {lacking} answer"] += 1
