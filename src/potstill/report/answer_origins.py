"""The stored completion behind each test answer: its prompt, thinking and probabilities.

Predictions keep the text alone, and two systems may write the same one. A system asks all of its
questions in one way, so the way is found first: the one in which most of its texts came. An answer
whose completion cannot be told for certain has none.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from functools import lru_cache

import numpy as np

from potstill.records import Prediction, Question, Request, System, TokenLogprobs
from potstill.store import AnsweredRequest, Store

SAMPLED = 60
"""Answers of a system on a task from which the way of asking is read."""

ANSWER_BEGUN = "answer begun"
"""The role of words that a model was given as the beginning of its answer."""

Way = Hashable
"""All that a request has beside its question."""


class AnswerOrigins:
    """Finds the completions behind test answers.

    Args:
        store: The run's store.
        predictions: All test answers of the run.
        questions: The test questions, by task and id.
    """

    def __init__(
        self,
        store: Store,
        predictions: Iterable[Prediction],
        questions: dict[tuple[str, str], Question],
    ) -> None:
        self._store, self._questions = store, questions
        self._sample: dict[tuple[System, str], list[Prediction]] = defaultdict(list)
        self._ways: dict[tuple[System, str], Way | None] = {}
        for prediction in predictions:
            sample = self._sample[prediction.system, prediction.task]
            if len(sample) < SAMPLED:
                sample.append(prediction)
        self._asked = lru_cache(maxsize=SAMPLED * 2)(self._asked_about)

    def origin(self, prediction: Prediction) -> AnsweredRequest | None:
        """Returns what was sent for an answer, and what came; None where that is not certain."""
        found = self._candidates(prediction)
        way = self._way(prediction.system, prediction.task)
        of_way = [sent for sent, sent_in in found if sent_in == way]
        if of_way:
            return of_way[0]
        alike = {repr((sent.request.prompt, sent.model)) for sent, _ in found}
        return found[0][0] if len(alike) == 1 else None

    def _way(self, system: System, task: str) -> Way | None:
        """Returns the way of asking in which most of a system's texts came."""
        key = (system, task)
        if key not in self._ways:
            votes = Counter[Way]()
            for prediction in self._sample[key]:
                votes.update({way for _, way in self._candidates(prediction)})
            self._ways[key] = votes.most_common(1)[0][0] if votes else None
        return self._ways[key]

    def _candidates(self, prediction: Prediction) -> list[tuple[AnsweredRequest, Way]]:
        """Returns the completions that the answer's text begins with, the longest ones."""
        asked = self._asked(prediction.task, prediction.question_id)
        fitting = [
            (sent, way)
            for sent, way in asked
            if prediction.text == sent.text or (sent.text and prediction.text.startswith(sent.text))
        ]
        longest = max((len(sent.text) for sent, _ in fitting), default=0)
        return [(sent, way) for sent, way in fitting if len(sent.text) == longest]

    def _asked_about(self, task: str, question_id: str) -> Sequence[tuple[AnsweredRequest, Way]]:
        question = self._questions.get((task, question_id))
        if question is None:
            return []
        sent = self._store.sent_about(task, question_id, stage="evaluate")
        return [(one, way_of(one.model, one.request, question)) for one in sent]


def way_of(model: str, request: Request, question: Question) -> Way:
    """Returns what a request has beside the words of its question: equal for all of a system's."""
    texts = [text for _, text in texts_of_prompt(request)]
    for words in (question.text, *question.choices):
        texts = [text.replace(words, "\0") if words else text for text in texts]
    return (model, *texts, request.temperature, request.top_p, request.stop)


def texts_of_prompt(request: Request) -> list[tuple[str, str]]:
    """Returns the turns of a request's prompt, each behind its role; a plain text has none."""
    if isinstance(request.prompt, str):
        turns = [("", request.prompt)]
    else:
        turns = [(turn.role, turn.content) for turn in request.prompt]
    return [*turns, (ANSWER_BEGUN, request.answer_prefix)] if request.answer_prefix else turns


def token_shades(record: TokenLogprobs, text: str) -> list[tuple[int, int]]:
    """Returns how sure a model was of each token of a text: characters, and percent.

    Empty where the tokens are named by ids alone, or do not spell the text.

    Args:
        record: The probabilities of all that the model wrote, which may be more than the text.
        text: The text as the model wrote it.
    """
    if record.lengths is None or not len(record.lengths):
        return []
    ends = record.lengths.cumsum(dtype=np.int64).reshape(record.lengths.shape)
    starts = (ends - record.lengths)[:, 0].tolist()
    tokens = [
        record.token_bytes[start:end]
        for start, end in zip(starts, ends[:, 0].tolist(), strict=True)
    ]
    written, sought = b"".join(tokens), text.encode(errors="replace")
    begin = written.rfind(sought)
    if not sought or begin < 0:
        return []
    shades, place = list[tuple[int, int]](), 0
    chosen = np.exp(np.nan_to_num(record.logprobs[:, 0], nan=0.0, neginf=-100.0))
    for token, probability in zip(tokens, chosen.tolist(), strict=True):
        first, last = max(place, begin), min(place + len(token), begin + len(sought))
        part = written[first:last] if first < last else b""
        characters = sum(byte & 0xC0 != 0x80 for byte in part)  # those that begin in it
        if characters:
            shades.append((characters, round(100 * min(probability, 1.0))))
        place += len(token)
    return shades
