"""The guided server ends the thinking of a student whose server knows no budget of it."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from fakes_upstream import Body, FakeUpstream, chat, prefix_of, served, settings_for, words_in

CLOSING = "\n</think>\n\n"
THOUGHT = "<think> Let me see, 20 and 22"
ANSWER = "The answer is 42."


def thinks_on(body: Body) -> str:
    """Thinks for ever, unless the end of its thinking is written for it."""
    begun = body["prompt"] if "prompt" in body else prefix_of(body)
    return ANSWER if CLOSING in begun else f"{THOUGHT} and on and on and on."


@pytest.fixture
def student() -> Iterator[FakeUpstream]:
    with FakeUpstream(thinks_on) as upstream:
        yield upstream


def told(answer: Any, *, stream: bool) -> str:
    if stream:
        return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
    return str(answer.choices[0].message.content)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("by_chat", [True, False])
def test_thinking_is_ended_at_the_budget_and_the_server_goes_on(
    student: FakeUpstream, by_chat: bool, stream: bool
) -> None:
    settings = settings_for(student, student={"chat": by_chat}, thinking_tokens=8, max_tokens=20)
    with served(settings) as running:
        assert told(chat(running, stream=stream), stream=stream) == ANSWER
        if not stream:
            answer = chat(running).choices[0].message
            assert answer.reasoning_content == "Let me see, 20 and 22 and"
    first, second = student.bodies[:2]
    assert (first["max_tokens"], second["max_tokens"]) == (8, 12)
    begun = second["prompt"].partition("22?")[2] if "prompt" in second else prefix_of(second)
    assert begun == f"{THOUGHT} and{CLOSING}"


def test_thinking_that_comes_apart_is_ended_too(student: FakeUpstream) -> None:
    def further(body: Body) -> str:
        is_ended = CLOSING in prefix_of(body)
        student.further = {} if is_ended else {
            "message": {"content": "", "reasoning_content": "Let me see"},
            "finish_reason": "length",
        }  # fmt: skip
        return ANSWER

    student.script = further
    with served(settings_for(student, thinking_tokens=3, max_tokens=20)) as running:
        answer = chat(running).choices[0].message
    assert (answer.content, answer.reasoning_content) == (ANSWER, "Let me see")
    assert prefix_of(student.bodies[1]) == f"<think>\nLet me see{CLOSING}"


def test_whoever_answers_in_time_or_does_not_think_is_left_alone(student: FakeUpstream) -> None:
    words = "one two three four five six seven eight"

    def counts(body: Body) -> str:
        prefix = prefix_of(body)
        return f" {words.removeprefix(prefix).strip()}" if prefix else words

    student.script = counts
    with served(settings_for(student, thinking_tokens=3, max_tokens=20)) as running:
        assert chat(running).choices[0].message.content == words
        assert [body["max_tokens"] for body in student.bodies] == [3, 17]
        assert prefix_of(student.bodies[1]) == "one two three"
        student.script = lambda body: "Two words."
        assert chat(running).choices[0].message.content == "Two words."
    assert len(student.bodies) == 3


def test_thinking_that_shows_its_end_alone_is_refused_with_the_way_out(
    student: FakeUpstream,
) -> None:
    """Its template opens the thinking, and nothing tells that the first words belong to it."""
    student.script = lambda body: (
        f"and 22{CLOSING}{ANSWER}" if prefix_of(body) else "Let me see what is 20"
    )
    settings = settings_for(student, thinking_tokens=3, max_tokens=20)
    with served(settings) as running, pytest.raises(openai.APIError, match="tell thinking apart"):
        chat(running)


def test_a_server_that_cannot_go_on_is_refused_with_the_reason(student: FakeUpstream) -> None:
    def usage(body: Body, answers: object) -> Body:
        return {"prompt_tokens": words_in(body) + 3 * len(body["messages"]), "completion_tokens": 3}

    student.script = lambda body: "A new turn."
    student._usage = usage  # type: ignore[method-assign]
    settings = settings_for(student, student={"prefill": None}, thinking_tokens=3, max_tokens=20)
    message = "cannot go on from an answer that is begun"
    with served(settings) as running, pytest.raises(openai.APIError, match=message):
        chat(running)
