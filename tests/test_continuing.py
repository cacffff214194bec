"""Servers that go on from a begun answer, each in its own way, and those that do not."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from fakes_upstream import FakeUpstream, served, settings_for, student_says, teacher_says
from loopback import Body, Loopback
from openai import BadRequestError

from potstill.errors import ConfigError
from potstill.guide.decoder import guided_answer
from potstill.guide.types import GuidanceConfig, Participant, PolicySettings
from potstill.models.openai import client
from potstill.models.openai.requests import request_body
from potstill.models.openai.server_probes import BEGUN, QUESTION, REST, find_capabilities
from potstill.models.settings import OpenAISettings
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.pipeline.server_checks import served_model
from potstill.records import Completion, Message, Request
from potstill.runtime import Runtime
from potstill.runtime.budget import Budget
from potstill.runtime.progress import Meter


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_BACKOFF", 0.002)


def begun(body: Body) -> bool:
    return "messages" in body and body["messages"][-1]["role"] == "assistant"


class ChatServer(Loopback):
    """A server whose chat route goes on from a begun answer only as ``way`` says.

    Its tokens are words. A turn that it begins anew takes two more, for the marks around it.
    """

    def __init__(self, way: str, *, knows_words: bool = True) -> None:
        super().__init__(self.choices)
        self.way, self.knows_words = way, knows_words

    def goes_on(self, body: Body) -> bool:
        if not begun(body):
            return False
        if self.way == "prefix":
            return bool(body["messages"][-1].get("prefix"))
        if self.way == "trailing":
            return True
        return self.way != "ignored" and "continue_final_message" in body

    def choices(self, body: Body) -> list[Any]:
        text = f"{BEGUN}inary." if begun(body) else "Extraordinary is the word."
        if self.goes_on(body):
            text = f"{REST}." if self.knows_words else " zebra zebra"
            if self.way == "repeating":
                text = body["messages"][-1]["content"] + text
        return [text] * body.get("n", 1)

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if self.way in ("refused", "prefix") and "continue_final_message" in body:
            self.bodies.append(body)
            return web.json_response({"detail": "Unexpected fields"}, status=422)
        return await super()._respond(request)

    async def _reply(self, path: str, body: Body) -> Body:
        texts = [turn["content"] for turn in body.get("messages", [])] or [body["prompt"]]
        marks = 2 if begun(body) and not self.goes_on(body) else 0
        count = len(" ".join(texts).split()) + marks
        self.usage = {"prompt_tokens": count, "completion_tokens": 4}
        return await super()._reply(path, body)


def settings(server: Loopback, **changes: Any) -> OpenAISettings:
    values = {"model": "openai:tiny", "base_url": server.url, "api_key_env": None} | changes
    return OpenAISettings.model_validate(values)


def way_of(server: Loopback, **changes: Any) -> str:
    found = find_capabilities(settings(server, **changes), None, Runtime(), ["continuing"])
    return found["continuing"]


@pytest.mark.parametrize(
    ("prefill", "last", "flags"),
    [
        (None, {}, {"continue_final_message": True, "add_generation_prompt": False}),
        ("continue_final_message", {}, {"continue_final_message": True,
                                        "add_generation_prompt": False}),
        ("prefix", {"prefix": True}, {}),
        ("trailing", {}, {}),
    ],
)  # fmt: skip
def test_each_way_words_the_begun_answer_as_its_servers_take_it(
    prefill: Any, last: Body, flags: Body
) -> None:
    made = OpenAISettings(model="openai:tiny", prefill=prefill)
    body = request_body(made, Request(prompt="2 + 3?", answer_prefix="It is"), (0,))
    turns = [
        {"role": "user", "content": "2 + 3?"},
        {"role": "assistant", "content": "It is", **last},
    ]
    assert body["messages"] == turns
    assert {name: body[name] for name in body if "final" in name or "generation" in name} == flags


def test_a_template_words_the_chat_for_the_completions_route(bundled_chat: Path) -> None:
    made = OpenAISettings(model="openai:t", prefill="template", chat_template=str(bundled_chat))
    asked = (Message(role="system", content="Be brief."), Message(role="user", content="2 + 3?"))
    body = request_body(made, Request(prompt=asked, answer_prefix="It is"), (0,))
    assert body["prompt"] == "<system>Be brief.<user>2 + 3?<assistant>It is"
    assert "messages" not in body
    whole = request_body(made, Request(prompt=asked), (0,))
    assert "prompt" not in whole, "what is not begun is asked as a chat"


def test_a_control_token_in_a_question_is_not_worded_by_a_template(bundled_chat: Path) -> None:
    from transformers import AutoTokenizer

    control = str(AutoTokenizer.from_pretrained(bundled_chat).eos_token)
    made = OpenAISettings(model="openai:t", prefill="template", chat_template=str(bundled_chat))
    with pytest.raises(ConfigError, match="control token"):
        request_body(made, Request(prompt=f"2 {control} 3?", answer_prefix="It is"), (0,))


@pytest.fixture(scope="module")
def bundled_chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer with a chat template, and no weights beside it."""
    from potstill.models.local.loading import load_tokenizer
    from potstill.models.settings import LocalSettings

    folder = tmp_path_factory.mktemp("template")
    tokenizer = load_tokenizer(LocalSettings(model="bundled:student"))
    tokenizer.chat_template = (
        "{% for turn in messages %}<{{ turn.role }}>{{ turn.content }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("values", [{"prefill": "template"}, {"prefill": "prefil"}])
def test_a_way_that_cannot_be_is_refused(values: Body) -> None:
    with pytest.raises(ValueError, match="prefill"):
        OpenAISettings(model="openai:tiny", **values)


def test_prefill_that_is_not_given_changes_no_hash() -> None:
    assert not {"prefill", "chat_template"} & set(OpenAISettings(model="openai:t").model_dump())


@pytest.mark.parametrize(
    ("way", "found"),
    [
        ("continue_final_message", "continue_final_message"),
        ("repeating", "continue_final_message"),
        ("prefix", "prefix"),
        ("trailing", "continue_final_message"),
        ("refused", "none"),
        ("ignored", "none"),
    ],
)
@pytest.mark.parametrize("knows_words", [True, False])
def test_how_a_server_goes_on_is_found_out(way: str, found: str, knows_words: bool) -> None:
    with ChatServer(way, knows_words=knows_words) as server:
        assert way_of(server) == found
        assert all(body["max_tokens"] <= 8 for body in server.bodies)


def test_the_way_that_a_recipe_names_is_the_only_one_tried() -> None:
    with ChatServer("prefix") as server:
        assert way_of(server, prefill="trailing") == "none"
        assert way_of(server, prefill="prefix") == "prefix"
        assert way_of(server, prefill="none") == "none"
        assert way_of(server, chat=False) == "completions"


def test_probes_are_counted_in_the_account() -> None:
    runtime = Runtime(budget=Budget())
    with ChatServer("continue_final_message") as server:
        made = settings(server, prompt_price=1e6, completion_price=1e6)
        find_capabilities(made, None, runtime, ["continuing"])
    words = len(QUESTION.split())
    begun_too = words + len(BEGUN.split())
    assert runtime.budget.spent.usd == pytest.approx(words + 4 + begun_too + 4)


def recipe(folder: Path, server: Loopback, guide: Body, **teacher: Any) -> Path:
    file = folder / "recipe.yaml"
    tasks = {"name": "two_step_arithmetic", "train": 4, "dev": 2, "test": 2}
    side = {"model": "openai:tiny", "base_url": server.url, "api_key_env": None, **teacher}
    values = {"run": str(folder / "run"), "task": tasks, "teacher": side,
              "student": "bundled:student", "guide": guide}  # fmt: skip
    file.write_text(yaml.safe_dump(values))
    return file


def test_a_policy_that_the_teacher_cannot_follow_is_refused_before_it_is_paid(
    tmp_path: Path,
) -> None:
    with ChatServer("refused") as server:
        made = load_recipe(recipe(tmp_path, server, {"policies": [{"first_n": 2}]}))
        for _ in range(2):
            with Run(made, Meter(None)) as run, pytest.raises(ConfigError) as error:
                run.generate()
            assert "guide.policies: first_n_2 needs more than" in str(error.value)
            assert "teacher.chat_template" in str(error.value)
        texts = [str(body["messages"]) for body in server.bodies]
        assert all(QUESTION in text for text in texts), "no question of the task was asked"
        assert len(texts) == len(set(texts)) + 2, "and what was found is not asked for again"


def test_first_alone_needs_no_going_on_and_is_asked_for_whole_steps(tmp_path: Path) -> None:
    with ChatServer("refused") as server:
        made = load_recipe(recipe(tmp_path, server, {"policies": ["first"]}))
        with Run(made, Meter(None)) as run:
            run.teachers.check_servers(run.task)
            assert server.bodies == [], "nothing depends on it"
            asked, continues = run.teachers.guiding()
    assert (asked.model_dump().get("prefill"), continues) == ("none", False)


def test_a_named_way_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with ChatServer("prefix") as server:
        made = load_recipe(recipe(tmp_path, server, {"policies": [{"at": 2}]}, prefill="trailing"))
        with Run(made, Meter(None)) as run, pytest.raises(ConfigError, match="prefill of"):
            run.generate()


def test_a_server_that_cannot_be_asked_now_is_no_fault_of_the_recipe(tmp_path: Path) -> None:
    with ChatServer("refused") as server:
        made = load_recipe(recipe(tmp_path, server, {"policies": [{"at": 2}]}))
    with Run(made, Meter(None)) as run:
        assert run.teachers.guiding()[1], "with all stored it is not needed"


STEPS = "1. First add the tens.\n2. Then add the ones.\nThe answer is 42."


@pytest.mark.parametrize(
    ("written", "reason", "step"),
    [
        (STEPS, "stop", "1. First add the tens."),
        ("First add the tens. Then the", "length", "First add the tens."),
        ("First add the tens", "stop", "First add the tens."),
        ("**Step 1:** Add. More.", "stop", "**Step 1:** Add."),
        ("First add the", "length", "First add the"),
    ],
)
def test_a_whole_step_takes_one_request_without_stop_strings(
    written: str, reason: Any, step: str
) -> None:
    request = Request(prompt="What is 20 + 22?", max_tokens=99)
    teacher = Participant(request=request, whole_steps=True)
    decoder = guided_answer(
        Participant(request=request), teacher, PolicySettings(when="first"), GuidanceConfig()
    )
    call = next(decoder)
    assert (call.who, call.request.stop, call.request.answer_prefix) == ("teacher", (), "")
    answer = Completion(request=call.request, sample=0, text=written, finish_reason=reason)
    call = decoder.send([answer])
    assert (call.who, call.request.answer_prefix) == ("student", step)


def test_a_question_in_place_of_a_step_ends_at_its_mark() -> None:
    request = Request(prompt="What is 20 + 22?", max_tokens=99)
    decoder = guided_answer(
        Participant(request=request),
        Participant(request=request, whole_steps=True),
        PolicySettings(when="first"),
        GuidanceConfig(kind="question"),
    )
    call = next(decoder)
    written = "How many tens are there? There are four."
    call = decoder.send(
        [Completion(request=call.request, sample=0, text=written, finish_reason="length")]
    )
    assert call.request.answer_prefix == "How many tens are there?"


def ask_guided(student: FakeUpstream, teacher: FakeUpstream, /, **sides: Any) -> Any:
    made = settings_for(student, teacher, **sides)
    with served(made) as running:
        return running.client.chat.completions.create(
            model="openai:tiny",
            messages=[{"role": "user", "content": "What is 20 + 22?"}],
            extra_body={"guidance": "first"},
        )


def test_a_served_student_that_cannot_go_on_is_told_before_the_teacher_is_paid() -> None:
    with (
        ChatServer("refused") as refusing,
        FakeUpstream(student_says) as student,
        FakeUpstream(teacher_says) as teacher,
    ):
        with pytest.raises(BadRequestError) as error:
            ask_guided(student, teacher, student={"prefill": None, "base_url": refusing.url})
        assert "the student does not go on from an answer that is begun" in str(error.value)
        assert teacher.bodies == []


def test_a_served_teacher_that_cannot_go_on_still_gives_the_first_step() -> None:
    with FakeUpstream(student_says) as student, FakeUpstream(teacher_says) as teacher:
        answer = ask_guided(student, teacher, teacher={"prefill": "none"})
        assert answer.choices[0].message.content.endswith("The answer is 42.")
        assert "stop" not in teacher.bodies[0]


def test_every_probe_runs_in_a_loop_that_is_there_already() -> None:
    from potstill.models.openai.server_probes import probe_server

    with ChatServer("prefix") as server:
        found = asyncio.run(probe_server(settings(server), None, Runtime(), ["continuing"]))
    assert found == {"continuing": "prefix"}


def test_a_server_is_tried_again_once_a_template_is_named() -> None:
    """It was found to go on from no begun answer when there was none."""
    plain = OpenAISettings(model="openai:big")
    templated = OpenAISettings(model="openai:big", chat_template="org/model")
    assert served_model(plain) == served_model(OpenAISettings(model="openai:big"))
    assert served_model(plain) != served_model(templated)
