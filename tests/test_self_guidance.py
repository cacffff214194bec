import re
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import ScriptedModel, context_of, sums
from step_texts import rows

from potstill.curate import CurateSettings, curate
from potstill.errors import ConfigError, DataError
from potstill.generate import GenerateSettings, generate, teacher_asking
from potstill.grading.grade import split_rationale
from potstill.papers.socratic_cot import socratic_exemplar
from potstill.prompts.exemplars import (
    Exemplar,
    ExemplarSettings,
    FewShot,
    FewShotSettings,
    read_few_shot,
)
from potstill.prompts.formats import FORMATS
from potstill.prompts.styles import STYLES, shows_exemplars, style_named, worked
from potstill.sampling.debate import AskedTeacher
from potstill.store import Store
from potstill.tasks import grade
from potstill.text.steps import split_steps, subquestion_of

JANET = Exemplar(
    question="Janet has 16 eggs, eats 3 and sells the rest at $2 each. How much does she make?",
    rationale="She sells 16 - 3 = 13 eggs. She makes 13 * 2 = $26.",
    answer="26",
    questions=("How many eggs does she sell?", "How much does she make?"),
)
SHOWN = "Q: Janet has 16 eggs, eats 3 and sells the rest at $2 each. How much does she make?\nA: "


def own(*exemplars: Exemplar) -> FewShot:
    """Exemplars as a recipe gives them."""
    given = tuple(
        ExemplarSettings(
            question=each.question,
            rationale=each.rationale,
            answer=each.answer,
            questions=each.questions,
        )
        for each in exemplars
    )
    return read_few_shot(FewShotSettings(worked=given), "sums")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("few_shot_cot", "She sells 16 - 3 = 13 eggs. She makes 13 * 2 = $26."),
        (
            "quest_cot",
            "How many eggs does she sell? She sells 16 - 3 = 13 eggs. She makes 13 * 2 = $26.",
        ),
        (
            "subquestions",
            "How many eggs does she sell? She sells 16 - 3 = 13 eggs. "
            "How much does she make? She makes 13 * 2 = $26.",
        ),
    ],
)
def test_the_same_exemplar_in_every_style(name: str, said: str) -> None:
    shown = own(JANET).worded(name)
    assert worked(shown.style, JANET) == f"{SHOWN}{said} The answer is 26."
    assert shown.style == style_named(name)
    settings = GenerateSettings(prompt_style=name, max_tokens=77)
    asking = teacher_asking(ScriptedModel(lambda *_: ""), settings, seed=0, few_shot=own(JANET))
    request = asking.request(sums().splits["train"][0])
    assert request.prompt == f"{SHOWN}{said} The answer is 26.\nQ: What is 1 + 1?\nA:"
    assert (request.max_tokens, request.stop) == (77, ("\nQ:",))


def test_lines_stay_lines() -> None:
    lines = replace(JANET, rationale="16 - 3 = 13\n\n13 * 2 = 26\n")
    assert worked(style_named("quest_cot"), lines).startswith(
        f"{SHOWN}How many eggs does she sell?\n16 - 3 = 13\n\n13 * 2 = 26\n"
    )
    assert worked(style_named("subquestions"), lines).startswith(
        f"{SHOWN}How many eggs does she sell? 16 - 3 = 13\n\nHow much does she make? 13 * 2 = 26\n"
    )


def test_published_prompts_keep_their_own_wording(shared_data: Path) -> None:
    folder = FewShotSettings(file=shared_data / "bbh" / "cot-prompts")
    published = read_few_shot(folder, "bbh_boolean_expressions")
    with pytest.raises(ConfigError, match=r"the exemplar 'not .* has no questions"):
        published.worded("quest_cot")
    asked = replace(
        published,
        exemplars=tuple(replace(each, questions=("Why?",)) for each in published.exemplars),
    )
    for each in asked.exemplars:
        plain = worked(asked.style, each)
        shown = worked(asked.worded("quest_cot").style, each)
        begin = "A: Let's think step by step.\n"
        assert shown == plain.replace(begin, f"{begin}Why?\n", 1)
    assert asked.worded("few_shot_cot") == asked
    assert asked.worded("quest_cot").style.template == published.style.template


