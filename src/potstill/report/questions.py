"""The questions of a run with all that was answered to them, as data for the page's browser."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from potstill.records import Prediction, Question, Rationale, Split
from potstill.report.accuracy import Results
from potstill.report.text import label
from potstill.store.asked_questions import answers_question
from potstill.tasks import grade

MOST_QUESTIONS = 2_000
"""Questions put into the page, so that it opens at once."""

MOST_RATIONALES = 8
"""Rationales shown for each question."""

MOST_CHARACTERS = 3_000
"""Characters shown of each text of a model, its beginning and its end by halves."""

AROUND_ANSWER = 200
"""Characters shown before and after an answer that stands between those halves."""


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
        self._tasks = {task.name: task for task in results.tasks}

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
                    "text": self._clipped(prediction.text, task, question),
                }
                for prediction in answers
            ],
            "rationales": [
                {
                    "verdict": rationale.verdict,
                    "answer": rationale.answer,
                    "text": self._clipped(rationale.text, task, question),
                    "teacher": rationale.teacher if self._several else "",
                }
                for rationale in rationales[:MOST_RATIONALES]
            ],
            "verdicts": list(dict.fromkeys(rationale.verdict for rationale in rationales)),
            "more": max(len(rationales) - MOST_RATIONALES, 0),
        }

    def _clipped(self, text: str, task: str, question: Question) -> str:
        """Returns what is shown of a text; only a long one is graded again for its answer."""
        if len(text) <= MOST_CHARACTERS:
            return text
        return clipped(text, grade(self._tasks[task], text, question).span)


def clipped(text: str, span: tuple[int, int] | None = None, most: int = MOST_CHARACTERS) -> str:
    """Returns the beginning and the end of a text, and how much is left out where.

    Args:
        text: The text as a model wrote it.
        span: Where the answer that was graded stands in it; it is shown with what is around it.
        most: Characters of beginning and end together.
    """
    if len(text) <= most:
        return text
    shown = [(0, most // 2), (len(text) - most // 2, len(text))]
    if span is not None:
        shown.append((max(span[0] - AROUND_ANSWER, 0), min(span[1] + AROUND_ANSWER, len(text))))
    parts, reached = [], 0
    for start, end in sorted(shown):
        if start > reached:
            parts.append(f" … [{start - reached:,} characters left out] … ")
        parts.append(text[max(start, reached) : end])
        reached = max(reached, end)
    return "".join(parts)
