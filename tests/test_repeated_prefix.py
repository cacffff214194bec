"""Servers whose answers begin with the beginning they were given, and texts that repeat it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from batches import BatchServer
from fakes_upstream import (
    ALONE,
    QUESTION,
    STEP,
    Body,
    FakeUpstream,
    chat,
    served,
    settings_for,
    student_says,
    teacher_says,
)
from loopback import Loopback

from potstill.models.openai.model import OpenAIModel
from potstill.models.openai.repeated_prefix import PROBE, PrefixHabit
from potstill.models.settings import OpenAISettings
from potstill.records import Completion, Request
from potstill.serve.answer_stream import StreamedText
from potstill.text.common_prefix import rest_after

GIVEN = "The answer is the number"


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def model(server: Loopback, **settings: Any) -> OpenAIModel:
    values = {"model": "openai:tiny", "base_url": server.url, "api_key_env": None, **settings}
    return OpenAIModel(OpenAISettings.model_validate(values))


def ask(teacher: OpenAIModel, prefix: str, *prompts: str, **fields: Any) -> list[str]:
    """The texts that a server goes on with, one after the other."""
    texts = []
    for prompt in prompts or ("3 + 4?",):
        request = Request(prompt=prompt, answer_prefix=prefix, **fields)
        texts += [completion.text for completion in teacher.complete([request])]
    return texts


def repeating(*written: str) -> Callable[[Body], list[str]]:
    """Answers of a server that repeats, one after the other; ``four`` to a probe."""
    left = list(written)

    def answer(body: Body) -> list[str]:
        given = body["messages"][-1]["content"]
        return [given + (" four" if given == PROBE.answer_prefix else left.pop(0))]

    return answer


def going_on(*written: str) -> Callable[[Body], list[str]]:
    left = list(written)
    return lambda body: [
        " four" if body["messages"][-1]["content"] == PROBE.answer_prefix else left.pop(0)
    ]


@pytest.mark.parametrize(
    ("given", "text", "rest"),
    [
        (GIVEN, f"{GIVEN} 7.", " 7."),
        (f"{GIVEN} ", f"{GIVEN} 7.", "7."),
        (f"{GIVEN} ", f"{GIVEN}7.", "7."),
        ("First, count.\n", "First, count.\n\nAna has 3.", "\nAna has 3."),
        (GIVEN, GIVEN, ""),
        (f"\n{GIVEN} ", f"{GIVEN} 7.", "7."),
        (f"\n{GIVEN} ", f"\n{GIVEN} 7.", "7."),
        (GIVEN, " 7.", None),
        (GIVEN, "The answer", None),
        (GIVEN, GIVEN.lower(), None),
        (" \n", " \n7", None),
        ("", "7", None),
    ],
)
def test_what_follows_the_given_beginning(given: str, text: str, rest: str | None) -> None:
    assert rest_after(given, text) == rest


def test_fewer_tokens_than_words_show_that_the_beginning_was_repeated(server: Loopback) -> None:
    server.answerer = repeating(" itself, but in a more", " seven")
    server.usage = {"prompt_tokens": 48, "completion_tokens": 6, "total_tokens": 54}
    assert ask(model(server), GIVEN, "3 + 4?", "4 + 3?") == [" itself, but in a more", " seven"]
    assert len(server.bodies) == 2, "no probe was needed"


def test_listed_probabilities_show_what_was_written(server: Loopback) -> None:
    def listed(text: str, *tokens: str) -> Body:
        content = [{"token": token, "logprob": -0.5, "bytes": list(token.encode()),
                    "top_logprobs": [{"token": token, "logprob": -0.5,
                                      "bytes": list(token.encode())}]}
                   for token in tokens]  # fmt: skip
        return {"message": {"content": text}, "finish_reason": "stop",
                "logprobs": {"content": content}}  # fmt: skip

    answers = [listed("1. 1. Add", "1.", " 1", ".", " Add"), listed("1. Add", " Add")]
    server.answerer = lambda body: [answers.pop(0)]
    server.usage = {"prompt_tokens": 48, "completion_tokens": 60}
    assert ask(model(server), "1.", "a", "b", top_logprobs=1) == ["1. 1. Add", " Add"]


def test_a_server_that_once_went_on_repeats_nothing_of_itself(server: Loopback) -> None:
    server.answerer = going_on(" seven.", f"{GIVEN} seven.", f"{GIVEN} eight.")
    found = ask(model(server), GIVEN, "a", "b", "c")
    assert found == [" seven.", f"{GIVEN} seven.", f"{GIVEN} eight."]
    assert len(server.bodies) == 3


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_probe_tells_where_nothing_else_does(server: Loopback, concurrency: int) -> None:
    server.usage = {"prompt_tokens": 48, "completion_tokens": 60}
    for answerer, texts in (
        (repeating(" seven.", " eight."), [" seven.", " eight."]),
        (going_on(f"{GIVEN} seven.", f"{GIVEN} 8."), [f"{GIVEN} seven.", f"{GIVEN} 8."]),
    ):
        server.answerer = answerer
        server.bodies.clear()
        assert ask(model(server, concurrency=concurrency), GIVEN, "a", "b") == texts
        assert len(server.bodies) == 3
        assert server.bodies[1]["max_tokens"] == 1


def test_a_probe_that_fails_leaves_what_is_likelier(server: Loopback) -> None:
    server.usage = {"prompt_tokens": 48, "completion_tokens": 60}

    def answer(body: Body) -> list[Any]:
        if body["max_tokens"] == 1:
            return [5]
        return [f"{GIVEN} seven."]

    server.answerer = answer
    assert ask(model(server, retries=0, concurrency=1), GIVEN, "a", "b") == [" seven."] * 2


def test_the_completions_route_may_repeat_the_whole_prompt(server: Loopback) -> None:
    server.answerer = lambda body: [str(body["prompt"]) + " seven."]
    assert ask(model(server, chat=False), " It is", "Q: 3 + 4?\nA:") == [" seven."]


def test_answers_without_a_given_beginning_are_left_alone(server: Loopback) -> None:
    server.answerer = lambda body: ["3 + 4? It is 7."]
    assert ask(model(server), "") == ["3 + 4? It is 7."]
    assert len(server.bodies) == 1


def test_a_batch_learns_from_its_own_answers() -> None:
    with BatchServer() as server:
        server.answerer = lambda body: [GIVEN + " seven."]
        teacher = model(server, mode="batch", poll_seconds=0.01)
        assert ask(teacher, GIVEN) == [" seven."]


def test_a_habit_is_not_given_up_for_one_answer() -> None:
    def reply(text: str, tokens: int = 60) -> dict[str, Any]:
        return {"choices": [{"text": text}], "usage": {"completion_tokens": tokens}}

    habit = PrefixHabit()
    habit.learn(GIVEN, reply(""))
    assert habit.repeats is None
    habit.learn(GIVEN, reply(f"{GIVEN} 7.", 3))
    assert habit.repeats is True
    habit.learn(GIVEN, reply(" seven."))
    assert habit.repeats is True


# served ------------------------------------------------------------------------------------------


def whole_texts(upstream: FakeUpstream) -> None:
    """Have an upstream repeat beginnings where it does not stream, as llama.cpp's server does."""
    script = upstream.script

    def repeated(body: Body) -> str:
        given = body["messages"][-1]["content"] if body.get("continue_final_message") else ""
        return script(body) if body.get("stream") else given + script(body)

    upstream.script = repeated


