"""A debate: every teacher sees what the others answered to a question, and answers again.

After Du et al. (arXiv 2305.14325), where a model is shown the answers of the others beside its own.
The wording here is ours, and serves every prompt style: the answers follow the question::

    Ann has 3 pens and buys 4 more. How many has she?

    Here is how others answered this question. They may be right or wrong.

    Answer 1:
    > 3 + 4 = 7. The answer is 7.

A further round is made of requests like any other, so it is asked and stored on the ordinary path;
this module only words the requests and reads the rounds back.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from potstill.models.interface import Model
from potstill.prompts.styles import question_text
from potstill.records import Question, Request, Task
from potstill.runtime.context import RunContext
from potstill.sampling.ask import (
    Answer,
    PromptConfig,
    SampleCounts,
    answers,
    answers_to,
    sample_requests,
    second_requests,
    stem,
)
from potstill.store import Store
from potstill.tasks.overlap import words

OTHERS = "Here is how others answered this question. They may be right or wrong."
OWN = "Here is your own earlier answer to it."
AGAIN = "Weigh these answers and answer the question yourself."


class AskedTeacher(NamedTuple):
    """A teacher's names and its way of being asked, by which its answers are found."""

    name: str
    """Its name in the recipe; the first teacher is ``teacher``."""

    model: str
    """``Model.name``: its completions are stored by it."""

    asking: PromptConfig
    """How it is asked for rationales."""


Round = Mapping[str, list[Answer]]
"""The answers of each teacher to a question in one round, in the order of samples."""


def read_rounds(
    store: Store, question: Question, teachers: Sequence[AskedTeacher], rounds: int
) -> list[Round]:
    """Reads the first answers to a question, then those of each further round.

    A teacher that has nobody's answer to look at, for sample i, keeps its own sample i.

    Args:
        store: Holds the completions.
        question: The question that was asked.
        teachers: Everybody who was asked.
        rounds: How often everybody answered again; 0 without a debate.

    Returns:
        One round more than ``rounds``.
    """
    first: Round = {
        teacher.name: answers(teacher.model, store, question, teacher.asking)
        for teacher in teachers
    }
    read = [first]
    for _ in range(rounds):
        before = read[-1]
        read.append(
            {teacher.name: list(_again(store, question, teacher, before)) for teacher in teachers}
        )
    return read


def further_requests(
    question: Question, teacher: AskedTeacher, before: Round, *, task: str | None = None
) -> list[Request]:
    """Returns what a teacher is sent in the next round, a request a sample.

    Sample i sees sample i of every other teacher that has finished it, and the teacher's own;
    there is no request where no other has.

    Args:
        question: The question that is debated.
        teacher: Who is to answer again.
        before: The round before, of all teachers.
        task: The name of the question's task, which is stored beside the requests.
    """
    samples = range(teacher.asking.sampling.samples)
    requests = (_request(question, teacher, before, sample, task) for sample in samples)
    return [request for request in requests if request is not None]


def asked_requests(
    store: Store,
    question: Question,
    teachers: Sequence[AskedTeacher],
    rounds: Sequence[Round],
    *,
    task: str,
) -> Iterator[tuple[str, Request]]:
    """Yields all that was asked for a question, with the names of the models that were asked.

    Args:
        store: Holds the completions.
        question: The question that was asked.
        teachers: Everybody who was asked.
        rounds: The rounds from :func:`read_rounds` for these teachers.
        task: The name of the question's task.
    """
    for number in range(len(rounds)):
        for teacher in teachers:
            if number == 0:
                requests = [teacher.asking.request(question, task=task)]
            else:
                requests = further_requests(question, teacher, rounds[number - 1], task=task)
            for request in requests:
                yield teacher.model, request
                for second in second_requests(teacher.model, store, request, teacher.asking):
                    yield teacher.model, second


def _again(
    store: Store, question: Question, teacher: AskedTeacher, before: Round
) -> Iterator[Answer]:
    """Yields a teacher's answers of one further round."""
    own = {answer.sample: answer for answer in before[teacher.name]}
    for sample in range(teacher.asking.sampling.samples):
        request = _request(question, teacher, before, sample)
        if request is not None:
            yield from answers_to(teacher.model, store, request, teacher.asking)
        elif sample in own:
            yield own[sample]


def _request(
    question: Question,
    teacher: AskedTeacher,
    before: Round,
    sample: int,
    task: str | None = None,
) -> Request | None:
    """Returns what is sent for one sample; None where no other teacher has finished it."""
    finished = {
        name: answer.text
        for name, found in before.items()
        for answer in found
        if answer.sample == sample and answer.finished
    }
    own = finished.pop(teacher.name, None)
    if not finished:
        return None
    asked = replace(question, text=_shown(question, list(finished.values()), own), choices=())
    # The question is longer now, so an exemplar that is the question itself is left out here.
    spelt = words(question.text)
    kept = tuple(
        exemplar for exemplar in teacher.asking.exemplars if stem(exemplar.question) != spelt
    )
    request = replace(teacher.asking, exemplars=kept).request(asked, task=task)
    return replace(request, samples=(sample,), question=question.text)


def _shown(question: Question, others: Sequence[str], own: str | None) -> str:
    """Returns the question, and below it the answers, every line of them quoted."""
    parts = [question_text(question), OTHERS]
    parts += [f"Answer {number}:\n{_quoted(text)}" for number, text in enumerate(others, start=1)]
    if own is not None:
        parts += [OWN, _quoted(own)]
    return "\n\n".join([*parts, AGAIN])


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())


def answer_again(
    task: Task,
    teacher: Model,
    asked: Sequence[AskedTeacher],
    context: RunContext,
    *,
    who: AskedTeacher,
    round_: int,
) -> SampleCounts:
    """Ask one teacher for its answers of one further round of a debate.

    What is in the store is not asked for again. Everybody's answers of the round before should be
    there; what is not is not shown.

    Args:
        task: Its training questions are debated.
        teacher: The model that is asked.
        asked: Everybody who takes part.
        context: The run; its store holds the rounds before, and takes the new answers.
        who: The teacher, as one of ``asked``.
        round_: Counted from 1.

    Returns:
        Counts of the first step, where a prompt style has two.
    """
    requests = [
        request
        for question in task.splits["train"]
        for request in further_requests(
            question,
            who,
            read_rounds(context.store, question, asked, round_ - 1)[-1],
            task=task.name,
        )
    ]
    label = f"rationales of {who.name}, debate round {round_}"
    return sample_requests(teacher, requests, who.asking, context, label=label, stage="generate")
