"""Texts that a model on this machine scores, against a dense forward pass in float64."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import ScriptedModel, context_of
from tiny_models import CHAT_TEMPLATE, build_tiny_causal, build_tiny_seq2seq
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from potstill.errors import ModelError
from potstill.models import BUNDLED_FOLDER
from potstill.models.local import given_texts
from potstill.models.local.ensemble import EnsembleModel
from potstill.models.local.given_texts import TextScorer
from potstill.models.local.model import HFModel
from potstill.models.scored_tokens import answer_ends, scores_by_bytes
from potstill.models.settings import LocalSettings, RecordedSettings
from potstill.records import Completion, Example, GivenText, Message, Request
from potstill.sampling.ask import complete_missing
from potstill.store import Store
from potstill.train.encoding import Encoder

TEXTS = [
    " Anna has 17 apples, so the answer is 17.",
    " 3 + 14 = 17 \U0001f34e\U0001f34f and \U0001f469\u200d\U0001f469\u200d\U0001f467 are one.",
    " 答えは十七です。答案是17。",
    " Ответ: 17. الجواب \u0661\u0667. תשובה 17. उत्तर १७",
    "\n\n  indented,\ttabbed and  doubly  spaced -- so it's kept.",
    "",
]
PLAIN = [" Anna has 17 apples, so the answer is 17.", " The coin was flipped once", " no."]
PROMPTS = ["Q: Anna has 3 apples and buys 14 more.\nA:", "Q: Is it 🍎?\nA:"]
CHAT = (
    Message(role="system", content="Answer briefly."),
    Message(role="user", content="Anna has 3 apples 🍎 and buys 14 more. 合計?"),
)


def given(prompt: Any, text: str, *, ends: bool = True, top: int = 3, **fields: Any) -> Request:
    return Request(prompt=prompt, given=GivenText(text=text, ends=ends), top_logprobs=top, **fields)


def opened(folder: Path, **settings: Any) -> HFModel:
    made = LocalSettings(
        **{"model": f"hf:{folder}", "device": "cpu", "dtype": "float32"} | settings
    )
    return HFModel(made, source=str(folder))


def scored(model: HFModel, requests: Sequence[Request]) -> list[Completion]:
    """The completions in the order of the requests."""
    done = {completion.request: completion for completion in model.complete(requests)}
    return [done[request] for request in requests]


class Dense:
    """The model by transformers alone, in float64, one text at a time."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        is_t5 = "T5" in (folder / "config.json").read_text()
        auto = AutoModelForSeq2SeqLM if is_t5 else AutoModelForCausalLM
        self.is_t5 = is_t5
        self.model: Any = auto.from_pretrained(folder, dtype=torch.float64).eval()
        named = self.model.generation_config.eos_token_id
        several = named if isinstance(named, list) else [named]
        self.ends = sorted({*several, self.tokenizer.eos_token_id})

    def ids(self, text: str, *, special: bool) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=special)["input_ids"])

    @torch.inference_mode()
    def logprobs(self, prompt: str, text: str, *, special: bool = True) -> tuple[Any, list[int]]:
        """``(T + 1, V)`` log-probabilities of each token of the text and of what ends it."""
        if self.is_t5:
            own, start = self.ids(text, special=False), self.model.config.decoder_start_token_id
            read = torch.tensor([[start, *own]])
            encoded = torch.tensor([self.ids(prompt, special=True)])
            logits = self.model(input_ids=encoded, decoder_input_ids=read).logits[0]
            return logits.log_softmax(-1), own
        before, whole = self.ids(prompt, special=special), self.ids(prompt + text, special=special)
        if whole[: len(before)] != before:  # the seam would fall into a token: encoded apart
            whole = before + self.ids(text, special=False)
        logits = self.model(input_ids=torch.tensor([whole])).logits[0, len(before) - 1 :]
        return logits.log_softmax(-1), whole[len(before) :]

    def check(
        self, done: Completion, prompt: str, names: Sequence[bytes | None], **how: Any
    ) -> None:
        """Compares all numbers of a scored text."""
        request, record = done.request, done.logprobs
        assert request.given is not None and record is not None and record.ids is not None
        assert (done.text, done.finish_reason) == (request.given.text, "stop"), done.error
        expected_TV, own = self.logprobs(prompt, request.given.text, **how)
        count = len(own) + request.given.ends
        assert record.logprobs.shape == record.ids.shape == (count, 1 + request.top_logprobs)
        ends_T = expected_TV[:, self.ends].logsumexp(-1)
        values = [float(expected_TV[place, token]) for place, token in enumerate(own)]
        values += [float(ends_T[-1])] * request.given.ends
        np.testing.assert_allclose(record.logprobs[:, 0], values, atol=1e-5, rtol=1e-6)
        assert record.ids[: len(own), 0].tolist() == own
        by_bytes = scores_by_bytes(record, done.text, names)
        ends = answer_ends(by_bytes)
        assert not ends[: len(own), 0].any() and ends[len(own) :, 0].all()
        # Only words are listed, and the end in one column behind them.
        known = names[: expected_TV.shape[1]]
        unlisted = [token for token, name in enumerate(known) if not name or token in self.ends]
        listed_TV = expected_TV[:count].clone()
        listed_TV[:, unlisted] = -torch.inf
        listed_TV[:, len(names) :] = -torch.inf
        listed_TV = torch.cat([listed_TV, ends_T[:count, None]], -1).numpy()
        best_TK = -np.sort(-listed_TV, axis=1)[:, : request.top_logprobs]
        np.testing.assert_allclose(record.logprobs[:, 1:], best_TK, atol=1e-5, rtol=1e-6)
        columns = np.where(ends, listed_TV.shape[1] - 1, record.ids)[:, 1:]
        own_TK = np.take_along_axis(listed_TV, columns.astype(np.int64), 1)
        np.testing.assert_allclose(record.logprobs[:, 1:], own_TK, atol=1e-5, rtol=1e-6)
        assert own_bytes(by_bytes) == done.text.encode()


