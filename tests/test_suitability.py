"""How well rationales suit a student: ranks, steps behind a few others, and who is chosen."""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from fakes import ScriptedModel, context_of, sums
from several_teachers import QUIET, chats, draw, says, sums_to
from tiny_models import build_tiny_causal, build_tiny_seq2seq, byte_level_tokenizer

from potstill.curate import CurateSettings, TeacherCandidate, curate
from potstill.curate.suitability import suitability, worth
from potstill.errors import ConfigError, ModelError
from potstill.models.local import loading
from potstill.models.local.loading import Loaded, load_model_and_tokenizer
from potstill.models.settings import LocalSettings
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.student_likelihood import LikelihoodScorer, LikelihoodSpec, MeasuredBy
from potstill.prompts.formats import format_named
from potstill.records import Completion, Likelihood, Request
from potstill.report import teachers_table, write_report
from potstill.store import Store
from potstill.train import TrainSettings
from potstill.train.encoding import Encoded
from potstill.train.local_steps import LOCAL_STEPS, StepFinder, local_rows
from potstill.train.target_scores import RANK_LIMIT, TargetScorer

ONE = sums(train=1)  # What is 1 + 1?
BUILDERS = {"llama": build_tiny_causal, "t5": build_tiny_seq2seq}
LONG = (
    "Anna has 3 apples. She buys 14 more. We add them.\nFirst the ones: 3 + 4 = 7.\n"
    "Then the tens, of which there is one. So that is 17. We count again. It is right."
)
BRIEF = "3 + 14 = 17. So 17."


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "run.sqlite") as opened:
        yield opened


def dense(loaded: Loaded, row: Encoded) -> torch.Tensor:
    """The ``(T, V)`` log-probabilities that predict a row's target, alone in a batch."""
    model, start = loaded.model, len(row.prompt) - 1
    with torch.no_grad():
        if loaded.encoder_decoder:
            first = model.config.decoder_start_token_id
            inputs = torch.tensor([[first, *row.target[:-1]]])
            logits = model(input_ids=torch.tensor([row.prompt]), decoder_input_ids=inputs).logits[0]
        else:
            logits = model(input_ids=torch.tensor([[*row.prompt, *row.target]])).logits[0][start:-1]
    assert isinstance(logits, torch.Tensor)
    return logits.double().log_softmax(-1)


def by_hand(loaded: Loaded, row: Encoded) -> list[tuple[float, int]]:
    """Log-probability and rank of each target token with a loss, by sorting the vocabulary."""
    found = []
    for logprobs, token in zip(dense(loaded, row), row.target, strict=True):
        likelier = sum(float(other) > float(logprobs[token]) for other in logprobs)
        found.append((float(logprobs[token]), min(likelier + 1, RANK_LIMIT)))
    return found[row.skip :]


@pytest.mark.parametrize("kind", BUILDERS)
@pytest.mark.parametrize("batch_tokens", [1, 100_000])
def test_scores_are_those_of_the_sorted_vocabulary(
    tmp_path: Path, kind: str, batch_tokens: int
) -> None:
    loaded = load_model_and_tokenizer(str(BUILDERS[kind](tmp_path / "start")), device="cpu")
    rows = [
        Encoded([5, 6, 7], [8, 9, 10, 11, 2]),
        Encoded([5], [30, 31, 3, 2], skip=2),
        Encoded([12, 13, 14, 15], [9, 2]),
    ]
    scorer = TargetScorer(loaded, batch_tokens=batch_tokens)
    scored = [each for batch in scorer.batches(rows) for each in batch]
    assert len(scored) == 3
    for row, scores in zip(rows, scored, strict=True):
        expected = by_hand(loaded, row)
        assert scores.ranks_T.tolist() == [rank for _, rank in expected]
        logprobs = [logprob for logprob, _ in expected]
        assert scores.logprobs_T.tolist() == pytest.approx(logprobs, rel=2e-6, abs=1e-5)
    assert any(rank > 1 for rank in scored[0].ranks_T.tolist())
    mixed = scorer.in_any_order(rows[::-1])
    assert [each.ranks_T.tolist() for each in mixed[::-1]] == [
        each.ranks_T.tolist() for each in scored
    ]
    assert scorer.in_any_order([]) == []


