"""Fine-tune-CoT's further formats, from the stored completion to the served student.

The texts are those of src/data/format.py of reasoning-teacher @ a2ca4d28, worked by hand.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from click.testing import CliRunner
from deployed_run import deployed_run
from tiny_models import byte_level_tokenizer
from transformers import AutoTokenizer

from potstill.cli import main
from potstill.exchange.exported_thinking import NO_THINKING
from potstill.exchange.rows import ExportKind, TaskQuestions, training_rows, wording_of
from potstill.models.local.loading import load_tokenizer
from potstill.models.local.prompt_encoding import PromptEncoder
from potstill.models.settings import LocalSettings
from potstill.prompts.formats import format_named
from potstill.prompts.styles import prompt_for
from potstill.records import (
    Completion,
    Example,
    Question,
    Rationale,
    Request,
    Task,
    TeacherSpan,
    TokenLogprobs,
)
from potstill.store import Store
from potstill.tasks import grade
from potstill.text.own_space import with_own_space
from potstill.train.encoding import Encoder
from potstill.train.examples import as_written, make_examples
from potstill.train.settings import MatchingSettings, StudentSettings
from potstill.train.teacher_texts import Texts

QUESTION = Question(id="q", text="What is 2 + 3?", answer="5")
TASK = Task(name="sums", answer_type="number", splits={"train": (QUESTION,), "dev": (), "test": ()})
WRITTEN = "\n\nTwo and three are 5.\n"
"""The teacher's text in the first step of Zero-shot-CoT."""

