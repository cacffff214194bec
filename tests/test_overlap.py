import json
from dataclasses import asdict
from pathlib import Path

import pytest
from fakes import sums
from hypothesis import given
from hypothesis import strategies as st

from potstill.records import Prediction, Question, Split, System, Task
from potstill.report import write_report
from potstill.report.overlap_notes import overlap_notes, untouched
from potstill.store import Store
from potstill.tasks import load_task, task_settings
from potstill.tasks.overlap import COMMON, OverlapSettings, overlaps, without, words

FOUR = OverlapSettings(ngram=4)


def task(name: str = "own", **texts: list[str]) -> Task:
    """A task with these texts by split."""
    splits: dict[Split, tuple[Question, ...]] = {"train": (), "dev": (), "test": ()}
    for split, members in texts.items():
        splits[split] = tuple(  # type: ignore[index]
            Question(id=f"{split}/{n}", text=text, answer="1") for n, text in enumerate(members)
        )
    return Task(name=name, answer_type="number", splits=splits)


def test_words_level_case_spacing_and_punctuation_but_keep_numbers_and_signs() -> None:
    assert words("Ann's  COST: $1,200.50.") == ("ann", "s", "cost", "$", "1,200.50")
    assert words("What is 3 - 2?") != words("What is 3 + 2?")
    assert words("3.5") != words("35") != words("3 5")


@given(st.text())
def test_words_of_words_are_the_same(text: str) -> None:
    once = words(text)
    assert words(" ".join(once)) == once


def test_each_evaluation_set_is_counted_on_its_own() -> None:
    leading = task(
        train=["One two, three!", "a b c d e", "x a b c d", "nothing of the kind here"],
        dev=["b c d e f"],
        test=["one two three !", "zero a b c d"],
    )
    other = task("other", test=["Nothing of the kind, here?"])
    dev, test, further = overlaps(leading, [other], FOUR)
    assert (dev.same_text, dev.ngram, dev.hit, dev.total) == (0, 1, 1, 1)
    assert (test.same_text, test.ngram, test.hit, test.total) == (1, 2, 2, 2)
    assert (further.task, further.same_text, further.hit) == ("other", 1, 1)
    assert test.ids == {"train/0", "train/1", "train/2"}
    assert test.examples[0] == ("One two, three!", "one two three !", "text")
    assert test.examples[1].kind == "ngram"
    assert dev.same_template is None


def test_a_question_shorter_than_n_words_must_be_equal() -> None:
    leading = task(train=["is it so", "is it"], test=["it is so, is it so", "is it?"])
    _, test = overlaps(leading, [], FOUR)
    assert (test.same_text, test.ngram) == (1, 0)
    assert test.ids == {"train/1"}


def test_what_most_of_a_set_shares_is_its_wording() -> None:
    def leading(count: int) -> Task:
        return task(
            train=["say all the letters of q"],
            test=[f"say all the letters of {number}" for number in range(count)],
        )

    assert overlaps(leading(COMMON), [], FOUR)[1].hit == COMMON
    assert overlaps(leading(COMMON + 1), [], FOUR)[1].training == 0


def test_options_tell_questions_apart() -> None:
    one, two = (
        Question(id=name, text="Which is true?", answer="A", choices=(name, "none"))
        for name in ("red", "blue")
    )
    apart = Task(
        name="own", answer_type="choice", splits={"train": (one,), "dev": (), "test": (two,)}
    )
    assert overlaps(apart, [], FOUR)[1].training == 0


def test_shared_templates_are_counted_and_not_dropped() -> None:
    loaded = load_task(task_settings("two_step_arithmetic", at="task"))
    _, test = overlaps(loaded, [], OverlapSettings())
    assert test.same_template is not None and test.same_template > 0
    assert test.training == 0


