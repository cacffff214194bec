"""CommonsenseQA: 9,741 training and 1,221 test questions with five options (arXiv 1811.00937).

A row of the authors' files is ``{"answerKey": "A", "id": "075e...", "question": {"stem": "The
sanctions ...", "choices": [{"label": "A", "text": "ignore"}, ...]}}``. The answers of their test
split are not published. As in Fine-tune-CoT, their development split is the test split here.
"""

from pathlib import Path

from potstill.errors import DataError
from potstill.records import Question
from potstill.tasks.datasets.pool import Dataset, Pool, Row, field, hub_rows, jsonl_rows, named_file


def read(path: Path) -> Pool:
    """Reads a folder with ``train_rand_split.jsonl`` and ``dev_rand_split.jsonl``."""
    train, test = (
        tuple(
            _nested(row, at=f"{file}, line {number}")
            for number, row in jsonl_rows(named_file(path, file))
        )
        for file in ("train_rand_split.jsonl", "dev_rand_split.jsonl")
    )
    return Pool(train=train, test=test)


def read_hub() -> Pool:
    """Reads ``tau/commonsense_qa``."""
    train, test = (
        tuple(_flat(row) for row in hub_rows("tau/commonsense_qa", split=split))
        for split in ("train", "validation")
    )
    return Pool(train=train, test=test)


def _nested(row: Row, *, at: str) -> Question:
    """Returns a question of the authors' file."""
    question = row.get("question")
    choices = question.get("choices") if isinstance(question, dict) else None
    if not isinstance(question, dict) or not isinstance(choices, list):
        raise DataError(f"{at}: 'question' must hold a stem and choices.")
    texts = [field(choice, "text", at=at) for choice in choices]
    labels = [field(choice, "label", at=at) for choice in choices]
    return _question(row, field(question, "stem", at=at), labels, texts, at=at)


def _flat(row: Row) -> Question:
    """Returns a question of the hub."""
    at = f"tau/commonsense_qa {row.get('id')}"
    choices = row.get("choices")
    if not isinstance(choices, dict):
        raise DataError(f"{at}: 'choices' must hold labels and texts.")
    return _question(row, field(row, "question", at=at), choices["label"], choices["text"], at=at)


def _question(row: Row, text: str, labels: list[str], texts: list[str], *, at: str) -> Question:
    """Returns the question, its options in the order of their letters."""
    if sorted(labels) != [chr(65 + index) for index in range(len(labels))]:
        raise DataError(f"{at}: the options' letters are {labels}; they must be A, B, C ...")
    ordered = sorted(zip(labels, texts, strict=True))
    return Question(
        id=f"commonsense_qa/{field(row, 'id', at=at)}",
        text=text,
        answer=field(row, "answerKey", at=at),
        choices=tuple(option.strip() for _, option in ordered),
    )


COMMONSENSE_QA = Dataset(
    name="commonsense_qa",
    source="https://github.com/jonathanherzig/commonsenseqa",
    licence="MIT",
    files="train_rand_split.jsonl, dev_rand_split.jsonl",
    read=read,
    read_hub=read_hub,
    hub="tau/commonsense_qa",
    answer_type="choice",
    sizes=(9741, 1221),
    own_split=True,
)