@pytest.mark.parametrize("stream", [True, False])
def test_no_step_is_doubled_by_upstreams_that_repeat(stream: bool) -> None:
    with FakeUpstream(student_says) as student, FakeUpstream(teacher_says) as teacher:
        with served(settings_for(student, teacher)) as running:
            plain = chat(running).choices[0].message.content
        whole_texts(student)
        whole_texts(teacher)
        with served(settings_for(student, teacher)) as running:
            answer = chat(running, stream=stream)
            text = (
                "".join(chunk.choices[0].delta.content or "" for chunk in answer)
                if stream
                else answer.choices[0].message.content
            )
    assert text == plain
    assert text.count(STEP) == 1 and ALONE not in text
    assert QUESTION[0]["content"] not in text


async def _no() -> bool:
    return False


async def _yes() -> bool:
    return True


@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize("size", [1, 2, 5, 99])
def test_a_stream_that_repeats_its_beginning_is_shown_as_it_is_read(
    repeats: bool, size: int
) -> None:
    import asyncio

    async def shown(given: str, text: str, stops: tuple[str, ...]) -> str:
        held = StreamedText(given, stops, _yes if repeats else _no)
        pieces = [await held.feed(text[at : at + size]) for at in range(0, len(text), size)]
        return "".join([*pieces, await held.release()])

    for given, text, stops, rest in (
        ("1. Add. ", "1. Add. 1. Go. END no", ("END",), "1. Go. "),
        ("1. Add. ", "1. Add.", (), ""),
        (" 1. Add. ", "1. Add. Go", (), "Go"),
        (" 1. Add. ", " 1. Add. Go", (), "Go"),
        ("1. Add. ", "1. A", (), None),
        ("1. Add. ", "2. Go", (), None),
        ("1. Add.\n", "1. Add.<think>hm", (), "<think>hm"),
    ):
        if repeats and rest is not None:
            expected = "" if rest.startswith("<think>") else rest
        else:
            expected = text.partition("END")[0] if stops else text
        assert asyncio.run(shown(given, text, stops)) == expected


def test_completions_keep_their_samples_apart(server: Loopback) -> None:
    server.answerer = lambda body: [GIVEN + " seven.", GIVEN + " eight."]
    request = Request(prompt="?", answer_prefix=GIVEN, samples=(0, 1), temperature=1.0)
    found: list[Completion] = list(model(server).complete([request]))
    assert {completion.sample: completion.text for completion in found} == {
        0: " seven.", 1: " eight.",
    }  # fmt: skip
