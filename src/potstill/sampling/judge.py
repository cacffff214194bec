"""The rule ``judge``: a model reads the answers that the grader's own rules cannot read.

A text such as "that would make it hard for the sport to gain traction" answers a question with no,
in words that no rule knows. With ``rule: judge`` the model of the recipe's ``judge`` is shown the
question and such a text, never the gold answer, and says which answer the text gives; the rules
then compare that. It is asked, stored and paid for as every model is, under the stage ``judge``. It
is also shown some texts that the rules can read, so that its agreement with them is known.
"""

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from potstill.grading.grade import grade
from potstill.grading.rules import JUDGE_RULE, OWN_RULE
from potstill.grading.votes import same_answers
from potstill.models.interface import Model
from potstill.prompts.styles import question_text
from potstill.records import Grade, JudgeFigures, Message, Question, Request, Task
from potstill.runtime.context import RunContext
from potstill.sampling.ask import complete_missing

STAGE = "judge"
"""The stage that pays for a judge's answers."""

COMPARED = 50
"""Texts that the rules can read and that a judge is shown all the same, in one stage and task."""

MAX_TOKENS = 2048
"""Most tokens of a judge's answer, its thinking included."""

_LONGEST = 6_000
"""Characters of a text that a judge is shown, its last ones."""

_FORMS: Mapping[str, str] = {
    "yes_no": "The answer is yes or no.",
    "number": "The answer is one number.",
    "choice": "The answer is the letter of one option.",
    "date": "The answer is one date, as month/day/year.",
    "list": "The answer is a list, its items between commas.",
    "math": "The answer is one mathematical expression, in LaTeX.",
}
_PROMPT = """A question and a text that answers it follow. Say which final answer the text gives. \
Do not solve the question, and do not correct the text. {form} If the text gives no answer, leaves \
it open or gives several, the answer is unknown.

Question:
{question}

Text:
{text}

Now write one line of the form
Answer: X
where X is the answer that the text gives, or unknown."""


class _Item(NamedTuple):
    question: Question
    text: str
    request: Request
    graded: Grade
    """The grade by the rules."""


class Judge:
    """Asks a model for the answers that rules cannot read, and grades by what it said.

    Args:
        model: The model; it is opened only where something is not stored.
        context: The run.
        asks: Whether it may be asked; otherwise what is stored has to do.
    """

    def __init__(self, model: Model, context: RunContext, *, asks: bool = True) -> None:
        self._model, self._context, self._asks = model, context, asks

    def unasked(self) -> "Judge":
        """Returns this judge by what it has said already."""
        return Judge(self._model, self._context, asks=False)

    def ask(
        self, task: Task, answered: Iterable[tuple[Question, str]], *, stage: str
    ) -> JudgeFigures | None:
        """Ask for what is not stored, and keep how the judge did.

        Args:
            task: The task; where its rule is another, nothing is asked.
            answered: Its questions, each with a text that ended by itself.
            stage: The stage that grades.

        Returns:
            How the judge did; None where nothing was for it to do.
        """
        if task.rule != JUDGE_RULE or not self._asks:
            return None
        items = _items(task, answered, chat=self._model.chat)
        unread = [item for item in items if item.graded.answer is None]
        if not unread:
            return None
        read = [item for item in items if item.graded.answer is not None]
        compared = sorted(read, key=lambda item: _place(item.text))[:COMPARED]
        requests = [item.request for item in (*unread, *compared)]
        start = time.monotonic()
        complete_missing(
            self._model, requests, self._context, label=f"judging {task.name}", stage=STAGE
        )
        self._context.store.add_stage_time(STAGE, time.monotonic() - start)
        figures = self._figures(task, unread, compared, stage)
        self._context.store.keep_judge_figures(figures)
        return figures

    def grade(self, task: Task, text: str, question: Question) -> Grade:
        """Returns the rules' grade, or by what the judge read where they read nothing.

        Nothing is asked.
        """
        graded = grade(task, text, question)
        if graded.answer is not None or task.rule != JUDGE_RULE or not text.strip():
            return graded
        said = self._said(task, question, judge_request(task, question, text, self._model.chat))
        return replace(said, rule=JUDGE_RULE, span=None) if said and said.answer else graded

    def _said(self, task: Task, question: Question, request: Request) -> Grade | None:
        """Returns the grade of a judge's stored answer; None where it has none."""
        for stored in self._context.store.completions(self._model.name, request):
            completion = stored.completion
            if completion.finish_reason != "stop":
                continue
            written = completion.text if self._model.chat else f"Answer: {completion.text}"
            said = grade(replace(task, rule=OWN_RULE), written, question)
            unknown = (said.answer or "").strip(" .\\{}").casefold().endswith("unknown")
            return replace(said, answer=None, correct=False) if unknown else said
        return None

    def _figures(
        self, task: Task, unread: Sequence[_Item], compared: Sequence[_Item], stage: str
    ) -> JudgeFigures:
        same = same_answers(task)
        verdicts = [self._said(task, item.question, item.request) for item in unread]
        beside = [
            (item.graded.answer, said.answer)
            for item in compared
            if (said := self._said(task, item.question, item.request)) is not None
        ]
        return JudgeFigures(
            stage=stage,
            task=task.name,
            model=self._model.name,
            unread=len(unread),
            answered=sum(one is not None and one.answer is not None for one in verdicts),
            silent=sum(one is None for one in verdicts),
            compared=len(beside),
            agreed=sum(
                ours is not None and theirs is not None and same(theirs, ours)
                for ours, theirs in beside
            ),
        )


def judge_request(task: Task, question: Question, text: str, chat: bool) -> Request:
    """Returns how a judge is asked for the answer that a text gives."""
    prompt = _PROMPT.format(
        form=_FORMS.get(task.answer_type, "The answer is a short text."),
        question=question_text(question),
        text=text.strip()[-_LONGEST:],
    )
    return Request(
        prompt=(Message(role="user", content=prompt),) if chat else f"{prompt}\n\nAnswer:",
        max_tokens=MAX_TOKENS,
        stop=() if chat else ("\n",),
        question=question.text,
        question_id=question.id,
        task=task.name,
    )


def _items(task: Task, answered: Iterable[tuple[Question, str]], *, chat: bool) -> list[_Item]:
    """Returns every text once for each question, with the rules' grade and the request."""
    pairs = dict.fromkeys((question, text) for question, text in answered if text.strip())
    return [
        _Item(
            question, text, judge_request(task, question, text, chat), grade(task, text, question)
        )
        for question, text in pairs
    ]


def _place(text: str) -> bytes:
    """Returns a place in an order that has nothing to do with the text's meaning."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
