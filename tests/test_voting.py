"""Self-consistency votes: who wins, and when nothing can change it any more."""

from operator import eq
from pathlib import Path

import pytest
from fakes import ScriptedModel, context_of, sums
from hypothesis import given
from hypothesis import strategies as st

from potstill.evaluate.measure import poll, vote
from potstill.prompts.styles import style_named
from potstill.records import Request
from potstill.sampling.ask import PromptConfig, SamplingParams
from potstill.store import Store

ANSWERS = st.lists(st.sampled_from(["1", "2", "3", None]), max_size=12)


@pytest.mark.parametrize(
    ("answers", "winner"),
    [
        (["4", "5", "5"], "5"),
        (["4", "5"], "4"),  # of equals the one given first
        ([None, "7", None, None], "7"),  # no answer is no vote
        ([None, None], None),
        ([], None),
    ],
)
def test_most_votes_win(answers: list[str | None], winner: str | None) -> None:
    assert poll(answers, eq).winner == winner


def test_answers_that_are_the_same_share_their_votes() -> None:
    votes = poll(["1/2", "7", "0.5", "7", "0.50"], lambda a, b: float(eval_(a)) == eval_(b)).votes
    assert votes == (("1/2", 3), ("7", 2))


def eval_(number: str) -> float:
    top, _, bottom = number.partition("/")
    return float(top) / float(bottom or 1)


@pytest.mark.parametrize(
    ("answers", "most", "needed"),
    [
        ([], 5, 3),  # three that agree settle five
        ([], 4, 2),  # two that agree come first, and of equals the first wins
        (["1", "1", "1"], 5, 0),
        (["1", "1", "2"], 5, 1),
        (["1", "2", "3"], 5, 1),  # a second vote for the first cannot be overtaken
        (["1", "2", "2"], 5, 1),
        (["2", "1", "1"], 4, 1),  # 2 stands first: one more vote for it would win the tie
        ([None, None, None], 5, 1),  # one vote each way, and the first wins
    ],
)
def test_a_vote_asks_for_no_more_than_it_needs(
    answers: list[str | None], most: int, needed: int
) -> None:
    found = poll(answers, eq)
    assert found.needed(most) == needed
    assert found.settled(most) is (needed == 0)


@given(answers=ANSWERS, asked=st.integers(min_value=0, max_value=12))
def test_stopping_early_changes_no_outcome(answers: list[str | None], asked: int) -> None:
    asked = min(asked, len(answers))
    early, whole = poll(answers[:asked], eq), poll(answers, eq)
    if early.settled(len(answers)):
        assert early.winner == whole.winner
    else:  # and it is never called open where it is settled: some continuation changes the winner
        left = len(answers) - asked
        rivals = [*(answer for answer, _ in early.votes), "new"]
        outcomes = {poll([*answers[:asked], *[rival] * left], eq).winner for rival in rivals}
        assert outcomes != {early.winner}


@given(answers=ANSWERS)
def test_no_sample_is_wasted(answers: list[str | None]) -> None:
    """Asked in rounds of ``needed``, a vote never goes past the first sample that settles it."""
    most, asked = len(answers), 0
    while more := poll(answers[:asked], eq).needed(most):
        asked += more
    first = next(n for n in range(most + 1) if poll(answers[:n], eq).settled(most))
    assert asked == first


def test_a_vote_asks_each_question_until_it_is_settled_and_never_twice(tmp_path: Path) -> None:
    task = sums(test=3)
    easy, split, silent = task.splits["test"]
    says = {
        easy.text: ["12"] * 8,
        split.text: ["1", "2", "1", "2", "2", "1", "2", "2"],
        silent.text: ["I do not know."] * 8,
    }

    def script(request: Request, sample: int) -> str:
        return next(said[sample] for text, said in says.items() if text in str(request.prompt))

    model = ScriptedModel(script)
    store = Store(tmp_path / "run.sqlite")
    asking = PromptConfig(
        style=style_named("zero_shot"), sampling=SamplingParams(samples=8, temperature=0.7)
    )
    questions, context = task.splits["test"], context_of(store)
    drawn = vote(model, task, questions, asking, context, label="votes")
    # 2-5 votes against 1-3 with nothing left; four equal votes of eight win as the first answer.
    assert {id_: len(samples) for id_, samples in drawn.items()} == {
        easy.id: 4,
        split.id: 8,
        silent.id: 8,
    }
    assert sum(len(request.samples) for request in model.asked) == 20
    again = vote(model, task, questions, asking, context, label="votes")
    assert again == drawn
    assert sum(len(request.samples) for request in model.asked) == 20
    store.close()
