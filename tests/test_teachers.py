"""Several teachers: what is chosen of what they wrote, question by question."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from fakes import ScriptedModel, context_of, sums
from several_teachers import chats, draw, says, sums_to

from potstill.curate import CurateSettings, curate
from potstill.curate.teacher_selection import consensus
from potstill.curate.verdicts import GradedSample, grade_sample
from potstill.grading.votes import same_answers
from potstill.records import FinishReason
from potstill.sampling.ask import Answer
from potstill.store import Store
from potstill.train.examples import make_examples
from potstill.train.settings import StudentSettings

ONE = sums(train=1)  # What is 1 + 1?
ANY = CurateSettings(right_answer=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "run.sqlite") as opened:
        yield opened


def verdicts(store: Store) -> list[tuple[str, int, str]]:
    return [(each.teacher, each.sample, each.verdict) for each in store.rationales()]


def judged(*votes: str, finish_reason: FinishReason = "stop") -> list[GradedSample]:
    question = ONE.splits["train"][0]
    return [
        grade_sample(ONE, question, "teacher", Answer(n, n, text, text, finish_reason, 1))
        for n, text in enumerate(votes)
    ]


def agreed(samples: Sequence[GradedSample]) -> tuple[str | None, tuple[bool, ...]]:
    return consensus(samples, same_answers(ONE))


def test_the_consensus_has_more_votes_than_any_other_answer() -> None:
    assert agreed(judged("It is 4.", "It is 5.", "It is 4.0.")) == ("4", (True, False, True))
    assert agreed(judged("It is 4.", "It is 5.")) == (None, (False, False))
    assert agreed(judged("no idea", "none")) == (None, (False, False))
    cut_off = judged("It is 5.", "It is 5.", finish_reason="length")
    assert agreed([*judged("It is 4."), *cut_off]) == ("4", (True, False, False))


def test_the_teacher_that_agrees_most_is_chosen(store: Store) -> None:
    # 4 has six votes, 5 has three: b agrees in three of three samples, a in two, c in one
    models = chats(a=sums_to(4, 4, 5), b=sums_to(4, 4, 4), c=sums_to(5, 5, 4))
    asked = draw(store, ONE, models, samples=3)
    settings = CurateSettings(right_answer=False, choose="agreement", duplicates=True)
    counts = curate(ONE, asked, context_of(store), settings)
    assert counts == {"other_teacher": 6, "kept": 3}
    assert [each[:2] for each in verdicts(store) if each[2] == "kept"] == [
        ("b", 0), ("b", 1), ("b", 2),
    ]  # fmt: skip


def test_of_teachers_that_agree_alike_the_first_of_the_recipe_is_chosen(store: Store) -> None:
    asked = draw(store, ONE, chats(z=sums_to(7), a=sums_to(8), b=sums_to(7)), samples=1)
    curate(ONE, asked, context_of(store), CurateSettings(right_answer=False, choose="agreement"))
    assert verdicts(store) == [
        ("z", 0, "kept"), ("a", 0, "other_teacher"), ("b", 0, "other_teacher"),
    ]  # fmt: skip


def test_without_a_consensus_the_first_teacher_is_chosen(store: Store) -> None:
    asked = draw(store, ONE, chats(z=sums_to(7), a=sums_to(8)))
    curate(ONE, asked, context_of(store), CurateSettings(right_answer=False, choose="agreement"))
    assert verdicts(store) == [("z", 0, "kept"), ("a", 0, "other_teacher")]


def test_agreement_asks_nothing_of_the_gold_answer_and_the_filter_does(store: Store) -> None:
    # most agree on 3, which is wrong; 1 + 1 = 2
    asked = draw(store, ONE, chats(a=sums_to(2, 9), b=sums_to(3, 3)), samples=2)
    curate(ONE, asked, context_of(store), CurateSettings(right_answer=False, choose="agreement"))
    assert verdicts(store) == [
        ("a", 0, "other_teacher"), ("b", 0, "kept"), ("a", 1, "other_teacher"),
        ("b", 1, "duplicate"),
    ]  # fmt: skip
    curate(ONE, asked, context_of(store), CurateSettings(choose="agreement"))
    assert verdicts(store) == [
        ("a", 0, "kept"), ("b", 0, "wrong_answer"), ("a", 1, "wrong_answer"),
        ("b", 1, "wrong_answer"),
    ]  # fmt: skip


def test_teachers_take_turns_under_a_cap_and_repeat_each_other_in_vain(store: Store) -> None:
    words = {"a": ("one way", "another"), "b": ("One  way", "a third"), "c": ("a fourth", "last")}
    models = chats(**{
        name: says(*(f"Take {each}.\nThe answer is 2." for each in texts))
        for name, texts in words.items()
    })  # fmt: skip
    asked = draw(store, ONE, models, samples=2)
    curate(ONE, asked, context_of(store), CurateSettings(max_per_question=3))
    assert verdicts(store) == [
        ("a", 0, "kept"), ("b", 0, "duplicate"), ("c", 0, "kept"),
        ("a", 1, "kept"), ("b", 1, "over_cap"), ("c", 1, "over_cap"),
    ]  # fmt: skip


def test_words_are_counted_before_a_teacher_is_chosen(store: Store) -> None:
    models = chats(a=says("Short. The answer is 2."), b=says("So much longer. The answer is 2."))
    asked = draw(store, ONE, models)
    curate(ONE, asked, context_of(store), CurateSettings(min_words=2, choose="agreement"))
    assert verdicts(store) == [("a", 0, "too_short"), ("b", 0, "kept")]


def test_every_teacher_is_asked_in_its_own_style(store: Store) -> None:
    plain = ScriptedModel(lambda request, sample: " 2", name="plain")
    models = {**chats(chat=sums_to(2)), "plain": plain}
    asked = draw(store, ONE, models)
    assert [each.asking.style.name for each in asked] == ["instruct_cot", "zero_shot_cot"]
    assert [len(each.asked) for each in models.values()] == [1, 2]  # rationale, then answer
    assert curate(ONE, asked, context_of(store), ANY) == {"kept": 2}


def test_a_student_with_fewer_samples_learns_the_first_of_every_teacher(store: Store) -> None:
    models = chats(a=says("A one. Answer: 2", "A two. Answer: 2"),
                   b=says("B one. Answer: 2", "B two. Answer: 2"))  # fmt: skip
    curate(ONE, draw(store, ONE, models, samples=2), context_of(store), ANY)
    examples = make_examples(
        store.rationales(), ONE.splits["train"], StudentSettings(samples=1),
        encoder_decoder=False, seed=0,
    )  # fmt: skip
    assert [each.target.split()[0] for each in examples] == ["A", "B"]


def test_the_scores_of_teachers_by_hand(store: Store) -> None:
    task = sums(train=4)  # the answers are 2, 4, 6, 8

    def right_for(*questions: int) -> Callable[..., str]:
        def script(request: object, sample: int) -> str:
            n = int(str(request.question).split()[2])  # type: ignore[attr-defined]
            right = n in questions or (n == 4 and sample == 0 and 4.5 in questions)
            return f"So.\nThe answer is {2 * n if right else 99}."

        return script

    # a: questions 1 and 2 whole, half of 4; b: question 2 alone
    models = chats(a=right_for(1, 2, 4.5), b=right_for(2))  # type: ignore[arg-type]
    asked = draw(store, task, models, samples=2)
    curate(task, asked, context_of(store), CurateSettings(duplicates=True))
    a, b, both = store.teacher_scores()
    assert (a.teacher, a.accuracy, a.total, a.samples) == ("a", 2.5 / 4, 4, 8)
    assert (a.kept, a.chosen, a.mean_logprob, a.difference) == (5, 3, None, None)
    assert 0.1 <= a.low < a.accuracy < a.high <= 1
    assert (b.accuracy, b.kept, b.chosen) == (0.25, 2, 1)
    # Wilson's interval of 1 in 4, by its formula
    z2 = 1.959964**2
    middle, half = (1 + z2 / 2) / (4 + z2), math.sqrt(z2 * (3 / 4 + z2 / 4)) / (4 + z2)
    assert (b.low, b.high) == pytest.approx((middle - half, middle + half), abs=1e-6)
    # votes: 1: two right, two 99; 2: four right; 3: four wrong; 4: one right, three wrong
    assert (both.teacher, both.accuracy, both.samples) == ("consensus", 0.25, 16)
    assert (both.kept, both.chosen) == (7, 3)


def test_one_teacher_has_no_consensus(store: Store) -> None:
    curate(ONE, draw(store, ONE, chats(teacher=sums_to(2))), context_of(store), ANY)
    assert [each.teacher for each in store.teacher_scores()] == ["teacher"]


def test_a_teacher_without_answers_has_no_score(store: Store) -> None:
    models = chats(a=sums_to(2), b=sums_to(2))
    asked = draw(store, ONE, models)
    silent = asked[1]._replace(model="silent")
    curate(ONE, [asked[0], silent], context_of(store), ANY)
    assert [each.teacher for each in store.teacher_scores()] == ["a", "consensus"]
