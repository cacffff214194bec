"""The teacher's probabilities by the student's own tokens, as trainers of distillation read them.

Texts of the two models are cut into tokens differently; the rows hold what potstill's own training
learns from: the student's tokens, and at each the teacher's likeliest ones carried to tokens of the
student (:mod:`potstill.train.alignment`). Shapes, for T tokens of prompt and target and K
candidates::

    input_ids (T,)   labels (T,)   target_token_ids (T, K)   target_logprobs (T, K)

Row t of the targets is about token t + 1, which is what the logits at t predict: losses of axolotl
and verl multiply the two row by row. Where the teacher's probabilities do not reach, the token of
the text is the only candidate, with probability 1, as potstill learns it. Logarithms are of the
probabilities as they are: they sum to less than 1 where other tokens have the rest.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from potstill.errors import ConfigError, DataError, extra
from potstill.exchange.columns import SOFT_TARGETS
from potstill.exchange.rows import ExportTable, Row, stored_verdicts
from potstill.pipeline.run import Run
from potstill.plugins import unknown_name
from potstill.prompts.formats import format_named
from potstill.records import Example, SoftTargets, System
from potstill.train import Models, StudentSettings
from potstill.train.examples import as_written
from potstill.train.settings import MatchingSettings

if TYPE_CHECKING:
    from potstill.train.encoding import Encoder

NO_CANDIDATE = -1e9
"""The log-probability where a row has fewer candidates: a number, so that 0 times it is no NaN."""

NO_LIMIT = 2**31
"""More tokens than any example has."""

NO_LOSS = -100
"""The label of tokens without a loss, in transformers and all that stands on it."""


def soft_target_rows(run: Run, name: str | None = None) -> ExportTable:
    """Returns a row for each rationale that a student learns with the teacher's probabilities.

    Args:
        run: Its completions have token probabilities.
        name: The student whose tokens and wording the rows have; by default the first that learns
            distributions, else the first that learns rationales.

    Raises:
        ConfigError: There is no such student, or it is one that such rows cannot be made for.
        DataError: Nothing has been curated, or the teacher gave no probabilities.
    """
    stored_verdicts(run.store)
    with extra("local", needed_for="soft targets, which stand by the student's tokens"):
        from potstill.models.local.loading import is_encoder_decoder, load_tokenizer
        from potstill.train.encoding import Encoder
    system, student = _learner(run, name)
    start = student.start
    assert start is not None
    if is_encoder_decoder(start):
        raise ConfigError(
            f"the student {system.label} is an encoder-decoder; no trainer that reads soft targets "
            "trains one. Name another with --student."
        )
    examples, left_out = _examples_with_teacher(run, system, student)
    encoder = Encoder(
        load_tokenizer(start),
        encoder_decoder=False,
        matching=student.matching,
        control_tokens=start.control_tokens,
    )
    rows = _rows(encoder, examples, _longest(run, system), left_out)
    return ExportTable(
        columns=SOFT_TARGETS,
        records=rows,
        total=len(examples),
        data_format=student.asked_in,
        left_out=left_out,
    )


def _learner(run: Run, name: str | None) -> tuple[System, StudentSettings]:
    """Returns a student of the run, made to learn the teacher's probabilities if it does not."""
    known = run.recipe.train.students
    if name is not None and name not in known:
        raise ConfigError(f"{unknown_name('student', name, list(known))}.")
    fitting = [
        (system, student)
        for system, student in run.students.settled.items()
        if name in (None, system.model)
        and student.on_policy is None
        and any(format_named(one).needs_rationale for one in student.formats)
    ]
    if not fitting:
        raise ConfigError(
            f"{'no student' if name is None else f'the student {name} is none that'} learns the "
            "teacher's rationales by themselves, which soft targets are of: answers alone and "
            "rounds of a student's own texts have none."
        )
    matching = [one for one in fitting if one[1].matching.distribution]
    system, student = (matching or fitting)[0]
    if not matching:
        student = student.model_copy(update={"matching": MatchingSettings()})
    return system, student


def _examples_with_teacher(
    run: Run, system: System, student: StudentSettings
) -> tuple[list[Example], Counter[str]]:
    """Returns a student's examples that carry the teacher's probabilities, and counts the others.

    Raises:
        DataError: None does.
    """
    from potstill.train.stage import student_examples, teacher_texts

    recipe, store = run.recipe, run.store
    rationales = store.training_rationales(run.task)
    models = Models(recipe.student, recipe.teacher, recipe.teachers)
    examples = student_examples(
        system.label,
        student,
        run.task,
        as_written(rationales, student, store),
        teacher_texts(store, models, rationales),
        recipe.seed,
    )
    having = [example for example in examples if example.teacher is not None]
    if not having:
        raise DataError(
            f"no rationale of {run.folder} has token probabilities of its teacher. Set "
            "generate.top_logprobs in the recipe, up to 20, and repeat potstill generate, with a "
            "teacher that gives them."
        )
    without = len(examples) - len(having)
    return having, Counter(
        {"examples without probabilities of the teacher": without} if without else {}
    )


def _longest(run: Run, system: System) -> int | None:
    """Returns the most tokens that an example of a training had; None where that is not settled."""
    from potstill.train.resolution import KeptValues

    settled = run.recipe.train.max_length
    return settled if settled is not None else KeptValues(run.folder).max_length(system.label)


def _rows(
    encoder: "Encoder", examples: Sequence[Example], longest: int | None, left_out: Counter[str]
) -> Iterator[Sequence[Row]]:
    """Yields the rows of each example; one is encoded at a time."""
    for example in examples:
        (encoded,) = encoder.encode([example], max_length=NO_LIMIT).examples
        if longest is not None and encoded.length > longest:
            left_out[f"examples of more than {longest:,} tokens (train.max_length)"] += 1
            yield ()
            continue
        assert encoded.soft is not None
        yield (_row(example, encoded.prompt, encoded.target, encoded.soft),)


def _row(example: Example, prompt: list[int], target: list[int], soft: SoftTargets) -> Row:
    ids = [*prompt, *target]
    candidates = soft.ids.shape[1]
    # Row t is about token t + 1, so the target's first row stands at the prompt's last token.
    begin, end = len(prompt) - 1, len(ids) - 1
    target_ids = np.zeros((len(ids), candidates), np.int32)
    logprobs = np.full((len(ids), candidates), NO_CANDIDATE, np.float32)
    known = soft.probabilities > 0
    mask = np.zeros((len(ids), candidates), np.int32)
    mask[begin:end] = known
    target_ids[begin:end] = np.where(known, soft.ids, 0)
    logprobs[begin:end] = np.log(soft.probabilities, where=known, out=logprobs[begin:end])
    return {
        "question_id": example.question_id,
        "input_ids": ids,
        "attention_mask": [1] * len(ids),
        "labels": [*([NO_LOSS] * len(prompt)), *target],
        "target_token_ids": list(target_ids),
        "target_logprobs": list(logprobs),
        "target_mask": list(mask),
    }
