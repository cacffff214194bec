"""Runs of every kind as pages, filled from made-up records, for tests in a browser."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
from guided_run import SCORES, predicted
from guided_run import TASK as GUIDED_TASK
from report_run import (
    RATIONALES,
    RECIPE,
    START,
    SWEPT_RECIPE,
    FilledRun,
    SweptRun,
    compared,
    swept_tasks,
)
from report_run import ROLES as SWEPT_ROLES
from report_run import checkpoint as made_checkpoint
from report_run import score as made_score
from report_run import task as made_task
from test_compare import ANSWERS, compare, measured, right
from test_compare import RATIONALES as COMPARED
from test_report_rounds import RECIPE as ON_POLICY_RECIPE
from test_report_rounds import TASK as ON_POLICY_TASK
from test_report_rounds import fill as fill_rounds
from test_report_teachers import DEBATED
from test_report_teachers import RECIPE as TEACHERS_RECIPE

from potstill.experiment.comparison_html import comparison_html
from potstill.records import (
    Completion,
    Prediction,
    Request,
    System,
    Task,
    TokenLogprobs,
    TrainingStep,
)
from potstill.report import write_report
from potstill.store import Store

HOSTILE_TEXTS = (
    "</script><script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title='owned'\"><table><tr><td>",
    "\N{RIGHT-TO-LEFT OVERRIDE}txet\N{POP DIRECTIONAL FORMATTING} \u0627\u0644\u0639\u0631\u0628",
    "\x1b[31mred\x1b[0m \x00 \x7f",
    "x" * 1_000_000,
)
"""Texts that models may write: markup, also broken, right to left, escape codes, a line of 1 MB."""

WRONG_TEXT = "So it is 7 and 9,999.\nThat is 9,999."
"""An answer with a number that neither the teacher nor the question has."""


def demo_like(folder: Path) -> Path:
    """A run as the demo leaves it, with prompts, probabilities and hostile texts."""
    (folder / "recipe.yaml").write_text(RECIPE)
    tasks = [
        made_task("two_step_arithmetic", 30, 60),
        made_task("multi_step_arithmetic", 0, 20),
        made_task("coin_toss", 0, 20, "yes_no"),
    ]
    with Store(folder / "run.sqlite") as store:
        run = FilledRun(store, tasks, random.Random(0))
        run.generate_and_curate()
        run.train()
        run.evaluate()
        _answer_hostilely(store, tasks[0])
        return write_report(store, tasks, folder).html


def _answer_hostilely(store: Store, task: Task) -> None:
    """Put hostile texts among the student's answers, with what was sent, thought and probable."""
    predictions = []
    for prediction in store.predictions():
        number = int(prediction.question_id.partition("-")[2])
        is_ours = prediction.task == task.name and prediction.system == RATIONALES
        if is_ours and 0 < number <= len(HOSTILE_TEXTS) + 1:
            prediction = replace(prediction, text=[*HOSTILE_TEXTS, WRONG_TEXT][number - 1])
            store.add_completions("hf:student", [_sent(task, prediction)], stage="evaluate")
        predictions.append(prediction)
    store.replace_evaluation(
        store.scores(), predictions, store.comparisons(), grader="2", settings_hash="c"
    )


def _sent(task: Task, prediction: Prediction) -> Completion:
    question = next(one for one in task.splits["test"] if one.id == prediction.question_id)
    request = Request(
        prompt=f"<b>{question.text}</b>\n\x1b[2JA:",
        question_id=question.id,
        task=task.name,
        top_logprobs=1,
    )
    letters = [letter.encode() for letter in prediction.text[:200]]
    lengths = np.array([[len(letter)] for letter in letters], np.uint16)
    chances = np.array([[[0.1, 0.4, 0.7, 0.9, 1.0][place % 5]] for place in range(len(letters))])
    return Completion(
        request=request,
        sample=0,
        text=prediction.text,
        thinking="<i>hm</i>",
        finish_reason="stop",
        logprobs=TokenLogprobs(
            logprobs=np.log(chances).astype(np.float32),
            token_bytes=b"".join(letters),
            lengths=lengths,
        ),
    )


def guided(folder: Path) -> Path:
    """A run with guidance."""
    answers = [
        predicted(policy, number, (number + place) % 3 > 0)
        for place, policy in enumerate(("never", "first_n_2", "first"))
        for number in range(10)
    ]
    with Store(folder / "run.sqlite") as store:
        store.replace_guidance(SCORES, answers, grader="2", settings_hash="d")
        return write_report(store, [GUIDED_TASK], folder).html


