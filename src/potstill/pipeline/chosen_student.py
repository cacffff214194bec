"""The student that a run chose: found in its store, asked a question, and served.

It stands in ``model/`` of the run's folder, and is asked in the data format that it was trained on,
greedily, as it was measured.
"""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from potstill.errors import ConfigError, DataError, ModelError
from potstill.models import open_model
from potstill.models.settings import LocalSettings
from potstill.prompts.formats import format_named
from potstill.records import Checkpoint, Completion, Question, SystemEngine
from potstill.sampling.ask import PromptConfig
from potstill.store import Store, lock_holder
from potstill.text.steps import step_kind

if TYPE_CHECKING:
    from potstill.pipeline.run import Run


def offered_checkpoints(store: Store, student: str | None = None) -> list[Checkpoint]:
    """Returns the checkpoint that evaluation took of each student, or of one of this name."""
    checkpoints = {
        (checkpoint.system, checkpoint.step): checkpoint for checkpoint in store.checkpoints()
    }
    taken = [choice for choice in store.choices() if choice.used]
    return [
        checkpoints[choice.system, choice.step]
        for choice in taken
        if student in (None, choice.system.label) and (choice.system, choice.step) in checkpoints
    ]


def best_checkpoint(store: Store, task: str, offered: Sequence[Checkpoint]) -> Checkpoint:
    """Returns the checkpoint that is most often right on development questions.

    Of equal ones it is the last, as in evaluation.

    Args:
        store: Holds the scores.
        task: The task trained for.
        offered: One or more checkpoints.
    """
    development = [score for score in store.scores() if score.split == "dev"]
    # Scores of the task in another format, such as "gsm8k, zero_shot", only where there are no own.
    own = [score for score in development if score.task == task]
    scores = own or [score for score in development if score.task.startswith(f"{task}, ")]
    correct = {(score.system.bare, score.step): score.correct for score in scores}
    return max(
        reversed(offered),
        key=lambda checkpoint: correct.get((checkpoint.system, checkpoint.step), -1),
    )


def measuring_engine(run: "Run", checkpoint: Checkpoint) -> SystemEngine | None:
    """Returns the program that measured a student, where the last evaluation noted it."""
    for engine in run.store.engines():
        if (engine.system.bare, engine.system.step) == (checkpoint.system, checkpoint.step):
            return engine
    return None


def chosen_checkpoint(run: "Run") -> Checkpoint:
    """Returns the checkpoint that stands in ``model/``.

    Raises:
        DataError: Nothing was evaluated yet, or the model is not there.
    """
    offered = offered_checkpoints(run.store)
    if not offered:
        raise DataError(f"{run.folder} has no chosen student yet. {_way_to_one(run)}")
    if not (run.folder / "model").is_dir():
        raise DataError(
            f"{run.folder / 'model'} is missing, though a student was chosen. Run potstill "
            "evaluate on the run: it writes the folder again, and asks for nothing that is stored."
        )
    return best_checkpoint(run.store, run.recipe.task.shown_name, offered)


def _way_to_one(run: "Run") -> str:
    """Returns what is to be done for a chosen student."""
    place = shlex.quote(str(run.folder))
    if holder := lock_holder(run.folder / "run.sqlite"):
        return f"It is at work in {holder}; potstill status {place} says how far it is."
    return f"potstill run {place} goes on until there is one."


def ask_student(run: "Run", text: str) -> Completion:
    """Puts a question to the chosen student, as it was asked when it was measured.

    Args:
        run: A run that was evaluated.
        text: The question; the options of a choice stand in it.

    Raises:
        ConfigError: The question is empty.
        DataError: There is no chosen student yet.
        ModelError: It cannot be asked.
    """
    if not text.strip():
        raise ConfigError("the question is empty.")
    checkpoint = chosen_checkpoint(run)
    asking = student_asking(run, checkpoint)
    model = open_model(_settings(run, checkpoint))
    (completion,) = model.complete([asking.request(Question(id="", text=text, answer=""))])
    if completion.finish_reason == "error":
        raise ModelError(f"{run.folder / 'model'}: {completion.error}.")
    return completion


def student_asking(run: "Run", checkpoint: Checkpoint) -> PromptConfig:
    """Returns how a student is asked when it is measured: in its data format, greedily."""
    data_format = format_named(checkpoint.data_format)
    exemplars = run.students.eval_models.exemplars if data_format.needs_exemplars else ()
    return PromptConfig(
        style=data_format.style(encoder_decoder=checkpoint.encoder_decoder),
        sampling=run.recipe.evaluate.greedy,
        exemplars=exemplars,
    )


def serving(run: "Run") -> dict[str, object]:
    """Returns the settings of a server of the chosen student, as a settings file holds them.

    Raises:
        DataError: There is no chosen student yet.
    """
    checkpoint = chosen_checkpoint(run)
    kept = (one.text for one in run.store.rationales() if one.verdict == "kept")
    return {
        "student": _settings(run, checkpoint).model_dump(mode="json", exclude_defaults=True),
        "student_format": checkpoint.data_format,
        "steps": step_kind(kept),
        "name": run.folder.resolve().name,
        "temperature": 0.0,
        "max_tokens": run.recipe.evaluate.max_tokens,
        "thinking_tokens": run.recipe.evaluate.thinking_tokens,
    }


def _settings(run: "Run", checkpoint: Checkpoint) -> LocalSettings:
    """Returns the settings of the chosen student."""
    # For a question or two, and behind the guided server, no server of its own is started.
    return run.students.settings_of(checkpoint, run.folder / "model")
