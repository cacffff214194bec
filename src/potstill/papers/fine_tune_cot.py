"""Fine-tune-CoT: Ho, Schmid and Yun, "Large Language Models Are Reasoning Teachers".

arXiv 2212.10071; code itsnamgyu/reasoning-teacher @ a2ca4d28. Here are the rule by which it grades
(src/evaluation/evaluator.py), its few-shot prompts (data/few_shot_cot_prompts.json) and further
student formats (src/data/format.py). Its formats ``fine_tune_cot`` and ``fine_tune_answer`` are
potstill's ordinary ones and stand in ``prompts/formats.py``; its experiments are the recipes of
recipes/fine-tune-cot/.

Published, accuracy in per cent on the test questions of MultiArith, SVAMP and Date Understanding:

==========================  ==========  =====  =====
student                     MultiArith  SVAMP  Date
==========================  ==========  =====  =====
GPT-3 6.7B, zero-shot-CoT         5.00   1.33  15.32
GPT-3 6.7B, answers alone        15.00  20.67  14.41
GPT-3 6.7B, one rationale        33.33  12.67  60.36
GPT-3 6.7B, D rationales         53.33  30.33  83.78
T5 60M, D rationales             15.00   7.67  81.08
Flan-T5 700M, D rationales       20.00  13.67  87.39
==========================  ==========  =====  =====

Otherwise here: checkpoints are chosen on development questions, not on the test questions, but
where ``evaluate.select`` is ``best_on_test``; an exemplar that is a test question of the run is not
shown; the text of an answer shows by which of the published templates it was asked, as a stored
text has no template beside it.
"""

import re

from potstill.errors import ConfigError, DataError
from potstill.grading.answers import READERS
from potstill.grading.rules import RuleVerdict, set_of
from potstill.prompts.exemplars import PublishedPrompts, worked_pattern
from potstill.prompts.formats import DataFormat
from potstill.prompts.styles import style_named
from potstill.records import Question, Task

NATURAL = DataFormat(
    name="fine_tune_cot_natural",
    template="Q: {question}\n\nA: Let's think step by step.\n\n",
    separator=" ",
    reply="{rationale}\n\nTherefore the answer is {answer}",
    reading="the reasoning, then a line with `Therefore the answer is` and the answer.",
)
"""``ft_cot_natural``, for decoder-only students there. Their evaluation looks for "Therefore, the
answer is", with a comma, so that they count the last candidate of each answer."""

GPT3 = DataFormat(
    name="fine_tune_cot_gpt3",
    template="{question}",
    mark="\n\n###\n\n",
    separator=" ",
    reply="{rationale}\n\n-->\n\n{answer} END",
    stop=("END",),
    verbatim=True,
    reading="the reasoning, then a line with `-->`, then a line with the answer and ` END`.",
)
"""``ft_cot_token`` with the delimiters of the paper's GPT-3 students. Fields are not stripped, and
``END`` stops a student."""

GPT3_ANSWER = DataFormat(
    name="fine_tune_answer_gpt3",
    template="{question}",
    mark="\n\n ### \n\n",
    separator=" ",
    reply="{answer} END",
    stop=("END",),
    verbatim=True,
    reading="the answer alone, then ` END`.",
)
"""``ft_token`` likewise, whose mark has spaces around it."""

EXEMPLARS = PublishedPrompts(
    source="https://github.com/itsnamgyu/reasoning-teacher, data/few_shot_cot_prompts.json",
    licence="none stated",
    style=style_named("few_shot_cot"),
    json_of_tasks=True,
    worked=worked_pattern("Q:", "A:", "The answer is"),
    counts={
        **dict.fromkeys(("addsub", "single_eq", "multiarith", "gsm8k", "svamp"), 8),
        "aqua": 4,
        "date_understanding": 6,
        "last_letter_concatenation": 8,
        "coin_flip": 8,
        "commonsense_qa": 7,
        "strategy_qa": 6,
    },
    positions={
        "aqua": (18, 15, 19, 55),
        "date_understanding": (106, 360, 237, 53, 143, 65),
        "last_letter_concatenation": (7, 66, 76, 166, 271, 274, 383, 418),
        "coin_flip": (7, 66, 76, 166, 271, 274, 383, 418),
        "commonsense_qa": (8, 5, 4, 1, 10, 3, 11),
        "strategy_qa": (3, 7, 1, 0, 5, 2),
    },
)
"""After Few-shot-CoT (arXiv 2201.11903), as Fine-tune-CoT publishes the prompts, by task."""

_CUES = ("-->", "Therefore, the answer is", "The answer is")


def grade(task: Task, text: str, question: Question) -> RuleVerdict:
    """The first candidate after the answer prefix's first occurrence; without one, the last.

    There each prompt template has its own prefix. Here the text shows its template: the first of
    "-->" (students), "Therefore, the answer is" (the teacher's second step, whose completion starts
    there) and "The answer is" (few-shot) that occurs. Numbers of gsm8k and multiarith are compared
    as strings, others within 1e-6; letters count inside words.
    """
    cue = next((cue for cue in _CUES if cue in text), None)
    answer_part = text.partition(cue)[2] if cue else text
    numbers = candidates(task, answer_part, question, number=r"-?\d+(?:\.\d+)?")
    answer = (numbers[0] if cue else numbers[-1]) if numbers else None
    gold = written_gold(task, question)
    if task.answer_type != "number" or set_of(task) in ("gsm8k", "multiarith"):
        return RuleVerdict(answer, answer == gold)
    return RuleVerdict(answer, answer is not None and abs(float(answer) - _float(gold)) <= 1e-6)


def candidates(task: Task, text: str, question: Question, *, number: str) -> list[str]:
    """All that fits the answer type, as both Fine-tune-CoT and Zero-shot-CoT find it.

    Args:
        task: Its answer type, and the name of its set.
        text: The text that candidates are looked for in.
        question: Its options settle which letters count.
        number: The pattern of a number.

    Raises:
        ConfigError: Neither code has a way to read answers of this type.
    """
    match task.answer_type:
        case "number":
            return re.findall(number, text.replace(",", ""))
        case "choice":
            # Five options or six, date_understanding's pattern is [ABCDEF].
            count = 6 if set_of(task) == "date_understanding" else len(question.choices) or 5
            return [sign for sign in text if "A" <= sign < chr(ord("A") + count)]
        case "yes_no":
            words = re.sub(r"[\"'\n.\s:,]", " ", text.lower()).split(" ")
            return [word for word in words if word in ("yes", "no")]
        case "text":
            return [re.sub(r"[\"'\n.\s]", "", text)]
        case other:
            raise ConfigError(
                f"task {task.name}: rule {task.rule} has no way to read answers of type {other}; "
                "use the rule potstill."
            )


def written_gold(task: Task, question: Question) -> str:
    """The gold answer as both Fine-tune-CoT and Zero-shot-CoT write it."""
    match task.answer_type:
        case "number":
            number = question.answer.rpartition("####")[2].strip()
            return number.replace(",", "").removesuffix(".0")
        case "choice" | "yes_no" as kind:
            return READERS[kind].gold(question)
        case _:
            return question.answer.strip()


def _float(gold: str) -> float:
    try:
        return float(gold)
    except ValueError:
        raise DataError(f"the gold answer {gold!r} is no number.") from None
