"""Decompositions: rationales taken apart, and learned turn by turn."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_examples import rationale, spelt
from tiny_models import build_tiny_causal

from potstill.grading.grade import split_rationale
from potstill.prompts.decomposition import (
    END,
    Part,
    concluded,
    decomposed,
    told,
    transcript,
    turns,
)
from potstill.prompts.exemplars import Exemplar
from potstill.prompts.formats import FORMAT_OF, format_named
from potstill.prompts.styles import STYLES, style_named, worked
from potstill.records import Question, Task
from potstill.tasks import grade
from potstill.train.encoding import Encoder
from potstill.train.examples import make_examples, undivided
from potstill.train.prefix_sharing import forest
from potstill.train.settings import StudentSettings

JANET = Question(
    id="janet", text="Janet has 16 eggs, eats 3 and sells the rest at $2. What does she make?",
    answer="26",
)  # fmt: skip
EGGS = Part("How many does she sell?", "She sells 16 - 3 = 13.")
MONEY = Part("What does she make?", "She makes 13 * 2 = $26.")


# Rationales taken apart


@pytest.mark.parametrize(
    "text",
    [
        "How many does she sell? ** She sells 16 - 3 = 13.\n"
        "What does she make? ** She makes 13 * 2 = $26.",
        "**How many does she sell?** ** She sells 16 - 3 = 13.\n\n"
        "**What does she make?** ** She makes 13 * 2 = $26.",
        "How many does she sell? She sells 16 - 3 = 13. "
        "What does she make? She makes 13 * 2 = $26.",
        "First let us see.\nHow many does she sell?\nShe sells 16 - 3 = 13.\n\n"
        "What does she make?\nShe makes 13 * 2 = $26.\n",
        "Q1. How many does she sell?\nShe sells 16 - 3 = 13.\nFinal Answer: What does she make?\n"
        "She makes 13 * 2 = $26.",
        "Question 1: How many does she sell?\nAnswer 1: She sells 16 - 3 = 13.\n\n"
        "Question 2: What does she make?\nAnswer 2: She makes 13 * 2 = $26.",
        "**Sub-question 1:** How many does she sell?\n**Answer:** She sells 16 - 3 = 13.\n"
        "**Sub-question 2:** What does she make?\n**Answer:** She makes 13 * 2 = $26.",
        "### Subquestion 1\nHow many does she sell?\nShe sells 16 - 3 = 13.\n"
        "### Subquestion 2\nWhat does she make?\nShe makes 13 * 2 = $26.",
        "1. How many does she sell?\nA: She sells 16 - 3 = 13.\n"
        "2. What does she make?\nA: She makes 13 * 2 = $26.",
        "Q1: How many does she sell? She sells 16 - 3 = 13.\n"
        "Q2: What does she make? She makes 13 * 2 = $26.",
        "Where to begin? How many does she sell? She sells 16 - 3 = 13. What does she make? "
        "She makes 13 * 2 = $26.",
    ],
)
def test_the_same_decomposition_in_every_layout(text: str) -> None:
    assert decomposed(text) == (EGGS, MONEY)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ()),
        ("She sells 13. She makes 26.", ()),
        ("2 ** 3 = 8, so it is 8.", ()),
        ("What does she make?", ()),
        ("Why? How? When? Where?\nShe makes 26.", ()),
        ("She sells 13. So what does she make? 26.", (("So what does she make?", "26."),)),
        # The statement of the answer was taken off the end.
        ("Q1. Is it prey? It is.\nFinal answer: Is it eaten?", (("Is it prey?", "It is."),
                                                                ("Is it eaten?", ""))),
        # A further question in the solution of a labelled one is part of the solution.
        ("Q1. How many? What is left? 5.\nQ2. And then? 6.", (("How many?", "What is left? 5."),
                                                              ("And then?", "6."))),
        ("Q: Find the total.\nIt is 5.\n2 + 3 = 5", (("Find the total.", "It is 5.\n2 + 3 = 5"),)),
        # Every line has the mark, so questions need none of their own.
        ("Define it ** Let x be it.\nSimplify ** x = 2 ** 1", (("Define it", "Let x be it."),
                                                               ("Simplify", "x = 2 ** 1"))),
        ("2 ** 3 = 8\n8 ** 2 = 64", ()),
        ("How much is it? ** 5.\nThat is all.", (("How much is it?", "5.\nThat is all."),)),
    ],
)  # fmt: skip
def test_what_is_and_is_not_a_decomposition(text: str, parts: tuple[tuple[str, str], ...]) -> None:
    assert decomposed(text) == tuple(Part(*each) for each in parts)


def lines_of(file: Path) -> list[Any]:
    if not file.exists():
        pytest.skip(f"{file} is not there")
    data = file.read_bytes()
    text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode()
    return [json.loads(line) for line in text.splitlines()]


def test_every_human_decomposition_of_gsm8k_is_read(shared_data: Path) -> None:
    for row in lines_of(shared_data / "gsm8k" / "test_300_socratic.jsonl"):
        body = row["answer"].partition("####")[0]
        pairs = [line.split(" ** ", 1) for line in body.splitlines() if not line.endswith(" ** ")]
        expected = [Part(asked.strip(), said.strip()) for asked, said in pairs]
        assert [*decomposed(body)] == expected


@pytest.mark.parametrize("task", ["GSM8K", "MultiArith", "SVAMP", "StrategyQA", "date", "CLUTRR"])
@pytest.mark.parametrize("model", ["code002", "text002", "gpt-3.5-turbo"])
def test_real_least_to_most_completions_are_read(task: str, model: str, shared_data: Path) -> None:
    place = shared_data / "teacher_outputs" / "faithful_cot" / task
    (file,) = place.glob(f"{model}_LtM.jsonl*")
    right = total = 0
    for row in lines_of(file):
        labels = re.findall(r"(?mi)^(?:q?\d+[.:] .*\?|final answer: .*\?)", str(row["completion"]))
        found = decomposed(str(row["completion"]))
        total += 1
        right += [part.question.split()[-1] for part in found] == [
            label.split()[-1] for label in labels
        ] and all(part.solution for part in found)
    assert right >= 0.98 * total


def test_real_questions_among_sentences_are_read(shared_data: Path) -> None:
    place = shared_data / "teacher_outputs" / "cot_granularity" / "0_SVAMP_chatgpt_level3BSM.json"
    if not place.exists():
        pytest.skip(f"{place} is not there")
    task = Task(name="svamp", answer_type="number", splits={})
    outputs = [each["output"] for each in json.loads(place.read_text())]
    found = []
    for output in outputs:
        text = split_rationale(output, grade(task, output, "1"))
        found.append(decomposed(text))
        assert all(part.question in " ".join(text.split()) for part in found[-1])
        assert all(part.solution in text for part in found[-1])
    assert sum(len(parts) > 1 for parts in found) > 0.95 * len(outputs)


# Turns


sentences = st.text("abc 123", min_size=1, max_size=9).map(str.split).map(" ".join).filter(bool)
decompositions = st.lists(
    st.builds(lambda q, s: Part(f"Why {q}?", f"So {s}."), sentences, sentences), min_size=1,
    max_size=5,
)  # fmt: skip


@given(decompositions)
def test_targets_of_both_roles_put_together_are_the_decomposition(parts: list[Part]) -> None:
    asked = [turn.target for turn in turns("questioner", JANET, parts)]
    solved = [turn.target for turn in turns("solver", JANET, parts)]
    assert asked.pop() == END
    assert [turn.target for turn in turns("counted_questioner", JANET, parts)] == asked
    assert [turn.target for turn in turns("counter", JANET, parts)] == [str(len(parts))]
    whole = "\n".join(f"{one} {two}" for one, two in zip(asked, solved, strict=True))
    assert whole == transcript(concluded(parts, "26"))
    task = Task(name="eggs", answer_type="number", splits={})
    graded = grade(task, whole, JANET)
    assert graded.correct and graded.rule == "marker"
    assert decomposed(split_rationale(whole, graded)) == tuple(parts)


@given(decompositions)
def test_each_turn_goes_on_from_the_one_before(parts: list[Part]) -> None:
    """A decoder-only student reads one growing text, so that turns share their beginnings."""
    asks, solves = (format_named(FORMAT_OF[role]) for role in ("questioner", "solver"))
    text = JANET.text
    both = zip(turns("questioner", JANET, parts), turns("solver", JANET, parts), strict=False)
    for asked, solved in both:
        assert asks.prompt(asked.question, encoder_decoder=False) == f"{text}\nQ:"
        text += "\nQ:" + asks.target(asked.target, "", encoder_decoder=False)
        assert solves.prompt(solved.question, encoder_decoder=False) == f"{text}\nA:"
        text += "\nA:" + solves.target(solved.target, "", encoder_decoder=False)
    assert told(JANET, concluded(parts, "26")).text == text


OPTIONS = Question(id="one", text="Which is more?", answer="B", choices=("2", "3"))


@pytest.mark.parametrize(
    ("data_format", "expected"),
    [
        (
            "socratic_questioner",
            [
                ("\nQ:", "Is 3 > 2?"),
                ("\nQ: Is 3 > 2?\nA: It is.\nQ:", "Which is it?"),
                ("\nQ: Is 3 > 2?\nA: It is.\nQ: Which is it?\nA: The answer is B.\nQ:", "Done."),
            ],
        ),
        (
            "socratic_counted_questioner",
            [
                ("\nQuestion 1 of 2:", "Is 3 > 2?"),
                ("\nQ: Is 3 > 2?\nA: It is.\nQuestion 2 of 2:", "Which is it?"),
            ],
        ),
        ("socratic_counter", [("\nNumber of questions:", "2")]),
        (
            "socratic_solver",
            [
                ("\nQ: Is 3 > 2?\nA:", "It is."),
                ("\nQ: Is 3 > 2?\nA: It is.\nQ: Which is it?\nA:", "The answer is B."),
            ],
        ),
    ],
)
@pytest.mark.parametrize("encoder_decoder", [False, True])
def test_examples_of_each_role(
    data_format: str, expected: list[tuple[str, str]], encoder_decoder: bool
) -> None:
    kept = [
        rationale("one", 0, "Is 3 > 2? It is. Which is it?"),
        rationale("one", 1, "It is B."),
        rationale("one", 2, "Is it A? Yes.", "wrong_answer"),
    ]
    student = StudentSettings.model_validate(
        {"data_format": data_format if data_format != "socratic_counter" else "socratic_planner"}
    )
    examples = make_examples(kept, (OPTIONS,), student, encoder_decoder=encoder_decoder, seed=0)
    problem, gap = "Which is more? Answer choices: (A) 2, (B) 3.", "" if encoder_decoder else " "
    assert [(one.prompt, one.target) for one in examples if one.data_format == data_format] == [
        (problem + said, gap + target) for said, target in expected
    ]
    assert {one.question_id for one in examples} == {"one"}
    assert undivided(kept) == 1


def test_turns_match_the_teachers_probabilities_where_it_wrote_them() -> None:
    tokens = ("How many", "?", " Thirteen", ".", " How much", "?", " Twice", ".")
    text, logprobs = spelt(*tokens)
    examples = make_examples(
        [rationale("janet", 0, text)],
        (JANET,),
        StudentSettings.model_validate({"data_format": "socratic", "matching": "distribution"}),
        encoder_decoder=False,
        seed=0,
        texts=lambda _: (text, logprobs),
    )
    own = {
        one.target: one.target.encode()[one.teacher.start : one.teacher.end].decode()
        for one in examples
        if one.teacher is not None
    }
    assert own == {
        " How many?": "How many?",
        " How much?": " How much?",
        " Thirteen.": " Thirteen.",
        " Twice.\nThe answer is 26.": " Twice.",
    }


def test_turns_of_a_question_share_their_beginnings_in_training(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(build_tiny_causal(tmp_path, "gpt2"))
    student = StudentSettings(data_format="socratic")
    examples = make_examples(
        [rationale("janet", 0, transcript([EGGS, MONEY, EGGS, MONEY]))], (JANET,), student,
        encoder_decoder=False, seed=0,
    )  # fmt: skip
    encoded = Encoder(tokenizer, encoder_decoder=False).encode(examples, max_length=1024).examples
    rows = [[*one.prompt, *one.target] for one in encoded]
    assert len(rows) == 9
    longest = max(map(len, rows))
    # One text of all turns, and the end marks that each adds.
    assert len(forest(rows).ids) <= longest + 2 * len(rows)
    assert sum(map(len, rows)) > 4 * longest


# How teachers are asked


def test_few_shot_decompositions_show_what_is_read_again() -> None:
    janet = Exemplar(
        question=JANET.text,
        rationale=f"{EGGS.solution} {MONEY.solution}",
        answer="26",
        questions=(EGGS.question, MONEY.question),
    )
    shown = worked(style_named("decomposition"), janet)
    assert shown == (
        f"Q: {JANET.text}\nA: How many does she sell? ** She sells 16 - 3 = 13.\n"
        "What does she make? ** She makes 13 * 2 = $26. The answer is 26."
    )
    answer = shown.partition("\nA: ")[2]
    task = Task(name="eggs", answer_type="number", splits={})
    graded = grade(task, answer, JANET)
    assert graded.correct
    assert decomposed(split_rationale(answer, graded)) == (EGGS, MONEY)


def test_an_instructed_decomposition_is_graded_and_read() -> None:
    style = STYLES["instruct_decomposition"]
    assert style.chat and "` ** `" in style.template
    assert style.template.endswith("Then end with one line of the form:\nThe answer is <answer>.")
    assert {name for name, known in STYLES.items() if known.asks_subquestions} == {
        "instruct_decomposition", "instruct_subquestions", "zero_shot_subquestions",
        "decomposition", "subquestions",
    }  # fmt: skip
    answer = f"{EGGS.question} ** {EGGS.solution}\n{MONEY.question} ** {MONEY.solution}\n"
    task = Task(name="eggs", answer_type="number", splits={})
    for closed in (answer + "The answer is 26.", answer):
        graded = grade(task, closed, JANET)
        assert graded.correct
        assert decomposed(split_rationale(closed, graded)) == (EGGS, MONEY)
