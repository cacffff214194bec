"""BIG-Bench Hard: Suzgun and others, "Challenging BIG-Bench Tasks and Whether CoT Can Solve Them".

arXiv 2210.09261; suzgunmirac/BIG-Bench-Hard. Here are the rule of its exact match and its prompts
of three worked questions a task (cot-prompts/TASK.txt, behind a line about the task). The tasks
themselves, ``bbh_NAME``, stand in ``tasks/datasets/bbh.py``, and the answer-only style in
``prompts/styles.py``.

Published: with these prompts code-davinci-002 surpasses the average human rater on 17 of the 23
tasks, without the reasoning on 5.

Otherwise here: questions that are exemplars are left out of what is measured.
"""

from potstill.grading.rules import RuleVerdict, bracketed_gold
from potstill.prompts.exemplars import PublishedPrompts, worked_pattern
from potstill.prompts.styles import PromptStyle
from potstill.records import Question, Task

EXEMPLARS = PublishedPrompts(
    source="https://github.com/suzgunmirac/BIG-Bench-Hard, cot-prompts",
    licence="MIT",
    style=PromptStyle(
        name="few_shot_cot",
        template="{exemplars}\n\nQ: {question}\nA: Let's think step by step.",
        exemplar="Q: {question}\nA: Let's think step by step.\n{rationale} "
        "So the answer is {answer}.",
        between="\n\n",
        stop=("\nQ:",),
    ),
    worked=worked_pattern("Q:", r"A: Let's think step by step\.", "So the answer is"),
    counts={},
    positions={},
)


def grade(task: Task, text: str, question: Question) -> RuleVerdict:
    """All that follows "answer is", less a full stop; without it, the whole text."""
    answer = text.rpartition("answer is ")[2].strip().removesuffix(".")
    return RuleVerdict(answer, answer == bracketed_gold(task, question))
