"""Complexity-based prompting: Fu and others, "Complexity-Based Prompting for Multi-Step Reasoning".

arXiv 2210.00720; FranxYao/chain-of-thought-hub, lib_prompt/prompt_hardest.txt. Here are the eight
long worked questions of GSM8K by which the teacher of arXiv 2301.12726 is asked.

Published: asked so, code-davinci-002 answers 63.84% of GSM8K's training questions rightly with one
sample at temperature 0.5, and 83.79% by majority (stored outputs of arXiv 2301.12726).

Otherwise here: nothing; the text is read from the authors' file.
"""

from potstill.prompts.exemplars import PublishedPrompts, worked_pattern
from potstill.prompts.styles import PromptStyle

EXEMPLARS = PublishedPrompts(
    source="https://github.com/FranxYao/chain-of-thought-hub, gsm8k/lib_prompt",
    licence="MIT",
    style=PromptStyle(
        name="few_shot_cot",
        template="{exemplars}\n\nQuestion: {question}\nLet's think step by step\n",
        exemplar="Question: {question}\nLet's think step by step\n{rationale}\n"
        "The answer is {answer}",
        between="\n\n",
        stop=("\nQuestion:",),
    ),
    opening="Question: ",
    worked=worked_pattern("Question:", "Let's think step by step", "The answer is"),
    counts={"gsm8k": 8},
    positions={},
)