def own_bytes(record: Any) -> bytes:
    """The bytes of a text's own tokens, one after the other."""
    ends = record.lengths.astype(int).cumsum().reshape(record.lengths.shape)
    return b"".join(
        record.token_bytes[end - length : end]
        for end, length in zip(ends[:, 0], record.lengths[:, 0].astype(int), strict=True)
    )


def build(folder: Path, kind: str) -> Path:
    if kind.startswith("bundled"):
        return BUNDLED_FOLDER / kind.partition(":")[2]
    if kind == "t5":
        return build_tiny_seq2seq(folder)
    return build_tiny_causal(folder, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "batch_tokens"),
    [
        *((kind, 32_768) for kind in ("gpt2", "qwen2", "qwen3", "llama", "t5")),
        *((kind, 32_768) for kind in ("bundled:teacher", "bundled:student")),
        *((kind, 300) for kind in ("qwen2", "t5")),
    ],
)
def test_scores_are_those_of_a_dense_pass_in_float64(
    kind: str, batch_tokens: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if batch_tokens < 1000:  # a few tokens at once, and then the rows that are left
        monkeypatch.setitem(given_texts.LOGITS, "cpu", 5_000)
    folder = build(tmp_path, kind)
    model, dense = opened(folder, batch_tokens=batch_tokens), Dense(folder)
    few_letters = kind in ("llama", "t5", "bundled:student")
    texts, prompts = (PLAIN, PROMPTS[:1]) if few_letters else (TEXTS, PROMPTS)
    requests = [
        given(prompt, text, ends=ends, top=top)
        for prompt in prompts
        for text in texts
        for ends, top in ((True, 3), (False, 5))
    ]
    for done in scored(model, requests):
        assert isinstance(done.request.prompt, str)
        dense.check(done, done.request.prompt, model._prompts.token_names)
        assert done.completion_tokens == 0
        assert done.logprobs is not None
        read = len(dense.ids(done.request.prompt, special=True))
        rows = len(done.logprobs.logprobs) - (done.request.given or GivenText(text="")).ends
        assert done.prompt_tokens == read + rows


def test_a_larger_model_scores_in_float64_where_that_is_its_number_format(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(given_texts, "SMALL_MODEL", 0)  # no model is small
    folder, text = BUNDLED_FOLDER / "teacher", TEXTS[0]
    (done,) = scored(opened(folder, dtype="float64"), [given(PROMPTS[0], text, top=3)])
    expected_TV, own = Dense(folder).logprobs(PROMPTS[0], text)
    values = [float(expected_TV[place, token]) for place, token in enumerate(own)]
    assert done.logprobs is not None
    np.testing.assert_allclose(  # kept in float32, whose rounding is half of this
        done.logprobs.logprobs[: len(own), 0], values, rtol=1.2e-7, atol=1e-12
    )


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, None])
def test_chats_are_scored_where_the_answer_stands(template: str | None, tmp_path: Path) -> None:
    folder = build_tiny_causal(tmp_path, "qwen3", chat=True) if template else None
    folder = folder or BUNDLED_FOLDER / "student"
    model, dense = opened(folder), Dense(folder)
    if not model.chat:
        pytest.skip("the bundled student is asked in plain text")
    turns = [{"role": turn.role, "content": turn.content} for turn in CHAT]
    rendered = dense.tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True
    )
    texts = [text.lstrip() for text in TEXTS]
    whole = [given(CHAT, text) for text in texts]
    begun = [given(CHAT, text, answer_prefix="So:") for text in TEXTS[:4]]
    for done in scored(model, [*whole, *begun]):
        prompt = rendered + done.request.answer_prefix
        dense.check(done, prompt, model._prompts.token_names, special=False)


