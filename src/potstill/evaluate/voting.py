"""Self-consistency: a model's answer is the one that most of its samples reach (arXiv 2203.11171).

A vote stops early where further samples could not change its outcome, so that stopping early and
asking to the end give the same answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from potstill.asking import Answer, Asking, answers, ask_requests
from potstill.models import Model
from potstill.progress import Meter
from potstill.records import Question, Task
from potstill.store import Store
from potstill.tasks.grading import grade
from potstill.tasks.votes import count_votes, same_answers


@dataclass(frozen=True, slots=True)
class Poll:
    """The votes on one question so far."""

    votes: tuple[tuple[str, int], ...]
    """Answers with their number of votes, in the order in which they were first given."""

    asked: int
    """Samples drawn, those that gave no answer included."""

    @property
    def winner(self) -> str | None:
        """The answer with most votes, the one given first of equals; None: nobody answered."""
        return max(self.votes, key=lambda vote: vote[1], default=(None, 0))[0]

    def settled(self, most: int) -> bool:
        """Whether no outcome of the samples that are left can change the winner.

        Args:
            most: Samples to be drawn at most.
        """
        left = most - self.asked
        if left <= 0:
            return True
        if not self.votes:
            return False
        best = max(votes for _, votes in self.votes)
        place = [votes for _, votes in self.votes].index(best)
        if best < left:  # a new answer could still win
            return False
        return all(
            best > votes + left or (best == votes + left and place < other)
            for other, (_, votes) in enumerate(self.votes)
            if other != place
        )

    def needed(self, most: int) -> int:
        """How many more samples it takes at least until the vote can be settled.

        Asking for so many and no more wastes none: had fewer been asked for, the rest would have
        had to be asked for all the same.

        Args:
            most: Samples to be drawn at most.
        """
        for more in range(most - self.asked + 1):
            if self._plus(more).settled(most):
                return more
        return most - self.asked

    def _plus(self, more: int) -> "Poll":
        """The poll if the next samples all agreed with the winner: the quickest to be settled."""
        votes = dict(self.votes)
        if more:
            leader = self.winner or ""
            votes[leader] = votes.get(leader, 0) + more
        return Poll(tuple(votes.items()), self.asked + more)


def poll(answers: Sequence[str | None], same: Callable[[str, str], bool]) -> Poll:
    """Count votes.

    Args:
        answers: What each sample answered, in sample order; None: no answer, which is no vote.
        same: Whether two answers are one.
    """
    return Poll(tuple(count_votes(answers, same).items()), len(answers))


def vote(
    model: Model,
    store: Store,
    task: Task,
    questions: Sequence[Question],
    asking: Asking,
    meter: Meter,
    *,
    label: str,
) -> dict[str, list[Answer]]:
    """Draw samples, in rounds, until every question's vote is settled.

    Args:
        model: Whom to ask.
        store: Where samples go; what is there is not asked for again.
        task: Of the questions; says how answers are read.
        questions: What to ask.
        asking: How to ask; its number of samples is the most that is drawn of a question.
        meter: Shown the progress.
        label: What the meter calls it.

    Returns:
        The samples that were needed, by question id, in sample order.
    """
    most, open_ = asking.sampling.samples, list(questions)
    drawn = dict.fromkeys((question.id for question in questions), 0)
    samples: dict[str, list[Answer]] = {question.id: [] for question in questions}
    while wanted := {
        question: range(drawn[question.id], drawn[question.id] + more)
        for question in open_
        if (more := _poll(task, question, samples[question.id], drawn[question.id]).needed(most))
    }:
        requests = [
            replace(asking.request(question), samples=tuple(further))
            for question, further in wanted.items()
        ]
        ask_requests(model, store, requests, asking, meter, label=label, stage="evaluate")
        for question, further in wanted.items():
            drawn[question.id] = further.stop
            found = answers(model.name, store, question, asking)
            samples[question.id] = [answer for answer in found if answer.sample < further.stop]
        open_ = list(wanted)
    return samples


def winner(task: Task, answers: Sequence[str | None]) -> int:
    """Which sample speaks for all: the first that gives the answer most of them give.

    Args:
        task: Says when two answers are one.
        answers: What each sample answered; where none gave an answer, the first sample speaks.
    """
    elected = poll(answers, same_answers(task)).winner
    return 0 if elected is None else answers.index(elected)


def _poll(task: Task, question: Question, samples: Sequence[Answer], drawn: int) -> Poll:
    """The vote so far; a sample that failed has no vote, but was drawn."""
    given = [grade(task, sample.text, question).answer for sample in samples]
    return poll([*given, *[None] * (drawn - len(given))], same_answers(task))