def trade_off(folder: Path) -> Path:
    """A run that follows generic ability, with two students of two sizes."""
    (folder / "recipe.yaml").write_text(SWEPT_RECIPE)
    with Store(folder / "run.sqlite") as store:
        run = SweptRun(store, swept_tasks())
        run.fill()
        return write_report(store, run.tasks, folder, roles=SWEPT_ROLES).html


def several_teachers(folder: Path) -> Path:
    """A run in which two teachers debated."""
    (folder / "recipe.yaml").write_text(TEACHERS_RECIPE)
    tasks = [made_task("sums", 20, 20)]
    with Store(folder / "run.sqlite") as store:
        run = FilledRun(store, tasks, random.Random(0))
        run.generate_and_curate()
        rationales = [
            replace(rationale, teacher="other" if number % 2 else "teacher")
            for number, rationale in enumerate(store.rationales())
        ]
        store.replace_rationales(rationales, DEBATED, grader="1", settings_hash="x")
        return write_report(store, tasks, folder).html


def on_policy(folder: Path) -> Path:
    """A run with on-policy students, of which a limit has ended one."""
    (folder / "recipe.yaml").write_text(ON_POLICY_RECIPE)
    with Store(folder / "run.sqlite") as store:
        fill_rounds(store)
        answers = [
            Prediction(
                system=system, task=ON_POLICY_TASK.name, question_id=f"test-{number}",
                text=f"So it is {number}.", answer=str(number), correct=number % 3 > place,
                finish_reason="stop", completion_tokens=9,
            )
            for place, system in enumerate((START, replace(RATIONALES, model="own", step=100)))
            for number in range(20)
        ]  # fmt: skip
        store.replace_evaluation(store.scores(), answers, [], grader="1", settings_hash="c")
        return write_report(store, [ON_POLICY_TASK], folder).html


MANY = ("rationales", *(f"student_{number}" for number in range(2, 13)))
"""Twelve students."""


def many_students(folder: Path) -> Path:
    """A run of twelve students, followed on the target and on a generic task."""
    (folder / "recipe.yaml").write_text(RECIPE)
    tasks = [made_task("sums", 20, 40), made_task("coin_toss", 0, 20, "yes_no")]
    roles = {"sums": "target", "coin_toss": "generic"}
    scores, log, checkpoints, comparisons = [], [], [], []
    for place, name in enumerate(MANY):
        for step in range(0, 500, 100):
            log.append(TrainingStep(student=name, step=step + 1, loss=2 / (step / 50 + place + 1),
                                    tokens=step, seconds=1.0, learning_rate=1e-3))  # fmt: skip
            own = System(name, step=step, taken=step == 400) if step else START
            right = [round((70 - 5 * place) * step / 400) + 3, 60 - round((2 + place) * step / 90)]
            scores += [made_score(own, task.name, count, 100, "dev")
                       for task, count in zip(tasks, right, strict=True)
                       if step or not place]  # fmt: skip
        taken = System(name, step=400)
        checkpoints.append(
            made_checkpoint(System(name), 400, soft_share=0.0, training="all weights")
        )
        scores += [made_score(taken, "sums", 30 - place, 40), made_score(taken, "coin_toss", 9, 20)]
        comparisons += [compared(task, taken, START, 0.2 - place / 30) for task in tasks]
    scores += [made_score(START, task.name, 8, len(task.splits["test"])) for task in tasks]
    with Store(folder / "run.sqlite") as store:
        store.replace_training(log, checkpoints, settings_hash="b")
        store.replace_evaluation(scores, [], comparisons, grader="2", settings_hash="c")
        return write_report(store, tasks, folder, roles=roles).html


KINDS = {
    kind.__name__: kind
    for kind in (demo_like, guided, trade_off, several_teachers, on_policy, many_students)
}


def comparison(folder: Path) -> Path:
    """Three runs held against each other, of which two are seeds of one recipe."""
    asked = "abcdefghijkl"
    verdicts = {"one": ("ab", "ac"), "two": ("abcdefgh", "ab"), "other": ("abc", "abcdefghij")}
    runs = [
        measured(
            str(folder / name),
            {COMPARED: right(rationales, asked), ANSWERS: right(answers, asked)},
            recipe={"seed": place} if name != "other" else {"train": {"steps": 9}},
        )
        for place, (name, (rationales, answers)) in enumerate(verdicts.items())
    ]
    page = folder / "comparison.html"
    page.write_text(comparison_html(compare(*runs)), "utf-8")
    return page


PAGES = KINDS | {"comparison": comparison}
"""The pages of :data:`KINDS`, and that of a comparison, which has no list of questions."""
