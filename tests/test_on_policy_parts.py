"""The parts of on-policy training: which beginnings and tokens are scored, mixtures, refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dense_scorer import DenseScorer
from fakes import context_of, sums
from test_on_policy import (
    ASKING,
    OWN_FORMAT,
    letters_model,
    on_policy,
    rounds_of,
    settings,
    trained,
)
from tiny_models import build_tiny_causal, build_tiny_seq2seq, byte_level_tokenizer

from potstill.curate import CurateSettings, curate
from potstill.errors import ConfigError
from potstill.models.local.loading import load_model_and_tokenizer
from potstill.models.settings import LocalSettings, OpenAISettings
from potstill.pipeline.recipe import Recipe, load_recipe
from potstill.pipeline.run import Run
from potstill.pipeline.server_needs import lack, server_needs
from potstill.pipeline.stage_inputs import learns_rationales, train_inputs
from potstill.pipeline.training_models import training_models
from potstill.prompts.formats import format_named
from potstill.prompts.styles import style_named
from potstill.records import Completion, Question, Request, System, TokenLogprobs
from potstill.sampling.debate import AskedTeacher
from potstill.store import Store
from potstill.train import Models, resumable_step, training_folders
from potstill.train.alignment import Vocabulary
from potstill.train.on_policy.settings import OnPolicySettings, ScoreSettings
from potstill.train.on_policy.work import OnPolicyWork, RoundPlan, ScoringTeacher, unscored_closing
from potstill.train.on_policy.written_answers import AnswerReader, entropies, span_of

QUESTION = Question(id="q", text="How many?", answer="7")
TOKENIZER = byte_level_tokenizer()


def reader(closing: str = "", **score: Any) -> AnswerReader:
    return AnswerReader(
        TOKENIZER, encoder_decoder=False, control_tokens=False,
        score=ScoreSettings.model_validate(score), closing=closing,
    )  # fmt: skip


def ids_of(text: str) -> list[int]:
    return list(TOKENIZER(text, add_special_tokens=False)["input_ids"])


def written(text: str, ids: list[int] | None = None, *, ended: bool = True) -> Completion:
    ids = ids_of(text) if ids is None else ids
    columns = np.array([[one, one] for one in ids], np.int32).reshape(-1, 2)
    return Completion(
        request=Request(prompt="Q: How many?\nA:"),
        sample=0,
        text=text,
        finish_reason="stop" if ended else "length",
        logprobs=TokenLogprobs(logprobs=np.full(columns.shape, -0.5, np.float32), ids=columns),
    )


def scored(text: str, *, ends: bool) -> TokenLogprobs:
    """Scores of each letter: 0.5 for itself, 0.25 for a space, 0.25 for the end."""
    rows = [(letter.encode(), letter.encode(), b" ", b"") for letter in text]
    rows += [(b"", b"", b" ", b"x")] if ends else []
    logprobs = np.log([[0.5, 0.5, 0.25, 0.25]] * len(rows)).astype(np.float32)
    return TokenLogprobs(
        logprobs=logprobs,
        token_bytes=b"".join(piece for row in rows for piece in row),
        lengths=np.array([[len(piece) for piece in row] for row in rows], np.uint16),
    )


# what was written ---------------------------------------------------------------------------------


def test_an_answer_is_learned_in_the_tokens_that_were_written() -> None:
    letters = [one for letter in " the answer" for one in ids_of(letter)]
    assert letters != ids_of(" the answer")
    answer = reader().read(QUESTION, written(" the answer", letters), "lines")
    assert answer is not None
    assert (answer.ids, answer.ends, answer.is_encoded_again) == (letters, True, False)
    example = reader().learned(answer, " the answer", scored(" the answer", ends=True), "own")
    assert example is not None
    assert example.target == [*letters, TOKENIZER.eos_token_id]
    assert example.places == tuple(range(len(letters) + 1))
    assert example.soft is not None and example.soft.soft.all()


def test_tokens_that_do_not_spell_the_text_are_encoded_again() -> None:
    answer = reader().read(QUESTION, written(" the answer", ids_of(" a coin")), "lines")
    assert answer is not None
    assert (answer.ids, answer.is_encoded_again) == (ids_of(" the answer"), True)


def test_what_stands_before_an_answer_has_no_loss() -> None:
    lead = ids_of("<think></think>")
    answer = reader().read(QUESTION, written("So 7.", [*lead, *ids_of("So 7.")]), "lines")
    assert answer is not None
    assert (answer.lead, answer.text) == (len(lead), "So 7.")
    example = reader().learned(answer, "So 7.", scored("So 7.", ends=True), "own")
    assert example is not None and example.places is not None
    assert min(example.places) == len(lead)
    assert example.places[-1] == len(example.target) - 1


def test_an_answer_ends_before_bytes_that_are_no_character() -> None:
    half = Vocabulary(TOKENIZER).token_of("é".encode()[:1])
    assert half is not None
    broken = [*ids_of("So é"), half, *ids_of(" 7")]
    text = str(TOKENIZER.decode(broken))
    answer = reader().read(QUESTION, written(text, broken), "lines")
    assert answer is not None
    assert (answer.text, answer.ends) == ("So é", False)
    assert answer.ids == ids_of("So é")
    assert reader().read(QUESTION, written("\ufffd", [half], ended=False), "lines") is None


def test_nothing_written_is_scored_for_its_end_alone() -> None:
    ended = reader().read(QUESTION, written("", []), "lines")
    assert ended is not None and ended.ends
    example = reader().learned(ended, "", scored("", ends=True), "own")
    assert example is not None
    assert (example.target, example.places) == ([TOKENIZER.eos_token_id], (0,))
    assert reader().read(QUESTION, written("", [], ended=False), "lines") is None


# the part that is scored --------------------------------------------------------------------------


def test_the_first_steps_end_between_two_tokens() -> None:
    text = " Anna has 3 apples.\n She buys 14 more.\n So 17."
    two = reader(first_steps=2).read(QUESTION, written(text), "lines")
    assert two is not None and not two.ends
    assert two.text.rstrip("\n") == " Anna has 3 apples.\n She buys 14 more."
    assert two.ids == ids_of(text)[: len(two.ids)]
    whole = reader(first_steps=3).read(QUESTION, written(text), "lines")
    assert whole is not None and whole.ends and whole.text == text


def test_a_closing_that_the_teacher_is_not_asked_for_is_not_scored() -> None:
    text = " 3 + 4 = 7 apples --> 7"
    answer = reader(closing=" --> ").read(QUESTION, written(text), "lines")
    assert answer is not None
    assert (answer.text, answer.ends) == (" 3 + 4 = 7 apples", False)


@pytest.mark.parametrize(
    ("data_format", "style", "closing"),
    [
        ("fine_tune_cot", "zero_shot_cot", " --> "),
        ("fine_tune_cot", "instruct_cot", " --> "),
        ("chat", "instruct_cot", ""),
        ("zero_shot_cot", "instruct_cot", ""),
        ("zero_shot_cot", "zero_shot_cot", "\nThe answer is "),
    ],
)
def test_whose_closing_it_is(data_format: str, style: str, closing: str) -> None:
    assert unscored_closing(format_named(data_format), style_named(style)) == closing


def test_half_of_the_tokens_are_those_of_the_highest_entropy_and_the_end() -> None:
    text = "abcdefgh"
    ids = [one for letter in text for one in ids_of(letter)]
    logprobs = np.log([[0.9, 0.9, 0.1]] * 8)
    for place in (1, 4, 6):
        logprobs[place] = np.log([0.5, 0.5, 0.5])
    tokens = TokenLogprobs(
        logprobs=logprobs.astype(np.float32), ids=np.array([[one] * 3 for one in ids], np.int32)
    )
    half = reader(share=0.5)
    completion = Completion(
        request=Request(prompt="Q:"), sample=0, text=text, finish_reason="stop", logprobs=tokens
    )
    answer = half.read(QUESTION, completion, "lines")
    assert answer is not None
    example = half.learned(answer, text, scored(text, ends=True), "own")
    assert example is not None and example.soft is not None
    assert example.places == (1, 4, 6, 8)  # half of nine
    assert len(example.soft.ids) == len(example.trained) == 4


def test_half_of_the_tokens_are_those_that_the_teacher_finds_otherwise() -> None:
    text = "abcd"
    ids = [one for letter in text for one in ids_of(letter)]
    logprobs = np.log([[0.5], [0.1], [0.5], [0.9]])  # the teacher has 0.5 everywhere
    tokens = TokenLogprobs(
        logprobs=logprobs.astype(np.float32), ids=np.array([[one] for one in ids], np.int32)
    )
    half = reader(share=0.5, by="disagreement")
    completion = Completion(
        request=Request(prompt="Q:"), sample=0, text=text, finish_reason="length", logprobs=tokens
    )
    answer = half.read(QUESTION, completion, "lines")
    assert answer is not None
    example = half.learned(answer, text, scored(text, ends=False), "own")
    assert example is not None
    assert example.places == (1, 3)


def test_entropy_takes_the_rest_as_one() -> None:
    logprobs = np.log([[0.5, 0.5, 0.25, 1e-30], [1.0, 1.0, 1e-30, 1e-30]])
    expected = [-(0.5 * np.log(0.5) + 2 * 0.25 * np.log(0.25)), 0.0]
    assert entropies(logprobs) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("own", "given", "start", "shift"),
    [(" He has", " He has", 0, 0), ("\nHe has", " He has", 1, 0), ("He has", " He has", 0, 1),
     (" He has", "He has", 1, -1), ("\n  He", "\n He", 2, -1)],
)  # fmt: skip
def test_white_space_before_an_answer_may_be_another(
    own: str, given: str, start: int, shift: int
) -> None:
    span = span_of(own, given, scored(given, ends=False))
    assert (span.start, span.end, span.shift) == (start, len(own), shift)
    assert own[start:] == given[start + shift :]


# rounds -------------------------------------------------------------------------------------------


def work(folder: Path, store: Store, questions: int = 6, **fields: Any) -> OnPolicyWork:
    local = LocalSettings(model="bundled:student", device="cpu")
    asked = format_named(str(settings({"own": on_policy()}).students["own"].asked_in))
    return OnPolicyWork(
        system=System("own"), settings=OnPolicySettings.model_validate(fields),
        data_format=asked.name,
        start=local, questions=sums(train=questions).splits["train"], task="sums",
        teacher=ScoringTeacher(settings=local, model=None, asking=ASKING),  # type: ignore[arg-type]
        context=context_of(store), seed=0,
    )  # fmt: skip


def test_every_question_comes_once_in_each_pass(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        own = work(tmp_path, store, samples=2, temperature=0.7)
        drawn = own.round_questions([4, 4, 4])
        rounds = [next(drawn) for _ in range(3)]
        in_order = [question.id for round_ in rounds for question in round_]
        assert sorted(in_order[:6]) == sorted(in_order[6:]) == sorted(q.id for q in own.questions)
        assert in_order[:6] != in_order[6:]
        assert list(own.round_questions([4, 4, 4])) == rounds
        (twice, once) = own.requests([rounds[0][0], rounds[0][0], rounds[0][1]], 1, False)
        assert (twice.samples, once.samples) == ((0, 1, 2, 3), (0, 1))
        other = own.requests([rounds[0][0]], 2, False)[0]
        assert other.seed != twice.seed


def test_the_sizes_of_rounds_follow_from_steps_and_batch() -> None:
    plan = RoundPlan.of(OnPolicySettings(samples=4, mix=0.25), steps=25, batch_size=16)
    assert (plan.own, plan.further, plan.rounds) == (12, 4, 3)
    assert [plan.steps_of(number) for number in range(3)] == [10, 10, 5]
    assert [plan.questions_of(number) for number in range(3)] == [30, 30, 15]
    assert (plan.answers_from(0), plan.answers_from(2)) == (300, 60), "12 are learned a step"
    few = RoundPlan.of(OnPolicySettings(questions=3, mix=0.01), steps=4, batch_size=2)
    assert (few.own, few.further, few.questions_of(0), few.rounds) == (1, 1, 3, 1)


def test_answers_that_no_step_learns_are_refused() -> None:
    settings = OnPolicySettings(questions=8, samples=2, steps_per_round=4)
    assert RoundPlan.of(settings, steps=8, batch_size=4).answers_from(0) == 32
    with pytest.raises(ConfigError, match=r"learns the answers to 6; .* Set it to 6 or less"):
        RoundPlan.of(settings, steps=8, batch_size=3)
    several = {
        "steps": 4,
        "batch_size": 2,
        "students": {"own": ON | {"on_policy": {"questions": 9}}},
    }
    with pytest.raises(ConfigError, match=r"own: .*learns the answers to 8"):
        recipe(ON, train=several)


def test_the_prefix_form_writes_and_scores_beginnings_alone(tmp_path: Path) -> None:
    start = letters_model(tmp_path / "start", seed=0)
    scorer = DenseScorer(letters_model(tmp_path / "teacher", seed=1))
    student = on_policy(score={"first_tokens": 3}, max_tokens=50)
    trained(tmp_path / "run", start, scorer, settings({"own": student}))
    given = [request.given for request in scorer.asked]
    assert given and all(one is not None and len(one.text) <= 3 for one in given)
    assert not any(one.ends for one in given if one is not None and len(one.text) == 3)


# mixtures and starts ------------------------------------------------------------------------------


def with_rationales(folder: Path) -> None:
    """A run in which a teacher has answered every training question."""
    task, asked = sums(train=6), AskedTeacher("teacher", "served", ASKING)
    folder.mkdir(parents=True)
    with Store(folder / "run.sqlite") as store:
        for question in task.splits["train"]:
            text = f" It is {question.answer}.\nTherefore, the answer is {question.answer}."
            request = ASKING.request(question)
            completion = Completion(request=request, sample=0, text=text, finish_reason="stop")
            store.add_completions("served", [completion], stage="generate")
        curate(task, [asked], context_of(store), CurateSettings())


def test_a_student_goes_on_from_another_and_learns_rationales_beside(tmp_path: Path) -> None:
    start = build_tiny_causal(tmp_path / "start", "qwen3")
    scorer = DenseScorer(start)
    with_rationales(tmp_path / "run")
    own = on_policy(start_from="rationales", mix=0.5, samples=2)
    students = {"own": own, "rationales": {"data_format": OWN_FORMAT}}
    found = trained(tmp_path / "run", start, scorer, settings(students))
    assert [one.student for one in found] == ["rationales"] * 2 + ["own"] * 2
    assert [one.examples for one in found] == [6, 6, 6 + 2 * 3 * 2, 6 + 2 * 3 * 2]
    with Store(tmp_path / "run" / "run.sqlite", read_only=True) as store:
        first = [
            one.completion for one in store.pool(("train",))
            if one.model.startswith("on_policy:own@") and one.model.endswith(":1")
        ]  # fmt: skip
    before = LocalSettings(model=f"hf:{tmp_path / 'run' / found[1].folder}", device="cpu").open()
    for completion in first:
        (again,) = before.complete([completion.request])
        assert again.text == completion.text


def test_a_plan_finds_where_a_student_that_goes_on_from_another_was_interrupted(
    tmp_path: Path,
) -> None:
    start = letters_model(tmp_path / "start", seed=0)
    scorer = DenseScorer(start)
    scorer.left, scorer.fault = 15, KeyboardInterrupt()
    with_rationales(tmp_path / "run")
    own = on_policy(start_from="rationales", steps_per_round=2)
    values = settings({"own": own, "rationales": {"data_format": OWN_FORMAT}}, checkpoints=1)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", start, scorer, values)
    local = LocalSettings(model=f"hf:{start}", device="cpu")
    teacher = ScoringTeacher(settings=scorer.settings, model=scorer, asking=ASKING)
    models = Models(start=local, teacher=local, scoring={"teacher": teacher})
    with Store(tmp_path / "run" / "run.sqlite") as store:
        assert not store.checkpoints()
        student = values.students["own"].model_copy(update={"start": local})
        folders = training_folders(
            System("own"), student, sums(train=6), models, values, context_of(store), seed=0
        )
        assert resumable_step(folders) == 2


def test_rationales_count_as_learned_only_where_a_student_learns_them() -> None:
    own = recipe(ON, train={"steps": 4, "students": {"own": ON}})
    assert not learns_rationales(own.train.students.values())
    beside = ON | {"on_policy": {"mix": 0.5}}
    own = recipe(ON, train={"steps": 4, "students": {"own": beside}})
    assert learns_rationales(own.train.students.values())
    assert learns_rationales(recipe(ON).train.students.values()), "rationales is another student"


# refusals -----------------------------------------------------------------------------------------


def recipe(student: dict[str, Any], **sections: Any) -> Recipe:
    return load_recipe(
        {
            "run": "x", "task": "two_step_arithmetic", "teacher": "bundled:teacher",
            "student": "bundled:student",
            "train": {"steps": 4, "students": {"own": student, "rationales": {}}}, **sections,
        }
    )  # fmt: skip


ON = {"matching": {"divergence": "reverse_kl"}, "on_policy": {}}


def test_a_recipe_may_have_a_student_that_writes() -> None:
    assert recipe(ON).train.students["own"].on_policy == OnPolicySettings()
    assert recipe(ON | {"on_policy": {"steps_per_round": 100}}), "four steps are one short round"
    assert recipe(ON | {"on_policy": {"limits": None, "steps_per_round": 100}, "steps": 200})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"matching": "sample"}, "its words alone teach nothing"),
        ({"matching": {"distribution": 0.5}}, "its words alone teach nothing"),
        ({"matching": {"divergence": "reverse_kl", "tail": "drop"}}, "reverse_kl is infinite"),
        ({"on_policy": {"teacher": "nobody"}}, "the recipe's teachers are teacher"),
        ({"on_policy": {"start_from": "own"}}, "name another student: rationales"),
        ({"on_policy": {"start_from": "nobody"}}, "name another student: rationales"),
        ({"on_policy": {"start_from": "rationales"}, "data_format": "zero_shot_cot"}, "data form"),
        ({"on_policy": {"score": {"first_tokens": 2, "first_steps": 1}}}, "give one of them"),
        ({"on_policy": {"mix": 1.0}}, "mix"),
        ({"on_policy": {"temperature": 0, "samples": 2}}, "one and the same"),
        ({"on_policy": {"steps_per_round": 70}, "steps": 66}, "up to 65 steps old .* to 65 or"),
        ({"on_policy": {"limits": {"staleness": 2}}}, "up to 3 steps old"),
        ({"unlikelihood": {}}, "give one of them"),
        ({"thinking": "keep"}, "Set thinking to drop"),
        ({"data_format": "fine_tune_answer"}, "write rationales to bare questions"),
        ({"data_format": "socratic_solver"}, "write rationales to bare questions"),
        ({"epochs": 2}, "no passes over them"),
        ({"replay": {"tasks": ["fact_chain"]}}, "set mix, too"),
    ],
)
def test_what_cannot_be_learned_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        recipe(ON | changed)


@pytest.mark.parametrize(
    ("server", "words"),
    [({"mode": "batch"}, "mode to live"), ({"chat": False}, "chat_template to the hub name")],
)
def test_servers_that_cannot_score_in_rounds_are_refused(
    server: dict[str, Any], words: str
) -> None:
    teacher = {"model": "openai:some", "prompt_price": 1, "completion_price": 1}
    assert recipe(ON, teacher=teacher)
    with pytest.raises(ConfigError, match=words):
        recipe(ON, teacher=teacher | server)


def test_a_server_that_was_found_to_score_nothing_is_refused(tmp_path: Path) -> None:
    own = recipe(ON, teacher={"model": "openai:some", "prompt_price": 1, "completion_price": 1})
    needs = [need for need in server_needs(own) if need.capability == "prompt_logprobs"]
    assert [(need.setting, need.is_probed) for need in needs] == [
        ("train.students.own.on_policy", True)
    ]
    teacher = own.teacher
    assert isinstance(teacher, OpenAISettings)
    told = lack(needs[0], teacher, "none")
    assert told is not None and "no probabilities of a text that it did not write" in told
    assert lack(needs[0], teacher, "input_token_logprobs") is None
    assert not any(need.capability == "prompt_logprobs" for need in server_needs(recipe({})))


def test_a_served_teacher_scores_whichever_way_it_is_opened(tmp_path: Path) -> None:
    teacher = {"model": "openai:some", "base_url": "http://127.0.0.1:9/v1", "api_key_env": None}
    own = recipe(ON, teacher=teacher).model_copy(update={"run": str(tmp_path)})
    with Run(own) as run:
        model = training_models(run).scoring["teacher"].model.opened()
    assert model.is_server and model.scores_texts


def test_what_was_recorded_cannot_score(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot score what the student writes"):
        recipe(ON, teacher=f"recorded:{tmp_path}/rows.jsonl")


def test_another_teacher_or_wording_makes_the_students_stale(tmp_path: Path) -> None:
    def inputs(student: dict[str, Any], **sections: Any) -> dict[str, object]:
        with Run(recipe(student, **sections).model_copy(update={"run": str(tmp_path)})) as run:
            return dict(train_inputs(run).values)

    own = inputs(ON)
    assert inputs(ON, teacher="bundled:guide")["teacher"] != own["teacher"]
    asked = inputs(ON, generate={"prompt_style": "zero_shot"})
    assert asked["the prompt style"] != own["the prompt style"]
    assert inputs(ON | {"on_policy": {"top": 3}})["train.students.own"] != own["train.students.own"]
    assert not {"teacher", "the prompt style"} & inputs({}).keys()


# kinds of students --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lora", "prefix", "gpt2", "bfloat16", "recomputed", "chat", "t5"])
def test_every_kind_of_student_writes_and_learns(tmp_path: Path, kind: str) -> None:
    scorer = DenseScorer(build_tiny_causal(tmp_path / "teacher", "qwen3", seed=1))
    own = on_policy(samples=2, max_tokens=8)
    if kind == "t5":
        start = undecided(build_tiny_seq2seq(tmp_path / "start"))
    else:
        start = build_tiny_causal(
            tmp_path / "start", "gpt2" if kind == "gpt2" else "qwen3", chat=kind == "chat"
        )
    if kind == "chat":
        own["data_format"] = "chat"
    further: dict[str, dict[str, Any]] = {
        "lora": {"lora": {"rank": 2}},
        "prefix": {"prefix": {"tokens": 2}},
        "bfloat16": {"precision": "bfloat16"},
        "recomputed": {"gradient_checkpointing": True},
    }
    fields = further.get(kind, {})
    found = trained(tmp_path / "run", start, scorer, settings({"own": own}, **fields))
    assert [one.step for one in found] == [3, 6]
    assert len(rounds_of(tmp_path / "run")) == 2
    losses = training_losses(tmp_path / "run")
    assert losses and all(np.isfinite(losses))


def undecided(folder: Path) -> Path:
    """The same model with all next tokens alike; drawn at random it writes padding alone."""
    loaded = load_model_and_tokenizer(str(folder), dtype="float32", device="cpu")
    with torch.no_grad():
        loaded.model.get_output_embeddings().weight.zero_()
    loaded.model.save_pretrained(folder)
    return folder


def training_losses(folder: Path) -> list[float]:
    with Store(folder / "run.sqlite", read_only=True) as store:
        return [line.loss for line in store.training()]
