"""How likely the student finds rationales, and the teachers chosen by it.

The measures beside the likelihood have tests of their own in ``test_suitability.py``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from fakes import context_of, sums
from several_teachers import QUIET, chats, draw, says, sums_to
from tiny_models import build_tiny_causal, build_tiny_seq2seq

from potstill.curate import CurateSettings, TeacherCandidate, curate
from potstill.models.local import loading
from potstill.models.local.loading import load_model_and_tokenizer
from potstill.models.settings import LocalSettings
from potstill.pipeline.student_likelihood import LikelihoodScorer, LikelihoodSpec
from potstill.prompts.formats import format_named
from potstill.records import Likelihood, Question
from potstill.store import Store
from potstill.train import TrainSettings

ONE = sums(train=1)  # What is 1 + 1?


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "run.sqlite") as opened:
        yield opened


BUILDERS = {"llama": build_tiny_causal, "t5": build_tiny_seq2seq}
TEXTS = (
    "Anna has 3 apples and buys 14 more.",
    "We add the numbers, one after the other, and count all of them again to be sure.",
    "3 + 14 = 17",
)


def measure(
    store: Store, folder: Path, *, data_format: str = "fine_tune_cot", **changes: object
) -> LikelihoodScorer:
    settings = {"model": f"hf:{folder}", "device": "cpu", **changes}
    max_length = int(str(settings.pop("max_length", 200)))
    start = LocalSettings.model_validate(settings)
    return LikelihoodScorer(
        LikelihoodSpec(start, format_named(data_format), TrainSettings(max_length=max_length)),
        store,
        QUIET,
    )


def candidates(store: Store, texts: Sequence[str]) -> list[TeacherCandidate]:
    """Texts as completions of the store."""
    models = chats(teacher=says(*(f"{text} The answer is 2." for text in texts)))
    draw(store, ONE, models, samples=len(texts))
    return [
        TeacherCandidate(ONE.splits["train"][0], id_, text)
        for id_, text in enumerate(texts, start=1)
    ]


def directly(folder: Path, question: Question, text: str) -> float:
    """The same by hand: what transformers says of the target, prompt masked."""
    model, tokenizer, encoder_decoder = load_model_and_tokenizer(str(folder), device="cpu")
    if encoder_decoder:
        labels = tokenizer(f"{text} --> {question.answer}", return_tensors="pt")["input_ids"]
        source = tokenizer(question.text, return_tensors="pt")
        with torch.no_grad():
            return -float(model(**source, labels=labels).loss)
    prompt = tokenizer(f"{question.text} ###")["input_ids"]
    whole = tokenizer(f"{question.text} ### {text} --> {question.answer}")["input_ids"]
    ids = torch.tensor([[*whole, tokenizer.eos_token_id]])
    labels = ids.clone()
    labels[:, : len(prompt)] = -100
    with torch.no_grad():
        return -float(model(input_ids=ids, labels=labels).loss)


@pytest.mark.parametrize("kind", BUILDERS)
@pytest.mark.parametrize("batch_tokens", [1, 100_000])
def test_likelihoods_are_those_of_the_bare_model(
    tmp_path: Path, store: Store, kind: str, batch_tokens: int
) -> None:
    folder = BUILDERS[kind](tmp_path / "start")
    wanted = candidates(store, TEXTS)
    found = measure(store, folder, batch_tokens=batch_tokens)(wanted)
    for each in wanted:
        expected = directly(folder, each.question, each.text)
        assert found[each.completion_id].mean_logprob == pytest.approx(expected, abs=1e-4)
        assert expected < -0.1


def test_likelihoods_are_measured_once(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_tiny_causal(tmp_path / "start")
    wanted = candidates(store, [*TEXTS, TEXTS[0]])
    first = measure(store, folder)(wanted)
    assert first[1].mean_logprob == first[4].mean_logprob

    def closed(*_: object, **__: object) -> None:
        raise AssertionError("nothing is left to be measured")

    monkeypatch.setattr(loading, "load_model_and_tokenizer", closed)
    moved = folder.rename(tmp_path / "elsewhere")
    assert {id_: each.mean_logprob for id_, each in measure(store, moved)(wanted).items()} == {
        id_: each.mean_logprob for id_, each in first.items()
    }
    with pytest.raises(AssertionError, match="nothing is left"):  # another wording is another one
        measure(store, moved, data_format="zero_shot_cot")(wanted)


def test_what_is_too_long_to_be_learned_is_not_measured(tmp_path: Path, store: Store) -> None:
    folder = build_tiny_causal(tmp_path / "start")
    wanted = candidates(store, [TEXTS[0], "word " * 300])
    assert set(measure(store, folder, max_length=40)(wanted)) == {1}
    # the model has 256 positions
    assert set(measure(store, folder, max_length=10_000)(wanted)) == {1}


def table(
    means: Mapping[int, float],
) -> Callable[[Sequence[TeacherCandidate]], dict[int, Likelihood]]:
    """A measure that knows the likelihoods of some completions."""
    return lambda wanted: {
        each.completion_id: Likelihood(
            completion_id=each.completion_id, student="start", tokens=9,
            mean_logprob=means[each.completion_id],
        )
        for each in wanted
        if each.completion_id in means
    }  # fmt: skip


LIKELY = CurateSettings(right_answer=False, choose="likelihood", duplicates=True)


@pytest.mark.parametrize(
    ("means", "chosen"),
    [
        ({1: -1.0, 2: -4.0, 3: -2.0, 4: -2.0}, "b"),  # means -2.5 and -2
        ({1: -1.0, 2: -2.0, 3: -1.6, 4: -1.6}, "a"),  # means -1.5 and -1.6
        ({1: -2.0, 2: -2.0, 3: -2.0, 4: -2.0}, "a"),  # equal: the recipe's first
        ({1: -9.0, 3: -1.0, 4: -2.0}, "b"),
        ({2: -9.0}, "a"),  # b's are too long
        ({4: -9.0}, "b"),
        ({}, "a"),  # nothing is known
    ],
)
def test_the_teacher_whose_words_are_likeliest_is_chosen(
    store: Store, means: dict[int, float], chosen: str
) -> None:
    asked = draw(store, ONE, chats(a=sums_to(2, 2), b=sums_to(2, 2)), samples=2)
    curate(ONE, asked, context_of(store), LIKELY, measure=table(means))
    assert {each.teacher for each in store.rationales() if each.verdict == "kept"} == {chosen}


def test_only_what_is_kept_so_far_is_measured(store: Store) -> None:
    asked = draw(store, ONE, chats(a=sums_to(9, 2), b=sums_to(9, 9)), samples=2)
    seen: list[int] = []

    def noting(wanted: Sequence[TeacherCandidate]) -> dict[int, Likelihood]:
        seen.extend(each.completion_id for each in wanted)
        return {}

    curate(ONE, asked, context_of(store), CurateSettings(choose="likelihood"), measure=noting)
    assert len(seen) == 1
    assert [each.verdict for each in store.rationales()] == [
        "wrong_answer", "wrong_answer", "kept", "wrong_answer",
    ]  # fmt: skip
