"""LiteLLM, as many tools call it: chats, streams, texts and tools."""

# mypy: ignore-errors
# It runs in an environment of its own, whose packages are not here.

import litellm
from steps import GUIDED, MODEL, QUESTION, SCRIPTED, step

litellm.telemetry = False
MESSAGES = [{"role": "user", "content": QUESTION}]
AT_GUIDED = {"model": f"openai/{MODEL}", "api_base": GUIDED, "api_key": "none"}
AT_SCRIPTED = {**AT_GUIDED, "api_base": SCRIPTED}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def stream() -> bool:
    """A stream, put together by LiteLLM."""
    chunks = list(litellm.completion(**AT_GUIDED, messages=MESSAGES, stream=True))
    return bool(litellm.stream_chunk_builder(chunks, messages=MESSAGES).choices[0].message.content)


def texts() -> bool:
    """Two prompts on the text route."""
    values = {**AT_GUIDED, "model": f"text-completion-openai/{MODEL}"}
    return len(litellm.text_completion(**values, prompt=[QUESTION] * 2, max_tokens=8).choices) == 2


def tools() -> bool:
    """A call of a tool."""
    answer = litellm.completion(**AT_SCRIPTED, messages=MESSAGES, tools=[TOOL])
    return answer.choices[0].message.tool_calls[0].function.name == "add"


def samplers() -> bool:
    """Samplers that are not OpenAI's."""
    answer = litellm.completion(
        **AT_SCRIPTED, messages=MESSAGES, extra_body={"top_k": 5, "min_p": 0.1}
    )
    return bool(answer.choices[0].message.content)


step("chat", lambda: litellm.completion(**AT_GUIDED, messages=MESSAGES).choices[0].message.content)
step("chat, streamed", stream)
step("list of prompts", texts)
step("tools", tools)
step("top_k and min_p", samplers)
