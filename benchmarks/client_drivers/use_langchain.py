"""LangChain: its chat class, its LLM class with lists of prompts, tools and structured output."""

# mypy: ignore-errors
# It runs in an environment of its own, whose packages are not here.

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel
from steps import GUIDED, MODEL, QUESTION, SCRIPTED, step

chat = ChatOpenAI(model=MODEL, base_url=GUIDED, api_key="none", max_tokens=40, max_retries=0)
scripted = ChatOpenAI(model=MODEL, base_url=SCRIPTED, api_key="none", max_retries=0)
llm = OpenAI(model=MODEL, base_url=GUIDED, api_key="none", max_tokens=16, max_retries=0)


class Sum(BaseModel):
    """A sum."""

    answer: int


def history() -> bool:
    """A history in which a tool was called."""
    call = {"name": "add", "args": {"a": 3, "b": 4}, "id": "call_1"}
    turns = [
        HumanMessage(QUESTION),
        AIMessage("", tool_calls=[call]),
        ToolMessage("7", tool_call_id="call_1"),
        HumanMessage("So?"),
    ]
    return bool(chat.invoke(turns).content) and "7" in scripted.invoke(turns).content


step("chat", lambda: chat.invoke(QUESTION).content)
step("chat, streamed", lambda: "".join(str(piece.content) for piece in chat.stream(QUESTION)))
step("batch", lambda: all(answer.content for answer in chat.batch([QUESTION] * 3)))
step("LLM class, list of prompts", lambda: len(llm.generate([QUESTION] * 3).generations) == 3)
step("history with tools", history)
step("bind_tools", lambda: scripted.bind_tools([Sum]).invoke(QUESTION).tool_calls)
for method in ("function_calling", "json_schema", "json_mode"):
    structured = scripted.with_structured_output(Sum, method=method)
    step(
        f"structured output, {method}", lambda asked=structured: asked.invoke(QUESTION).answer == 7
    )
