"""Whether stored verdicts follow from the stored texts, for ``potstill check``.

Texts are graded again, as curation and evaluation did, and held against what they stored. That is
only looked at where the same has to come out: the results are of this recipe, of this version of
the grader, and no judge was asked.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from potstill.curate import KEPT, VERDICTS, CurateSettings
from potstill.curate.verdicts import GradedSample, grade_sample, marked_verdict, own_verdict
from potstill.errors import shortened
from potstill.grading.grade import GRADER_VERSION
from potstill.models.finish_reasons import finish_reason_of, is_known
from potstill.pipeline.regrade import prediction_flips
from potstill.records import Question, Rationale
from potstill.store import Stage, Store
from potstill.text.number_of import number_of

if TYPE_CHECKING:
    from potstill.pipeline.run import Run

MOST_GRADED = 2000
"""Training questions whose rationales are graded again, and test answers, at most of each; of more
they are spread evenly."""

_OWN_VERDICTS = (
    "unfinished", "unknown_end", "no_answer", "not_compared", "wrong_answer", "too_short",
    "too_long", "rejected", "unmarked",
)  # fmt: skip
"""Verdicts that follow from one text; the others also from those beside it."""

_OF_DEBATES = ("no_consensus", "against_consensus")
_OF_MARKS = ("rejected", "unmarked")

T = TypeVar("T")


class VerdictFault(NamedTuple):
    """A row that does not follow from what it was made of."""

    table: str
    fault: str


def word_faults(store: Store) -> Iterator[VerdictFault]:
    """Yields verdicts and reasons for an end that no version writes."""
    for verdict, count in store.verdicts().items():
        if verdict not in VERDICTS:
            yield VerdictFault("rationales", f"{count:,} have the verdict {shortened(verdict)}")
    for reason, count in store.finish_reasons().items():
        if reason != finish_reason_of(reason):
            fault = f"{count:,} ended for the reason {shortened(reason)}, which none is stored as"
            yield VerdictFault("completions", fault)


def unknown_ends(store: Store) -> Iterator[str]:
    """Yields a sentence on completions that ended for a reason that only their server knows."""
    for reason, count in store.finish_reasons().items():
        if reason == finish_reason_of(reason) and not is_known(reason):
            counted = number_of(count, "completion")
            yield f"{counted} ended for a reason that is not known: {shortened(reason)}"


def verdict_faults(run: "Run", stale: Sequence[Stage]) -> Iterator[VerdictFault]:
    """Yields stored verdicts that do not follow from the texts.

    Args:
        run: Opened for reading.
        stale: The stages whose results are not of its recipe.
    """
    if run.recipe.curate.right_answer and "curate" not in stale:
        unanswered = sum(
            one.verdict == KEPT and one.answer is None for one in run.store.rationales()
        )
        if unanswered:
            yield VerdictFault("rationales", f"{unanswered:,} are kept as right without an answer")
    if run.recipe.judge is not None:
        return
    if _is_comparable(run.store, "curate", stale) and not run.teachers.unknown:
        outdated = run.store.current_rationales(run.task.splits["train"]).outdated
        if outdated:
            fault = f"{outdated:,} say another question or gold answer than they were curated by"
            yield VerdictFault("rationales", fault)
        yield from (VerdictFault("rationales", fault) for fault in _rationale_faults(run))
    if _is_comparable(run.store, "evaluate", stale):
        for flip in prediction_flips(run.measured_tasks, run.store, most=MOST_GRADED):
            fault = f"{flip.what} is stored as {flip.before}, and its text is {flip.after}"
            yield VerdictFault("predictions", fault)


def _is_comparable(store: Store, stage: Stage, stale: Sequence[Stage]) -> bool:
    """Whether a stage's texts, graded now, have to get the verdicts that are stored."""
    made = store.provenance(stage)
    if made is None or not made.is_known or stage in stale:
        return False
    return store.graders("rationales" if stage == "curate" else "predictions") == [GRADER_VERSION]


def _rationale_faults(run: "Run") -> Iterator[str]:
    task, settings = run.task, run.recipe.curate
    current = run.store.current_rationales(task.splits["train"]).rationales
    graded = {question.id: question for question in spread(task.splits["train"], MOST_GRADED)}
    stored = {
        (one.completion_id, one.question_id): one for one in current if one.question_id in graded
    }
    for question in graded.values():
        for teacher, answers in run.teachers.last_answers(question).items():
            for answer in answers:
                rationale = stored.get((answer.completion_id, question.id))
                if rationale is None:  # it came after the rationales were curated
                    continue
                if not answer.reasoning.strip().startswith(rationale.text):
                    yield f"{_place(question, rationale)} has another text than its completion"
                    continue
                sample = grade_sample(task, question, teacher, answer)
                sample = sample._replace(mark=rationale.mark)  # the file may be gone
                fault = _difference(rationale, sample, settings)
                if fault:
                    yield f"{_place(question, rationale)} {fault}"


def _difference(rationale: Rationale, sample: GradedSample, settings: CurateSettings) -> str:
    """Returns what a rationale says otherwise than its text; empty where nothing."""
    if sample.grade.rule == "timeout":  # mathematics that is compared in time on another machine
        return ""
    if rationale.answer != sample.grade.answer:
        was, now = (shortened(one) for one in (rationale.answer, sample.grade.answer))
        return f"is stored with the answer {was}, and its text gives {now}"
    own, verdict = own_verdict(sample, settings), rationale.verdict
    if own == KEPT:
        own = marked_verdict(sample, settings)
    if own == KEPT:
        follows = verdict not in _OWN_VERDICTS
    else:
        # An older potstill tried marks before the length.
        later = own.startswith("too_") or own in _OF_MARKS
        follows = verdict == own or (later and verdict in (*_OF_DEBATES, *_OF_MARKS))
    return "" if follows else f"is stored as {verdict}, and its text is {own}"


def _place(question: Question, rationale: Rationale) -> str:
    return f"{question.id} {rationale.teacher} sample {rationale.sample}"


def spread(members: Sequence[T], most: int) -> Sequence[T]:
    """Returns all members, or so many of them at most, spread evenly."""
    return members[:: -(-len(members) // most)] if members else members
