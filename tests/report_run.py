"""A made-up but plausible run for the tests of the report, and a reader of pages."""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, NamedTuple

from potstill.records import (
    Checkpoint,
    Choice,
    Comparison,
    Completion,
    Prediction,
    Question,
    Rationale,
    Request,
    Score,
    Split,
    System,
    Task,
    TrainingStep,
)
from potstill.store import Store

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \u2028 {{ 7 * 7 }}"
STEPS = (50, 100, 150, 200, 250, 300, 350, 400)
RECIPE = """\
run: runs/demo
task: {name: two_step_arithmetic, test: 300}
teacher: {model: 'bundled:teacher', device: null}
student: {model: 'bundled:student', device: null}
seed: 7
train: {steps: 400}
"""
TEACHER, START = System("teacher"), System("start")
ANSWERS_ONLY, RATIONALES = System("answers_only", step=350), System("rationales", step=350)
ACCURACIES = {
    TEACHER: (0.95, 0.83, 0.98),
    System("start", variant="zero_shot"): (0.013, 0.02, 0.49),
    START: (0.05, 0.03, 0.51),
    ANSWERS_ONLY: (0.307, 0.08, 0.5),
    RATIONALES: (0.72, 0.213, 0.47),
}


def task(name: str, train: int, test: int, answer_type: str = "number") -> Task:
    def drawn(split: str, count: int) -> tuple[Question, ...]:
        return tuple(
            Question(
                id=f"{split}-{number}",
                text=f"Maria has {number + 3} boxes of {number % 7 + 2} apples and eats 4 of "
                f"them. How many apples are left? ({name}, {split})",
                answer=str((number + 3) * (number % 7 + 2) - 4),
                template_id=f"boxes-{number % 5}",
            )
            for number in range(count)
        )

    splits = {"train": drawn("train", train), "dev": drawn("dev", 100), "test": drawn("test", test)}
    return Task(
        name=name,
        answer_type=answer_type,
        splits=splits,  # type: ignore[arg-type]
        source="drawn by potstill",
        licence="Apache-2.0",
    )


class FilledRun(NamedTuple):
    """Builds a run stage by stage from made-up but plausible records."""

    store: Store
    tasks: list[Task]
    random: random.Random

    def generate_and_curate(self) -> None:
        questions = self.tasks[0].splits["train"]
        verdicts = ["kept"] * 7 + ["wrong_answer", "unfinished", "duplicate"]
        rationales = []
        for question in questions:
            request = Request(prompt=question.text, samples=(0, 1, 2, 3), temperature=0.7)
            completions = [
                Completion(
                    request=request,
                    sample=sample,
                    text="text",
                    finish_reason="stop",
                    completion_tokens=60,
                    cost=0.0004,
                )
                for sample in request.samples
            ]
            self.store.add_completions("openai:large", completions, stage="generate")
            for stored in self.store.completions("openai:large", request):
                rationales.append(self._rationale(question, stored.id, verdicts))
        self.store.replace_rationales(rationales, grader="1", settings_hash="a")
        self.store.add_stage_time("generate", 731.2)
        self.store.add_stage_time("curate", 0.8)

    def _rationale(self, question: Question, id_: int, verdicts: list[str]) -> Rationale:
        first = question is self.tasks[0].splits["train"][0]
        return Rationale(
            question_id=question.id,
            completion_id=id_,
            sample=0,
            text=HOSTILE if first else f"There are boxes of apples.\nSo many minus 4. ({id_})",
            answer=question.answer,
            verdict=self.random.choice(verdicts),
        )

    def train(self) -> None:
        steps, checkpoints = [], []
        for student, floor in (("answers_only", 0.9), ("rationales", 0.25)):
            for step in range(10, 401, 10):
                loss = floor + 2.4 * 0.985**step + self.random.uniform(0, 0.08)
                steps.append(
                    TrainingStep(
                        student=student, step=step, loss=loss, tokens=step * 900, seconds=1
                    )
                )
            checkpoints += [checkpoint(System(student), step) for step in STEPS]
        self.store.replace_training(steps, checkpoints, settings_hash="b")
        self.store.add_stage_time("train", 4205.0)

    def evaluate(self, p: float = 2.1e-20, difference: float = 0.413) -> None:
        scores = [*self._dev_scores(), *self._test_scores()]
        self.store.replace_evaluation(
            scores,
            list(self._predictions()),
            self._comparisons(p, difference),
            grader="2",
            settings_hash="c",
        )
        self.store.add_stage_time("evaluate", 312.5)

    def _dev_scores(self) -> Iterator[Score]:
        for student, top in (("answers_only", 33), ("rationales", 74)):
            for step in STEPS:
                correct = min(top, round(top * (1 - 0.99**step)) + step % 3)
                system = System(student, step=step, taken=step == 350)
                yield score(system, self.tasks[0].name, correct, 100, "dev")

    def _test_scores(self) -> Iterator[Score]:
        for system, shares in ACCURACIES.items():
            for each, share in zip(self.tasks, shares, strict=False):
                total = len(each.splits["test"])
                yield score(system, each.name, round(share * total), total)

    def _predictions(self) -> Iterator[Prediction]:
        for system, shares in ACCURACIES.items():
            for each, share in zip(self.tasks, shares, strict=False):
                for number, question in enumerate(each.splits["test"]):
                    correct = self.random.random() < share
                    yield Prediction(
                        system=system,
                        task=each.name,
                        question_id=question.id,
                        text=HOSTILE if number == 0 else f"First multiply. {question.answer}",
                        answer=question.answer if correct else [None, "17"][number % 2],
                        correct=correct,
                        finish_reason="stop" if number % 9 else "length",
                        completion_tokens=31,
                    )

    def _comparisons(self, p: float, difference: float) -> list[Comparison]:
        pairs = [(RATIONALES, TEACHER), (RATIONALES, START), (ANSWERS_ONLY, START)]
        return [
            comparison
            for number, each in enumerate(self.tasks)
            for comparison in (
                *(compared(each, *pair, difference_of(*pair, number)) for pair in pairs),
                # Named the other way round, as when the students are trained in another order.
                compared(each, ANSWERS_ONLY, RATIONALES, -difference / (1 + number), p),
            )
        ]


