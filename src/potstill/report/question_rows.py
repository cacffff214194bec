"""One question of the browser: what is listed of it, and all that was answered to it.

What is listed is enough to filter and to sort by; texts, prompts and token probabilities come with
the whole row. Keys are short words, because a page repeats them often.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from potstill.records import GuidedPrediction, Prediction, Question, Rationale, Split
from potstill.report.accuracy import Results
from potstill.report.answer_origins import AnswerOrigins, texts_of_prompt, token_shades
from potstill.report.clipped_text import MOST_CHARACTERS, clipped
from potstill.report.first_difference import FirstDifference, first_difference
from potstill.report.guidance import pieces
from potstill.report.places import PlacesByKey
from potstill.sampling.answer_confidence import STAGE as CONFIDENCE
from potstill.sampling.answer_confidence import confidence
from potstill.store import AnsweredRequest, Store
from potstill.store.asked_questions import answers_question
from potstill.store.stored_rows import records_at
from potstill.tasks import grade

MOST_RATIONALES = 8
"""Rationales shown for each question."""

MOST_NAMED = 300
"""Characters shown of what is mostly a word: an answer, an id, a template."""

GUIDED = "guided:"
"""Begins the name of a policy of guidance where it stands among systems, none of whose names may
have a colon."""

TEACHER = "teacher"
"""Who wrote the rationales of a run with one teacher."""

Row = dict[str, object]


class AnsweredLine(NamedTuple):
    """One answer to a question, without its text."""

    system: str
    answer: str | None
    verdict: str
    """``right`` or ``wrong``; of a rationale, its own."""

    finish: str
    tokens: int


class QuestionRows:
    """Finds the answers and rationales that belong to a question.

    Args:
        results: The run's results.
        store: The store with prompts, thinking and probabilities; None: they are left out.
    """

    def __init__(self, results: Results, store: Store | None = None) -> None:
        self._store = store
        self._guided: dict[tuple[str, str], list[GuidedPrediction]] = defaultdict(list)
        systems = set(results.systems)
        self._predictions, self._rationales = results.predictions, results.rationales
        self._answers = PlacesByKey(
            (answer.task, answer.question_id) if answer.system.as_shown in systems else None
            for answer in results.predictions
        )
        self._written = PlacesByKey(one.question_id for one in results.rationales)
        for guided in results.guided_predictions:
            if guided.split == "test" and guided.policy.kind == "policy":
                self._guided[guided.task, guided.question_id].append(guided)
        self._several = len(results.rationale_counts.teachers) > 1
        self._tasks = {task.name: task for task in results.tasks}
        questions = {
            (task.name, question.id): question
            for task in results.tasks
            for question in task.splits["test"]
        }
        self._origins = AnswerOrigins(store, results.predictions, questions) if store else None
        self._is_scored = store is not None and store.has_completions_of(CONFIDENCE)
        self._graded = lru_cache(maxsize=1)(self._span)
        self._belonging = lru_cache(maxsize=1)(self._read)
        self.pairs = {task.name: pair_of(results, task.name) for task in results.tasks}
        """The labels of the start and of the student that the page is about, by task."""

    def listed(self, task: str, split: Split, question: Question) -> Row:
        """Returns the listed fields of a question, and those that filters look at."""
        answers, guided, rationales = self._belonging(task, split, question)
        listed: list[Row] = [_listed_answer(answer) for answer in answers]
        listed += [_listed_guided(answer) for answer in guided]
        verdicts = list(dict.fromkeys(rationale.verdict for rationale in rationales))
        tokens = [answer.completion_tokens for answer in answers]
        tokens += [answer.student_tokens + answer.teacher_tokens for answer in guided]
        return {
            "id": question.id,
            "text": clipped(question.text, most=MOST_CHARACTERS),
            "gold": clipped(question.answer, most=MOST_NAMED),
            "template": _named(question.template_id),
            "answers": listed,
            "verdicts": verdicts,
            "kept": sum(rationale.verdict == "kept" for rationale in rationales),
            "rationales": len(rationales),
            "length": max((*tokens, *(len(one.text) for one in rationales)), default=0),
            "split_by": _disagreement(listed, rationales, self.pairs.get(task)),
        }

    def whole(self, task: str, split: Split, question: Question) -> Row:
        """Returns a question with all that was answered to it."""
        answers, guided, rationales = self._belonging(task, split, question)
        prompts = _Prompts()
        shown: list[Row] = [self._answer(answer, question, prompts) for answer in answers]
        shown += [_guided_answer(answer) for answer in guided]
        told = rationales[:MOST_RATIONALES]
        parted = _parted(shown, self.pairs.get(task), question)
        sent = self._store.sent(one.completion_id for one in told) if self._store else {}
        return {
            **self.listed(task, split, question),
            "choices": [clipped(choice, most=MOST_CHARACTERS) for choice in question.choices],
            "answers": shown,
            "written": [
                self._rationale(one, task, question, sent.get(one.completion_id), prompts)
                for one in told
            ],
            "more": len(rationales) - len(told),
            "prompts": prompts.listed,
            "differs": parted.spans if parted else {},
            "differs_by": parted.by if parted else None,
        }

    def answered(self, task: str, split: Split, question: Question) -> list[AnsweredLine]:
        """Returns every answer to a question, or every rationale of a training question."""
        answers, guided, rationales = self._belonging(task, split, question)
        lines = [
            AnsweredLine(
                one.system.label,
                one.answer,
                "right" if one.correct else "wrong",
                one.finish_reason,
                one.completion_tokens,
            )
            for one in answers
        ]
        lines += [
            AnsweredLine(
                GUIDED + one.policy.label,
                one.answer,
                "right" if one.correct else "wrong",
                "",
                one.student_tokens + one.teacher_tokens,
            )
            for one in guided
        ]
        ids = [one.completion_id for one in rationales]
        sent = self._store.sent(ids) if self._store and ids else {}
        for one in rationales:
            known = sent.get(one.completion_id)
            name = one.teacher if self._several else TEACHER
            lines.append(
                AnsweredLine(
                    name,
                    one.answer,
                    one.verdict,
                    known.finish_reason if known else "",
                    known.completion_tokens if known else 0,
                )
            )
        return lines

    def words(self, task: str, split: Split, question: Question) -> str:
        """Returns all texts of a question and of what was answered to it, in small letters."""
        answers, guided, rationales = self._belonging(task, split, question)
        texts = [question.id, question.text, question.answer, question.template_id or ""]
        texts += [*question.choices, *(answer.text for answer in answers)]
        texts += [answer.text for answer in guided]
        texts += [rationale.text for rationale in rationales]
        return "\n".join(texts).lower()

    def _read(
        self, task: str, split: Split, question: Question
    ) -> tuple[list[Prediction], list[GuidedPrediction], list[Rationale]]:
        """Returns the answers, guided answers and rationales of a question."""
        if split == "train":
            return [], [], records_at(self._rationales, self._written.of(question.id))
        key = (task, question.id)
        answers = records_at(self._predictions, self._answers.of(key))
        guided = self._guided.get(key, [])
        return (
            [answer for answer in answers if answers_question(answer, question)],
            [answer for answer in guided if answers_question(answer, question)],
            [],
        )

    def _span(self, text: str, task: str, question: Question) -> tuple[int, int] | None:
        return grade(self._tasks[task], text, question).span

    def _clipped(self, text: str, task: str, question: Question) -> str:
        """Returns what is shown of a text; only a long one is graded again for its answer."""
        if len(text) <= MOST_CHARACTERS:
            return text
        return clipped(text, self._graded(text, task, question))

    def _answer(self, answer: Prediction, question: Question, prompts: "_Prompts") -> Row:
        origin = self._origins.origin(answer) if self._origins else None
        return {
            **_listed_answer(answer),
            "text": self._clipped(answer.text, answer.task, question),
            "tokens": answer.completion_tokens,
            **self._sent(origin, answer.text, prompts),
        }

    def _rationale(
        self,
        rationale: Rationale,
        task: str,
        question: Question,
        sent: AnsweredRequest | None,
        prompts: "_Prompts",
    ) -> Row:
        return {
            "verdict": rationale.verdict,
            "answer": _named(rationale.answer),
            "text": self._clipped(rationale.text, task, question),
            "teacher": rationale.teacher if self._several else "",
            "finish": sent.finish_reason if sent else "",
            "tokens": sent.completion_tokens if sent else 0,
            **self._sent(sent, rationale.text, prompts),
        }

    def _sent(self, sent: AnsweredRequest | None, text: str, prompts: "_Prompts") -> Row:
        """Returns what is known of a completion beside its text; nothing where it is not known."""
        if sent is None or self._store is None:
            return {}
        known: Row = {"prompt": prompts.place(sent)}
        if sent.thinking:
            known["thinking"] = clipped(sent.thinking, most=MOST_CHARACTERS)
        record = confidence(self._store, sent) if self._is_scored or _has_own(sent) else None
        if record is not None and len(record.logprobs):
            mean = float(np.exp(np.nan_to_num(record.logprobs[:, 0], neginf=-100.0)).mean())
            known["sure"] = round(100 * mean)
            is_whole = len(text) <= MOST_CHARACTERS
            shades = token_shades(record, common_text(sent.text, text)) if is_whole else []
            if shades:
                known["shades"] = shades
        return known


def _has_own(sent: AnsweredRequest) -> bool:
    """Whether probabilities were asked for with the answer itself."""
    return bool(sent.request.top_logprobs) or sent.request.given is not None


class _Prompts:
    """The distinct prompts of one question; answers name theirs by its place."""

    def __init__(self) -> None:
        self.listed: list[list[tuple[str, str]]] = []

    def place(self, sent: AnsweredRequest) -> int:
        turns = [
            (role, clipped(text, most=MOST_CHARACTERS))
            for role, text in texts_of_prompt(sent.request)
        ]
        if turns not in self.listed:
            self.listed.append(turns)
        return self.listed.index(turns)


def pair_of(results: Results, task: str) -> tuple[str, str] | None:
    """Returns the labels of the start, asked as it does best on a task, and of its student."""
    known = results.against_start.get(task)
    if known is not None:
        return known.comparison.second.as_shown.label, known.comparison.first.as_shown.label
    if results.chosen is None:
        return None
    return results.start_of(results.chosen).label, results.chosen.label


def _disagreement(
    answers: Sequence[Row], rationales: Sequence[Rationale], pair: tuple[str, str] | None
) -> int:
    """Returns the rarer verdict's count; a difference of start and student counts most."""
    verdicts = [bool(answer["right"]) for answer in answers]
    verdicts += [rationale.verdict == "kept" for rationale in rationales]
    minority = min(verdicts.count(True), verdicts.count(False))
    right = {answer["system"]: answer["right"] for answer in answers}
    differ = pair is not None and {right.get(label) for label in pair} == {True, False}
    return minority + (1_000_000 if differ else 0)


