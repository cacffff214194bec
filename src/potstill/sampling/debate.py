"""A debate: every teacher sees what the others answered to a question, and answers again.

After Du et al. (arXiv 2305.14325), where a model is shown the answers of the others beside its own.
The wording here is ours, and serves every prompt style: what was answered follows the question.

Debating: asking a teacher again, with what the others answered in sight.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from potstill.models.interface import Model
from potstill.prompts.styles import question_text
from potstill.records import Question, Request, Task
from potstill.runtime.progress import Meter
from potstill.sampling.ask import (
    Answer,
    PromptConfig,
    SampleCounts,
    answers,
    answers_to,
    sample_requests,
    stem,
)
from potstill.store import Store
from potstill.tasks.overlap import words

OTHERS = "Here is how others answered this question. They may be right or wrong."
OWN = "Here is your own earlier answer to it."
AGAIN = "Weigh these answers and answer the question yourself."


class AskedTeacher(NamedTuple):
    """A teacher as far as it takes to find what it was asked and what it answered."""

    name: str
    """In the recipe; the first teacher is ``teacher``."""

    model: str
    """``Model.name``: its completions are stored by it."""

    asking: PromptConfig
    """How it is asked for rationales."""


Round = Mapping[str, list[Answer]]
"""What each teacher answered to a question in one round, by sample."""


def read_rounds(
    store: Store, question: Question, teachers: Sequence[AskedTeacher], rounds: int
) -> list[Round]:
    """What the store holds of a question: the first answers, then those of each further round.

    A teacher that has nobody's answer to look at, for sample i, keeps its own sample i.

    Args:
        store: Holds the completions.
        question: What was asked.
        teachers: Everybody who was asked.
        rounds: Of the debate; 0 for none.

    Returns:
        One more than ``rounds``.
    """
    found: list[Round] = [
        {each.name: answers(each.model, store, question, each.asking) for each in teachers}
    ]
    for _ in range(rounds):
        before = found[-1]
        found.append({each.name: list(_again(store, question, each, before)) for each in teachers})
    return found


def further_requests(question: Question, teacher: AskedTeacher, before: Round) -> list[Request]:
    """What a teacher is sent in the next round, a request a sample.

    Sample i sees sample i of every other teacher that has finished it, and the teacher's own;
    there is no request where no other has.

    Args:
        question: What is asked about.
        teacher: Who is to answer again.
        before: The round before, of all teachers.
    """
    samples = range(teacher.asking.sampling.samples)
    requests = (_request(question, teacher, before, sample) for sample in samples)
    return [request for request in requests if request is not None]


def _again(
    store: Store, question: Question, teacher: AskedTeacher, before: Round
) -> Iterator[Answer]:
    """A teacher's answers of one further round."""
    own = {answer.sample: answer for answer in before[teacher.name]}
    for sample in range(teacher.asking.sampling.samples):
        request = _request(question, teacher, before, sample)
        if request is not None:
            yield from answers_to(teacher.model, store, request, teacher.asking)
        elif sample in own:
            yield own[sample]


def _request(
    question: Question, teacher: AskedTeacher, before: Round, sample: int
) -> Request | None:
    """What is sent for one sample; None where no other teacher has finished it."""
    finished = {
        name: answer.text
        for name, found in before.items()
        for answer in found
        if answer.sample == sample and answer.finish_reason == "stop"
    }
    own = finished.pop(teacher.name, None)
    if not finished:
        return None
    asked = replace(question, text=_shown(question, list(finished.values()), own), choices=())
    # The question is longer now, so an exemplar that is the question itself is left out here.
    spelt = words(question.text)
    kept = tuple(each for each in teacher.asking.exemplars if stem(each.question) != spelt)
    request = replace(teacher.asking, exemplars=kept).request(asked)
    return replace(request, samples=(sample,), question=question.text)


def _shown(question: Question, others: Sequence[str], own: str | None) -> str:
    """The question, and below it what was answered, every line of it marked as a quotation."""
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
    store: Store,
    meter: Meter,
    *,
    who: AskedTeacher,
    round_: int,
) -> SampleCounts:
    """Ask one teacher for its answers of one further round of a debate.

    They are requests like any other: what is in the store is not asked for again. Everybody's
    answers of the round before should be there; what is not is not shown.

    Args:
        task: Its training questions are debated.
        teacher: Whom to ask.
        asked: Everybody who takes part.
        store: Holds the answers of the rounds before, takes the new ones.
        meter: Shown the progress.
        who: The teacher, as one of ``asked``.
        round_: Counted from 1.

    Returns:
        Counts of the first step, where a prompt style has two.
    """
    requests = [
        request
        for question in task.splits["train"]
        for request in further_requests(
            question, who, read_rounds(store, question, asked, round_ - 1)[-1]
        )
    ]
    label = f"rationales of {who.name}, debate round {round_}"
    return sample_requests(
        teacher, store, requests, who.asking, meter, label=label, stage="generate"
    )