SIZES = {"small": 460_000, "large": 1_900_000}
SWEPT_RECIPE = """\
run: runs/swept
task: {name: two_step_arithmetic, test: 300}
teacher: {model: 'openai:large'}
student: {model: 'hf:tiny/small'}
seed: 7
train:
  steps: 400
  students: {answers_only: {data_format: fine_tune_answer}, rationales: {}}
  starts: {small: {model: 'hf:tiny/small'}, large: {model: 'hf:tiny/large'}}
evaluate: {select: in_distribution, asked_in: [in_context_cot]}
"""
ROLES = {
    "two_step_arithmetic": "target",
    "multi_step_arithmetic": "out_of_distribution",
    "tracking, answer_only": "generic",
    "tracking, answer_only, bbh rule": "generic_other_rule",
    "tracking, few_shot_cot": "generic",
    "boolean, answer_only": "generic",
    "boolean, few_shot_cot": "generic",
}
RULES = {"in_distribution": 350, "out_of_distribution": 200, "worst_case": 200, "pareto": 100}


def swept_tasks() -> list[Task]:
    """The tasks of :data:`ROLES`; those of one set, asked in several ways, share questions."""
    sizes = {"two_step_arithmetic": (120, 300), "multi_step_arithmetic": (0, 60)}
    sets: dict[str, Task] = {}
    for name in ROLES:
        set_name = name.partition(",")[0]
        sets.setdefault(set_name, task(set_name, *sizes.get(set_name, (0, 80))))
    return [replace(sets[name.partition(",")[0]], name=name) for name in ROLES]