def common_text(written: str, shown: str) -> str:
    """Returns the text that was written as far as it begins the one that is shown."""
    return written if shown.startswith(written) else shown if written.startswith(shown) else ""


def _named(answer: str | None) -> str | None:
    return None if answer is None else clipped(answer, most=MOST_NAMED)


def _listed_answer(answer: Prediction) -> Row:
    return {
        "system": answer.system.label,
        "right": answer.correct,
        "answer": _named(answer.answer),
        "finish": answer.finish_reason,
    }


def _listed_guided(answer: GuidedPrediction) -> Row:
    return {
        "system": GUIDED + answer.policy.label,
        "right": answer.correct,
        "answer": _named(answer.answer),
        "finish": "",
    }


def _guided_answer(answer: GuidedPrediction) -> Row:
    """Returns an answer in which the teacher's words are marked, by their places in the text."""
    spans, place = list[tuple[int, int]](), 0
    text = clipped(answer.text)
    for piece in pieces(text, answer.guidance):
        if piece.guided:
            spans.append((place, place + len(piece.text)))
        place += len(piece.text)
    row: Row = {
        **_listed_guided(answer),
        "text": text,
        "tokens": answer.student_tokens + answer.teacher_tokens,
        "teacher_tokens": answer.teacher_tokens,
        "leaked": answer.leaked,
        "guided": spans,
    }
    if answer.guidance and not spans:
        row["guidance"] = clipped(answer.guidance)
    return row


def _parted(
    answers: Iterable[Row], pair: tuple[str, str] | None, question: Question
) -> FirstDifference | None:
    """Returns the steps in which teacher and student first differ; None where one has no answer."""
    texts = {str(answer["system"]): str(answer["text"]) for answer in answers}
    names = ("teacher", pair[1] if pair else "")
    if not all(name in texts for name in names) or names[0] == names[1]:
        return None
    asked = "\n".join([question.text, *question.choices])
    return first_difference({name: texts[name] for name in names}, asked)
