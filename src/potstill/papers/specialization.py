"""Model specialization: Fu, Peng, Ou, Sabharwal and Khot.

"Specializing Smaller Language Models towards Multi-Step Reasoning", arXiv 2301.12726; code
FranxYao/FlanT5-CoT-Specialization @ a8ffd51a. Here are three of its four data formats (the fourth,
``zero_shot_answer``, also words what is replayed and stands in ``prompts/formats.py``), its
mixture, and the rule by which it grades (src/utils.py, test_bbh.py). Its alignment of tokens is in
``time_warping.py``, its prompt in ``complexity_prompting.py``; its recipes are those of
recipes/specialization/.

Published, accuracy in per cent before and after, not confirmed by any stored output of the code:

=============  ==============  ==============  ==============
student        GSM8K           MultiArith      SVAMP
=============  ==============  ==============  ==============
Flan-T5 760M    6.9 to 20.2    12.7 to 38.5     6.8 to 20.4
Flan-T5 3B     13.5 to 22.4    24.0 to 42.3    17.7 to 23.8
Flan-T5 11B    16.1 to 27.1    51.7 to 63.0    39.7 to 35.6
=============  ==============  ==============  ==============

Otherwise here: exemplars of in-context formats never hold the question itself; development
questions are not trained on; token probabilities are aligned by bytes and their tail is kept,
unless a recipe asks for the published way.
"""

import re
from collections import deque

from potstill.grading.rules import RuleVerdict, asks_for_answers_alone, bracketed_gold
from potstill.prompts.formats import STATES, THEN_STATES, DataFormat
from potstill.records import Question, Task

IN_CONTEXT_COT = DataFormat(
    name="in_context_cot",
    template="{exemplars}\n\nQ: {question}\nLet's think step by step",
    exemplar="Q: {question}\nLet's think step by step\n{rationale}\nThe answer is {answer}",
    separator="\n",
    reply="{rationale}\nThe answer is {answer}",
    stop=("\nQ:",),
    reading=THEN_STATES,
)

ZERO_SHOT_COT = DataFormat(
    name="zero_shot_cot",
    template="Q: {question}\nLet's think step by step",
    separator="\n",
    reply="{rationale}\nThe answer is {answer}",
    reading=THEN_STATES,
)

IN_CONTEXT_ANSWER = DataFormat(
    name="in_context_answer",
    template="{exemplars}\n\nQ: {question}\nA:",
    exemplar="Q: {question}\nA: The answer is {answer}",
    separator=" ",
    reply="The answer is {answer}",
    stop=("\nQ:",),
    reading=STATES,
)

SPECIALIZATION = {
    "in_context_cot": 3452,
    "zero_shot_cot": 863,
    "in_context_answer": 24,
    "zero_shot_answer": 12,
}
"""Optimiser steps an epoch in the 3B configuration. The published loss is a mean over each
micro-batch, all of one format, so these are the formats' shares of the loss: about 79/20/1."""

IN_CONTEXT = {"in_context_cot": 3452, "in_context_answer": 24}
ZERO_SHOT = {"zero_shot_cot": 863, "zero_shot_answer": 12}


def grade(task: Task, text: str, question: Question) -> RuleVerdict:
    """The last number of text and gold answer, as floats; in BIG-Bench Hard, a substring.

    Numbers have neither sign nor thousands there. Where the gold answer holds none, it is wrong.
    In BIG-Bench Hard and for other types, the gold answer must occur in what stands between the
    first and the second "the answer is", spelt in lower case; where answers alone were asked for,
    it must occur anywhere.
    """
    if task.answer_type == "number" and not task.name.startswith("bbh"):
        answer, gold = _last_number(text), _last_number(question.answer)
        same = answer is not None and gold is not None and float(answer) == float(gold)
        return RuleVerdict(answer, same)
    if asks_for_answers_alone(task):
        return RuleVerdict(text.strip(), bracketed_gold(task, question) in text)
    parts = text.split("the answer is", maxsplit=2)
    answer = parts[1].strip() if len(parts) > 1 else None
    return RuleVerdict(answer, answer is not None and bracketed_gold(task, question) in parts[1])


def _last_number(text: str) -> str | None:
    matches = deque(re.finditer(r"\d*\.?\d+", text), maxlen=1)
    return matches[0][0] if matches else None
