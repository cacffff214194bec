"""LlamaIndex: OpenAILike, as chat and as text."""

# mypy: ignore-errors
# It runs in an environment of its own, whose packages are not here.

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from steps import GUIDED, MODEL, QUESTION, step

VALUES = {"model": MODEL, "api_base": GUIDED, "api_key": "none", "max_tokens": 40, "max_retries": 0}
chat = OpenAILike(**VALUES, is_chat_model=True)
text = OpenAILike(**VALUES, is_chat_model=False)
MESSAGES = [ChatMessage(role="user", content=QUESTION)]

step("chat", lambda: chat.chat(MESSAGES).message.content)
step("chat, streamed", lambda: [piece.delta for piece in chat.stream_chat(MESSAGES)])
step("text", lambda: text.complete(QUESTION).text)
step("text, streamed", lambda: [piece.delta for piece in text.stream_complete(QUESTION)])
