"""The choice of the questions and rationales that a student learns from, and their wording."""

import json
import operator
import re
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import ScriptedModel, context_of, sums
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import build_tiny_causal

from potstill.curate import CurateSettings, curate
from potstill.curate.stage import VERDICTS
from potstill.errors import ConfigError, DataError
from potstill.generate import GenerateSettings, generate, teacher_asking
from potstill.grading.grade import split_rationale
from potstill.models.settings import LocalSettings
from potstill.prompts.styles import Exemplar
from potstill.records import (
    Checkpoint,
    Example,
    Question,
    Rationale,
    Request,
    Task,
    TeacherSpan,
    TokenLogprobs,
)
from potstill.runtime.context import RunContext
from potstill.runtime.progress import Meter
from potstill.sampling.debate import AskedTeacher
from potstill.sampling.exemplar_pool import draw_exemplars, worked_questions
from potstill.store import Store
from potstill.tasks import grade
from potstill.tasks.overlap import words
from potstill.train import Models, train
from potstill.train.chosen_rationales import KEPT, WRONG
from potstill.train.examples import (
    REPLAY,
    example_shares,
    make_examples,
    replayed,
    unequal_questions,
)
from potstill.train.on_policy.settings import OnPolicySettings
from potstill.train.resolution import pass_size
from potstill.train.settings import (
    MatchingSettings,
    ReplaySettings,
    StudentSettings,
    TrainSettings,
)
from potstill.train.teacher_texts import teacher_span
from potstill.train.wrong_chains import WRONG_CHAINS

QUESTIONS = tuple(Question(id=name, text=f"{name}?", answer="7.0") for name in "abcdefgh")


def rationale(question: str, sample: int, text: str, verdict: str = "kept") -> Rationale:
    return Rationale(
        question_id=question, completion_id=0, sample=sample, text=text, answer="7", verdict=verdict
    )


RATIONALES = [
    rationale("a", 0, "one"),
    rationale("a", 1, "one two three", "wrong_answer"),
    rationale("a", 2, "one two"),
    rationale("a", 3, "four five"),
    rationale("b", 0, "guess", "no_answer"),
    rationale("b", 1, "cut", "unfinished"),
    rationale("b", 2, "same", "duplicate"),
    rationale("b", 3, "six seven eight"),
]


def made(encoder_decoder: bool = False, seed: int = 0, **student: object) -> list[Example]:
    settings = StudentSettings.model_validate(student)
    return list(
        make_examples(RATIONALES, QUESTIONS, settings, encoder_decoder=encoder_decoder, seed=seed)
    )


def learned(**student: Any) -> list[str]:
    """The rationales that are learned."""
    return [one.target.partition(" -->")[0].strip() for one in made(**student)]


def test_each_kept_rationale_is_closed_by_the_gold_answer() -> None:
    assert [(one.prompt, one.target, one.question_id) for one in made()] == [
        ("a? ###", " one --> 7.0", "a"),
        ("a? ###", " one two --> 7.0", "a"),
        ("a? ###", " four five --> 7.0", "a"),
        ("b? ###", " six seven eight --> 7.0", "b"),
    ]


def test_the_answer_format_takes_every_question() -> None:
    examples = made(encoder_decoder=True, data_format="fine_tune_answer")
    assert [(one.prompt, one.target) for one in examples] == [
        (f"{name}?", "7.0") for name in "abcdefgh"
    ]


def test_rationales_of_one_question_can_be_limited() -> None:
    assert learned(max_rationales=1) == ["one", "six seven eight"]
    assert learned(max_rationales=2) == ["one", "one two", "six seven eight"]


def test_the_shortest_or_longest_rationales_can_be_taken() -> None:
    assert learned(max_rationales=1, take="shortest") == ["one", "six seven eight"]
    assert learned(max_rationales=1, take="longest") == ["one two", "six seven eight"]
    with pytest.raises(ValueError, match="take: longest needs max_rationales"):
        StudentSettings(take="longest")


def test_d_takes_the_first_samples_whether_or_not_they_were_kept() -> None:
    assert learned(samples=1) == ["one"]
    assert learned(samples=3) == ["one", "one two"]
    assert learned(samples=4) == learned()


