"""Adaptive sampling: samples go to the questions that still lack right rationales."""

import math
import random
import re
from pathlib import Path

import pytest
from fakes import ScriptedModel, context_of, sums
from hypothesis import given
from hypothesis import strategies as st

from potstill.curate import CurateSettings, curate
from potstill.errors import ConfigError
from potstill.generate import GenerateResult, GenerateSettings, generate, teacher_asking
from potstill.generate.stage import further_samples
from potstill.records import Completion, Request, Task
from potstill.sampling.ask import SampleCounts
from potstill.sampling.debate import AskedTeacher
from potstill.settings import build
from potstill.store import Store


def teacher() -> ScriptedModel:
    """A teacher that is right about n + n on every n-th sample."""

    def script(request: Request, sample: int) -> str:
        found = re.search(r"What is (\d+)", request.question)
        assert found is not None
        number = int(found[1])
        right = sample % number == number - 1
        return f"Way {sample}.\nThe answer is {2 * number + (not right)}."

    return ScriptedModel(script, chat=True)


def draw(
    model: ScriptedModel, store: Store, samples: int, enough: int | None, task: Task
) -> GenerateResult:
    asking = teacher_asking(model, GenerateSettings(samples=samples), seed=0)
    return generate(task, model, asking, context_of(store), enough_right=enough)


def gold_of(request: Request) -> str:
    """The right answer to n + n."""
    return str(2 * int(request.question.split()[2]))


def asked_of(model: ScriptedModel) -> dict[str, list[int]]:
    """The samples asked for, by what was asked."""
    samples: dict[str, list[int]] = {}
    for request in model.asked:
        samples.setdefault(request.question, []).extend(request.samples)
    return samples


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "run.sqlite")


@pytest.mark.parametrize(
    ("asked", "right", "more"),
    [
        (0, 0, 4),  # the first round: as many as are wanted
        (4, 4, 0),
        (4, 5, 0),
        (4, 3, 2),  # 1 lacks at a rate of 4/6
        (4, 2, 4),  # 2 lack at 3/6
        (4, 0, 4),  # 4 lack at 1/6, but no more than before
        (8, 1, 8),
        (12, 3, 4),  # 1 lacks at 4/14: 3.5, rounded up
        (14, 0, 2),  # the limit
        (16, 3, 0),
    ],
)
def test_how_many_more_to_ask_for(asked: int, right: int, more: int) -> None:
    assert further_samples(asked, right, 4, 16) == more


@given(st.integers(1, 8), st.integers(0, 60), st.floats(0, 1), st.randoms())
def test_asking_ends_with_enough_or_at_the_limit_in_few_rounds(
    enough: int, above: int, rate: float, draws: random.Random
) -> None:
    limit, asked, right, rounds = enough + above, 0, 0, 0
    while more := further_samples(asked, right, enough, limit):
        asked += more
        right += sum(draws.random() < rate for _ in range(more))
        rounds += 1
    assert asked <= limit
    assert right >= enough or asked == limit
    assert rounds <= 1 + (enough + 1) * math.log(limit / enough + 1) + 1


def test_samples_go_to_the_questions_that_need_them(store: Store) -> None:
    model, task = teacher(), sums(train=5)
    drawn = draw(model, store, samples=8, enough=2, task=task)
    # Right are every sample of 1 + 1, every second of 2 + 2, and so on.
    asked = asked_of(model)
    assert {text: len(samples) for text, samples in asked.items()} == {
        "What is 1 + 1?": 2,
        "What is 2 + 2?": 4,
        "What is 3 + 3?": 7,  # rounds of 2, 2 and 3, with 0, 1 and 1 right
        "What is 4 + 4?": 8,
        "What is 5 + 5?": 8,
    }
    assert all(samples == list(range(len(samples))) for samples in asked.values())
    assert drawn[:2] == (SampleCounts(wanted=29, there=0, stored=29, failed=0), 4)


def test_a_question_that_has_enough_is_not_asked_further(store: Store) -> None:
    model, task = teacher(), sums(train=3)
    drawn = draw(model, store, samples=64, enough=1, task=task)
    assert {text: len(s) for text, s in asked_of(model).items()} == {
        "What is 1 + 1?": 1,
        "What is 2 + 2?": 2,
        "What is 3 + 3?": 4,
    }
    assert drawn.enough == 3


