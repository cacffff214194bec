"""The message where few or no rationales were kept: three samples as they were read, and advice.

Repeating a stage would change nothing, so that is never the advice.
"""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from potstill.curate import VERDICTS
from potstill.errors import DataError
from potstill.pipeline.stage_inputs import learns_rationales
from potstill.records import SPARE_VERDICTS, Question, Rationale
from potstill.runtime.progress import printable

if TYPE_CHECKING:
    from potstill.pipeline.run import Run

FEW = 0.1
"""The share of rationales fit to be learned below which a user is told why the others are not."""

SHOWN = 3
"""Samples that are shown."""

_LONGEST = 160
"""Characters of a text that are shown."""


def require_kept(run: "Run") -> None:
    """Refuses to go on where students are to learn rationales and none was kept.

    Raises:
        DataError: None was; the message shows samples of those that were dropped.
    """
    if not learns_rationales(run.recipe.train.students.values()):
        return
    verdicts = Counter(run.store.verdicts())
    if verdicts and not verdicts["kept"]:
        raise DataError("\n".join(_lines(run, verdicts)))


def few_kept_lines(run: "Run") -> list[str]:
    """Returns why so few rationales were kept, a line each; empty where enough were, or none."""
    verdicts = Counter(run.store.verdicts())
    spare = sum(verdicts[verdict] for verdict in SPARE_VERDICTS)
    few = verdicts["kept"] > 0 and verdicts["kept"] + spare < FEW * verdicts.total()
    if not few or not learns_rationales(run.recipe.train.students.values()):
        return []
    return list(_lines(run, verdicts))


def _lines(run: "Run", verdicts: "Counter[str]") -> Iterator[str]:
    """Yields how many were kept, samples of those that were not, and advice, a line each."""
    kept = verdicts["kept"]
    unfit = Counter({one: count for one, count in verdicts.items() if one not in SPARE_VERDICTS})
    commonest, count = (unfit - Counter(kept=kept)).most_common(1)[0]
    share = (
        f"only {kept:,} of {verdicts.total():,} rationales were"
        if kept
        else (f"none of {verdicts.total():,} rationales was")
    )
    yield f"{share} kept: {count:,} are {commonest} ({VERDICTS.get(commonest, commonest)})."
    questions = {question.id: question for question in run.task.splits["train"]}
    shown: dict[str, Rationale] = {}
    for one in run.store.rationales():
        if one.verdict == commonest and len(shown) < SHOWN:
            shown.setdefault(one.question_id, one)
    for rationale in shown.values():
        yield _sample(rationale, questions.get(rationale.question_id))
    yield _advice(run, commonest)


def _sample(rationale: Rationale, question: Question | None) -> str:
    """Returns a question, its gold answer, what was read and what was written, on one line."""
    asked = f"asked {_shown(question.text)}, gold answer {question.answer!r}, " if question else ""
    read = "no answer" if rationale.answer is None else repr(printable(rationale.answer))
    return f"sample: {asked}read {read} in {_shown(rationale.text, end=True)}"


def _shown(text: str, *, end: bool = False) -> str:
    """Returns a text between quotes, the beginning or the end of a long one left out."""
    text = printable(text)
    if len(text) > _LONGEST:
        text = f"…{text[-_LONGEST:]}" if end else f"{text[:_LONGEST]}…"
    return f'"{text}"'


def _advice(run: "Run", verdict: str) -> str:
    """Returns what may help against the commonest reason for dropping."""
    generate, kind = run.recipe.generate, run.task.answer_type
    match verdict:
        case "wrong_answer":
            return (
                f"See in the samples whether the gold answers are right and are of the type {kind} "
                "(task.answer_type), and whether the teacher knows them. If they are, take a "
                "stronger teacher, or ask it in another generate.prompt_style."
            )
        case "no_answer":
            return (
                f"No answer of the type {kind} was found. See in the samples whether "
                "task.answer_type is right; else raise generate.max_tokens (now "
                f"{generate.max_tokens}), or ask in another generate.prompt_style, such as "
                "instruct_cot, which has the answer marked."
            )
        case "not_compared":
            return (
                "The expressions are too large to be compared as mathematics. See in the samples "
                "whether task.answer_type is right; number or text compares in no time."
            )
        case "unfinished":
            return (
                "Where they were cut off, raise generate.max_tokens, which is "
                f"{generate.max_tokens}; potstill generate then asks again for those, and for "
                "nothing else. Where a content filter or a refusal ended them, see in the samples "
                "what is refused, and word it otherwise or take another teacher."
            )
        case "too_short" | "too_long":
            limits = f"{run.recipe.curate.min_words} to {run.recipe.curate.max_words or 'any'}"
            return f"Change curate.min_words or curate.max_words; now {limits} words are kept."
        case _:
            return "Change what the recipe's section curate keeps, or the teacher."