def test_without_the_filter_wrong_answers_are_learned_and_nothing_else() -> None:
    assert learned(wrong_answers=True) == [
        "one", "one two three", "one two", "four five", "guess", "six seven eight",
    ]  # fmt: skip
    assert all(one.target.endswith("--> 7.0") for one in made(wrong_answers=True))
    assert set(VERDICTS) >= KEPT | WRONG


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 99))
def test_fewer_questions_are_some_of_more(fewer: int, more: int, seed: int) -> None:
    fewer, more = sorted((fewer, more))

    def ids(count: int) -> list[str]:
        examples = made(data_format="fine_tune_answer", questions=count, seed=seed)
        return [one.question_id for one in examples]

    assert len(ids(more)) == more
    assert [each for each in ids(more) if each in ids(fewer)] == ids(fewer)
    assert ids(fewer) == ids(fewer)


def test_the_seed_chooses_the_questions() -> None:
    chosen = {
        tuple(one.question_id for one in made(data_format="fine_tune_answer", questions=3, seed=s))
        for s in range(5)
    }
    assert len(chosen) > 1


# Formats and mixtures


def test_a_mixture_gives_each_of_its_formats_what_it_needs() -> None:
    made_of = Counter(one.data_format for one in made(data_format="predict_explain"))
    assert made_of == {"predict": 8, "explain": 4}
    mixture = Counter(one.data_format for one in mixed(data_format="specialization"))
    assert mixture == {
        "in_context_cot": 16, "zero_shot_cot": 16, "in_context_answer": 8, "zero_shot_answer": 8,
    }  # fmt: skip


def test_shares_count_what_is_replayed() -> None:
    replay = {"tasks": ["coin_flip"], "share": 0.2}
    for data_format in ("fine_tune_cot", "specialization", {"chat": 3, "predict": 1}):
        alone = StudentSettings.model_validate({"data_format": data_format})
        assert example_shares(alone) == alone.formats
        student = StudentSettings.model_validate({"data_format": data_format, "replay": replay})
        found = example_shares(student)
        assert found.pop(REPLAY) == 0.2
        assert found == {name: pytest.approx(0.8 * s) for name, s in alone.formats.items()}


def test_the_share_of_what_has_no_example_goes_to_the_student_s_own_formats() -> None:
    student = StudentSettings.model_validate(
        {
            "data_format": {"chat": 2, "in_context_cot": 2},
            "unlikelihood": {"share": 0.25},
            "replay": {"tasks": ["coin_flip"], "share": 0.25},
        }
    )
    one, other = student.formats
    assert example_shares(student, {one, WRONG_CHAINS}) == {one: 0.75, WRONG_CHAINS: 0.25}
    assert example_shares(student, {one, other}) == student.formats
    assert pass_size([one] * 6, example_shares(student, {one})) == 6


def test_training_questions_of_other_tasks_are_replayed_with_their_gold_answers() -> None:
    replay = ReplaySettings.model_validate({"tasks": ["coin_flip"]})
    found = replayed([sums(train=2), sums(train=1)], replay, encoder_decoder=False)
    first = sums(train=2).splits["train"][0]
    assert len(found) == 3
    assert found[0] == Example(
        prompt=f"Q: {first.text} A:",
        target=f" The answer is {first.answer}",
        question_id=f"sums/{first.id}",
        data_format="replay",
    )
    written = replayed([sums(train=1)], replay, encoder_decoder=True)
    assert written[0].target == f"The answer is {first.answer}"


# Exemplars

POOLED = [rationale(name, sample, f"{name}{sample}") for name in "abcdefgh" for sample in (0, 1)]


def mixed(seed: int = 0, **student: object) -> list[Example]:
    """Examples where each of eight questions has two rationales."""
    settings = StudentSettings.model_validate({"data_format": "in_context_cot", **student})
    return list(make_examples(POOLED, QUESTIONS, settings, encoder_decoder=False, seed=seed))


def shown(example: Example) -> list[str]:
    """The questions in an example's prompt, its own last."""
    assert isinstance(example.prompt, str)
    return re.findall("^Q: (.*)$", example.prompt, re.MULTILINE)


@given(st.integers(0, 10**6), st.integers(1, 7), st.sampled_from(["question", "example"]))
def test_exemplars_are_others_and_never_the_question_itself(
    seed: int, count: int, per: str
) -> None:
    for one in mixed(seed, exemplars=count, exemplars_per=per):
        *others, own = shown(one)
        assert own == f"{one.question_id}?"
        assert len(set(others) - {own}) == count == len(others)


