"""The procedural families: splits apart, draws repeatable, gold answers and rationales right."""

import re

import pytest

from potstill.errors import ConfigError, DataError
from potstill.records import Question, Split
from potstill.tasks.procedural import FAMILIES, problems, questions
from potstill.tasks.procedural.arithmetic import MULTI_STEP, TWO_STEP, Story

ARITHMETIC = ["two_step_arithmetic", "multi_step_arithmetic", "fact_chain"]
EQUATION = re.compile(r"(\d+) ([-+*]) (\d+) = (\d+)")
every_family = pytest.mark.parametrize("family", FAMILIES)


@every_family
def test_no_question_is_drawn_twice_or_stands_in_two_splits(family: str) -> None:
    counts: dict[Split, int] = {"train": 20_000, "dev": 2_000, "test": 3_000}
    splits = [questions(family, split, count, seed=7) for split, count in counts.items()]
    drawn = [question for split in splits for question in split]
    assert len(drawn) == sum(counts.values())
    assert len({question.id for question in drawn}) == len(drawn)
    assert len({question.text for question in drawn}) == len(drawn)
    assert all(question.template_id for question in drawn)


@every_family
def test_the_same_seed_draws_the_same_questions_and_another_seed_others(family: str) -> None:
    first = problems(family, "train", 50, seed=3)
    assert problems(family, "train", 50, seed=3) == first
    assert problems(family, "train", 80, seed=3)[:50] == first
    assert problems(family, "train", 50, seed=4) != first


@every_family
def test_rationales_differ_in_wording_and_leave_the_answer_statement_out(family: str) -> None:
    for problem in problems(family, "dev", 200, seed=0):
        assert 2 <= len(set(problem.rationales)) == len(problem.rationales) <= 4
        assert all(told.endswith(".") and "answer" not in told for told in problem.rationales)


@pytest.mark.parametrize("family", ARITHMETIC)
def test_every_equation_of_a_gold_rationale_is_right_and_the_last_gives_the_answer(
    family: str,
) -> None:
    for problem in problems(family, "train", 1_000, seed=1):
        for told in problem.rationales:
            equations = EQUATION.findall(told)
            for left, operation, right, value in equations:
                assert computed(int(left), operation, int(right)) == int(value), told
            assert equations[-1][3] == problem.question.answer


@pytest.mark.parametrize(
    ("family", "stories"),
    [("two_step_arithmetic", TWO_STEP), ("multi_step_arithmetic", MULTI_STEP)],
)
def test_story_answers_follow_from_the_numbers_in_the_text(
    family: str, stories: tuple[Story, ...]
) -> None:
    operations = {f"{family}/{story.name}": story.operations for story in stories}
    for question in questions(family, "test", 500, seed=2):
        value, *others = [int(number) for number in re.findall(r"\d+", question.text)]
        steps = operations[question.template_id or ""]
        for operation, number in zip(steps, others, strict=True):
            value = computed(value, operation, number)
        assert str(value) == question.answer


def test_fact_chain_answers_follow_from_the_facts_in_any_order() -> None:
    for question in questions("fact_chain", "test", 500, seed=2):
        assert str(solved(question)) == question.answer


def test_every_fact_chain_has_a_fact_that_does_not_matter() -> None:
    for problem in problems("fact_chain", "test", 300, seed=2):
        told = set(re.findall(r"(\w+) has", problem.question.text.rpartition(". ")[0]))
        used = set(re.findall(r"[A-Z][a-z]+", problem.rationales[0]))
        assert told - used


def test_coin_toss_answers_count_the_flips() -> None:
    for question in questions("coin_toss", "test", 500, seed=2):
        flips = question.text.count(" flips the coin")
        assert question.answer == ("no" if flips % 2 else "yes")


def test_last_letters_answers_join_the_letters() -> None:
    for question in questions("last_letters", "test", 500, seed=2):
        words = question.text.split('"')[1].split()
        assert question.answer == "".join(word[-1] for word in words)


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'arithmetic'; known: two_step_arithmetic"):
        questions("arithmetic", "train", 1, seed=0)


def test_asking_for_more_questions_than_there_are_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "potstill.tasks.procedural.probes.WORDS", ("apple", "arrow", "baker", "boat")
    )
    with pytest.raises(DataError, match="too few train questions"):
        questions("last_letters", "train", 61, seed=0)


def computed(left: int, operation: str, right: int) -> int:
    return {"+": left + right, "-": left - right, "*": left * right}[operation]


def solved(question: Question) -> int:
    """Read the facts and resolve them from the person asked about, backwards."""
    counts = {who: int(n) for who, n in re.findall(r"(\w+) has (\d+) \w+\.", question.text)}
    relations: dict[str, tuple[str, int, str]] = {}
    for who, number, kind, whom in re.findall(
        r"(\w+) has (twice|\d+) (more|fewer|times as many|as many) \w+ (?:than|as) (\w+)\.",
        question.text,
    ):
        sign = {"more": "+", "fewer": "-"}.get(kind, "*")
        relations[who] = (sign, 2 if number == "twice" else int(number), whom)
    asked = re.findall(r"does (\w+) have\?", question.text)[0]
    return resolved(asked, counts, relations)


def resolved(who: str, counts: dict[str, int], relations: dict[str, tuple[str, int, str]]) -> int:
    if who in counts:
        return counts[who]
    sign, number, whom = relations[who]
    return computed(resolved(whom, counts, relations), sign, number)