def test_repeating_asks_for_nothing_and_counts_the_same(store: Store) -> None:
    task = sums(train=5)
    first = draw(teacher(), store, samples=8, enough=2, task=task)
    again = teacher()
    repeated = draw(again, store, samples=8, enough=2, task=task)
    assert again.asked == []
    assert repeated.counts == SampleCounts(first.counts.wanted, first.counts.wanted, 0, 0)
    assert repeated.enough == first.enough


def test_a_stopped_command_goes_on_where_it_stopped(store: Store, tmp_path: Path) -> None:
    task = sums(train=5)
    whole = teacher()
    draw(whole, Store(tmp_path / "whole.sqlite"), samples=8, enough=2, task=task)

    class Stopping(ScriptedModel):
        def complete(self, requests):  # type: ignore[no-untyped-def]
            for number, completion in enumerate(super().complete(requests)):
                if number == 3:
                    raise KeyboardInterrupt
                yield completion

    stopped = Stopping(whole.script, chat=True)
    with pytest.raises(KeyboardInterrupt):
        draw(stopped, store, samples=8, enough=2, task=task)
    rest = teacher()
    drawn = draw(rest, store, samples=8, enough=2, task=task)
    assert drawn.counts.there >= 3
    assert drawn.counts.wanted == sum(map(len, asked_of(whole).values()))
    for question in task.splits["train"]:
        both = teacher_asking(rest, GenerateSettings(samples=8), seed=0).request(question)
        samples = [found.completion.sample for found in store.completions("scripted", both)]
        assert samples == asked_of(whole)[question.text]


def test_fixed_and_adaptive_sampling_share_their_draws(store: Store) -> None:
    task = sums(train=5)
    draw(teacher(), store, samples=8, enough=None, task=task)
    model = teacher()
    drawn = draw(model, store, samples=8, enough=2, task=task)
    assert model.asked == []
    assert drawn.counts.there == drawn.counts.wanted == 29
    topped_up = teacher()
    draw(topped_up, store, samples=12, enough=2, task=task)
    assert asked_of(topped_up) == {
        "What is 4 + 4?": [8, 9, 10, 11],  # from 7 on, of which 7 is there
        "What is 5 + 5?": [8, 9, 10, 11],
    }


def test_curation_reads_what_was_drawn(store: Store) -> None:
    model, task = teacher(), sums(train=5)
    draw(model, store, samples=8, enough=2, task=task)
    asking = teacher_asking(model, GenerateSettings(samples=8), seed=0)
    verdicts = curate(
        task, [AskedTeacher("teacher", model.name, asking)], context_of(store), CurateSettings()
    )
    assert verdicts == {"kept": 2 + 2 + 2 + 2 + 1, "wrong_answer": 29 - 9}


def test_a_cut_off_sample_and_a_failed_one_are_not_right(store: Store) -> None:
    task = sums(train=1)

    class Failing(ScriptedModel):
        def complete(self, requests):  # type: ignore[no-untyped-def]
            for completion in super().complete(requests):
                yield failed(completion) if completion.sample == 1 else completion

    def failed(completion: Completion) -> Completion:
        return Completion(
            request=completion.request, sample=1, text="", finish_reason="error", error="gone"
        )

    def script(request: Request, sample: int) -> str:
        return "The answer is 2." + " and more" * (40 if sample == 0 else 0)

    model = Failing(script, chat=True)
    settings = GenerateSettings(samples=9, max_tokens=20)
    asking = teacher_asking(model, settings, seed=0)
    drawn = generate(task, model, asking, context_of(store), enough_right=2)
    assert asked_of(model) == {"What is 1 + 1?": [0, 1, 2, 3]}
    assert drawn[:2] == (SampleCounts(wanted=4, there=0, stored=3, failed=1), 1)


def test_the_two_steps_of_zero_shot_cot_are_graded_together(store: Store) -> None:
    def script(request: Request, sample: int) -> str:
        if "Therefore" in str(request.prompt):
            return " 2." if "right" in str(request.prompt) else " 3."
        return f" This is {'right' if sample >= 2 else 'wrong'}, way {sample}."

    model, task = ScriptedModel(script), sums(train=1)
    drawn = draw(model, store, samples=8, enough=1, task=task)
    first = [r for r in model.asked if "Therefore" not in str(r.prompt)]
    assert [request.samples for request in first] == [(0,), (1,), (2, 3)]
    assert drawn[:2] == (SampleCounts(wanted=4, there=0, stored=4, failed=0), 1)


