"""The official SDK: chats, texts, streams, lists, log-probabilities, tools and responses."""

# mypy: ignore-errors
# It runs in an environment of its own, whose packages are not here.

import openai
from steps import GUIDED, MODEL, QUESTION, SCRIPTED, step

guided = openai.OpenAI(base_url=GUIDED, api_key="none", max_retries=0)
scripted = openai.OpenAI(base_url=SCRIPTED, api_key="none", max_retries=0)
MESSAGES = [{"role": "user", "content": QUESTION}]
TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}


def chat() -> bool:
    """A guided answer, with the field of ours."""
    answer = guided.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=40)
    return bool(answer.choices[0].message.content) and answer.potstill["guidance"]["guided"]


def stream() -> bool:
    """A stream with its usage."""
    chunks = list(
        guided.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    return chunks[-1].usage.total_tokens > 0 and chunks[-2].choices[0].finish_reason is not None


def texts() -> bool:
    """Two answers to each of three prompts."""
    answer = guided.completions.create(model=MODEL, prompt=[QUESTION] * 3, n=2, max_tokens=8)
    return [choice.index for choice in answer.choices] == list(range(6))


def echo() -> bool:
    """The log-probabilities of a prompt."""
    answer = guided.completions.create(
        model=MODEL, prompt=QUESTION, echo=True, logprobs=1, max_tokens=0,
        extra_body={"guidance": "never"},
    )  # fmt: skip
    return all(value < 0 for value in answer.choices[0].logprobs.token_logprobs[1:])


def tools() -> bool:
    """A call of a tool, and the answer to its result."""
    first = scripted.chat.completions.create(model=MODEL, messages=MESSAGES, tools=[TOOL])
    call = first.choices[0].message
    result = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "7"}
    second = scripted.chat.completions.create(
        model=MODEL, messages=[*MESSAGES, call, result], tools=[TOOL]
    )
    return "7" in second.choices[0].message.content


def response() -> bool:
    """A response."""
    return bool(guided.responses.create(model=MODEL, input=QUESTION).output_text)


def streamed_response() -> bool:
    """A response's events, put together by the SDK."""
    values = {"model": MODEL, "input": QUESTION, "temperature": 0, "max_output_tokens": 400}
    with guided.responses.stream(**values) as events:
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        return "".join(deltas) == events.get_final_response().output_text


step("list of models", lambda: [model.id for model in guided.models.list()] == [MODEL])
step("chat", chat)
step("chat, streamed with usage", stream)
step("list of prompts, two samples each", texts)
step("echo and log-probabilities", echo)
step("tools", tools)
step("response", response)
step("response, streamed", streamed_response)
