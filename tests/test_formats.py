"""Data formats: their literal texts, for both kinds of students, and the published mixtures."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Tokenizer, Qwen2Tokenizer

from potstill.errors import ConfigError
from potstill.evaluate.model_card import StudentOrigin, model_card
from potstill.grading.grade import split_rationale
from potstill.prompts.exemplars import Exemplar
from potstill.prompts.formats import FORMATS, MIXTURES, format_named, shares
from potstill.prompts.styles import prompt_for, shows_exemplars
from potstill.records import Checkpoint, Message, Question, Task
from potstill.settings import build
from potstill.tasks import grade
from potstill.train.settings import ReplaySettings, StudentSettings

QUESTION = Question(id="q", text=" What is 2 + 3? ", answer="5")
SHOWN = (
    Exemplar(question="What is 1 + 1?", rationale="One and one.", answer="2"),
    Exemplar(question="What is 2 + 2?", rationale="Two and two.", answer="4"),
)
FOR_COT = (
    "Q: What is 1 + 1?\nLet's think step by step\nOne and one.\nThe answer is 2\n\n"
    "Q: What is 2 + 2?\nLet's think step by step\nTwo and two.\nThe answer is 4\n\n"
    "Q: What is 2 + 3?\nLet's think step by step"
)
FOR_ANSWER = (
    "Q: What is 1 + 1?\nA: The answer is 2\n\nQ: What is 2 + 2?\nA: The answer is 4\n\n"
    "Q: What is 2 + 3?\nA:"
)
THINK = "<think>\nTwo and three.\n</think>\n\nThe answer is 5."
TEXTS = {
    "fine_tune_cot": (
        ("What is 2 + 3? ###", " Two and three. --> 5"),
        ("What is 2 + 3?", "Two and three. --> 5"),
    ),
    "fine_tune_answer": (("What is 2 + 3? ###", " 5"), ("What is 2 + 3?", "5")),
    "fine_tune_cot_natural": (
        (
            "Q: What is 2 + 3?\n\nA: Let's think step by step.\n\n",
            " Two and three.\n\nTherefore the answer is 5",
        ),
        (
            "Q: What is 2 + 3?\n\nA: Let's think step by step.\n\n",
            "Two and three.\n\nTherefore the answer is 5",
        ),
    ),
    "fine_tune_cot_gpt3": (
        (" What is 2 + 3? \n\n###\n\n", "  Two and three.\n\n\n-->\n\n5 END"),
        (" What is 2 + 3? ", " Two and three.\n\n\n-->\n\n5 END"),
    ),
    "fine_tune_answer_gpt3": (
        (" What is 2 + 3? \n\n ### \n\n", " 5 END"),
        (" What is 2 + 3? ", "5 END"),
    ),
    "in_context_cot": (
        (FOR_COT, "\nTwo and three.\nThe answer is 5"),
        (FOR_COT, "Two and three.\nThe answer is 5"),
    ),
    "zero_shot_cot": (
        (
            "Q: What is 2 + 3?\nLet's think step by step",
            "\nTwo and three.\nThe answer is 5",
        ),
        (
            "Q: What is 2 + 3?\nLet's think step by step",
            "Two and three.\nThe answer is 5",
        ),
    ),
    "in_context_answer": ((FOR_ANSWER, " The answer is 5"), (FOR_ANSWER, "The answer is 5")),
    "zero_shot_answer": (
        ("Q: What is 2 + 3? A:", " The answer is 5"),
        ("Q: What is 2 + 3? A:", "The answer is 5"),
    ),
    "chat": (("What is 2 + 3?", "Two and three.\nThe answer is 5."),) * 2,
    "chat_answer": (("What is 2 + 3?", "The answer is 5."),) * 2,
    "chat_think": (("What is 2 + 3?", THINK),) * 2,
    "predict": (("predict: What is 2 + 3?\n", "5"), ("predict: What is 2 + 3?", "5")),
    "explain": (
        ("explain: What is 2 + 3?\n", "Two and three."),
        ("explain: What is 2 + 3?", "Two and three."),
    ),
    "socratic_questioner": (
        ("What is 2 + 3?\nQ:", " Two and three."),
        ("What is 2 + 3?\nQ:", "Two and three."),
    ),
    "socratic_counted_questioner": (
        ("What is 2 + 3?:", " Two and three."),
        ("What is 2 + 3?:", "Two and three."),
    ),
    "socratic_counter": (
        ("What is 2 + 3?\nNumber of questions:", " Two and three."),
        ("What is 2 + 3?\nNumber of questions:", "Two and three."),
    ),
    "socratic_solver": (
        ("What is 2 + 3?\nA:", " Two and three."),
        ("What is 2 + 3?\nA:", "Two and three."),
    ),
}
"""Prompt and target of each format, for decoder-only and for encoder-decoder students."""

every_format = pytest.mark.parametrize("name", FORMATS)
both_kinds = pytest.mark.parametrize("encoder_decoder", [False, True])


@both_kinds
@every_format
def test_prompts_and_targets_are_worded_as_published(name: str, encoder_decoder: bool) -> None:
    data_format = format_named(name)
    shown = SHOWN if data_format.needs_exemplars else ()
    prompt = data_format.prompt(QUESTION, encoder_decoder=encoder_decoder, exemplars=shown)
    text, target = TEXTS[name][encoder_decoder]
    assert prompt == ((Message(role="user", content=text),) if data_format.chat else text)
    written = data_format.target(" Two and three.\n", "5", encoder_decoder=encoder_decoder)
    assert written == target
    if data_format.needs_rationale:
        lead = data_format.lead(encoder_decoder=encoder_decoder)
        assert written.startswith(lead + (" Two" if data_format.verbatim else "Two"))


@both_kinds
@every_format
def test_a_student_is_asked_as_it_was_trained(name: str, encoder_decoder: bool) -> None:
    data_format = format_named(name)
    style = data_format.style(encoder_decoder=encoder_decoder)
    assert shows_exemplars(style) == data_format.needs_exemplars
    shown = SHOWN if data_format.needs_exemplars else ()
    trained = data_format.prompt(QUESTION, encoder_decoder=encoder_decoder, exemplars=shown)
    assert prompt_for(style, QUESTION, shown) == trained
    target = data_format.target("Two and three.", "5", encoder_decoder=encoder_decoder)
    for stop in style.stop:  # it ends the target, or is no part of it
        assert stop not in target.removesuffix(stop)


@pytest.mark.parametrize(
    "tokenizer", ["gpt2/encoder.json gpt2/vocab.bpe", "qwen2/vocab.json qwen2/merges.txt"]
)
@pytest.mark.parametrize("asked", ["How many?", "Ends with 7", "Which?\nOptions:\n(A) this"])
def test_a_target_leaves_the_tokens_of_its_prompt_alone(
    tokenizer: str, asked: str, shared_data: Path
) -> None:
    files = [str(shared_data / "tokenizers" / file) for file in tokenizer.split()]
    kind = GPT2Tokenizer if "gpt2" in tokenizer else Qwen2Tokenizer
    encode = kind(*files).encode
    question = Question(id="q", text=asked, answer="72")
    for data_format in FORMATS.values():
        shown = SHOWN if data_format.needs_exemplars else ()
        prompt = data_format.prompt(question, encoder_decoder=False, exemplars=shown)
        if isinstance(prompt, str):
            ids = encode(prompt)
            for rationale in ("If so, then 24.", "48 are left.", "- One."):
                target = data_format.target(rationale, "72", encoder_decoder=False)
                assert encode(prompt + target)[: len(ids)] == ids, data_format.name


@pytest.mark.parametrize("name", [each for each in FORMATS if FORMATS[each].states_answer])
def test_the_grader_reads_the_answer_that_a_target_states(name: str) -> None:
    task = Task(name="sums", answer_type="number", splits={})
    rationale = "Two and three are 5. Not 6, nor 7."
    target = format_named(name).target(rationale, "5", encoder_decoder=False)
    read = grade(task, target, QUESTION)
    assert read.correct
    if "The answer is" in target:
        assert read.rule == "marker"
    if name in {"zero_shot_cot", "in_context_cot", "chat"}:
        assert split_rationale(target, read) == rationale


parts = st.sampled_from(["{answer}", "{rationale}", "{question}", "{exemplars}", "{", "}", "2: 3"])
texts = st.lists(parts | st.text(max_size=5), max_size=5).map("".join).map(str.strip)


@given(texts, texts, texts, st.sampled_from(list(FORMATS)))
def test_texts_are_put_in_as_they_are(asked: str, reasons: str, answer: str, name: str) -> None:
    data_format = FORMATS[name]
    question = Question(id="q", text=asked, answer=answer)
    shown = (Exemplar(question=reasons, rationale=asked, answer=answer),)
    prompt = data_format.prompt(
        question, encoder_decoder=True, exemplars=shown if data_format.needs_exemplars else ()
    )
    text = prompt if isinstance(prompt, str) else prompt[0].content
    before, after = data_format.template.split("{question}")
    assert text.endswith(asked + after)
    if not data_format.needs_exemplars:
        assert text == before + asked + after
    target = data_format.target(reasons, answer, encoder_decoder=True)
    fixed = len(data_format.reply.replace("{rationale}", "").replace("{answer}", ""))
    reasoned = len(reasons) if data_format.needs_rationale else 0
    answered = len(answer) if data_format.states_answer else 0
    assert len(target) == fixed + reasoned + answered


def test_options_of_a_choice_question_are_shown() -> None:
    question = Question(id="q", text="Which?", answer="B", choices=("this", "that"))
    prompt = format_named("zero_shot_cot").prompt(question, encoder_decoder=True)
    assert prompt == ("Q: Which? Answer choices: (A) this, (B) that.\nLet's think step by step")


def test_published_mixtures_have_their_published_shares() -> None:
    found = {name: [round(share, 3) for share in shares(name).values()] for name in MIXTURES}
    assert found == {
        "specialization": [0.793, 0.198, 0.006, 0.003],
        "in_context": [0.993, 0.007],
        "zero_shot": [0.986, 0.014],
        "predict_explain": [0.5, 0.5],
        "socratic": [0.5, 0.5],
        "socratic_planner": [0.75, 0.25],
    }
    asked = {name: StudentSettings(data_format=name).asked_in for name in MIXTURES}
    assert asked == {
        "specialization": "in_context_cot",
        "in_context": "in_context_cot",
        "zero_shot": "zero_shot_cot",
        "predict_explain": "predict",
        "socratic": "socratic_questioner",
        "socratic_planner": "socratic_counted_questioner",
    }
    assert not set(MIXTURES) & set(FORMATS), "a name means one thing"


weights = st.dictionaries(st.sampled_from(list(FORMATS)), st.floats(1e-3, 1e3), min_size=1)


@given(weights)
def test_shares_sum_to_one_and_keep_the_order(mixture: dict[str, float]) -> None:
    found = shares(mixture)
    assert sum(found.values()) == pytest.approx(1)
    assert list(found) == list(mixture)
    first = next(iter(mixture))
    assert all(
        found[name] * mixture[first] == pytest.approx(found[first] * mixture[name])
        for name in mixture
    )


@pytest.mark.parametrize(
    ("mixture", "told"),
    [
        ("cot", "no data format 'cot'; known: .*specialization, .*fine_tune_cot, "),
        ({"chat": 1, "cot": 1}, "no data format 'cot'; known: fine_tune_cot, "),
        ({"specialization": 1}, "'specialization' is a mixture of data formats, and mixtures can"),
        ({"chat": 0}, "chat is 0[:;] give a number above 0"),
        ({"chat": -1.5}, "chat is -1.5"),
        ({"chat": float("nan")}, "chat is nan"),
        ({"chat": float("inf")}, "chat is inf"),
        ({}, "needs one or more"),
    ],
)
def test_a_mixture_that_is_none_is_told(mixture: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        shares(mixture)
    with pytest.raises(ConfigError, match=told) as caught:
        build(StudentSettings, {"data_format": mixture}, at="student")
    assert str(caught.value).startswith("student: data_format") and "\n" not in str(caught.value)


@pytest.mark.parametrize("mixture", ["explain", {"explain": 1, "predict": 1}])
def test_a_student_must_be_asked_for_an_answer(mixture: Any) -> None:
    with pytest.raises(ValueError, match="explain gives no answer"):
        StudentSettings(data_format=mixture)


BARE = "Take one of fine_tune_answer, zero_shot_answer, chat_answer, fine_tune_answer_gpt3, predict"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fine_tune_cot", BARE),
        ("in_context_answer", BARE),
        ("specialization", "is a mixture of data formats, and mixtures cannot stand here"),
        ("zero_shot_anser", "there is no .* 'zero_shot_anser'; did you mean 'zero_shot_answer'?"),
    ],
)
def test_only_bare_answers_can_be_replayed(name: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ReplaySettings.model_validate({"tasks": ["coin_flip"], "data_format": name})


def test_replay_needs_a_task() -> None:
    with pytest.raises(ValueError, match="at least 1 item"):
        ReplaySettings(tasks=())


def card(data_format: str) -> str:
    chosen = Checkpoint(
        student="s", step=1, folder="c", data_format=data_format, encoder_decoder=False,
        examples=1, too_long=0,
    )  # fmt: skip
    origin = StudentOrigin(task="sums", start="hf:x", formats=[data_format])
    return model_card(chosen, [], origin)


@every_format
def test_the_model_card_says_how_to_ask(name: str) -> None:
    data_format, text = format_named(name), card(name)
    assert data_format.style(encoder_decoder=False).template in text
    assert data_format.reading in text
    assert ("The user's turn of a chat" in text) == data_format.chat
    assert ("each worded so" in text) == data_format.needs_exemplars
    assert data_format.exemplar in text