def test_more_right_rationales_than_samples_are_refused() -> None:
    with pytest.raises(ConfigError, match="no question gets more than 4 samples"):
        build(GenerateSettings, {"samples": 4, "enough_right": 5}, at="recipe")


@pytest.mark.parametrize(
    ("asked", "right", "most_wrong", "more"),
    [
        (0, 0, 1, 4),  # the first round is drawn whole
        (4, 3, 1, 0),
        (4, 3, 2, 1),  # one more wrong one ends it
        (4, 2, 3, 1),
        (4, 0, 4, 0),
        (8, 1, 12, 5),
        (4, 4, 9, 0),
    ],
)
def test_a_question_is_left_once_so_many_are_wrong(
    asked: int, right: int, most_wrong: int, more: int
) -> None:
    assert further_samples(asked, right, 4, 16, most_wrong) == more


@given(st.integers(1, 6), st.integers(1, 9), st.floats(0, 1), st.randoms())
def test_no_more_are_wrong_than_allowed_beyond_the_first_round(
    enough: int, most_wrong: int, rate: float, draws: random.Random
) -> None:
    asked = right = 0
    while more := further_samples(asked, right, enough, 64, most_wrong):
        asked += more
        right += sum(draws.random() < rate for _ in range(more))
    assert asked - right <= max(enough, most_wrong)
    assert right >= enough or asked - right >= min(most_wrong, 64 - right)


def test_a_limit_needs_something_to_limit() -> None:
    with pytest.raises(ValueError, match="without enough_right all 4 samples are drawn"):
        GenerateSettings(most_wrong=3)


@pytest.mark.parametrize(("rate", "enough"), [(0.2, 1), (0.5, 1), (0.5, 2)])
def test_a_teachers_accuracy_does_not_depend_on_when_asking_ends(
    store: Store, rate: float, enough: int
) -> None:
    draws = random.Random(f"{rate} {enough}")
    answered = dict[tuple[str, int], bool]()

    def answer(request: Request, sample: int) -> str:
        right = answered.setdefault((request.question, sample), draws.random() < rate)
        return f"The answer is {gold_of(request)}." if right else "The answer is 0.5."

    task = sums(train=400)
    model = ScriptedModel(answer, chat=True)
    settings = GenerateSettings(samples=16, enough_right=enough)
    asking = teacher_asking(model, settings, seed=0)
    drawn = generate(task, model, asking, context_of(store), enough_right=enough)
    asked = AskedTeacher("teacher", model.name, asking)
    curate(task, [asked], context_of(store), CurateSettings(), enough_right=enough)
    (score,) = store.teacher_scores()
    # Within four standard errors of the mean over 400 questions of `enough` draws each.
    assert score.accuracy == pytest.approx(rate, abs=4 * (rate * (1 - rate) / 400 / enough) ** 0.5)
    assert score.samples == 400 * enough
    assert drawn.right == sum(answered.values())


def test_a_teacher_that_knows_some_questions_alone_keeps_its_accuracy(store: Store) -> None:
    """Half of the questions are always right, half never: 0.5, of the pooled samples 1 in 9."""

    def answer(request: Request, sample: int) -> str:
        known = int(gold_of(request)) % 4 == 0
        return f"The answer is {gold_of(request)}." if known else "The answer is 0.5."

    task, model = sums(train=40), ScriptedModel(answer, chat=True)
    asking = teacher_asking(model, GenerateSettings(samples=8, enough_right=1), seed=0)
    drawn = generate(task, model, asking, context_of(store), enough_right=1)
    assert (drawn.right, drawn.counts.wanted) == (20, 20 + 8 * 20)
    asked = AskedTeacher("teacher", model.name, asking)
    curate(task, [asked], context_of(store), CurateSettings(), enough_right=1)
    (score,) = store.teacher_scores()
    assert (score.accuracy, score.samples) == (0.5, 40)
