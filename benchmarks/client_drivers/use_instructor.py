"""Instructor: answers as pydantic models, by tools, by JSON and by JSON in Markdown."""

# mypy: ignore-errors
# It runs in an environment of its own, whose packages are not here.

import instructor
import openai
from pydantic import BaseModel
from steps import MODEL, QUESTION, SCRIPTED, step


class Sum(BaseModel):
    """A sum."""

    answer: int


def ask(mode: instructor.Mode) -> bool:
    """One answer in a mode."""
    client = instructor.from_openai(openai.OpenAI(base_url=SCRIPTED, api_key="none"), mode=mode)
    messages = [{"role": "user", "content": QUESTION}]
    return client.create(model=MODEL, messages=messages, response_model=Sum).answer == 7


for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON, instructor.Mode.MD_JSON):
    step(mode.name, lambda asked=mode: ask(asked))
