"""The questions of a run with all that was answered to them, as data for the page's browser."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from potstill.records import Prediction, Question, Rationale, Split
from potstill.report.accuracy import Results
from potstill.report.text import label

MOST_QUESTIONS = 2_000
"""Questions put into the page, so that it opens at once."""

MOST_RATIONALES = 8
"""Rationales shown for each question."""

MOST_CHARACTERS = 3_000
"""Characters shown of each text of a model."""


def browser_data(results: Results) -> dict[str, object]:
    """Test questions with every system's answer, training questions with the rationales.

    Where a run has more than :data:`MOST_QUESTIONS`, each set of questions gets a fair share.
    """
    sets = list(_sets(results))
    shares = fair_shares([len(questions) for _, _, questions in sets], MOST_QUESTIONS)
    rows = _Rows(results)
    comparison = results.main_comparison
    return {
        "labels": {system: label(results, system) for system in results.systems},
        "pair": [comparison.first, comparison.second] if comparison else None,
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
    """The leading task's test and training questions, then the other tasks' test questions."""
    for task in results.tasks:
        if any(each.task == task.name for each in results.predictions):
            yield task.name, "test", task.splits["test"]
        if task is results.leading and results.rationales:
            yield task.name, "train", task.splits["train"]


class _Rows:
    """Finds what belongs to a question."""

    def __init__(self, results: Results) -> None:
        self._answers: dict[tuple[str, str], list[Prediction]] = defaultdict(list)
        self._rationales: dict[str, list[Rationale]] = defaultdict(list)
        systems = set(results.systems)
        for prediction in results.predictions:
            if prediction.system in systems:
                self._answers[prediction.task, prediction.question_id].append(prediction)
        for rationale in results.rationales:
            self._rationales[rationale.question_id].append(rationale)
        self._several = len({rationale.teacher for rationale in results.rationales}) > 1

    def row(self, task: str, split: Split, question: Question) -> dict[str, object]:
        """One question; the names are short words because the page repeats them often."""
        answers = self._answers.get((task, question.id), []) if split == "test" else []
        rationales = self._rationales.get(question.id, []) if split == "train" else []
        return {
            "id": question.id,
            "text": question.text,
            "choices": question.choices,
            "gold": question.answer,
            "template": question.template_id,
            "answers": [
                {
                    "system": each.system,
                    "right": each.correct,
                    "answer": each.answer,
                    "cut": each.finish_reason == "length",
                    "text": clipped(each.text),
                }
                for each in answers
            ],
            "rationales": [
                {
                    "verdict": each.verdict,
                    "answer": each.answer,
                    "text": clipped(each.text),
                    "teacher": each.teacher if self._several else "",
                }
                for each in rationales[:MOST_RATIONALES]
            ],
            "verdicts": list(dict.fromkeys(each.verdict for each in rationales)),
            "more": max(len(rationales) - MOST_RATIONALES, 0),
        }


def clipped(text: str, most: int = MOST_CHARACTERS) -> str:
    """The beginning of a text, and how much of it is left out."""
    if len(text) <= most:
        return text
    return f"{text[:most]} … [{len(text) - most:,} more characters]"
