"""Training on the teacher's thinking, and the layout of answers by a student's chat template."""

import importlib.util
import json
import logging
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tiny_models import byte_level_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from potstill.errors import ConfigError, DataError
from potstill.models.local.answer_layout import (
    add_turn_end,
    answer_layout,
    end_ids,
    thinking_template,
)
from potstill.models.local.prompt_encoding import PromptEncoder
from potstill.prompts.formats import FORMATS, format_named
from potstill.records import Completion, Example, Message, Question, Rationale, Request
from potstill.settings import build
from potstill.store import Store
from potstill.train.chosen_rationales import long_ones
from potstill.train.encoding import Encoder
from potstill.train.examples import make_examples
from potstill.train.settings import StudentSettings
from potstill.train.stage import _tell_of_thinking

DOCS = Path(__file__).parents[1] / "docs" / "students.md"


def benchmark() -> ModuleType:
    """Returns the program that measured what students of a thinking teacher are trained on."""
    path = Path(__file__).parents[1] / "benchmarks" / "thinking_training.py"
    spec = importlib.util.spec_from_file_location("thinking_training", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TURNS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' %}ANSWER{% else %}{{ m['content'] }}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}OPENING{% endif %}"
)
FIELD = "{{ '<think>\n' + (m.reasoning_content or '') + '\n</think>\n\n' + m['content'] }}"
LAST = "{{ m['content'].split('</think>')[-1].lstrip() }}"


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Formats with system prompts are known within a test alone."""
    monkeypatch.setattr(FORMATS, "_defined", dict(FORMATS._defined))


def template(answer: str = "{{ m['content'] }}", opening: str = "") -> str:
    return TURNS.replace("ANSWER", answer).replace("OPENING", opening)


CHATML = template()
TEMPLATES = {
    # the template, then what stands before an answer, before its thinking and between the two
    "content": (CHATML, "", "<think>\n", "\n</think>\n\n"),
    "field": (template(FIELD), "<think>\n\n</think>\n\n", "<think>\n", "\n</think>\n\n"),
    "opened": (template(FIELD, "{{ '<think>\n' }}"), "\n</think>\n\n", "", "\n</think>\n\n"),
    "dropped": (template(LAST, "{{ '<think>\n' }}"), "\n</think>\n\n", "", "\n</think>\n\n"),
    "own marks": (
        template("{{ '[THINK]' + m.thinking + '[/THINK]' if m.thinking }}{{ m['content'] }}"),
        "", "[THINK]", "[/THINK]",
    ),
    "spaced": (template("{{ ' ' + m['content'] }}"), " ", " <think>\n", "\n</think>\n\n"),
}  # fmt: skip


def tokenizer(chat_template: str = CHATML) -> PreTrainedTokenizerFast:
    made = byte_level_tokenizer()
    made.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    made.chat_template = chat_template
    return made


def example(thinking: str | None = None, **changes: Any) -> Example:
    turns = (Message(role="user", content="3 + 4?"),)
    values = {"prompt": turns, "target": "So 7.\nThe answer is 7.", "thinking": thinking, **changes}
    return Example(**values)


def learned(made: PreTrainedTokenizerFast, one: Example) -> tuple[str, str]:
    """Returns the prompt and what is trained behind it, as text."""
    (encoded,) = Encoder(made, encoder_decoder=False).encode([one], max_length=10_000).examples
    return str(made.decode(encoded.prompt)), str(made.decode(encoded.target))


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_is_trained_is_what_the_template_renders(name: str) -> None:
    text, plain, opening, closing = TEMPLATES[name]
    made = tokenizer(text)
    layout = answer_layout(made)
    assert (layout.plain, layout.opening, layout.closing) == (plain, opening, closing)
    assert layout.end == "<|im_end|>\n"
    turns = [{"role": "user", "content": "3 + 4?"}]
    asked = made.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    answer = {"role": "assistant", "content": "So 7.\nThe answer is 7."}
    for thinking in (None, "Hm. 3, then 4."):
        prompt, target = learned(made, example(thinking))
        assert prompt == asked
        lead = plain if thinking is None else opening + thinking + closing
        assert target == f"{lead}So 7.\nThe answer is 7.<|im_end|>"
        if name == "dropped":
            continue  # which renders no thinking and, behind the prompt, no answer without it
        fields = {} if thinking is None else {"reasoning_content": thinking, "thinking": thinking}
        if name in ("content", "spaced") and thinking:
            fields = {"content": f"<think>\n{thinking}\n</think>\n\n{answer['content']}"}
        whole = made.apply_chat_template([*turns, {**answer, **fields}], tokenize=False)
        assert whole == prompt + target + "\n"


@pytest.mark.parametrize("name", TEMPLATES)
def test_an_answer_that_is_begun_stands_as_it_was_trained(name: str) -> None:
    made = tokenizer(TEMPLATES[name][0])
    encoder = PromptEncoder(made, "m")
    turns = (Message(role="user", content="3 + 4?"),)
    for thinking in (None, "Hm."):
        prompt, target = learned(made, example(thinking))
        begun = target[: target.index("So 7") + 4]
        prefix = "So 7" if thinking is None else begun
        request = Request(prompt=turns, answer_prefix=prefix)
        assert encoder.prompt_text(request) == prompt + begun


def test_a_template_that_closes_the_thinking_is_told_not_to() -> None:
    closed = template(LAST, "<think>\n{% if not enable_thinking %}\n</think>\n\n{% endif %}")
    made = tokenizer(closed)
    assert answer_layout(made).plain == ""
    opened = thinking_template(made)
    assert opened is not None
    made.chat_template = opened
    assert thinking_template(made) is None
    prompt, target = learned(made, example("Hm."))
    assert prompt.endswith("assistant\n<think>\n")
    assert target == "Hm.\n</think>\n\nSo 7.\nThe answer is 7.<|im_end|>"
    # who asks for no thinking gets none
    turns = [{"role": "user", "content": "3 + 4?"}]
    text = made.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    assert str(text).endswith("</think>\n\n")


def test_the_next_turn_is_no_part_of_an_answers_end() -> None:
    made = tokenizer("{% for m in messages %}<turn>{{ m['role'] }}:{{ m['content'] }}<end>"
                     "{% endfor %}<turn>assistant:")  # fmt: skip
    made.add_special_tokens({"additional_special_tokens": ["<turn>", "<end>"]})
    layout = answer_layout(made)
    assert layout.end == "<end>"
    assert made.convert_ids_to_tokens(end_ids(made, layout)) == ["<end>"]


def test_without_a_control_token_the_text_ends_as_ever() -> None:
    made = tokenizer("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
                     "{% if add_generation_prompt %}assistant: {% endif %}")  # fmt: skip
    assert end_ids(made, answer_layout(made)) == [made.eos_token_id]


def test_a_student_ends_its_turn_wherever_it_is_served() -> None:
    made = tokenizer()
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(made), n_embd=8, n_layer=1, n_head=1))
    model.generation_config.eos_token_id = made.eos_token_id
    end = made.convert_tokens_to_ids("<|im_end|>")
    for _ in range(2):
        add_turn_end(model, made)
        assert model.generation_config.eos_token_id == [end, made.eos_token_id]


def test_spelled_marks_of_the_question_stay_text() -> None:
    made = tokenizer()
    turns = (Message(role="user", content="Is <|im_end|> a tag?"),)
    (one,) = (
        Encoder(made, encoder_decoder=False)
        .encode([example("It says <|im_end|>.", prompt=turns)], max_length=1000)
        .examples
    )
    end = int(str(made.convert_tokens_to_ids("<|im_end|>")))
    assert one.prompt.count(end) == 1, "the user's turn ends once"
    assert one.target.count(end) == 1 and one.target[-1] == end


def test_plain_text_holds_thinking_between_tags() -> None:
    made = byte_level_tokenizer()
    plain = example("Hm.", prompt="3 + 4? ###", target=" So. --> 7")
    assert learned(made, plain) == ("3 + 4? ###", " <think>\nHm.\n</think>\n\nSo. --> 7<eos>")


def test_the_thinking_behind_a_rationale_is_found_by_its_completion(tmp_path: Path) -> None:
    texts = [
        ("7.", "Hm, 7."),  # apart, as a server or today's reading gives it
        ("<think>\nOld: 7.\n</think>\n\n7.", None),  # in the text, as an older version stored it
        ("7.", None),
        ("7.", " \n"),
    ]
    with Store(tmp_path / "run.sqlite") as store:
        requests = [Request(prompt=f"{n}?") for n in range(len(texts))]
        store.add_completions(
            "m",
            [
                Completion(
                    request=request, sample=0, text=text, thinking=thinking, finish_reason="stop"
                )
                for request, (text, thinking) in zip(requests, texts, strict=True)
            ],
            stage="generate",
        )
        rows = [store.completions("m", request)[0].id for request in requests]
        found = store.thinking_of(rows)
    assert found == {rows[0]: "Hm, 7.", rows[1]: "Old: 7."}


def rationales(count: int, each: int = 1) -> tuple[list[Rationale], tuple[Question, ...]]:
    questions = tuple(
        Question(id=f"q{n}", text=f"What is {n} + 1?", answer=str(n + 1)) for n in range(count)
    )
    made = [
        Rationale(
            question_id=f"q{n}", completion_id=n * each + k, sample=k, text=f"{n} and 1, way {k}.",
            answer=str(n + 1), verdict="kept",
        )
        for n in range(count) for k in range(each)
    ]  # fmt: skip
    return made, questions


def examples_of(
    thinking: object, *, count: int = 10, each: int = 5, seed: int = 0
) -> list[Example]:
    kept, questions = rationales(10, each=5)
    student = build(StudentSettings, {"data_format": "chat", "thinking": thinking}, at="s")
    thoughts = {one.completion_id: f"Thought {one.completion_id}." for one in kept}
    return list(
        make_examples(kept, questions, student, encoder_decoder=False, seed=seed, thinking=thoughts)
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_mixture_is_spread_evenly(seed: int) -> None:
    mixed = examples_of({"long": 0.2, "short": 0.8}, seed=seed)
    assert len(mixed) == 50
    for start in range(0, 50, 5):  # each question's five hold one with thinking
        assert sum(one.thinking is not None for one in mixed[start : start + 5]) == 1
    assert mixed == examples_of({"long": 1, "short": 4}, seed=seed)
    assert all(one.thinking for one in examples_of("keep"))
    assert not any(one.thinking for one in examples_of("drop"))
    assert [one.target for one in mixed] == [one.target for one in examples_of("drop")]


def test_few_that_have_thinking_make_up_the_share() -> None:
    rows = range(20)
    assert long_ones(rows, {3: "a", 7: "b"}, 0.5, seed=0).keys() == {3, 7}
    some = dict.fromkeys(range(10), "t")
    assert len(long_ones(rows, some, 0.25, seed=0)) == 5
    assert long_ones(rows, {}, 1.0, seed=0) == {}


def test_what_is_learned_of_thinking_is_counted_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mix = build(
        StudentSettings, {"data_format": "chat", "thinking": {"long": 1, "short": 4}}, at="s"
    )
    with caplog.at_level(logging.WARNING):
        _tell_of_thinking("s", mix, examples_of({"long": 1, "short": 4}))
    assert "s learns 10 rationales with the teacher's thinking and 40 without" in caplog.text
    keep = mix.model_copy(update={"thinking": "keep"})
    with pytest.raises(DataError, match=r"none of 50 kept rationales has any.*thinking to drop"):
        _tell_of_thinking("s", keep, examples_of("drop"))


def test_nothing_is_cut_and_what_is_too_long_is_counted() -> None:
    long = "So it goes. " * 400
    both = [example(long), example("Hm."), example()]
    encoded = Encoder(tokenizer(), encoder_decoder=False).encode(both, max_length=200)
    assert (len(encoded.examples), encoded.too_long, encoded.thinking_too_long) == (2, 1, 1)
    assert encoded.longest > 2000


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"thinking": "some"}, "no treatment of thinking 'some'; known: keep, drop, or a mixture"),
        ({"thinking": {"long": 0, "short": 1}}, "greater than 0"),
        ({"thinking": {"long": 0.2}}, "short"),
        ({"thinking": "keep", "data_format": "chat_answer"}, "answers without rationales"),
        ({"thinking": "keep", "data_format": "auto_answer"}, "answers without rationales"),
        ({"thinking": "keep", "data_format": "socratic_solver"}, "turns of a decomposition"),
        ({"system": "Be brief.", "data_format": "fine_tune_cot"}, "first turn of a chat"),
        ({"system": ""}, "at least 1 character"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        build(StudentSettings, values, at="student")


def test_a_system_prompt_stands_before_the_question_in_training_and_in_use() -> None:
    student = build(StudentSettings, {"system": "Be brief."}, at="student").settled(chat=True)
    name = student.asked_in
    assert name.startswith("chat_") and name == student.settled(chat=True).asked_in
    question = Question(id="q", text="3 + 4?", answer="7")
    turns = (
        Message(role="system", content="Be brief."),
        Message(role="user", content="3 + 4?"),
    )
    assert format_named(name).prompt(question, encoder_decoder=False) == turns
    kept, questions = rationales(1)
    (one,) = make_examples(kept, questions, student, encoder_decoder=False, seed=0)
    assert one.data_format == name and not isinstance(one.prompt, str)
    assert one.prompt[0] == turns[0]
    assert build(StudentSettings, {"data_format": "chat"}, at="s").asked_in == "chat"
    other = build(StudentSettings, {"system": "Be long."}, at="s").settled(chat=True)
    assert other.asked_in != name


def test_the_measured_training_texts_in_the_docs_are_those_of_the_script() -> None:
    """The page's section on a real student is written by the script from its result."""
    script = benchmark()
    found = json.loads(script.OUT.read_text(encoding="utf-8"))
    assert script.page_section(found) in DOCS.read_text(encoding="utf-8")
    students = found["students"]
    assert {row["left_out"] for row in students.values()} == {0}, "none is cut or left out"
    count = found["questions"]
    long = [students[name]["with_whole_thinking"] for name in ("keep", "drop", "mix")]
    assert long == [count, 0, round(0.2 * count)]
    assert found["too_long"]["left_out"] == 1 and found["too_long"]["examples"] == count - 1
    (said,) = found["too_long"]["said"]
    assert "1 of 5 examples have more than 1,024 tokens" in said


def test_made_up_thinking_has_its_length_and_is_shown_shortened() -> None:
    script = benchmark()
    made = tokenizer()
    thought = script.thinking_of(11, made, 300)
    assert 300 <= len(made.encode(thought)) < 400
    assert thought.splitlines()[0] == "Check 1: 11 and 1 make 12, which is not all."
    whole = f"Q <think>\n{thought}\n</think>\n\nA"
    short = script.shortened(whole, [thought], 300)
    assert "[... 300 tokens of thinking in all ...]" in short and len(short.splitlines()) == 7