def test_ranks_end_at_the_limit(tmp_path: Path) -> None:
    loaded = load_model_and_tokenizer(str(build_tiny_causal(tmp_path / "start")), device="cpu")
    rarest = int(dense(loaded, Encoded([5], [8]))[0].argmin())
    ((scores,),) = TargetScorer(loaded, batch_tokens=9).batches([Encoded([5], [rarest])])
    assert loaded.model.config.vocab_size > RANK_LIMIT == int(scores.ranks_T[0])


def test_steps_are_found_among_tokens() -> None:
    tokenizer = byte_level_tokenizer()
    finder = StepFinder(tokenizer)

    def steps(text: str) -> list[str]:
        ids = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
        starts = [*finder.starts(ids), len(ids)]
        return [str(tokenizer.decode(ids[a:b])) for a, b in pairwise(starts)]

    assert steps("One. Two!  Three") == ["One.", " Two!", "  Three<eos>"]
    assert steps("**Sum**\n3.5 + 1 = 4.5\nSo 4.5. Zoé 😀 agrees.") == [
        "**Sum**\n3.5 + 1 = 4.5", "\nSo 4.5.", " Zoé 😀 agrees.<eos>",
    ]  # fmt: skip
    assert steps("of one step") == ["of one step<eos>"]
    assert finder.starts([tokenizer.eos_token_id]) == [0]


def test_a_token_across_two_steps_is_the_earlier_ones() -> None:
    class Spelled:
        """A vocabulary whose token 1 ends a step, and holds all of the next one."""

        all_special_ids = (3,)
        pieces = ("Add both", ". Count.", " Done so", "</s>")

        def get_vocab(self) -> dict[str, int]:
            return {piece.replace(" ", "▁"): number for number, piece in enumerate(self.pieces)}

    finder = StepFinder(Spelled())  # type: ignore[arg-type]
    assert finder.starts([0, 1, 2, 3]) == [0, 2]
    assert finder.starts([0, 1, 3]) == [0]


def test_a_step_is_behind_the_prompt_and_the_four_before_it() -> None:
    example = Encoded([90, 91], list(range(14)))
    starts = [0, 2, 4, 6, 8, 10, 13]
    rows = local_rows(example, starts)
    assert [row.prompt for row in rows] == [[90, 91]] * 2
    assert [(row.target, row.trained) for row in rows] == [
        (list(range(2, 13)), [10, 11, 12]),
        (list(range(4, 14)), [13]),
    ]
    assert local_rows(example, starts[: LOCAL_STEPS + 1]) == []


def measuring(
    store: Store, folder: Path, by: MeasuredBy, *, keeps_thinking: bool = False, **changes: object
) -> LikelihoodScorer:
    start = LocalSettings.model_validate({"model": f"hf:{folder}", "device": "cpu", **changes})
    spec = LikelihoodSpec(
        start, format_named("fine_tune_cot"), TrainSettings(max_length=250), keeps_thinking
    )
    return LikelihoodScorer(spec, store, QUIET, by)


def candidates(store: Store, texts: Sequence[str]) -> list[TeacherCandidate]:
    """Texts as completions of the store."""
    models = chats(teacher=says(*(f"{text} The answer is 2." for text in texts)))
    draw(store, ONE, models, samples=len(texts))
    return [
        TeacherCandidate(ONE.splits["train"][0], id_, text)
        for id_, text in enumerate(texts, start=1)
    ]