THINKING_TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>\n"
    "{% if m['role'] == 'assistant' and loop.last and '</think>' not in m['content'] %}"
    "<think>\n\n</think>\n\n{% endif %}{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}"
)
OPENING_TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant><think>\n{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "prefix", "text", "before"),
    [
        # A template that writes an empty thinking before an answer without one.
        (THINKING_TEMPLATE, "", "17.", "<assistant>\n<think>\n\n</think>\n\n"),
        (THINKING_TEMPLATE, "It is", " 17.", "<assistant>\n<think>\n\n</think>\n\nIt is"),
        (THINKING_TEMPLATE, "", "<think>\n3 + 14\n</think>\n\n17.", "<assistant>\n"),
        # One whose prompt opens the thinking.
        (OPENING_TEMPLATE, "", "3 + 14\n</think>\n\n17.", "<assistant><think>\n"),
        (OPENING_TEMPLATE, "", "17.", "<assistant><think>\n\n</think>\n\n"),
        (OPENING_TEMPLATE, "<think>\n", "3 +", "<assistant><think>\n"),
    ],
)
def test_a_text_stands_behind_the_marks_that_are_written_before_it(
    template: str, prefix: str, text: str, before: str, tmp_path: Path
) -> None:
    folder = build_tiny_causal(tmp_path, "qwen3", chat=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    model = opened(folder)
    question = (Message(role="user", content="3 + 14?"),)
    (done,) = scored(model, [given(question, text, answer_prefix=prefix)])
    turns = [{"role": "user", "content": "3 + 14?"}]
    user = str(tokenizer.apply_chat_template(turns, tokenize=False))
    Dense(folder).check(done, user + before, model._prompts.token_names, special=False)


def test_the_tokens_are_those_that_training_has(tmp_path: Path) -> None:
    for kind in ("gpt2", "llama", "t5"):
        model = opened(build(tmp_path / kind, kind))
        encoder = Encoder(model.tokenizer, encoder_decoder=model.encoder_decoder)
        for prompt in ("Q: Anna has 3 apples.\nA:", "Anna has "):
            for text in (" Anna has 17 apples.", "17 apples."):
                example = Example(prompt=prompt, target=text)
                (trained,) = encoder.encode([example], max_length=256).examples
                (done,) = scored(model, [given(prompt, text)])
                assert done.logprobs is not None and done.logprobs.ids is not None
                assert done.logprobs.ids[:, 0].tolist() == trained.target


def test_the_tokens_that_were_written_are_scored_where_they_are_given(tmp_path: Path) -> None:
    """A text's tokens may be given; those that do not spell it are refused."""
    folder = build_tiny_causal(tmp_path / "model")
    model, dense = opened(folder), Dense(folder)
    text = " apples"
    names = model._prompts.token_names
    ids = [names.index(letter.encode()) for letter in text]
    assert len(ids) > len(dense.ids(text, special=False))
    request = replace(given("Q: two", text), given=GivenText(text=text, ids=tuple(ids)))
    wrong = replace(request, given=GivenText(text=text, ids=tuple(ids[:-1])))
    done, failed = scored(model, [request, wrong])
    assert done.logprobs is not None and done.logprobs.ids is not None
    assert done.logprobs.ids[:-1, 0].tolist() == ids
    before = dense.ids("Q: two", special=True)
    with torch.inference_mode():
        logits = dense.model(input_ids=torch.tensor([[*before, *ids]])).logits[0, len(before) - 1 :]
    expected = logits.log_softmax(-1)[range(len(ids)), ids]
    np.testing.assert_allclose(done.logprobs.logprobs[:-1, 0], expected, atol=1e-5, rtol=1e-6)
    assert failed.finish_reason == "error" and "do not spell the text" in (failed.error or "")


def test_texts_of_one_prompt_share_its_computation(tmp_path: Path) -> None:
    model = opened(build_tiny_causal(tmp_path, "qwen2"))
    shapes: list[tuple[int, ...]] = []

    def before(_: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        shapes.append(tuple(kwargs["input_ids"].shape))

    handle = model.model.register_forward_pre_hook(before, with_kwargs=True)
    requests = [given(PROMPTS[0], f" {number} apples.") for number in range(8)]
    scored(model, requests)
    handle.remove()
    read = len(model.tokenizer(PROMPTS[0])["input_ids"])
    assert shapes[0] == (1, read), "the prompt is run once"
    assert [rows for rows, _ in shapes[1:]] == [8], "the texts are run together behind it"


def test_long_logits_are_computed_in_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = opened(build_tiny_causal(tmp_path, "qwen2"))
    vocabulary = int(model.model.config.vocab_size)
    monkeypatch.setitem(given_texts.LOGITS, "cpu", 6 * vocabulary)
    sizes: list[int] = []

    def behind(_: object, args: object, output: Any) -> None:
        sizes.append(output.logits.shape[0] * output.logits.shape[1])

    handle = model.model.register_forward_hook(behind)
    lengths = [40, 3, 3, 2, 25]
    scored(model, [given(PROMPTS[0], " apples" * count) for count in lengths])
    scored(model, [given(f"Q: {number}?", " apples") for number in range(20)])
    handle.remove()
    assert max(sizes) <= 6


def test_all_ends_of_an_answer_are_one(tmp_path: Path) -> None:
    folder = build_tiny_causal(tmp_path, "qwen2")
    dense = Dense(folder)
    own = dense.tokenizer.eos_token_id
    other = dense.ids(" apples", special=False)[0]
    dense.model.generation_config.eos_token_id = [own, other]
    dense.model.generation_config.save_pretrained(folder)
    model = opened(folder)
    (done,) = scored(model, [given(PROMPTS[0], " 17", top=20)])
    expected, ids = dense.logprobs(PROMPTS[0], " 17")
    record = done.logprobs
    assert record is not None and record.ids is not None
    both = torch.logaddexp(expected[:, own], expected[:, other])
    assert record.logprobs[-1, 0] == pytest.approx(float(both[-1]), abs=1e-5)
    assert record.ids[-1, 0] == own
    assert not (record.ids[:, 1:] == other).any(), "it ends the answer, and is no word of it"
    assert len(ids) + 1 == len(record.ids)


def test_a_first_token_that_nothing_stands_before_has_no_probability(tmp_path: Path) -> None:
    folder = build_tiny_causal(tmp_path, "gpt2")
    model, dense = opened(folder), Dense(folder)
    (done, single) = scored(model, [given("", " Anna has"), given("", "A", ends=False)])
    record = done.logprobs
    assert record is not None and record.ids is not None
    ids = dense.ids(" Anna has", special=True)
    assert record.ids[:-1, 0].tolist() == ids
    assert np.isnan(record.logprobs[0, 0]) and np.isneginf(record.logprobs[0, 1:]).all()
    with torch.inference_mode():
        logits = dense.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    values = [float(logits[place, token]) for place, token in enumerate(ids[1:])]
    np.testing.assert_allclose(record.logprobs[1:-1, 0], values, atol=1e-5, rtol=1e-6)
    assert single.logprobs is not None and single.logprobs.logprobs.shape == (1, 4)
    assert np.isnan(single.logprobs.logprobs[0, 0])


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (given("Anna", " 🍎"), "the model's tokens do not spell the text"),
        (given("Anna", " apples" * 300), "the model has 256 positions"),
    ],
)
def test_what_cannot_be_scored_is_a_failure_with_a_reason(
    request_: Request, reason: str, tmp_path: Path
) -> None:
    model = opened(build_tiny_causal(tmp_path, "llama"))
    (refused, fine) = scored(model, [request_, given("Anna", " has")])
    assert refused.finish_reason == "error" and reason in (refused.error or "")
    assert refused.logprobs is None and fine.finish_reason == "stop"