@given(st.integers(0, 10**6))
def test_a_question_under_another_id_is_no_exemplar_either(seed: int) -> None:
    texts = ["What is 1 + 1?", "what is  1 + 1", "What is 1 - 1?", "What is 1, 1?", "And 4?"]
    questions = tuple(Question(id=str(i), text=text, answer="2") for i, text in enumerate(texts))
    pool = worked_questions(questions, [rationale(str(i), 0, "r") for i in range(5)])
    assert [each.question_id for each in pool] == ["0", "2", "3", "4"]
    for asked in questions:
        drawn = draw_exemplars(pool, 3, seed=seed, key=asked.id, exclude=asked)
        assert len(drawn) == 3
        assert words(asked.text) not in [words(each.question) for each in drawn]


def test_rationales_of_a_question_share_its_exemplars_and_questions_do_not() -> None:
    by_question = [(one.question_id, tuple(shown(one))) for one in mixed()]
    assert len(by_question) == 16
    assert len(set(by_question)) == 8
    assert len({frozenset(asked[:-1]) for _, asked in by_question}) > 4
    by_example = {(one.question_id, tuple(shown(one))) for one in mixed(exemplars_per="example")}
    assert len(by_example) > 12


def test_all_formats_of_a_question_show_the_same_exemplars() -> None:
    mixture = {"in_context_cot": 1, "in_context_answer": 1}
    of_question = defaultdict(set)
    for one in mixed(data_format=mixture):
        of_question[one.question_id].add(tuple(shown(one)))
    assert {len(each) for each in of_question.values()} == {1}


def test_exemplars_depend_on_the_seed_alone() -> None:
    assert mixed(seed=3) == mixed(seed=3)
    assert mixed(seed=3) != mixed(seed=4)
    shuffled = make_examples(
        POOLED, QUESTIONS[::-1], StudentSettings(data_format="in_context_cot"),
        encoder_decoder=False, seed=3,
    )  # fmt: skip
    key = operator.attrgetter("question_id", "target")
    assert sorted(shuffled, key=key) == sorted(mixed(seed=3), key=key)


def test_exemplars_are_drawn_uniformly() -> None:
    pool = worked_questions(QUESTIONS, POOLED)
    asked = QUESTIONS[0]
    drawn = Counter(
        each.question
        for key in range(2100)
        for each in draw_exemplars(pool, 2, seed=0, key=str(key), exclude=asked)
    )
    assert set(drawn) == {f"{name}?" for name in "bcdefgh"}
    assert all(500 < count < 700 for count in drawn.values()), drawn  # 600, five sigma


def test_an_exemplar_is_the_first_kept_rationale_and_the_gold_answer() -> None:
    pool = worked_questions(QUESTIONS, [rationale("b", 0, "wrong", "wrong_answer"), *RATIONALES])
    assert [each.exemplar for each in pool] == [
        Exemplar(question="a?", rationale="one", answer="7.0"),
        Exemplar(question="b?", rationale="six seven eight", answer="7.0"),
    ]


def test_a_student_is_shown_no_more_of_the_teacher_than_it_learns() -> None:
    few = mixed(questions=5)
    learned_ids = {f"{one.question_id}?" for one in few}
    assert len(learned_ids) == 5
    assert {question for one in few for question in shown(one)} == learned_ids
    late = [rationale(name, 1, "late") for name in "abcdefgh"]
    with pytest.raises(DataError, match="there are 0"):
        make_examples(
            late, QUESTIONS, StudentSettings(data_format="in_context_answer", samples=1),
            encoder_decoder=False, seed=0,
        )  # fmt: skip


def test_too_few_worked_questions_are_told() -> None:
    with pytest.raises(DataError, match=r"8 exemplars .* need 9 different .* there are 8\. Set "):
        mixed(exemplars=8)


# Teacher spans


def spelt(*tokens: str | bytes) -> tuple[str, TokenLogprobs]:
    """A text with the probabilities of its tokens, K = 1."""
    parts = [each.encode() if isinstance(each, str) else each for each in tokens]
    return b"".join(parts).decode(), TokenLogprobs(
        logprobs=np.zeros((len(parts), 2), np.float32),
        token_bytes=b"".join(each + each for each in parts),
        lengths=np.array([[len(each)] * 2 for each in parts], np.uint16),
    )


def repeated(span: TeacherSpan | None, target: str, text: str) -> str:
    """The text of a span, the same in the target and in the completion."""
    assert span is not None
    whole, full = target.encode(), text.encode()
    assert whole[span.start : span.end] == full[span.start + span.shift : span.end + span.shift]
    return whole[span.start : span.end].decode()


