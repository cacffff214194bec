"""Unchanged clients against the guided server, each in an environment of its own.

``scripts/real_servers.py`` starts the server and calls this file with each environment's Python; it
needs nothing of potstill. Every check is one line of JSON: client, check, whether it passed, and
what came.

usage: PYTHON scripts/real_clients.py CLIENT URL MODEL
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Check = tuple[str, Callable[[], object]]

ALONE, STUDENT, TOKENIZER = "CLIENTS_ALONE", "CLIENTS_STUDENT", "CLIENTS_TOKENIZER"
"""Environment variables: the address of a server of a student alone, which also scores texts; its
name; and its tokenizer."""

ASKED = "What is 3 + 4? Answer in one sentence."
PACKAGES = {
    "openai": "openai",
    "litellm": "litellm",
    "langchain": "langchain-openai",
    "llama-index": "llama-index-llms-openai-like",
    "dspy": "dspy",
    "instructor": "instructor",
    "inspect_ai": "inspect-ai",
    "lm-eval": "lm-eval",
}
"""The package of each client, whose version is told."""


def openai_checks(url: str, model: str) -> Iterator[Check]:
    """The SDK: chats, streams, completions with lists and echo, responses."""
    from openai import AsyncOpenAI, OpenAI

    client = OpenAI(base_url=url, api_key="none")
    turns: Any = [{"role": "user", "content": ASKED}]
    tools: Any = [
        {"role": "user", "content": ASKED},
        {"role": "assistant", "content": None,
         "tool_calls": [{"id": "1", "type": "function",
                         "function": {"name": "add", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "7"},
    ]  # fmt: skip

    def chat(**fields: Any) -> str:
        made: Any = {"model": model, "messages": turns, "max_tokens": 16, **fields}
        return str(client.chat.completions.create(**made).choices[0].message.content)

    def stream() -> str:
        made = client.chat.completions.create(
            model=model, messages=turns, max_tokens=16, stream=True,
            stream_options={"include_usage": True},
        )  # fmt: skip
        return "".join(c.choices[0].delta.content or "" for c in made if c.choices)

    async def several() -> int:
        async with AsyncOpenAI(base_url=url, api_key="none") as aclient:
            asked = [
                aclient.chat.completions.create(model=model, messages=turns, max_tokens=8)
                for _ in range(4)
            ]
            return len(await asyncio.gather(*asked))

    def completion(**fields: Any) -> object:
        made: Any = {"model": model, "prompt": "3 + 4 =", "max_tokens": 8, **fields}
        return [choice.text for choice in client.completions.create(**made).choices]

    yield "chat", chat
    yield "chat, guided", lambda: chat(extra_body={"guidance": "first"})
    yield "chat, n = 2", lambda: chat(n=2, temperature=1)
    yield "stream with usage", stream
    yield "four at once", lambda: asyncio.run(several())
    yield "null content and tool turns", lambda: chat(messages=tools)
    yield "penalties", lambda: chat(presence_penalty=0.5, frequency_penalty=0.5)
    yield "completions", completion
    yield "completions of a list", lambda: completion(prompt=["3 + 4 =", "4 + 4 ="])

    def scored() -> object:
        alone = OpenAI(base_url=os.environ[ALONE], api_key="none")
        made = alone.completions.create(
            model=os.environ[STUDENT], prompt="3 + 4 = 7", max_tokens=0, echo=True, logprobs=1
        )
        return made.choices[0].logprobs

    yield "echo with log-probabilities, of a student alone", scored
    yield "responses", lambda: client.responses.create(model=model, input=ASKED).output_text
    yield "models", lambda: [one.id for one in client.models.list()]


def litellm_checks(url: str, model: str) -> Iterator[Check]:
    """Chat, stream and text completion through its openai/ route."""
    import litellm

    turns = [{"role": "user", "content": ASKED}]
    named: Any = {"model": f"openai/{model}", "api_base": url, "api_key": "none", "max_tokens": 16}

    def stream() -> str:
        made = litellm.completion(messages=turns, stream=True, **named)
        return "".join(chunk.choices[0].delta.content or "" for chunk in made)

    yield "chat", lambda: litellm.completion(messages=turns, **named).choices[0].message.content
    yield "stream", stream
    text = {**named, "model": f"text-completion-openai/{model}"}
    yield (
        "text completion",
        lambda: litellm.text_completion(prompt="3 + 4 =", **text).choices[0].text,
    )


def langchain_checks(url: str, model: str) -> Iterator[Check]:
    """ChatOpenAI, and OpenAI, which sends lists of prompts."""
    from langchain_openai import ChatOpenAI, OpenAI

    named: Any = {"model": model, "base_url": url, "api_key": "none", "max_tokens": 16}
    chat, text = ChatOpenAI(**named), OpenAI(**named)
    yield "chat", lambda: chat.invoke(ASKED).content
    yield "stream", lambda: "".join(str(chunk.content) for chunk in chat.stream(ASKED))
    yield "batch of chats", lambda: len(chat.batch([ASKED, ASKED, ASKED]))
    yield "completion", lambda: text.invoke("3 + 4 =")
    yield "batch of completions", lambda: len(text.batch(["3 + 4 =", "4 + 4 =", "5 + 4 ="]))


def llama_index_checks(url: str, model: str) -> Iterator[Check]:
    """OpenAILike as chat and as completion model."""
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai_like import OpenAILike

    named: Any = {"model": model, "api_base": url, "api_key": "none", "max_tokens": 16}
    chat, text = OpenAILike(is_chat_model=True, **named), OpenAILike(**named)
    turns = [ChatMessage(role="user", content=ASKED)]
    yield "chat", lambda: str(chat.chat(turns))
    yield "stream", lambda: [chunk.delta for chunk in chat.stream_chat(turns)][-1:]
    yield "completion", lambda: str(text.complete("3 + 4 ="))


def dspy_checks(url: str, model: str) -> Iterator[Check]:
    """Predict and ChainOfThought with three samples."""
    import dspy

    dspy.configure(lm=dspy.LM(f"openai/{model}", api_base=url, api_key="none", max_tokens=96,
                              cache=False))  # fmt: skip

    def raw() -> object:
        return dspy.settings.lm("3 + 4 = ?", n=3, temperature=1.0)

    yield "call with n = 3", raw
    yield "Predict", lambda: _reached(lambda: dspy.Predict("question -> answer")(question=ASKED))


def instructor_checks(url: str, model: str) -> Iterator[Check]:
    """Structured output, by the JSON of a text; a small model may write none."""
    import instructor
    from openai import OpenAI
    from pydantic import BaseModel

    class Sum(BaseModel):
        result: int

    made = instructor.from_openai(
        OpenAI(base_url=url, api_key="none"), mode=instructor.Mode.MD_JSON
    )

    def structured() -> object:
        return made.chat.completions.create(
            model=model, response_model=Sum, max_retries=0, max_tokens=64,
            messages=[{"role": "user", "content": ASKED}],
        )  # fmt: skip

    yield "text as JSON", lambda: _reached(structured)


def inspect_checks(url: str, model: str) -> Iterator[Check]:
    """An evaluation of two questions."""
    from inspect_ai import Task
    from inspect_ai import eval as evaluate
    from inspect_ai.dataset import Sample
    from inspect_ai.model import get_model
    from inspect_ai.scorer import includes
    from inspect_ai.solver import generate

    samples = [Sample(input=ASKED, target="7"), Sample(input="What is 4 + 4?", target="8")]

    def run() -> str:
        named = get_model(f"openai-api/potstill/{model}", base_url=url, api_key="none")
        with tempfile.TemporaryDirectory() as folder:
            [log] = evaluate(
                Task(dataset=samples, solver=[generate()], scorer=includes()), model=named,
                max_tokens=32, log_dir=folder, display="none",
            )  # fmt: skip
        if log.status != "success":
            raise RuntimeError(str(log.error))
        return str(log.status)

    yield "eval", run


def lm_eval_checks(url: str, model: str) -> Iterator[Check]:
    """Generation over the chat route, and log-likelihoods over the completions route."""
    from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI

    class Asked:
        def __init__(self, *arguments: object) -> None:
            self.args = arguments

    def written() -> object:
        made = LocalChatCompletion(
            model=model, base_url=f"{url}/chat/completions", num_concurrent=1, max_retries=1
        )
        turns = json.dumps([{"role": "user", "content": ASKED}])
        from lm_eval.models.api_models import JsonChatStr

        asked: Any = [Asked(JsonChatStr(turns), {"until": ["\n\n"], "max_gen_toks": 16})]
        return made.generate_until(asked, disable_tqdm=True)

    def likelihood() -> object:
        made = LocalCompletionsAPI(
            model=os.environ[STUDENT], base_url=f"{os.environ[ALONE]}/completions",
            tokenizer_backend="huggingface", tokenizer=os.environ[TOKENIZER],
            tokenized_requests=False,
            num_concurrent=1, max_retries=1, batch_size=2,
        )  # fmt: skip
        asked: Any = [Asked("3 + 4 =", " 7"), Asked("4 + 4 =", " 8")]
        return made.loglikelihood(asked, disable_tqdm=True)

    yield "generate_until by chat", written
    yield "loglikelihood, of a student alone", likelihood


def _reached(ask: Callable[[], object]) -> str:
    """Returns the answer, or a note where the client cannot read the model's text: no fault here.

    Raises:
        Exception: The server refused or failed.
    """
    try:
        return str(ask())
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        if "Error code: 4" in text or "Error code: 5" in text or "Connection" in text:
            raise
        return f"answered; the model's text is not of the form ({type(error).__name__})"


CHECKS = {
    "openai": openai_checks,
    "litellm": litellm_checks,
    "langchain": langchain_checks,
    "llama-index": llama_index_checks,
    "dspy": dspy_checks,
    "instructor": instructor_checks,
    "inspect_ai": inspect_checks,
    "lm-eval": lm_eval_checks,
}


def run_client(client: str, url: str, model: str) -> None:
    """Run one client's checks, in its environment."""
    try:
        told = version(PACKAGES[client])
    except PackageNotFoundError:
        told = "unknown"
    for name, check in CHECKS[client](url, model):
        try:
            outcome, passed = str(check()), True
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome
            outcome, passed = f"{type(error).__name__}: {error}", False
        line = {"client": client, "version": told, "check": name, "passed": passed,
                "outcome": outcome[:200]}  # fmt: skip
        print(json.dumps(line), flush=True)


def all_clients(
    environments: Path, url: str, model: str, alone: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The lines of every client that has an environment below a folder.

    Args:
        environments: Holds one environment for each client, by its name.
        url: Where the guided server's routes begin.
        model: Its name for clients.
        alone: The values of :data:`ALONE`, :data:`STUDENT` and :data:`TOKENIZER`.
    """
    lines: list[dict[str, Any]] = []
    for client in CHECKS:
        python = environments / client / "bin" / "python"
        if not python.is_file():
            continue
        done = subprocess.run(
            [python, __file__, client, url, model], capture_output=True, text=True, timeout=400,
            env={**os.environ, **alone, "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "none",
                 "PYTHONPATH": ""},
        )  # fmt: skip
        found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"cl')]
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no word"])[-1]
            found.append({"client": client, "version": "", "check": "start", "passed": False,
                          "outcome": last[:200]})  # fmt: skip
        lines += found
    return lines


if __name__ == "__main__":
    run_client(*sys.argv[1:4])
