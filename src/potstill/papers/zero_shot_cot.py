"""Zero-shot-CoT: Kojima and others, "Large Language Models are Zero-Shot Reasoners".

arXiv 2205.11916; code kojima-takeshi188/zero_shot_cot, ``answer_cleansing`` in utils.py. Here is
the rule by which it grades; the two-step style ``zero_shot_cot`` is potstill's ordinary one for
models without a chat template and stands in ``prompts/styles.py``.

Published, text-davinci-002, accuracy in per cent: MultiArith 17.7 zero-shot and 78.7 Zero-shot-CoT,
GSM8K 10.4 and 40.7.

Otherwise here: one cue for all answer types ("Therefore, the answer is"), as Fine-tune-CoT words
it, where the paper words it by type; the rule knows both.
"""

import re
from collections.abc import Mapping

from potstill.grading.rules import RuleVerdict
from potstill.papers.fine_tune_cot import candidates, written_gold
from potstill.records import AnswerType, Question, Task

_TRIGGERS: Mapping[AnswerType, str] = {
    "number": r"Therefore, the answer \(arabic numerals\) is",
    "choice": r"Therefore, among A through [A-Z], the answer is",
    "yes_no": r"Therefore, the answer \(Yes or No\) is",
}
_PLAIN_TRIGGER = r"Therefore, the answer is"


def grade(task: Task, text: str, question: Question) -> RuleVerdict:
    """The first candidate after the answer trigger, compared as a string.

    The trigger is the zero-shot one of the answer type, or "Therefore, the answer is", or, the last
    time it occurs, the few-shot one: "The answer is". A text with none of them is what a model
    wrote after a prompt that ended in the trigger.
    """
    triggers = (_TRIGGERS.get(task.answer_type, _PLAIN_TRIGGER), _PLAIN_TRIGGER)
    trigger = next(filter(None, (re.search(pattern, text) for pattern in triggers)), None)
    answer_part = text[trigger.end() :] if trigger else text.rpartition("The answer is")[2]
    numbers = candidates(task, answer_part, question, number=r"-?\d+\.?\d*")
    answer = numbers[0].removesuffix(".") if numbers else None
    return RuleVerdict(answer, answer == written_gold(task, question))