TEXTS = {
    "fine_tune_cot": ("What is 2 + 3? ###", " Two and three are 5. --> 5"),
    "fine_tune_cot_natural": (
        "Q: What is 2 + 3?\n\nA: Let's think step by step.\n\n",
        " Two and three are 5.\n\nTherefore the answer is 5",
    ),
    "fine_tune_cot_gpt3": (
        "What is 2 + 3?\n\n###\n\n",
        " \n\nTwo and three are 5.\n\n\n-->\n\n5 END",
    ),
    "fine_tune_answer_gpt3": ("What is 2 + 3?\n\n ### \n\n", " 5 END"),
}
every_format = pytest.mark.parametrize("name", TEXTS)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Holds one completion, and the rationale that curation took from it."""
    store = Store(tmp_path / "run.sqlite")
    request = Request(prompt=QUESTION.text)
    completion = Completion(request=request, sample=0, text=WRITTEN, finish_reason="stop")
    store.add_completions("teacher", [completion], stage="generate")
    (stored,) = store.completions("teacher", request)
    kept = Rationale(
        question_id="q", completion_id=stored.id, sample=0, text=WRITTEN.strip(), answer="5",
        verdict="kept",
    )  # fmt: skip
    store.replace_rationales([kept], grader="1", settings_hash="x")
    return store


def learned(
    store: Store, name: str, *, texts: Texts | None = None, matching: Literal[0, 1] = 0
) -> Example:
    """The example that a student of one format learns."""
    student = StudentSettings(data_format=name, matching=MatchingSettings(distribution=matching))
    rationales = as_written(store.rationales(), student, store)
    (example,) = make_examples(
        rationales, (QUESTION,), student, encoder_decoder=False, seed=0, texts=texts
    )
    return example


@every_format
def test_the_text_learned_is_the_published_one(store: Store, name: str) -> None:
    example = learned(store, name)
    assert (example.prompt, example.target) == TEXTS[name]
    assert grade(TASK, example.target, QUESTION).correct


@every_format
@pytest.mark.parametrize("bundled", [False, True])
def test_what_is_trained_is_the_prompt_at_inference_and_the_completion(
    store: Store, name: str, bundled: bool
) -> None:
    example = learned(store, name)
    start = LocalSettings(model="bundled:student")
    tokenizer = load_tokenizer(start) if bundled else byte_level_tokenizer()
    (encoded,) = (
        Encoder(tokenizer, encoder_decoder=False).encode([example], max_length=999).examples
    )
    style = format_named(name).style(encoder_decoder=False)
    asked = Request(prompt=prompt_for(style, QUESTION), stop=style.stop)
    assert encoded.prompt == PromptEncoder(tokenizer, "the student").prompt_ids(asked)
    # The loss counts on the target alone: its text, then the end of the text.
    assert encoded.target[-1] == tokenizer.eos_token_id
    whole = tokenizer.decode([*encoded.prompt, *encoded.target[:-1]], skip_special_tokens=True)
    assert whole == "".join(TEXTS[name])
    # A student that writes all of it is stopped before END, and read rightly.
    written = example.target
    for stop in style.stop:
        written = written.partition(stop)[0]
        assert written + stop == example.target
    assert grade(TASK, written, QUESTION).correct


@pytest.mark.parametrize(
    ("rationale", "written", "kept"),
    [
        ("So.", "\n\nSo.\n", "\n\nSo.\n"),
        ("So.", "So.", "So."),
        # The space before a closing statement is the statement's.
        ("So.", " So.\nThe answer is 2.", " So."),
        # Words before it, such as a label, were taken off; the space behind them was theirs.
        ("So.", "Solution: So. ", "So. "),
        ("So.", "Something else", "So."),
        ("", "  ", ""),
    ],
)
def test_a_rationale_has_the_space_that_its_writer_put_around(
    rationale: str, written: str, kept: str
) -> None:
    assert with_own_space(rationale, written) == kept


def test_the_teachers_words_are_found_behind_their_own_space(store: Store) -> None:
    pieces = ["\n\n", "Two", " and three are 5", ".", "\n"]
    tokens = TokenLogprobs(
        logprobs=np.zeros((len(pieces), 2), np.float32),
        token_bytes="".join(piece * 2 for piece in pieces).encode(),
        lengths=np.array([[len(piece)] * 2 for piece in pieces], np.int32),
    )
    span = learned(
        store, "fine_tune_cot_gpt3", texts=lambda _: (WRITTEN, tokens), matching=1
    ).teacher
    assert isinstance(span, TeacherSpan)
    # " \n\nTwo and three are 5.\n\n\n-->": the teacher's text begins behind the space, and its
    # last line break is the first of three.
    assert (span.start, span.end, span.shift) == (1, 1 + len(WRITTEN), -1)


@every_format
def test_exported_rows_are_what_a_student_learns(store: Store, name: str) -> None:
    if not format_named(name).needs_rationale:
        return
    kind: ExportKind = "prompt_completion"
    wording = wording_of(store, kind, name)
    table = training_rows(store, TaskQuestions(TASK), kind, wording, NO_THINKING)
    assert [[*rows] for rows in table.records] == [
        [{"prompt": TEXTS[name][0], "completion": TEXTS[name][1]}]
    ]


@pytest.mark.parametrize(
    ("name", "asked", "prompt"),
    [
        ("fine_tune_cot_natural", " Why? ", "Q: Why?\n\nA: Let's think step by step.\n\n"),
        ("fine_tune_cot_gpt3", " Why? ", " Why? \n\n###\n\n"),
    ],
)
def test_a_served_student_is_asked_as_it_was_measured(
    tmp_path: Path, name: str, asked: str, prompt: str
) -> None:
    run = deployed_run(tmp_path / "run", data_format=name, chat=True)
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    turns = [{"role": "user", "content": asked}]
    assert (
        tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == prompt
    )
    verified = CliRunner().invoke(main, ["verify", str(run), "--folder", str(run / "model")])
    assert "verify: 2 of 2 predictions equal (2 needed), 2 of them word for word" in verified.output


def test_the_published_rule_counts_the_last_number_of_the_natural_format() -> None:
    """Their prefix has a comma that their target has not, so it is never found."""
    task = Task(name="svamp", answer_type="number", splits={}, rule="fine_tune_cot")
    text = " Two and three are 5.\n\nTherefore the answer is 5 of 6"
    assert grade(task, text, QUESTION).answer == "6"
    with_comma = text.replace("Therefore the", "Therefore, the")
    assert grade(task, with_comma, QUESTION).answer == "5"