def naturalness_by_hand(folder: Path, text: str) -> tuple[float, float]:
    """Local naturalness and mean rank, a model call for each step."""
    loaded = load_model_and_tokenizer(str(folder), device="cpu")
    tokenizer, question = loaded.tokenizer, ONE.splits["train"][0]
    if loaded.encoder_decoder:
        prompt = tokenizer(question.text)["input_ids"]
        target = tokenizer(f"{text} --> {question.answer}")["input_ids"]
    else:
        prompt = tokenizer(f"{question.text} ###")["input_ids"]
        whole = tokenizer(f"{question.text} ### {text} --> {question.answer}")["input_ids"]
        target = [*whole[len(prompt) :], tokenizer.eos_token_id]
    starts = StepFinder(tokenizer).starts(target)
    assert len(starts) == (8 if text == LONG else 2)
    means = []
    for place, start in enumerate(starts):
        end = [*starts, len(target)][place + 1]
        first = starts[max(0, place - LOCAL_STEPS)]
        scored = by_hand(loaded, Encoded(prompt, target[first:end], skip=start - first))
        means.append(sum(logprob for logprob, _ in scored) / len(scored))
    ranks = [rank for _, rank in by_hand(loaded, Encoded(prompt, target))]
    return sum(means) / len(means), sum(ranks) / len(ranks)


@pytest.mark.parametrize("kind", BUILDERS)
@pytest.mark.parametrize("batch_tokens", [1, 100_000])
def test_local_naturalness_is_that_of_a_call_for_each_step(
    tmp_path: Path, store: Store, kind: str, batch_tokens: int
) -> None:
    folder = BUILDERS[kind](tmp_path / "start")
    wanted = candidates(store, [LONG, BRIEF])
    found = measuring(store, folder, MeasuredBy(steps=True), batch_tokens=batch_tokens)(wanted)
    for each in wanted:
        naturalness, mean_rank = naturalness_by_hand(folder, each.text)
        measured = found[each.completion_id]
        assert measured.local_naturalness == pytest.approx(naturalness, abs=1e-4)
        assert measured.mean_rank == pytest.approx(mean_rank, abs=1e-4)
    assert found[1].local_naturalness != pytest.approx(found[1].mean_logprob, abs=1e-3)


