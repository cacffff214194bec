"""The front matter of a student's card: what the hub reads, its results as a model-index."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from potstill.errors import extra
from potstill.evaluate.settings import CardSettings
from potstill.records import Checkpoint, Score
from potstill.text.chosen_on_test import SHORT
from potstill.text.number_of import number_of

TAGS = ("potstill", "distillation", "chain-of-thought")


def card_matter(
    chosen: Checkpoint,
    scores: Sequence[Score],
    card: CardSettings,
    *,
    task: str,
    start: str,
    languages: Sequence[str] = (),
    on_test: bool = False,
) -> str:
    """Returns YAML between its marks, made by the hub's own package.

    What nobody has said (a licence, the data sets) is left out. Metrics hold accuracies as shares
    of 1; their names say interval and counts.

    Args:
        chosen: The student's checkpoint.
        scores: The scores of the evaluation that chose it.
        card: The recipe's settings of the card.
        task: The task trained for.
        start: The model that the training started from, as the recipe names it.
        languages: Languages of the task, where the recipe says none.
        on_test: Whether the checkpoint was chosen on the test questions, which its metrics say.
    """
    with extra("local", needed_for="a model card"):
        from huggingface_hub import EvalResult, ModelCardData

    kind = pipeline_tag(encoder_decoder=chosen.encoder_decoder)
    own = (chosen.system, chosen.step, "")
    results = [
        EvalResult(
            task_type=kind,
            dataset_type=_slug(score.task),
            dataset_name=score.task,
            dataset_split="test",
            metric_type="accuracy",
            metric_name=f"accuracy, {score.correct} of {score.total} right, 95% interval "
            f"{score.low:.1%} to {score.high:.1%}" + (f", {SHORT}" if on_test else ""),
            metric_value=round(score.correct / score.total, 4),
        )
        for score in scores
        if score.split == "test"
        and (score.system.bare, score.system.step, score.system.variant) == own
    ]
    data = ModelCardData(
        base_model=card.base_model or hub_name(start),
        library_name="transformers",
        pipeline_tag=kind,
        language=[*(card.languages or languages)] or None,
        license=card.licence,
        datasets=[*card.datasets] or None,
        tags=[*TAGS],
        model_name=f"{task} student" if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def pipeline_tag(*, encoder_decoder: bool) -> str:
    """Returns the hub's word for what a model does."""
    return "text2text-generation" if encoder_decoder else "text-generation"


def hub_name(model: str) -> str | None:
    """Returns a model's name on the hub; None for a folder of this machine, or another kind."""
    kind, _, where = model.partition(":")
    is_folder = where.count("/") > 1 or where[:1] in ("/", ".", "~") or Path(where).is_dir()
    return where if kind == "hf" and "/" in where and not is_folder else None


def training_counts(chosen: Checkpoint, questions: Mapping[str, int], kept: int) -> list[str]:
    """Returns the counts behind a student, a phrase each.

    Args:
        chosen: The student's checkpoint.
        questions: The number of questions of each split.
        kept: Rationales that were kept.
    """
    listed = ", ".join(f"{count:,} {split}" for split, count in questions.items())
    counts: list[Any] = [
        f"{listed} questions" if listed else "",
        f"{number_of(kept, 'rationale')} kept" if kept else "",
        number_of(chosen.examples, "example"),
        f"{chosen.too_long:,} left out as too long" if chosen.too_long else "",
        number_of(chosen.step, "step"),
        f"{chosen.parameters:,} weights" if chosen.parameters else "",
    ]
    if chosen.trained_parameters not in (0, chosen.parameters):
        counts.append(f"{chosen.trained_parameters:,} of them trained")
    return [count for count in counts if count]


def _slug(name: str) -> str:
    letters = "".join(sign if sign.isalnum() else " " for sign in name.lower())
    return "-".join(letters.split()) or "task"