@pytest.mark.parametrize(
    ("tokens", "target", "found"),
    [
        # the closing words and the answer are the teacher's own
        (["1", " +", " 1", ".\n", "The", " answer", " is", " ", "2", "."],
         "\n1 + 1.\nThe answer is 2", "1 + 1.\nThe answer is 2"),
        # another answer, beginning with the same character, is not
        (["1 + 1.", "\nThe answer is", " ", "20"],
         "\n1 + 1.\nThe answer is 2", "1 + 1.\nThe answer is "),
        # another closing
        (["1 + 1.", " So ", "2"], "1 + 1. --> 2", "1 + 1."),
        # what comes before, as far as it is alike
        ([" step", "\n", "1 + 1.", "\n"], "\n1 + 1.\nThe answer is 2", "\n1 + 1.\n"),
        ([" 1", " + 1."], " 1 + 1. --> 2", " 1 + 1."),
        (["\n 1", " + 1."], " 1 + 1. --> 2", "1 + 1."),
        # a token that goes on after the rationale, and one that begins before it
        (["x 1 + ", "1. The"], "1 + 1. --> 2", "1 + 1."),
        # characters of several bytes, one of them in two tokens
        (["🙂é ", "1 +", " 1.", " 🙂".encode()[:3], " 🙂".encode()[3:], "\nSo"],
         "1 + 1. 🙂\nThe answer is 2", "1 + 1. 🙂"),
    ],
)  # fmt: skip
def test_a_span_covers_what_the_teacher_wrote(
    tokens: list[str | bytes], target: str, found: str
) -> None:
    reasons = "1 + 1. 🙂" if "🙂" in target else "1 + 1."
    text, logprobs = spelt(*tokens)
    span = teacher_span(target, target.index(reasons), reasons, (text, logprobs))
    assert repeated(span, target, text) == found


@given(
    st.lists(st.text(st.sampled_from("ab é🙂\n"), min_size=1, max_size=4), min_size=1, max_size=9),
    st.text(st.sampled_from("ab é🙂\n"), max_size=6),
    st.text(st.sampled_from("ab é🙂\n"), max_size=6),
    st.data(),
)
def test_a_span_is_equal_text_and_holds_the_rationale(
    tokens: list[str], before: str, after: str, data: st.DataObject
) -> None:
    written = spelt(*tokens)
    first = data.draw(st.integers(0, len(written[0]) - 1))
    reasons = written[0][first : data.draw(st.integers(first + 1, len(written[0])))]
    target = before + reasons + after
    span = teacher_span(target, len(before), reasons, written)
    assert reasons in repeated(span, target, written[0])
    assert span is not None
    assert span.start <= len(before.encode()) < span.end


def test_what_cannot_be_located_is_hard() -> None:
    written = spelt("one", " two")
    assert teacher_span("one two --> 2", 0, "one two", written) is not None
    assert teacher_span("one  two --> 2", 0, "one  two", written) is None
    assert teacher_span("one two --> 2", 0, "one two", None) is None
    assert teacher_span(" --> 2", 0, "", written) is None


def test_only_students_of_distribution_matching_get_spans() -> None:
    asked: list[int] = []

    def texts(completion_id: int) -> tuple[str, TokenLogprobs] | None:
        asked.append(completion_id)
        return spelt("one", " two", " three")

    def spans(**student: object) -> list[tuple[str, bool]]:
        examples = make_examples(
            RATIONALES, QUESTIONS[:1], StudentSettings.model_validate(student),
            encoder_decoder=False, seed=0, texts=texts,
        )  # fmt: skip
        return [(one.target, one.teacher is not None) for one in examples]

    assert not any(soft for _, soft in spans())
    assert not asked
    mixture = {"fine_tune_cot": 1, "chat_think": 1, "fine_tune_answer": 1}
    assert spans(data_format=mixture, matching="distribution") == [
        (" one --> 7.0", True),
        (" one two --> 7.0", True),
        (" four five --> 7.0", False),
        ("<think>\none\n</think>\n\nThe answer is 7.0.", True),
        ("<think>\none two\n</think>\n\nThe answer is 7.0.", True),
        ("<think>\nfour five\n</think>\n\nThe answer is 7.0.", False),
        (" 7.0", False),
    ]
    assert asked == [0], "each completion is read once"


def test_spans_of_a_published_teacher_reach_to_its_answer(shared_data: Path) -> None:
    file = shared_data / "token_logprobs" / "codex_gsm8k_train_top5.jsonl"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    task = Task(name="gsm8k", answer_type="number", splits={})
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    located = 0
    for row in rows:
        text, logprobs = spelt(*(step["token"] for step in row["steps"]))
        gold = row["gold_answer"].rpartition("#### ")[2].replace(",", "")
        graded = grade(task, text, Question(id="q", text=row["question"], answer=gold))
        if not graded.correct or graded.rule != "marker":
            continue
        reasons = split_rationale(text, graded)
        target = f"\n{reasons}\nThe answer is {gold}"
        span = teacher_span(target, 1, reasons, (text, logprobs))
        assert repeated(span, target, text).endswith(f"The answer is {gold}")
        located += 1
    assert located > 0.9 * len(rows)