def test_dropping_takes_out_the_overlapping_questions_and_says_so() -> None:
    leading = task(train=["a b c d e", "f g h i j"], dev=["a b c d"], test=["z a b c d"])
    kept = without(leading, overlaps(leading, [], FOUR))
    assert [each.text for each in kept.splits["train"]] == ["f g h i j"]
    assert kept.notes == ("1 training questions left out: their words stand in an evaluation set.",)
    assert overlaps(kept, [], FOUR)[1].training == 0
    clean = sums()
    assert without(clean, overlaps(clean, [], FOUR)) == clean


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=8), min_size=2, max_size=12))
def test_counts_agree_with_comparing_every_pair(made: list[list[str]]) -> None:
    texts = [" ".join(each) for each in made]
    half = len(texts) // 2
    leading = task(train=texts[:half], test=texts[half:])
    (_, test) = overlaps(leading, [], OverlapSettings(ngram=3))

    def runs(text: str) -> set[tuple[str, ...]]:
        spelt = words(text)
        return {spelt[i : i + 3] for i in range(len(spelt) - 2)}

    expected = {
        f"train/{n}"
        for n, one in enumerate(texts[:half])
        if any(words(one) == words(two) or runs(one) & runs(two) for two in texts[half:])
    }
    assert test.ids == expected


@pytest.mark.parametrize(
    ("name", "folder", "least", "most"),
    [("gsm8k", "gsm8k", 1, 5), ("coin_flip", "coin_flip", 0, 0)],
)
def test_published_sets(shared_data: Path, name: str, folder: str, least: int, most: int) -> None:
    raw = {"name": name, "path": str(shared_data / folder), "split": "fine_tune_cot"}
    loaded = load_task(task_settings(raw, at="task"))
    _, test = overlaps(loaded, [], OverlapSettings())
    assert test.same_text == 0
    assert least <= test.ngram <= most


def test_other_sets_share_whole_questions(shared_data: Path) -> None:
    def loaded(name: str, folder: str) -> Task:
        raw = {"name": name, "path": str(shared_data / folder), "split": "fine_tune_cot"}
        return load_task(task_settings(raw, at="task"))

    single_eq, addsub = loaded("single_eq", "singleeq"), loaded("addsub", "addsub")
    further = overlaps(single_eq, [addsub], OverlapSettings())[2]
    assert further.same_text >= 10
    kept = without(single_eq, [further])
    assert overlaps(kept, [addsub], OverlapSettings())[2].training == 0


def test_the_report_shows_counts_and_pairs_and_escapes_them(tmp_path: Path) -> None:
    leading = task(train=["<img src=x> two three four five"], test=["zero two three four five"])
    found = overlaps(leading, [], FOUR)
    with Store(tmp_path / "run.sqlite") as store:
        files = write_report(store, [leading], tmp_path, overlaps=found, notes=["Left <out>."])
    page, counts = files.html.read_text(), json.loads(files.summary.read_text())
    assert "&lt;img src=x&gt; two three four five" in page and "<img src=x>" not in page
    assert "Left &lt;out&gt;." in page and counts["notes"] == ["Left <out>."]
    shown = asdict(found[1])
    assert counts["overlap"][1] == {
        n: shown[n] for n in shown if n not in {"examples", "ids", "hit_ids"}
    }
    assert counts["overlap"][1]["ngram"] == counts["overlap"][1]["hit"] == 1


def test_accuracy_is_also_given_without_the_questions_that_overlap() -> None:
    shared = "Tom has 3 red pens and 4 blue pens in his bag. How many pens has he got?"
    test = [Question(id=f"t{n}", text=f"What is {n} times {n + 1}?", answer="1") for n in range(3)]
    test.append(Question(id="leak", text=shared.upper(), answer="7"))
    training = Question(id="a", text=shared, answer="7")
    splits: dict[Split, tuple[Question, ...]]
    splits = {"train": (training,), "dev": (), "test": tuple(test)}
    own = Task(name="own", answer_type="number", splits=splits)
    found = overlaps(own, [], OverlapSettings())
    assert [overlap.hit_ids for overlap in found] == [frozenset(), {"leak"}]
    predictions = [
        Prediction(
            system=System(name, step=1),
            task=own.name,
            question_id=question.id,
            text="",
            answer="",
            correct=question.id == "leak" or (name == "b" and question.id == "t0"),
            finish_reason="stop",
            completion_tokens=1,
        )
        for name in ("a", "b")
        for question in test
    ]
    left = {one.system.model: (one.correct, one.total) for one in untouched(found[1], predictions)}
    assert left == {"a": (0, 3), "b": (1, 3)}
    (note,) = overlap_notes(found, predictions)
    assert "1 of 4 test questions" in note and "(1 of 3)" in note and "33.3%" in note
    assert not list(overlap_notes(found[:1], predictions))
