"""Thinking told from the answer, in texts and at every door by which texts come in."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from exchange_runs import fill, open_run, write_recipe
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import build_tiny_causal, byte_level_tokenizer

from potstill import grade
from potstill.cli import main
from potstill.exchange import export_run, import_file
from potstill.grading.grade import split_rationale
from potstill.models.local.model import HFModel
from potstill.models.local.prompt_encoding import PromptEncoder
from potstill.models.openai.repeated_prefix import PrefixHabit
from potstill.models.openai.responses import read_reply
from potstill.models.recorded import RecordedModel
from potstill.models.settings import LocalSettings, OpenAISettings, RecordedSettings
from potstill.records import Message, Request
from potstill.text.thinking import answer_and_thinking, may_open, separate

SEVEN = "6 + 1 = 7. The answer is 7."

BLOCKS = {
    "DeepSeek, Qwen": "<think>\nMaybe 8?\n</think>\n\n{}",
    "in capitals, with attributes": '<Think time="3s">Maybe 8?</Think>{}',
    "the opening mark is the template's": "Maybe 8?\n</think>\n\n{}",
    "glued, the opening mark is the template's": "Maybe 8?</think>{}",
    "on one line": "<think> Maybe 8? </think> {}",
    "behind a template's words": "<|im_start|>assistant\n<think>\nMaybe 8?\n</think>\n\n{}",
    "closed by another mark": "<think>\nMaybe 8?\n</thinking>\n\n{}",
    "Claude": "<thinking>Maybe 8?</thinking>\n\n{}",
    "Gemini": "<thought>Maybe 8?</thought>{}",
    "instructed": "<reasoning>\nMaybe 8?\n</reasoning>\n{}",
    "Magistral": "[THINK]Maybe 8?[/THINK]{}",
    "Magistral's template": "Maybe 8?[/THINK]{}",
    "Seed": "<seed:think>Maybe 8?</seed:think>{}",
    "Gemma": "<|channel>thought\nMaybe 8?<channel|>{}",
    "Apertus": "<|inner_prefix|>Maybe 8?<|inner_suffix|>{}",
    "Command": ("<|START_THINKING|>Maybe 8?<|END_THINKING|><|START_RESPONSE|>{}<|END_RESPONSE|>"),
    "OpenThinker": (
        "<|begin_of_thought|>\n\nMaybe 8?\n\n<|end_of_thought|>\n\n"
        "<|begin_of_solution|>\n\n{}\n\n<|end_of_solution|>"
    ),
    "Kimi": "◁think▷Maybe 8?◁/think▷{}",
    "HuatuoGPT": "## Thinking\n\nMaybe 8?\n\n## Final Response\n\n{}",
    "Ollama": "Thinking...\nMaybe 8?\n...done thinking.\n\n{}",
    "Zephyr": "<|assistant|>\n<think>Maybe 8?</think>\n\n{}",
    "Granite": "Here is my thought process:\nMaybe 8?\nHere is my response:\n{}",
    "gpt-oss": (
        "<|channel|>analysis<|message|>Maybe 8?<|end|>"
        "<|start|>assistant<|channel|>final<|message|>{}<|return|>"
    ),
    "gpt-oss, begun by the template": (
        "Maybe 8?<|end|><|start|>assistant<|channel|>final<|message|>{}"
    ),
    "Reflection": "<reflection>Maybe 8?</reflection>\n{}",
    "an analysis": "<analysis>\nMaybe 8?\n</analysis>\n\n{}",
    "a monologue": "<inner_monologue>Maybe 8?</inner_monologue>{}",
    "MiniMax": "<mm:think>Maybe 8?</mm:think>{}",
    "a name space nobody has named": "<acme:thinking>Maybe 8?</acme:thinking>{}",
    "Hunyuan's suffix": "<think:opensource>Maybe 8?</think:opensource>{}",
    "K2 Horizon": "<ifm|think_fast>Maybe 8?</ifm|think_fast>{}",
    "with spaces in the tag": "< think >Maybe 8?</ think >{}",
    "escaped as HTML": "&lt;think&gt;Maybe 8?&lt;/think&gt;\n{}",
    "escaped as HTML, the opening mark is the template's": "Maybe 8?\n&lt;/think&gt;\n{}",
    "escaped as JSON": "<think>Maybe 8?<\\/think>\n{}",
    "behind a speaker's name": "Assistant: <think>Maybe 8?</think>\n{}",
    "in upper case brackets": "[THINKING]Maybe 8?[/THINKING]{}",
    "piped": "<|thinking|>Maybe 8?<|/thinking|>{}",
    "MedGemma": "<unused94>thought\nMaybe 8?<unused95>{}",
    "PLaMo": "<|plamo:begin_think:plamo|>Maybe 8?<|plamo:end_think:plamo|>{}",
    "Kimi K3": (
        "<|open|>think<|sep|>Maybe 8?<|close|>think<|sep|>"
        "<|open|>response<|sep|>{}<|close|>response<|sep|><|close|>message<|sep|>"
    ),
    "Solar": "<|think|>Maybe 8?<|end|><|begin|>assistant<|content|>{}<|end|>",
    "Inkling": (
        "<|message_model|><|content_thinking|>Maybe 8?<|end_message|>"
        "<|message_model|><|content_text|>{}<|end_message|>"
    ),
    "Muse": (
        "<|start|>assistant to=self<|message|>Maybe 8?<|eom|>"
        "<|start|>assistant to=user<|message|>{}<|eot|>"
    ),
    "Apriel": "Maybe 8?\n[BEGIN FINAL RESPONSE]\n{}\n[END FINAL RESPONSE]",
    "a fence": "```thinking\nMaybe 8?\n```\n{}",
    "gpt-oss without its special tokens": "analysisMaybe 8?assistantfinal{}",
}


@pytest.mark.parametrize("text", BLOCKS.values(), ids=BLOCKS)
def test_thinking_is_told_from_the_answer(text: str) -> None:
    answer, thinking = answer_and_thinking(text.format(SEVEN))
    assert (answer, thinking) == (SEVEN, "Maybe 8?")
    graded = grade("number", text.format(SEVEN), "7")
    assert (graded.answer, graded.correct) == ("7", True)
    assert graded.span is not None
    assert text.format(SEVEN)[slice(*graded.span)] == "7"
    assert split_rationale(text.format(SEVEN), graded) == "6 + 1 = 7."


@pytest.mark.parametrize(
    "text",
    [
        "The tag </think> ends a block of thinking. The answer is 7.",
        "Between <think> and </think> a model thinks. The answer is 7.",
        "<think> and </think> are tags. The answer is 7.",
        "It closes with `</think>`, or with '[/THINK]'. The answer is 7.",
        "A template looks so:\n```\n<think>\n8\n</think>\nanswer\n```\nThe answer is 7.",
        "For example:\n<think>\nIs it 8?\n</think>\nThe answer is 7.",
        "We stop at </think>. The answer is 7.",
        "Here is my response: The answer is 7.",
        "Assistant: The answer is 7.",
        "&lt;b&gt;7&lt;/b&gt; is right. The answer is 7.",
        "A thoughtful <reflections> block, 3 <think 7. The answer is 7.",
        "The analysis shows that 3 < 7 and 9 > 7. The answer is 7.",
        "It has two channels, <|channel|>analysis and final. The answer is 7.",
    ],
)
def test_a_text_that_speaks_of_the_marks_is_left_as_it_is(text: str) -> None:
    assert answer_and_thinking(text) == (text, None)
    assert grade("number", text, "7").correct


@pytest.mark.parametrize(
    "text",
    [
        "<think>The answer is 7? Let me check 6 + 1 ag",
        "<thinking>\nThe answer is 7.",
        "Assistant: <analysis>\nThe answer is 7.",
        "&lt;think&gt;The answer is 7.",
        "<think/>",
        "[THINK]The answer is 7.",
        "<|channel|>analysis<|message|>The answer is 7.",
        "<think>The answer is 7.</think>",
        "The answer is 7.\n</think>\n\n",
        "The answer is 7?\n</think>\n\nIt cannot be determined.",
    ],
)
def test_thinking_without_an_answer_behind_it_is_no_answer(text: str) -> None:
    graded = grade("number", text, "7")
    assert (graded.answer, graded.correct, graded.rule) == (None, False, "no_answer")


def test_a_prompt_may_open_the_thinking_and_a_begun_answer_hold_the_opening_mark() -> None:
    assert answer_and_thinking("Hm. 8 or 7", prompt="assistant\n<think>\n") == ("", "Hm. 8 or 7")
    assert answer_and_thinking("7", prompt="<think>\n\n</think>\n\n") == ("7", None)
    begun = "<think>\nFirst, 6."
    assert answer_and_thinking(" Then 7.\n</think>\n\n7", begun=begun) == (
        " Then 7.\n</think>\n\n7",
        None,
    )


def test_thinking_beside_a_field_of_its_own_is_not_said_twice() -> None:
    text = "<think>\nSix and one.\n</think>\n\nThe answer is 7."
    assert answer_and_thinking(text, apart="Six and one.\n")[1] == "Six and one.\n"
    assert answer_and_thinking(text, apart="Hm.") == ("The answer is 7.", "Hm.\n\nSix and one.")
    assert answer_and_thinking("The answer is 7.", apart="Hm.") == ("The answer is 7.", "Hm.")


TAGS = [
    "<think>",
    "</think>",
    "[THINK]",
    "[/THINK]",
    "</thinking>",
    "\n",
    " ",
    "a",
    "The",
    ".",
    "`",
]
CHANNELS = [
    "<|channel|>final<|message|>",
    "<|channel|>analysis<|message|>",
    "<|end|>",
    "<response>",
]


@given(st.lists(st.sampled_from([*TAGS, *CHANNELS]), max_size=12).map("".join))
def test_an_answer_is_a_part_of_its_text(text: str) -> None:
    parts = separate(text)
    assert 0 <= parts.start <= parts.end <= len(text)
    assert parts.closed or parts.answer(text) == ""


@given(st.lists(st.sampled_from(TAGS), max_size=12).map("".join))
def test_an_answer_holds_no_thinking(text: str) -> None:
    answer, thinking = answer_and_thinking(text)
    assert answer_and_thinking(answer) == (answer, None)
    assert thinking is not None or answer == text


@pytest.mark.parametrize("text", [text for text in BLOCKS.values() if text[0] in "<[#\u25c1HT&`A"])
def test_a_stream_waits_as_long_as_thinking_may_come(text: str) -> None:
    begun = next(
        text[:size] for size in range(len(text)) if separate(text[: size + 1]).thinking is not None
    )
    assert all(may_open(begun[:size]) for size in range(len(begun) + 1))
    assert not may_open("The answer is 7.")


def test_a_thousand_marks_take_no_time() -> None:
    text = "the tag </think> and " * 20_000
    assert answer_and_thinking(text) == (text, None)
    began = time.process_time()
    answer_and_thinking("</think>" * 50_000)  # 1.4 s where each mark looks through the whole text
    assert time.process_time() - began < 1


# --- The doors ---


def test_a_recording_holds_answers_apart_from_thinking(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    row = {"question": "6 + 1?", "rationale": [text.format(SEVEN) for text in BLOCKS.values()]}
    path.write_text(json.dumps(row))
    model = RecordedModel(RecordedSettings(model=f"recorded:{path}"))
    request = Request(prompt="6 + 1?", question="6 + 1?", samples=tuple(range(len(BLOCKS))))
    completions = list(model.complete([request]))
    assert {(one.text, one.thinking) for one in completions} == {(SEVEN, "Maybe 8?")}


def test_imported_rationales_lose_their_thinking_and_it_is_counted(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    file = tmp_path / "bought.jsonl"
    texts = ["<think>8?</think>\nTwice.\nThe answer is 4.", "[THINK]The answer is 4"]
    file.write_text(json.dumps({"question": "What is 2 + 2?", "rationale": texts}))
    with open_run(recipe) as run:
        done = import_file(run, file)
        assert (done.stored, done.left_out) == (1, 1)
        assert list(done.reasons) == ["rationale: 1 holds nothing but thinking"]
        assert import_file(run, file).there == 1
        assert run.curate() == {"kept": 1}
        assert run.store.thinking_counts() == (1, 1, 0)
        chat, completions = tmp_path / "chat.jsonl", tmp_path / "completions.jsonl"
        export_run(run, chat, "chat")
        export_run(run, completions, "completions", stages=["import"])
    [row] = map(json.loads, chat.read_text().splitlines())
    assert row["messages"][1]["content"] == "Twice.\nThe answer is 4."
    [row] = map(json.loads, completions.read_text().splitlines())
    assert (row["text"], row["thinking"]) == ("Twice.\nThe answer is 4.", "8?")
    row |= {"text": "8?\n</think>\n\nThe answer is 4.", "thinking": None}
    completions.write_text(json.dumps(row))
    with open_run(write_recipe(tmp_path, "again")) as run:
        import_file(run, completions)
        [pooled] = run.store.pool(["import"])
        assert (pooled.completion.text, pooled.completion.thinking) == ("The answer is 4.", "8?")


def test_texts_that_are_stored_with_their_thinking_are_curated_without_it(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    with open_run(recipe) as run:
        fill(run, ["<think>\n8?\n</think>\n\nTwice.\nThe answer is {answer}.", "<think>{answer}"])
        assert run.curate() == {"kept": 3, "no_answer": 3}
        assert {rationale.text for rationale in run.store.rationales()} == {"Twice.", ""}


def test_curate_says_how_many_thought(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    file = tmp_path / "bought.jsonl"
    file.write_text(json.dumps({"question": "What is 2 + 2?", "rationale": "Hm.\n</think>\n4"}))
    with open_run(recipe) as run:
        import_file(run, file)
    shown = CliRunner().invoke(main, ["curate", str(recipe)])
    assert "1 of 1 completions think before they answer; their thinking is kept apart" in (
        shown.output
    )


def test_a_local_model_tells_thinking_apart_as_a_server_s_reader_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_tiny_causal(tmp_path, "gpt2", chat=True)
    model = HFModel(LocalSettings(model=f"hf:{folder}"), source=str(folder))
    turns = (Message(role="user", content="6 + 1?"),)
    for text in BLOCKS.values():
        written = text.format(SEVEN)
        monkeypatch.setattr(model._prompts, "text", lambda tokens, anchor, written=written: written)
        [completion] = model.complete([Request(prompt=turns, max_tokens=2)])
        assert (completion.text, completion.thinking) == (SEVEN, "Maybe 8?")
    monkeypatch.setattr(model._prompts, "text", lambda tokens, anchor: "Hm. 7")
    [completion] = model.complete([Request(prompt="Q\n<think>\n", max_tokens=2)])
    assert (completion.text, completion.thinking) == ("", "Hm. 7")


def test_marks_that_are_special_tokens_stay_in_a_local_models_text() -> None:
    tokenizer = byte_level_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]", "<pad>"]})
    prompts = PromptEncoder(tokenizer, "tiny")
    ids = tokenizer("[THINK]8?[/THINK]7<pad><eos>")["input_ids"]
    assert prompts.text(ids, []) == "[THINK]8?[/THINK]7"
    assert prompts.ending(tokenizer("Q: [THINK]")["input_ids"]).endswith("[THINK]")
    plain = PromptEncoder(byte_level_tokenizer(), "tiny")
    assert plain.text(byte_level_tokenizer()("7<eos>")["input_ids"], []) == "7"


def test_graded_files_and_questions_see_no_thinking(tmp_path: Path) -> None:
    rows = [
        {"question": "6 + 1?", "answer": "7", "completion": "<think>7. Let me ag"},
        {"question": "6 + 1?", "answer": "7", "completion": "8\n</think>\n7"},
    ]
    file, out = tmp_path / "a.jsonl", tmp_path / "out.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = CliRunner().invoke(main, ["grade", "--task", "number", "--out", str(out), str(file)])
    assert shown.exit_code == 0, shown.output
    verdicts = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["answer"], row["correct"]) for row in verdicts] == [(None, False), ("7", True)]


@pytest.mark.parametrize("text", BLOCKS.values(), ids=BLOCKS)
def test_a_servers_reply_holds_the_answer_apart(text: str) -> None:
    settings = OpenAISettings(model="openai:m", base_url="http://t.example")
    request = Request(prompt=(Message(role="user", content="6 + 1?"),))
    for beside in ({}, {"reasoning_content": "Maybe 8?"}):
        message = {"role": "assistant", "content": text.format(SEVEN), **beside}
        reply = {
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
        }
        [completion] = read_reply(settings, request, (0,), reply, PrefixHabit())
        assert (completion.text, completion.thinking) == (SEVEN, "Maybe 8?")