class SweptRun(NamedTuple):
    """Two students, each from a small and a large start, followed on all tasks."""

    store: Store
    tasks: list[Task]

    def fill(self, rules: Mapping[str, int] | None = None) -> None:
        """Training and evaluation; the first rule is the recipe's."""
        rules = RULES if rules is None else rules
        used = next(iter(rules.values()))
        others = sorted(set(rules.values()) - {used})
        checkpoints, scores, comparisons, choices = [], [], [], []
        for start in (START, System("start", "large")):
            scores += [*self._scored(start, "dev"), *self._scored(start, "test")]
        for student, size in self.students.items():
            soft = {"rationales_small": 0.8712, "rationales_large": 0.0}.get(student.label)
            taken = replace(student, step=used)
            for step in STEPS:
                made = checkpoint(student, step, parameters=size, soft_share=soft)
                checkpoints.append(made)
                scores += self._scored(replace(taken, step=step, taken=step == used), "dev")
            scores += self._scored(taken, "test")
            start = System("start", "large") if student.start == "large" else START
            comparisons += [compared(on, taken, start, 0.2) for on in self.tasks]
            for step in others:
                other = replace(student, step=step, taken=False)
                tested = [*self._scored(other, "test")]
                scores += tested
                comparisons += [
                    compared(on, taken, other, (best.correct - each.correct) / each.total)
                    for on, best, each in zip(
                        self.tasks, self._scored(taken, "test"), tested, strict=True
                    )
                ]
            choices += [
                Choice(
                    student=student.model,
                    start=student.start,
                    rule=rule,
                    step=step,
                    used=step == used,
                )
                for rule, step in rules.items()
            ]
        self.store.replace_training([], checkpoints, settings_hash="b")
        self.store.replace_evaluation(
            scores, [], comparisons, choices, grader="2", settings_hash="c"
        )

    @property
    def students(self) -> dict[System, int]:
        """The students with their sizes."""
        return {
            System(family, start): size
            for family in ("answers_only", "rationales")
            for start, size in SIZES.items()
        }

    def _scored(self, system: System, split: Split) -> Iterator[Score]:
        for on in self.tasks:
            total = len(on.splits[split])
            correct = round(ability(system, ROLES[on.name]) * total)
            yield score(system, on.name, correct, total, split)


def ability(system: System, role: str) -> float:
    """A made-up accuracy: the target rises along training, and generic ability falls."""
    step = system.step or 0
    large, learned = system.start == "large", 1 - 0.99**step
    top = (0.7 if system.model == "rationales" else 0.3) + 0.12 * large
    if role == "target":
        return 0.05 + top * learned
    if role == "out_of_distribution":
        return 0.03 + 0.5 * top * learned - 0.0004 * max(0, step - 200)
    return 0.42 + 0.1 * large - (0.07 if role == "generic_other_rule" else 0) - 0.0006 * step


def checkpoint(student: System, step: int, **more: Any) -> Checkpoint:
    return Checkpoint(
        student=student.model,
        start=student.start,
        step=step,
        folder=f"checkpoints/{student.label}-{step}",
        data_format="fine_tune_cot",
        encoder_decoder=False,
        examples=1_200,
        too_long=3,
        **more,
    )


def difference_of(first: System, second: System, task_number: int) -> float:
    return ACCURACIES[first][task_number] - ACCURACIES[second][task_number]


def compared(
    on: Task, first: System, second: System, difference: float, p: float | None = None
) -> Comparison:
    total = len(on.splits["test"])
    return Comparison(
        task=on.name,
        first=first,
        second=second,
        only_first=max(0, round(difference * total)) + 7,
        only_second=max(0, -round(difference * total)) + 7,
        total=total,
        difference=difference,
        low=difference - 0.07,
        high=difference + 0.067,
        p_value=p or 10 ** (-60 * abs(difference)),
    )


def score(system: System, task: str, correct: int, total: int, split: str = "test") -> Score:
    share = correct / total
    return Score(
        system=system,
        task=task,
        split=split,  # type: ignore[arg-type]
        correct=correct,
        total=total,
        low=max(0.0, share - 0.055),
        high=min(1.0, share + 0.055),
        no_answer=total // 60,
        truncated=3 if system == START else 0,
    )


class Reader(HTMLParser):
    """Reads a page, and fails on tags that do not close in order."""

    VOID = frozenset(["meta", "link", "img", "br", "input", "hr", "wbr"])

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.contents: dict[str, list[str]] = {"script": [], "style": []}
        self.shown = ""
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.contents:
            self.contents[self.open[-1]].append(data)
        else:
            self.shown += data

    @property
    def data(self) -> dict[str, list[dict[str, object]]]:
        """The data that the page's browser of questions is given."""
        found: dict[str, list[dict[str, object]]] = json.loads(self.contents["script"][0])
        return found

    @property
    def words(self) -> str:
        """All text that is shown, in one line."""
        return " ".join(self.shown.split())
