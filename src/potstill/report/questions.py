"""The questions of a run with all that was answered to them, as data for the page's browser."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from potstill.records import Prediction, Question, Rationale, Split
from potstill.report.accuracy import Results
from potstill.report.text import label
from potstill.store.asked_questions import answers_question

MOST_QUESTIONS = 2_000
"""Questions put into the page, so that it opens at once."""

MOST_RATIONALES = 8
"""Rationales shown for each question."""

MOST_CHARACTERS = 3_000
"""Characters shown of each text of a model."""


def browser_data(results: Results) -> dict[str, object]:
    """Returns test questions with every system's answer, training questions with rationales.

    Where a run has more than :data:`MOST_QUESTIONS`, each set of questions gets a fair share.
    """
    sets = list(_sets(results))
    shares = fair_shares([len(questions) for _, _, questions in sets], MOST_QUESTIONS)
    rows = _Rows(results)
    comparison = results.main_comparison
    return {
        "labels": {system.label: label(system) for system in results.systems},
        "pair": [comparison.first.label, comparison.second.label] if comparison else None,
        "sets": [
            {
                "task": task,
                "split": split,
                "total": len(questions),
                "rows": [rows.row(task, split, question) for question in questions[:share]],
            }
            for (task, split, questions), share in zip(sets, shares, strict=True)
        ],
    }


def fair_shares(sizes: Sequence[int], most: int) -> list[int]:
    """Divide a limit among sets: what a small one leaves over goes to the larger ones."""
    shares, left = [0] * len(sizes), most
    ascending = sorted(range(len(sizes)), key=lambda number: sizes[number])
    for place, number in enumerate(ascending):
        shares[number] = min(sizes[number], left // (len(sizes) - place))
        left -= shares[number]
    return shares


def _sets(results: Results) -> Iterator[tuple[str, Split, Sequence[Question]]]:
    """Yields the leading task's test and training questions, then the others' test questions."""
    for task in results.tasks:
        if any(prediction.task == task.name for prediction in results.predictions):
            yield task.name, "test", task.splits["test"]
        if task is results.leading and results.rationales:
            yield task.name, "train", task.splits["train"]


class _Rows:
    """Finds the answers and rationales that belong to a question."""

    def __init__(self, results: Results) -> None:
        self._answers: dict[tuple[str, str], list[Prediction]] = defaultdict(list)
        self._rationales: dict[str, list[Rationale]] = defaultdict(list)
        systems = set(results.systems)
        for prediction in results.predictions:
            if prediction.system.as_shown in systems:
                self._answers[prediction.task, prediction.question_id].append(prediction)
        for rationale in results.rationales:
            self._rationales[rationale.question_id].append(rationale)
        self._several = len({rationale.teacher for rationale in results.rationales}) > 1

    def row(self, task: str, split: Split, question: Question) -> dict[str, object]:
        """Returns one question; names are short words because the page repeats them often."""
        answers = self._answers.get((task, question.id), []) if split == "test" else []
        answers = [answer for answer in answers if answers_question(answer, question)]
        rationales = self._rationales.get(question.id, []) if split == "train" else []
        return {
            "id": question.id,
            "text": question.text,
            "choices": question.choices,
            "gold": question.answer,
            "template": question.template_id,
            "answers": [
                {
                    "system": prediction.system.label,
                    "right": prediction.correct,
                    "answer": prediction.answer,
                    "cut": prediction.finish_reason == "length",
                    "text": clipped(prediction.text),
                }
                for prediction in answers
            ],
            "rationales": [
                {
                    "verdict": rationale.verdict,
                    "answer": rationale.answer,
                    "text": clipped(rationale.text),
                    "teacher": rationale.teacher if self._several else "",
                }
                for rationale in rationales[:MOST_RATIONALES]
            ],
            "verdicts": list(dict.fromkeys(rationale.verdict for rationale in rationales)),
            "more": max(len(rationales) - MOST_RATIONALES, 0),
        }


def clipped(text: str, most: int = MOST_CHARACTERS) -> str:
    """Returns the beginning of a text, and how much of it is left out."""
    if len(text) <= most:
        return text
    return f"{text[:most]} … [{len(text) - most:,} more characters]"
