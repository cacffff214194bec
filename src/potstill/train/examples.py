"""Rationales and questions → training examples."""

from collections import Counter
from collections.abc import Iterable, Mapping

from potstill.prompts.formats import DataFormat
from potstill.records import Example, Question, Rationale


def make_examples(
    rationales: Iterable[Rationale],
    questions: Mapping[str, Question],
    data_format: DataFormat,
    *,
    encoder_decoder: bool,
    max_rationales: int | None = None,
) -> list[Example]:
    """Word what a student is trained on.

    A format without rationales gives one example to each question, whether or not the teacher
    solved it: its student learns from the gold answers alone and owes the teacher nothing. The
    others give one to each kept rationale, which is closed by the gold answer, not by the
    teacher's wording of it (Fine-tune-CoT, arXiv 2212.10071, section 3.1).

    Args:
        rationales: Of these questions; only those with the verdict ``kept`` are used.
        questions: The training questions by id.
        data_format: The wording.
        encoder_decoder: Whether the student reads its prompt with an encoder.
        max_rationales: Most rationales of one question, the first ones.
    """
    if not data_format.needs_rationale:
        chosen = [(question, "") for question in questions.values()]
    else:
        kept = [rationale for rationale in rationales if rationale.verdict == "kept"]
        chosen = [
            (questions[rationale.question_id], rationale.text)
            for rationale in _first_of_each(kept, max_rationales)
        ]
    return [
        Example(
            prompt=data_format.prompt(question, encoder_decoder=encoder_decoder),
            target=data_format.target(text, question.answer, encoder_decoder=encoder_decoder),
            question_id=question.id,
        )
        for question, text in chosen
    ]


def _first_of_each(rationales: Iterable[Rationale], most: int | None) -> Iterable[Rationale]:
    """At most so many rationales of each question."""
    taken: Counter[str] = Counter()
    for rationale in rationales:
        if most is None or taken[rationale.question_id] < most:
            taken[rationale.question_id] += 1
            yield rationale
