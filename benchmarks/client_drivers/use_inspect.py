"""inspect_ai: an evaluation of a few samples, plain and with a tool."""

# mypy: ignore-errors
# It runs in an environment of its own, whose packages are not here.

import os
import tempfile

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import Tool, tool
from steps import GUIDED, MODEL, QUESTION, SCRIPTED, step

os.environ |= {"GUIDED_API_KEY": "none", "GUIDED_BASE_URL": GUIDED}
os.environ |= {"SCRIPTED_API_KEY": "none", "SCRIPTED_BASE_URL": SCRIPTED}
SAMPLES = [Sample(input=QUESTION, target="7", id=number) for number in range(1, 4)]


@tool
def add() -> Tool:
    """Adds."""

    async def execute(a: int, b: int) -> str:
        """Add two numbers.

        Args:
            a: One.
            b: The other.
        """
        return str(a + b)

    return execute


def run(provider: str, *solvers: object, **config: object) -> object:
    """The log of an evaluation."""
    task = Task(dataset=SAMPLES, solver=[*solvers, generate()], scorer=includes())
    with tempfile.TemporaryDirectory() as folder:
        (log,) = eval(
            task, model=f"openai-api/{provider}/{MODEL}", display="none", log_dir=folder,
            epochs=2, **GenerateConfig(**config).model_dump(exclude_none=True),
        )  # fmt: skip
    assert log.status == "success", log.error
    return log


def score(log: object) -> float:
    """The share of samples that include the target."""
    return log.results.scores[0].metrics["accuracy"].value


step("evaluation", lambda: run("guided", max_tokens=40, temperature=0.7, seed=1).status)
step("evaluation with a tool", lambda: score(run("scripted", use_tools(add()))) == 1.0)
step("samplers", lambda: run("scripted", top_k=5, frequency_penalty=0.1).status)
