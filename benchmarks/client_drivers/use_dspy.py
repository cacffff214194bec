"""DSPy: a bare call, and programs whose answers are read by its adapters."""

# mypy: ignore-errors
# It runs in an environment of its own, whose packages are not here.

import dspy
from steps import GUIDED, MODEL, QUESTION, SCRIPTED, step

guided = dspy.LM(f"openai/{MODEL}", api_base=GUIDED, api_key="none", cache=False, max_tokens=40)
scripted = dspy.LM(f"openai/{MODEL}", api_base=SCRIPTED, api_key="none", cache=False)


def program(adapter: object) -> bool:
    """One prediction of a signature."""
    with dspy.context(lm=scripted, adapter=adapter):
        return str(dspy.Predict("question -> answer")(question=QUESTION).answer) == "7"


step("call", lambda: guided(QUESTION))
step("ChatAdapter", lambda: program(dspy.ChatAdapter()))
step("JSONAdapter", lambda: program(dspy.JSONAdapter()))