# The stage


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> LocalSettings:
    folder = build_tiny_causal(tmp_path_factory.mktemp("start"), "qwen3")
    return LocalSettings(model=f"hf:{folder}", device="cpu")


def explained(request: Request, sample: int) -> str:
    """A right answer to n + n, in another way each time."""
    number = int(request.question.split()[2])
    return f"Way {sample} doubles {number}.\nThe answer is {2 * number}."


def trained(folder: Path, start: LocalSettings, **students: object) -> dict[str, Checkpoint]:
    """The last checkpoint of each student, by name."""
    task = sums(train=4)
    settings = TrainSettings.model_validate(
        {"steps": 2, "batch_size": 2, "checkpoints": 1, "students": students}
    )
    teacher = ScriptedModel(explained, chat=True)
    asking = teacher_asking(teacher, GenerateSettings(samples=3), seed=0)
    with Store(folder / "run.sqlite") as store:
        generate(task, teacher, asking, context_of(store))
        curate(
            task,
            [AskedTeacher("teacher", teacher.name, asking)],
            context_of(store),
            CurateSettings(),
        )
        context = RunContext(store=store, folder=folder, progress=Meter(None))
        found = train(task, Models(start=start, teacher=start), settings, context, seed=0)
    return {checkpoint.student: checkpoint for checkpoint in found}


def test_students_of_one_run_differ_in_what_they_learn_and_how_long(
    tmp_path: Path, start: LocalSettings
) -> None:
    found = trained(
        tmp_path, start,
        all={}, d1={"samples": 1}, passes={"samples": 1, "epochs": 3}, two={"questions": 2},
        longer={"steps": 4},
    )  # fmt: skip
    assert {name: (each.examples, each.step) for name, each in found.items()} == {
        "all": (12, 2), "d1": (4, 2), "passes": (4, 6), "two": (6, 2), "longer": (12, 4),
    }  # fmt: skip


def test_changing_one_student_leaves_the_others_as_they_are(
    tmp_path: Path, start: LocalSettings
) -> None:
    before = trained(tmp_path, start, one={"samples": 1}, other={"samples": 2})
    written = (tmp_path / before["one"].folder / "model.safetensors").stat().st_mtime_ns
    after = trained(tmp_path, start, one={"samples": 1}, other={"samples": 2, "steps": 3}, new={})
    assert after["one"] == before["one"]
    assert (tmp_path / after["one"].folder / "model.safetensors").stat().st_mtime_ns == written
    folders = [each.folder for each in (before["other"], *after.values())]
    assert len(set(folders)) == 4


def test_more_questions_than_there_are_is_refused(tmp_path: Path, start: LocalSettings) -> None:
    with pytest.raises(ConfigError, match=r"students.one.questions is 5; sums has only 4"):
        trained(tmp_path, start, one={"questions": 5})


def test_students_that_learn_different_questions_are_told_of() -> None:
    task = sums(train=4)
    kept = [
        Rationale(
            question_id=question.id,
            completion_id=number,
            sample=0,
            text="so",
            answer=question.answer,
            verdict="kept" if number < 2 else "wrong_answer",
        )
        for number, question in enumerate(task.splits["train"][:3])
    ]
    students = {
        "answers_only": StudentSettings(data_format="fine_tune_answer"),
        "rationales": StudentSettings(),
    }
    told = unequal_questions(students, task, kept)
    assert "answers_only 4, rationales 2 of 4" in told
    both = dict.fromkeys(("one", "other"), students["rationales"])
    assert unequal_questions(both, task, kept) == ""
    meant = {**students, "answers_only": StudentSettings(questions=2)}
    assert unequal_questions(meant, task, kept) == ""
    later = [replace(rationale, sample=number) for number, rationale in enumerate(kept)]
    first = {**both, "first sample": StudentSettings(samples=1)}
    assert "one 2, other 2, first sample 1 of 4" in unequal_questions(first, task, later)
    writing = StudentSettings(
        matching=MatchingSettings(divergence="reverse_kl"), on_policy=OnPolicySettings()
    )
    written = unequal_questions({"rationales": StudentSettings(), "own": writing}, task, kept)
    assert "rationales 2, own 4 of 4" in written