def test_a_text_that_repeats_the_opened_mark_is_refused(tmp_path: Path) -> None:
    folder = build_tiny_causal(tmp_path, "qwen3", chat=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = OPENING_TEMPLATE
    tokenizer.save_pretrained(folder)
    question = (Message(role="user", content="3 + 14?"),)
    (done,) = scored(opened(folder), [given(question, "<think>\n3 +")])
    assert "give the mark as answer_prefix" in (done.error or "")


def test_spelled_control_tokens_are_text(tmp_path: Path) -> None:
    folder = build_tiny_causal(tmp_path, "qwen2")
    model = opened(folder)
    (done,) = scored(model, [given("Anna", " <eos> has")])
    assert done.logprobs is not None and done.logprobs.ids is not None
    assert model.tokenizer.eos_token_id not in done.logprobs.ids[:-1, 0]
    record = scores_by_bytes(done.logprobs, done.text, model._prompts.token_names)
    assert own_bytes(record) == b" <eos> has"


def test_weights_that_are_no_numbers_are_found_out(tmp_path: Path) -> None:
    model = opened(build_tiny_causal(tmp_path, "qwen2"))
    with torch.no_grad():
        model.model.get_output_embeddings().weight[5] = torch.nan
    (done,) = scored(model, [given("Anna", " has")])
    assert "no numbers" in (done.error or "")


def test_an_ensemble_scores_by_the_mean_probability(tmp_path: Path) -> None:
    folders = [build_tiny_causal(tmp_path / str(seed), "qwen2", seed=seed) for seed in (0, 1)]
    members = [opened(folder) for folder in folders]
    requests = [given(PROMPTS[0], text, top=2) for text in TEXTS[:3]]
    whole = scored(EnsembleModel(members), requests)
    parts = [scored(opened(folder), requests) for folder in folders]
    for done, one, other in zip(whole, *parts, strict=True):
        mean = np.logaddexp(own_row(one), own_row(other)) - np.log(2)
        np.testing.assert_allclose(own_row(done), mean, atol=1e-5, rtol=1e-6)


def own_row(done: Completion) -> Any:
    assert done.logprobs is not None
    return done.logprobs.logprobs[:, 0].astype(np.float64)


def test_each_sample_gets_the_one_score_and_writing_goes_on_beside_it(tmp_path: Path) -> None:
    model = opened(build_tiny_causal(tmp_path, "qwen2"))
    both = replace(given(PROMPTS[0], " 17"), samples=(0, 2))
    written = Request(prompt=PROMPTS[0], max_tokens=3)
    done = list(model.complete([both, written, given(PROMPTS[1], " 17")]))
    assert [(one.sample, one.request.given is None) for one in done] == [
        (0, False), (2, False), (0, True), (0, False),
    ]  # fmt: skip


def test_what_nobody_waits_for_is_not_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = opened(build_tiny_causal(tmp_path, "qwen2"))
    seen: list[int] = []
    score: Callable[..., Any] = TextScorer.score

    def watched(self: TextScorer, prompts: Sequence[Any]) -> Any:
        seen.append(len(prompts))
        return score(self, prompts)

    monkeypatch.setattr(TextScorer, "score", watched)
    requests = [given(PROMPTS[0], " 17"), given(PROMPTS[1], " 18")]
    done = list(model.complete_wanted(requests, lambda request: request is requests[1]))
    assert [one.request for one in done] == [requests[1]] and seen[0] == 1


def test_a_model_that_cannot_score_is_refused_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "bought.jsonl"
    file.write_text('{"question": "3 + 14?", "rationale": "17."}\n')
    recorded = RecordedSettings(model=f"recorded:{file}").open()
    requests = [given("3 + 14?", "17.")]
    with pytest.raises(ModelError, match=r"recorded:bought\.jsonl.* gives no probabilities"):
        list(recorded.complete(requests))
    with Store(tmp_path / "run.sqlite") as store:
        writer = ScriptedModel(lambda request, sample: "17.", name="writer")
        for model in (writer, recorded):
            with pytest.raises(ModelError, match=f"{model.name} gives no probabilities of a text"):
                complete_missing(model, requests, context_of(store), label="x", stage="score")
        assert writer.asked == []
