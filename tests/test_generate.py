import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import ScriptedModel, context_of, sums

from potstill.curate import CurateSettings, curate
from potstill.errors import ConfigError
from potstill.generate import GenerateSettings, generate, teacher_asking
from potstill.prompts.exemplars import ExemplarSettings, FewShotSettings, read_few_shot
from potstill.records import Completion, Request
from potstill.sampling.ask import SampleCounts, answers
from potstill.sampling.debate import AskedTeacher
from potstill.settings import build
from potstill.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "run.sqlite")


def number_in(request: Request) -> int:
    found = re.search(r"What is (\d+)", str(request.prompt))
    assert found is not None
    return int(found[1])


def teacher_of_sums(request: Request, sample: int) -> str:
    """Right on even samples; says the rationale in step one and the answer in step two."""
    number = number_in(request)
    if "Therefore" in str(request.prompt):
        right = "doubled" in str(request.prompt)
        return f" {2 * number if right else 2 * number + 1}."
    return f" {number} doubled, way {sample}." if sample % 2 == 0 else f" {number} and one more."


def test_rationale_and_answer_are_asked_for_in_two_steps(store: Store) -> None:
    task, teacher = sums(), ScriptedModel(teacher_of_sums)
    asking = teacher_asking(teacher, GenerateSettings(samples=2), seed=0)
    counts = generate(task, teacher, asking, context_of(store)).counts
    assert counts == (8, 0, 8, 0)
    first, second = teacher.asked[0], teacher.asked[-1]
    assert first.prompt == "Q: What is 1 + 1?\nA: Let's think step by step."
    assert first.temperature == 0.7 and first.samples == (0, 1)
    assert str(second.prompt).endswith("\nTherefore, the answer is")
    assert second.temperature == 0.0
    texts = [answer.text for answer in answers("scripted", store, task.splits["train"][0], asking)]
    assert texts[0] == " 1 doubled, way 0.\nTherefore, the answer is 2."


def test_repeating_asks_for_nothing_and_more_samples_for_the_new_ones_only(store: Store) -> None:
    task, teacher = sums(), ScriptedModel(teacher_of_sums)

    def once_more(samples: int) -> SampleCounts:
        teacher.asked.clear()
        asking = teacher_asking(teacher, GenerateSettings(samples=samples), seed=0)
        return generate(task, teacher, asking, context_of(store)).counts

    assert once_more(samples=2) == (8, 0, 8, 0)
    assert once_more(samples=2) == (8, 8, 0, 0)
    assert teacher.asked == []
    assert once_more(samples=4) == (16, 8, 8, 0)
    new = [request for request in teacher.asked if "Therefore" not in str(request.prompt)]
    assert {request.samples for request in new} == {(2, 3)}


def test_answers_stay_named_after_the_exemplars_have_changed(store: Store) -> None:
    task, teacher = sums(), ScriptedModel(lambda request, sample: "It is 2. The answer is 2.")
    settings = GenerateSettings(samples=1, prompt_style="few_shot_cot")
    for worked in ("What is 7 + 8?", "What is 8 + 9?"):
        shown = FewShotSettings(
            worked=(ExemplarSettings(question=worked, rationale="We count.", answer="1"),)
        )
        asking = teacher_asking(teacher, settings, seed=0, few_shot=read_few_shot(shown, "sums"))
        generate(task, teacher, asking, context_of(store))
    pool = list(store.pool(["generate"]))
    ids = [question.id for question in task.splits["train"]]
    assert [stored.questions for stored in pool] == [(("sums", id_),) for id_ in ids * 2]
    assert len({str(stored.completion.request.prompt) for stored in pool}) == 8


def test_a_run_of_before_gets_the_names_of_its_questions_when_it_goes_on(store: Store) -> None:
    task, teacher = sums(), ScriptedModel(teacher_of_sums)
    asking = teacher_asking(teacher, GenerateSettings(samples=2), seed=0)
    generate(task, teacher, asking, context_of(store))
    unnamed = sqlite3.connect(store.path)
    unnamed.execute("DELETE FROM request_questions")
    unnamed.commit()
    unnamed.close()
    assert {stored.questions for stored in store.pool(["generate"])} == {()}
    store.close()
    with Store(store.path) as again:
        asked = len(teacher.asked)
        generate(task, teacher, asking, context_of(again))
        assert len(teacher.asked) == asked
        named = [stored.questions for stored in again.pool(["generate"])]
        assert {task for ((task, _),) in named} == {"sums"}


