"""Made-up guided scores and answers for the tests of the report."""

from collections.abc import Sequence
from typing import Any

from report_run import task

from potstill.records import GuidedPrediction, GuidedScore, Policy
from potstill.report.accuracy import Results
from potstill.report.rationale_counts import count_rationales

TASK = task("sums", 4, 10)
POLICIES = {
    policy.label: policy
    for policy in (
        Policy(kind="alone", name="never"),
        Policy(kind="alone", name="teacher"),
        Policy(kind="policy", name="first"),
        Policy(kind="policy", name="learned"),
        Policy(kind="policy", name="at", number=2),
        Policy(kind="policy", name="first_n", number=2),
        Policy(kind="policy", name="when_unsure", signal="entropy"),
        Policy(kind="routing", name="routing", signal="random", number=0.5),
    )
}


def scored(
    policy: str | Policy, accuracy: float, teacher_tokens: float = 0.0, **more: Any
) -> GuidedScore:
    """A score of ten questions against a student that reaches 0.4 alone, +-0.1 around."""
    named = POLICIES[policy] if isinstance(policy, str) else policy
    alone = named.name == "never"
    values: dict[str, Any] = {
        "policy": named,
        "task": "sums",
        "split": "test",
        "accuracy": accuracy,
        "low": accuracy - 0.1,
        "high": accuracy + 0.1,
        "total": 10,
        "guided": 0 if alone else 10,
        "teacher_tokens": teacher_tokens,
        "student_tokens": 50.0,
        "cost": 0.0,
        "leaked": 0,
        "unleaked_accuracy": accuracy,
        "difference": None if alone else accuracy - 0.4,
        "difference_low": None if alone else accuracy - 0.5,
        "difference_high": None if alone else accuracy - 0.3,
        "p_value": None if alone else 0.031,
    }
    return GuidedScore(**values | more)


def routed(signal: str, share: float, accuracy: float) -> GuidedScore:
    policy = Policy(kind="routing", name="routing", signal=signal, number=share)
    return scored(policy, accuracy, 100 * share, p_value=None)


SCORES = (
    scored("never", 0.4),
    scored("teacher", 0.9, 100.0),
    scored("first", 0.6, 20.0, leaked=2, unleaked_accuracy=0.5),
    scored("at_2", 0.5, 25.0),
    scored("first_n_2", 0.7, 40.0),
    scored("when_unsure_entropy", 0.55, 8.0, guided=4),
    scored("when_unsure_entropy", 0.5, 8.0, guided=4, split="dev", total=37),
    routed("entropy", 0.5, 0.74),
    routed("random", 0.5, 0.65),
    scored(Policy(kind="control", name="own_first"), 0.4),
    scored(Policy(kind="control", name="brand_new"), 0.3),
    scored(Policy(kind="self", name="quest_cot"), 0.45),
    scored(Policy(kind="sampled", name="pass_at", number=5), 0.777, p_value=None),
)


def predicted(policy: str, number: int, correct: bool, **more: Any) -> GuidedPrediction:
    told = "" if policy == "never" else "There are 6 apples."
    values: dict[str, Any] = {
        "policy": POLICIES[policy],
        "task": "sums",
        "split": "test",
        "question_id": f"test-{number}",
        "text": f"{told} So it is {number}." if told else f"Alone it is {number}.",
        "guidance": told,
        "answer": "2",
        "correct": correct,
        "leaked": False,
        "student_tokens": 9,
        "teacher_tokens": 5 if told else 0,
        "cost": 0.0,
    }
    return GuidedPrediction(**values | more)


def results_of(
    scores: Sequence[GuidedScore] = SCORES, predictions: Sequence[GuidedPrediction] = ()
) -> Results:
    return Results(
        tasks=(TASK,),
        recipe="",
        settings={},
        scores=[],
        predictions=[],
        comparisons=[],
        rationales=[],
        rationale_counts=count_rationales([]),
        training=[],
        checkpoints=[],
        stages=[],
        failures={},
        guided_scores=scores,
        guided_predictions=predictions,
    )