@pytest.mark.parametrize(
    ("name", "questions", "message"),
    [
        ("quest_cot", (), "the exemplar 'Janet has .* has no questions.*Give its questions"),
        ("subquestions", (), "has no questions"),
        ("quest_cot", (" ",), "has a blank question"),
        (
            "subquestions",
            ("a?", "b?", "c?"),
            "has 3 questions, and its rationale has 1 lines and 2 sentences",
        ),
    ],
)
def test_exemplars_without_their_questions_are_refused(
    name: str, questions: tuple[str, ...], message: str
) -> None:
    lacking = replace(JANET, questions=questions)
    with pytest.raises(ConfigError, match=message):
        own(JANET, lacking).worded(name)
    teacher, settings = ScriptedModel(lambda *_: ""), GenerateSettings(prompt_style=name)
    with pytest.raises(ConfigError, match=message):
        teacher_asking(teacher, settings, seed=0, few_shot=own(lacking))
    assert own(lacking).worded("few_shot_cot").exemplars


@pytest.mark.parametrize("name", ["quest_cot", "subquestions"])
def test_zero_shot_and_chat_styles_differ_from_their_neighbours_in_wording_only(name: str) -> None:
    for way in ("zero_shot", "instruct"):
        plain, asked = STYLES[f"{way}_cot"], STYLES[f"{way}_{name}"]
        assert asked.asks_subquestions == (name == "subquestions")
        bare = replace(asked, asks_subquestions=False)
        assert replace(bare, name=plain.name, template=plain.template) == plain
    asked = STYLES[f"instruct_{name}"]
    assert asked.template.endswith("Then end with one line of the form:\nThe answer is <answer>.")
    assert not shows_exemplars(asked)


FIRST = "How much is one of them?"


@pytest.mark.parametrize(
    ("style", "script", "kept"),
    [
        (
            "instruct_quest_cot",
            f"{FIRST}\n\nOne of them is {{half}}.\nThe answer is {{gold}}.",
            f"{FIRST}\n\nOne of them is {{half}}.",
        ),
        (
            "instruct_subquestions",
            f"{FIRST} It is {{half}}.\nWhat are both? {{gold}}.\nThe answer is {{gold}}.",
            f"{FIRST} It is {{half}}.\nWhat are both? {{gold}}.",
        ),
        ("zero_shot_quest_cot", f" {FIRST} It is {{half}}.", f"{FIRST} It is {{half}}."),
        ("zero_shot_subquestions", f" {FIRST} It is {{half}}.", f"{FIRST} It is {{half}}."),
        (
            "quest_cot",
            f" {FIRST} It is {{half}}. The answer is {{gold}}.",
            f"{FIRST} It is {{half}}.",
        ),
    ],
)
def test_a_student_is_trained_to_ask_its_own_first_question(
    tmp_path: Path, style: str, script: str, kept: str
) -> None:
    task = sums()

    def said(prompt: object, _: int) -> str:
        number = int(re.findall(r"What is (\d+)", str(prompt))[-1])
        if str(prompt).count("the answer is") and "zero_shot" in style and FIRST in str(prompt):
            return f" {2 * number}."
        return script.format(half=number, gold=2 * number)

    teacher = ScriptedModel(lambda request, sample: said(request.prompt, sample))
    teacher.chat = style.startswith("instruct")
    settings = GenerateSettings(prompt_style=style, samples=1)
    asking = teacher_asking(teacher, settings, seed=0, few_shot=own(JANET))
    with Store(tmp_path / "run.sqlite") as store:
        generate(task, teacher, asking, context_of(store))
        counts = curate(
            task,
            [AskedTeacher("teacher", teacher.name, asking)],
            context_of(store),
            CurateSettings(),
        )
        rationales = list(store.rationales())
    assert counts == {"kept": len(task.splits["train"])}
    texts = {each.text for each in rationales}
    assert texts == {kept.format(half=n, gold=2 * n) for n in range(1, 5)}
    for each in FORMATS.values():
        if each.needs_rationale:
            target = each.target(rationales[0].text, "2", encoder_decoder=True)
            assert target.startswith(each.lead(encoder_decoder=True) + FIRST)