def test_what_an_older_potstill_measured_serves_the_likelihood_alone(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_tiny_causal(tmp_path / "start")
    wanted = candidates(store, [BRIEF])
    whole = measuring(store, folder, MeasuredBy(ranks=True, steps=True))(wanted)[1]
    older = "UPDATE likelihoods SET mean_rank = NULL, local_naturalness = NULL"
    with sqlite3.connect(tmp_path / "run.sqlite") as db:
        db.execute(older)
    db.close()
    with monkeypatch.context() as closed:
        closed.setattr(loading, "load_model_and_tokenizer", None)  # nothing is loaded
        kept = measuring(store, folder, MeasuredBy())(wanted)[1]
    assert (kept.mean_logprob, kept.mean_rank) == (whole.mean_logprob, None)
    ranked = measuring(store, folder, MeasuredBy(ranks=True))(wanted)[1]
    assert (ranked.mean_rank, ranked.local_naturalness) == (whole.mean_rank, None)
    assert measuring(store, folder, MeasuredBy(ranks=True, steps=True))(wanted)[1] == whole
    monkeypatch.setattr(loading, "load_model_and_tokenizer", None)
    assert measuring(store, folder, MeasuredBy(ranks=True, steps=True))(wanted)[1] == whole


def test_thinking_is_measured_where_the_student_keeps_it(tmp_path: Path, store: Store) -> None:
    folder = build_tiny_causal(tmp_path / "start")

    class Thinker(ScriptedModel):
        def complete(self, requests: object) -> Iterator[Completion]:
            for request in requests:  # type: ignore[attr-defined]
                assert isinstance(request, Request)
                yield Completion(request=request, sample=0, text="It is 2. The answer is 2.",
                                 thinking="One and one.", finish_reason="stop")  # fmt: skip

    draw(store, ONE, {"teacher": Thinker(says(""), chat=True)})
    wanted = [TeacherCandidate(ONE.splits["train"][0], 1, "It is 2.")]
    plain = measuring(store, folder, MeasuredBy())(wanted)[1]
    thought = measuring(store, folder, MeasuredBy(), keeps_thinking=True)(wanted)[1]
    assert thought.tokens > plain.tokens + 5


def test_a_student_without_numbers_is_told(tmp_path: Path, store: Store) -> None:
    folder = build_tiny_causal(tmp_path / "start")
    loaded = load_model_and_tokenizer(str(folder), device="cpu")
    with torch.no_grad():
        loaded.model.get_output_embeddings().weight[:] = 3e38  # finite, and its sums are not
    loaded.model.save_pretrained(folder)
    with pytest.raises(ModelError, match="gives no probability of some rationale, but"):
        measuring(store, folder, MeasuredBy())(candidates(store, [BRIEF]))


# who is chosen -----------------------------------------------------------------------------------


def measured(id_: int, logprob: float, rank: float, local: float) -> Likelihood:
    return Likelihood(
        completion_id=id_, student="start", tokens=9,
        mean_logprob=logprob, mean_rank=rank, local_naturalness=local,
    )  # fmt: skip


def test_a_ratio_of_several_is_the_ratio_of_the_means() -> None:
    two = [measured(1, -0.5, 4.0, -1.0), measured(2, -1.5, 2.0, -3.0)]
    assert suitability("rank_surprisal", two) == pytest.approx(3.0 / 1.0)
    assert suitability("rank_surprisal", two[:1]) == pytest.approx(8.0)
    assert suitability("likelihood", two) == pytest.approx(-1.0)
    assert suitability("local_naturalness", two) == pytest.approx(-2.0)
    assert worth("rank_surprisal", two) == pytest.approx(-3.0)
    assert worth("likelihood", two) == pytest.approx(-1.0)
    older = Likelihood(completion_id=3, student="start", tokens=9, mean_logprob=-9.0)
    assert suitability("rank_surprisal", [older, *two]) == pytest.approx(3.0)
    assert suitability("rank_surprisal", [older]) is suitability("local_naturalness", []) is None
    sure = [measured(4, 0.0, 1.0, 0.0)]
    assert suitability("rank_surprisal", sure) == pytest.approx(1e12), "no division by zero"


TABLE = {1: measured(1, -1.0, 9.0, -3.0), 2: measured(2, -2.0, 6.0, -2.5),
         3: measured(3, -3.0, 30.0, -1.0)}  # fmt: skip
"""a is likeliest; b has the lowest ratio, 3 to 9 and 10; c's steps are most natural."""


@pytest.mark.parametrize(
    ("choose", "chosen"), [("likelihood", "a"), ("rank_surprisal", "b"), ("local_naturalness", "c")]
)
def test_measures_that_disagree_choose_different_teachers(
    store: Store, tmp_path: Path, choose: str, chosen: str
) -> None:
    asked = draw(store, ONE, chats(a=sums_to(2), b=sums_to(2), c=sums_to(2)))
    settings = CurateSettings.model_validate({"choose": choose, "duplicates": True})
    curate(ONE, asked, context_of(store), settings, measure=lambda _: TABLE)
    assert {each.teacher for each in store.rationales() if each.verdict == "kept"} == {chosen}
    scores = {score.teacher: score for score in store.teacher_scores()}
    wanted = {"rank_surprisal": 3.0, "local_naturalness": -2.5}
    for field, value in wanted.items():
        assert getattr(scores["b"], field) == (value if field == choose else None)
    page = write_report(store, [ONE], tmp_path).html.read_text(encoding="utf-8")
    assert ("Rank-surprisal ratio" in page) == (choose == "rank_surprisal")
    assert ("Local naturalness" in page) == (choose == "local_naturalness")
    heads = [str(column.header) for column in teachers_table(store).columns]
    further = {"rank_surprisal": ["ratio"], "local_naturalness": ["local"]}
    assert heads[5:] == ["nats", *further.get(choose, [])]


@pytest.mark.parametrize("choose", ["rank_surprisal", "local_naturalness"])
def test_a_choice_that_cannot_be_made_is_refused(choose: str) -> None:
    recipe = {"run": "x", "task": "gsm8k", "teacher": "bundled:teacher",
              "student": "bundled:student", "curate": {"choose": choose}}  # fmt: skip
    with pytest.raises(ConfigError, match=f"curate.choose is {choose}, and there is one teacher"):
        load_recipe(recipe)
    alone = {**recipe, "teachers": {"b": "bundled:guide"},
             "train": {"students": {"s": {"data_format": "fine_tune_answer"}}}}  # fmt: skip
    with pytest.raises(ConfigError, match=f"curate.choose is {choose}, which words rationales"):
        load_recipe(alone)