def test_a_chat_teacher_is_asked_by_instruction(store: Store) -> None:
    teacher = ScriptedModel(lambda request, sample: "2 + 2 is 4.\nThe answer is 4.", chat=True)
    asking = teacher_asking(teacher, GenerateSettings(samples=1), seed=0)
    generate(sums(), teacher, asking, context_of(store))
    prompt = teacher.asked[0].prompt
    assert not isinstance(prompt, str)
    (message,) = prompt
    assert message.role == "user" and "The answer is <answer>" in message.content
    assert len(teacher.asked) == 4  # one step a question


def test_a_greedy_teacher_gives_one_sample_only() -> None:
    with pytest.raises(ConfigError, match="would be the same text"):
        build(GenerateSettings, {"temperature": 0, "samples": 4}, at="recipe")


def curated(
    store: Store, texts: list[str], settings: CurateSettings, max_tokens: int = 50
) -> list[tuple[str, str]]:
    """Text and verdict of each sample of the question 1 + 1."""
    task = sums(train=1)
    teacher = ScriptedModel(lambda request, sample: texts[sample], chat=True)
    generated = GenerateSettings(samples=len(texts), max_tokens=max_tokens)
    asking = teacher_asking(teacher, generated, seed=0)
    generate(task, teacher, asking, context_of(store))
    verdicts = curate(
        task, [AskedTeacher("teacher", teacher.name, asking)], context_of(store), settings
    )
    assert verdicts.total() == len(texts)
    return [(rationale.text, rationale.verdict) for rationale in store.rationales()]


def test_every_dropped_rationale_has_its_reason(store: Store) -> None:
    texts = [
        "One and one make two.\nThe answer is 2.",
        "One and one  make TWO.\nThe answer is 2.",
        "One and one make three.\nThe answer is 3.",
        "I would rather not say.",
        "Yes.\nThe answer is 2.",
        "It is a long story that needs many words indeed.\nThe answer is 2.",
        "Counting on the fingers gives two.\nThe answer is 2.",
        "We add one to one, as ever.\nThe answer is 2.",
        "word " * 60 + "The answer is 2.",
    ]
    settings = CurateSettings(min_words=3, max_words=8, max_per_question=2)
    found = curated(store, texts, settings)
    assert [verdict for _, verdict in found] == [
        "kept", "duplicate", "wrong_answer", "no_answer", "too_short", "too_long", "kept",
        "over_cap", "unfinished",
    ]  # fmt: skip
    assert found[0][0] == "One and one make two."


@pytest.mark.parametrize(
    ("reason", "verdict"),
    [("stop", "kept"), ("tool_calls", "unfinished"), ("content_filter", "unfinished"),
     ("pondered", "unknown_end")],
)  # fmt: skip
def test_only_what_ended_by_itself_is_kept(store: Store, reason: str, verdict: str) -> None:
    class Ending(ScriptedModel):
        def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for completion in super().complete(requests):
                yield replace(completion, finish_reason=reason)

    task, teacher = (
        sums(train=1),
        Ending(lambda request, sample: "So.\nThe answer is 2.", chat=True),
    )
    asking = teacher_asking(teacher, GenerateSettings(samples=1), seed=0)
    generate(task, teacher, asking, context_of(store))
    asked = AskedTeacher("teacher", teacher.name, asking)
    assert curate(task, [asked], context_of(store), CurateSettings(min_words=1)) == {verdict: 1}


def test_curation_can_keep_wrong_answers_and_duplicates(store: Store) -> None:
    texts = ["It is three.\nThe answer is 3.", "It is three.\nThe answer is 3."]
    settings = CurateSettings(right_answer=False, duplicates=True)
    assert [verdict for _, verdict in curated(store, texts, settings)] == ["kept", "kept"]
    task, teacher = sums(train=1), "scripted"
    asking = teacher_asking(ScriptedModel(lambda r, s: "", chat=True), GenerateSettings(
        samples=2, max_tokens=50), seed=0)  # fmt: skip
    assert curate(
        task, [AskedTeacher("teacher", teacher, asking)], context_of(store), CurateSettings()
    ) == {"wrong_answer": 2}