def test_socratic_solutions_become_exemplars(shared_data: Path) -> None:
    solutions = rows(shared_data / "gsm8k" / "test_300_socratic.jsonl")
    plain = rows(shared_data / "gsm8k" / "test_300.jsonl")
    each_style, first = style_named("subquestions"), style_named("quest_cot")
    for row, bare in zip(solutions, plain, strict=True):
        exemplar = socratic_exemplar(row["question"], row["answer"])
        lines = [line for line in row["answer"].split("\n") if not line.endswith("** ")]
        assert exemplar.answer == lines[-1].removeprefix("#### ")
        assert len(exemplar.questions) == len(lines) - 1
        assert exemplar.rationale.split() == bare["answer"].partition("####")[0].split()
        asked = worked(each_style, exemplar).partition("\nA: ")[2]
        told = asked.rpartition(" The answer is ")[0]
        assert told.split() == " ".join(lines[:-1]).replace(" ** ", " ").split()
        assert worked(first, exemplar).partition("\nA: ")[2].startswith(exemplar.questions[0])
        pairs = zip(exemplar.questions, exemplar.rationale.split("\n"), strict=True)
        for step, pair in zip(split_steps(told, "lines"), pairs, strict=True):
            asks = pair[0].endswith("?")  # a few are told instead: "Define a variable"
            assert subquestion_of(step) == (pair if asks else None)


@pytest.mark.parametrize(
    ("solution", "message"),
    [
        ("How? ** So.\n5 + 3 = 8\n#### 8", r"of 'Why\?': '5 \+ 3 = 8' is not worded"),
        ("How? ** So.", "end with '#### answer'"),
        ("How? ** So.\n#### ", "end with '#### answer'"),
        ("#### 8", "must hold lines"),
    ],
)
def test_solutions_laid_out_otherwise_are_refused(solution: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        socratic_exemplar("Why?", solution)


LABELLED = "Question 1: How many are sold?\nAnswer: 16 - 3 = 13\nQuestion 2: How much is it?\n"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"{LABELLED}Answer: 13 * 2 = 26\nThe answer is 26.", f"{LABELLED}Answer: 13 * 2 = 26"),
        (f"{LABELLED}Answer: 26\n#### 26", f"{LABELLED}Answer: 26"),
        (f"{LABELLED}Answer: 13 * 2 = 26", f"{LABELLED}Answer: 13 * 2 = 26"),
        (
            "**Question 2:** How much?\n**Answer:** She makes $26.\n\n**Answer:** 26",
            "**Question 2:** How much?\n**Answer:** She makes $26.",
        ),
        (
            "Sub-question 2.1: How much? Answer: 13 * 2 = 26. So the answer is 26.",
            "Sub-question 2.1: How much? Answer: 13 * 2 = 26.",
        ),
        (
            "Q: How many?\nA: 16 - 3 = 13\nQ: How much?\nA: 13 * 2 = 26\nThe answer is 26.",
            "Q: How many?\nA: 16 - 3 = 13\nQ: How much?\nA: 13 * 2 = 26",
        ),
        # what closes a text, and not a step, is cut as everywhere
        (f"{LABELLED}The answer is 26.", LABELLED.strip()),
        (f"{LABELLED}13 * 2 = 26\nAnswer: 26", f"{LABELLED}13 * 2 = 26"),
        ("Question 2: How much? So the final answer: 26", "Question 2: How much?"),
        ("Question: How much does Janet make?\nAnswer: 26", "Question: How much does Janet make?"),
        ("13 * 2 = 26. So the answer is 26.\n#### 26", "13 * 2 = 26."),
    ],
)
def test_the_answer_to_a_labelled_subquestion_is_a_step(text: str, kept: str) -> None:
    found = grade("number", text, "26")
    assert (found.correct, found.rule) == (True, "marker")
    assert split_rationale(text, found) == kept
