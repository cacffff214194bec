"""The browser of questions: its sets with true counts, and the questions that a page itself holds.

A page that is a file holds as many questions as it may, those first on which systems disagree. One
that ``potstill view`` serves holds none, and asks for what is looked at.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson

from potstill.records import Question, Split
from potstill.report.accuracy import Results
from potstill.report.guidance_text import label as policy_label
from potstill.report.question_rows import GUIDED, QuestionRows, Row
from potstill.report.text import label
from potstill.store import Store

MOST_QUESTIONS = 2_000
"""Questions put into the page, so that it opens at once."""

MOST_BYTES = 9_000_000
"""Size of all of them; what is left over of the 15 MB of a page is for everything else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionSet:
    """The questions of one split of one task, as far as they are listed."""

    task: str
    split: Split
    questions: Sequence[Question]
    disagreements: Sequence[int]
    """A number for each question, the greater the more its answers disagree."""

    facets: Mapping[str, object] = field(default_factory=dict)
    """The values to filter by, with the number of questions that each leaves."""

    @property
    def by_disagreement(self) -> list[int]:
        """The places of the questions, those with the most disagreement first."""
        order = np.argsort(-np.asarray(self.disagreements, np.int64), kind="stable")
        places: list[int] = order.tolist()
        return places


def _order(row: Row) -> int:
    value = row["split_by"]
    assert isinstance(value, int)
    return value


def browser_data(results: Results, store: Store | None = None) -> dict[str, object]:
    """Returns test questions with every system's answer, training questions with rationales.

    Where a run has more than :data:`MOST_QUESTIONS`, each set of questions gets a fair share.

    Args:
        results: The run's results.
        store: The store with prompts, thinking and probabilities; None: they are left out.
    """
    rows = QuestionRows(results, store)
    sets = question_sets(results, rows)
    shares = fair_shares([len(one.questions) for one in sets], MOST_QUESTIONS)
    held: dict[int, list[Row]] = {}
    bytes_left = MOST_BYTES
    ascending = sorted(range(len(sets)), key=lambda number: len(sets[number].questions))
    for done, number in enumerate(ascending):
        allowed = bytes_left // (len(sets) - done)
        held[number], used = _held(rows, sets[number], shares[number], allowed)
        bytes_left -= used
    return {
        **header(results),
        "served": False,
        "sets": [
            set_data(one) | {"rows": held[number]} for number, one in enumerate(sets)
        ],
    }  # fmt: skip


def header(results: Results) -> dict[str, object]:
    """Returns what all sets share: the systems' names."""
    labels = {system.label: label(system) for system in results.systems}
    labels |= {
        GUIDED + score.policy.label: f"Guided: {policy_label(score.policy)}"
        for score in results.guided_scores
        if score.policy.kind == "policy"
    }
    return {"labels": labels}


def set_data(one: QuestionSet) -> dict[str, object]:
    """Returns what a page knows of a set before any of its questions is looked at."""
    return {"task": one.task, "split": one.split, "total": len(one.questions), **one.facets}


def question_sets(results: Results, rows: QuestionRows) -> list[QuestionSet]:
    """Returns the leading task's test and training questions, then the others' test questions."""
    return [_question_set(rows, *one) for one in _splits(results)]


def _question_set(
    rows: QuestionRows, task: str, split: Split, questions: Sequence[Question]
) -> QuestionSet:
    """Returns a set of questions, each of which is looked at once and let go."""
    disagreements = array("q")

    def listed() -> Iterator[Row]:
        for question in questions:
            row = rows.listed(task, split, question)
            disagreements.append(_order(row))
            yield row

    found = facets(listed(), rows.pairs.get(task))
    return QuestionSet(
        task=task, split=split, questions=questions, disagreements=disagreements, facets=found
    )


def _splits(results: Results) -> Iterator[tuple[str, Split, Sequence[Question]]]:
    measured = {prediction.task for prediction in results.predictions}
    measured |= {
        guided.task for guided in results.guided_predictions if guided.split == "test"
    }  # fmt: skip
    for task in results.tasks:
        if task.name in measured:
            yield task.name, "test", task.splits["test"]
        if task is results.leading and results.rationales:
            yield task.name, "train", task.splits["train"]


def _held(rows: QuestionRows, one: QuestionSet, most: int, size: int) -> tuple[list[Row], int]:
    """Returns the questions of a set that a page holds, in their own order, and their bytes."""
    held: dict[int, Row] = {}
    used = 0
    for place in one.by_disagreement[:most]:
        row = rows.whole(one.task, one.split, one.questions[place]) | {"place": place}
        used += len(orjson.dumps(row))
        if used > size and held:
            break
        held[place] = row
    return [held[place] for place in sorted(held)], used


def facets(rows: Iterable[Row], pair: tuple[str, str] | None) -> dict[str, object]:
    """Returns what the questions of a set can be told apart by, with true counts.

    Args:
        rows: All questions as they are listed.
        pair: The labels of the start and the student.
    """
    systems: dict[str, list[int]] = {}
    changed, templates, verdicts = [[0, 0], [0, 0]], Counter[str](), Counter[str]()
    cut = unanswered = none_kept = 0
    lengths = array("q")
    for row in rows:
        if isinstance(length := row["length"], int):
            lengths.append(length)
        answers = _answers(row)
        right = {str(answer["system"]): bool(answer["right"]) for answer in answers}
        for system, is_right in right.items():
            systems.setdefault(system, [0, 0])[not is_right] += 1
        if pair is not None and all(name in right for name in pair):
            changed[not right[pair[0]]][not right[pair[1]]] += 1
        cut += any(answer["finish"] == "length" for answer in answers)
        unanswered += any(answer["answer"] is None for answer in answers)
        found = row["verdicts"]
        assert isinstance(found, list)
        verdicts.update(found)
        none_kept += bool(found) and "kept" not in found
        if row["template"] is not None:
            templates[str(row["template"])] += 1
    return {
        "pair": pair if pair and all(name in systems for name in pair) else None,
        "systems": systems,
        "changed": changed if sum(map(sum, changed)) else None,
        "verdicts": dict(verdicts.most_common()),
        "none_kept": none_kept,
        "cut": cut,
        "unanswered": unanswered,
        "templates": dict(templates.most_common()) if len(templates) > 1 else {},
        "thirds": thirds(lengths),
    }


def thirds(lengths: Sequence[int]) -> tuple[int, int] | None:
    """Returns the longest length of the shortest third and of the middle one, if they differ."""
    ordered = sorted(lengths)
    if len(ordered) < 3:
        return None
    short, middle = ordered[len(ordered) // 3 - 1], ordered[2 * len(ordered) // 3 - 1]
    return (short, middle) if short < middle < ordered[-1] else None


def _answers(row: Row) -> list[Row]:
    answers = row["answers"]
    assert isinstance(answers, list)
    return answers


def fair_shares(sizes: Sequence[int], most: int) -> list[int]:
    """Divide a limit among sets: what a small one leaves over goes to the larger ones."""
    shares, left = [0] * len(sizes), most
    ascending = sorted(range(len(sizes)), key=lambda number: sizes[number])
    for place, number in enumerate(ascending):
        shares[number] = min(sizes[number], left // (len(sizes) - place))
        left -= shares[number]
    return shares
