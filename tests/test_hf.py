"""Local models: the decoding loop against transformers' own, and what requests may ask of it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import TEXTS, build_tiny_causal, build_tiny_seq2seq
from transformers import GenerationConfig

from potstill.errors import ModelError
from potstill.models import open_model
from potstill.models.local.model import HFModel, load_model_and_tokenizer
from potstill.models.settings import LocalSettings
from potstill.records import Completion, Message, Request
from potstill.runtime import Runtime

PROMPTS = [*dict.fromkeys(TEXTS), "Q: short", "Let's"]
SAMPLED = Request(prompt=PROMPTS[0], samples=(0, 1, 2), temperature=1.5, max_tokens=20)


def build(folder: Path, kind: str) -> Path:
    if kind == "t5":
        return build_tiny_seq2seq(folder)
    assert kind in ("llama", "gpt2", "qwen2", "qwen3")
    return build_tiny_causal(folder, kind)  # type: ignore[arg-type]


def open_tiny(folder: Path, batch_tokens: int = 16_384) -> HFModel:
    settings = LocalSettings(model=f"hf:{folder}", device="cpu", batch_tokens=batch_tokens)
    return HFModel(settings, source=str(folder))


@pytest.fixture(scope="module")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_causal(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture(scope="module")
def llama(llama_folder: Path) -> HFModel:
    return open_tiny(llama_folder)


def texts(completions: list[Completion]) -> dict[tuple[object, int], str]:
    return {(done.request.prompt, done.sample): done.text for done in completions}


def one(model: HFModel, request: Request) -> Completion:
    (done,) = model.complete([request])
    return done


def events(
    model: HFModel, note: Callable[[torch.Tensor], None]
) -> torch.utils.hooks.RemovableHandle:
    """Show each forward's token ids to ``note``."""

    def before(_: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        note(kwargs["input_ids"])

    return model.model.register_forward_pre_hook(before, with_kwargs=True)


def generate(model: HFModel, prompt: str, count: int, **inputs: torch.Tensor) -> torch.Tensor:
    """The ids that transformers' own greedy search gives for one prompt."""
    generator: Any = model.model
    tokenizer = model.tokenizer
    inputs |= tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    config = GenerationConfig(
        max_new_tokens=count,
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        decoder_start_token_id=getattr(model.model.config, "decoder_start_token_id", None),
    )
    written = generator.generate(**inputs, generation_config=config)
    assert isinstance(written, torch.Tensor)
    return written[0]


@pytest.mark.parametrize("batch_tokens", [16_384, 700])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2", "qwen3", "t5"])
def test_greedy_text_is_that_of_generate(kind: str, batch_tokens: int, tmp_path: Path) -> None:
    model = open_tiny(build(tmp_path, kind), batch_tokens)
    requests = [Request(prompt=prompt, max_tokens=40) for prompt in PROMPTS]
    ours = texts(list(model.complete(requests)))
    for prompt in PROMPTS:
        written = generate(model, prompt, 40)
        start = 1 if kind == "t5" else len(model.tokenizer(prompt)["input_ids"])
        text = str(model.tokenizer.decode(written[start:], skip_special_tokens=True))
        assert ours[prompt, 0].strip() == text.strip()


@pytest.mark.parametrize("pauses", range(6))
def test_a_request_that_comes_as_another_ends_is_not_lost(llama: HFModel, pauses: int) -> None:
    """Whoever feeds requests may have none just now, and some later; what is taken is answered."""

    class Feed(Iterator[Request]):
        def __init__(self) -> None:
            self.coming = ["A", *[""] * pauses, "B"]
            self.taken: list[str] = []

        def __next__(self) -> Request:
            name = self.coming.pop(0) if self.coming else ""
            if not name:
                raise StopIteration
            self.taken.append(name)
            return Request(prompt=name, max_tokens=2, question_id=name)

    feed = Feed()
    answered = [one.request.question_id for one in llama.complete(feed)]
    assert sorted(map(str, answered)) == feed.taken


def test_a_sample_is_the_same_alone_and_in_a_crowd(llama_folder: Path) -> None:
    crowd = [replace(SAMPLED, prompt=prompt, top_p=0.9) for prompt in PROMPTS]
    together = texts(list(open_tiny(llama_folder, 500).complete(crowd)))
    for request in crowd:
        alone = replace(request, samples=(1,))
        assert one(open_tiny(llama_folder), alone).text == together[request.prompt, 1]
    assert len({together[PROMPTS[0], sample] for sample in SAMPLED.samples}) == 3


def test_seeds_are_deterministic_and_differ(llama: HFModel) -> None:
    first = texts(list(llama.complete([SAMPLED])))
    assert texts(list(llama.complete([SAMPLED]))) == first
    assert texts(list(llama.complete([replace(SAMPLED, seed=1)]))) != first


def test_samples_share_their_prompts_computation(llama: HFModel) -> None:
    shapes: list[tuple[int, ...]] = []
    handle = events(llama, lambda ids: shapes.append(tuple(ids.shape)))
    list(llama.complete([replace(SAMPLED, samples=tuple(range(8)))]))
    handle.remove()
    assert shapes[0][0] == 1
    assert shapes[0][1] == len(llama.tokenizer(SAMPLED.prompt)["input_ids"])
    assert all(tokens == 1 for _, tokens in shapes[1:])
    assert shapes[1][0] <= 8


def test_many_prompts_are_run_in_parts(
    llama_folder: Path, llama: HFModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [replace(SAMPLED, prompt=prompt) for prompt in PROMPTS]
    at_once = texts(list(llama.complete(requests)))
    monkeypatch.setattr("potstill.models.local.decoding.PROMPT_TOKENS", 100)
    shapes: list[tuple[int, ...]] = []
    model = open_tiny(llama_folder)
    handle = events(model, lambda ids: shapes.append(tuple(ids.shape)))
    in_parts = texts(list(model.complete(requests)))
    handle.remove()
    runs = [rows for rows, tokens in shapes if tokens > 1]
    assert len(runs) > 1
    assert sum(runs) == len(PROMPTS)
    assert all(rows == 1 or rows * tokens <= 100 for rows, tokens in shapes if tokens > 1)
    assert in_parts == at_once


def test_finished_rows_leave_and_waiting_prompts_take_their_place(
    llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("potstill.models.local.decoding.COST_BY_ROW", frozenset())
    model = open_tiny(llama_folder, batch_tokens=400)
    requests = [
        Request(prompt="Let's", max_tokens=limit, temperature=2.0, samples=(0, 1))
        for limit in (60, 5, 5, 5, 5)
    ]
    rows: list[int] = []
    handle = events(model, lambda ids: rows.append(len(ids) if ids.shape[1] == 1 else -len(ids)))
    done = list(model.complete(requests))
    handle.remove()
    assert len(done) == 10
    assert min(rows[1:]) < 0, "prompts join while others are being written"
    assert rows[-1] < max(rows)


def test_on_a_cpu_a_batch_is_finished_before_the_next(llama_folder: Path) -> None:
    model = open_tiny(llama_folder, batch_tokens=100)
    rows: list[int] = []
    handle = events(model, lambda ids: rows.append(len(ids) if ids.shape[1] == 1 else -len(ids)))
    done = list(model.complete(Request(prompt="Let's", max_tokens=n) for n in (30, 5, 5, 5, 5, 5)))
    handle.remove()
    assert len(done) == 6
    begins = [place for place, count in enumerate(rows) if count < 0]
    assert len(begins) > 1
    for begin, next_ in pairwise([*begins, len(rows)]):
        assert rows[begin + 1 : next_] == sorted(rows[begin + 1 : next_], reverse=True)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_refilling_a_batch_changes_no_text(
    llama_folder: Path, monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    requests = [
        Request(prompt=prompt, max_tokens=limit, temperature=temperature)
        for prompt, limit in zip(PROMPTS, cycle((30, 4, 9)), strict=False)
    ]
    finished_first = texts(list(open_tiny(llama_folder, batch_tokens=300).complete(requests)))
    monkeypatch.setattr("potstill.models.local.decoding.COST_BY_ROW", frozenset())
    refilled = texts(list(open_tiny(llama_folder, batch_tokens=300).complete(requests)))
    assert refilled == finished_first


def test_a_completion_comes_before_longer_ones_are_finished(llama: HFModel) -> None:
    steps: list[int] = []
    handle = events(llama, lambda ids: steps.append(1))
    requests = [replace(SAMPLED, max_tokens=100), replace(SAMPLED, max_tokens=1)]
    first = next(llama.complete(requests))
    handle.remove()
    assert first.request.max_tokens == 1
    assert len(steps) == 1


def test_tokens_are_counted_while_they_are_written(llama_folder: Path) -> None:
    runtime = Runtime()
    model = open_model(LocalSettings(model=f"hf:{llama_folder}", device="cpu"), runtime)
    requests = [replace(SAMPLED, max_tokens=100), replace(SAMPLED, max_tokens=7)]
    answers = model.complete(requests)
    first = next(answers)
    assert first.request.max_tokens == 7
    # 7 tokens of each sample of the longer answer, none of which is complete.
    assert runtime.events.writing == 7 * len(SAMPLED.samples)
    list(answers)
    assert runtime.events.writing == 0


def test_text_ends_before_a_stop_string_across_tokens(llama: HFModel) -> None:
    whole = one(llama, Request(prompt=PROMPTS[0], max_tokens=40)).text
    for start in range(4, 12):
        stop = whole[start : start + 5]
        done = one(llama, Request(prompt=PROMPTS[0], max_tokens=40, stop=("never", stop)))
        assert done.text == whole[: whole.index(stop)]
        assert done.finish_reason == "stop"
        assert done.completion_tokens < 40


def test_top_logprobs_are_those_of_a_plain_forward(llama: HFModel) -> None:
    done = one(llama, replace(SAMPLED, samples=(0,), top_logprobs=4))
    top = done.logprobs
    assert top is not None
    assert top.ids is not None
    assert top.ids.shape == top.logprobs.shape == (done.completion_tokens, 5)
    prompt = llama.tokenizer(SAMPLED.prompt)["input_ids"]
    ids = torch.tensor([[*prompt, *top.ids[:, 0].tolist()]])
    with torch.inference_mode():
        scores = llama.model(input_ids=ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    best = scores.topk(4)
    np.testing.assert_allclose(top.logprobs[:, 1:], best.values.numpy(), atol=1e-4)
    chosen = scores.gather(-1, torch.from_numpy(top.ids[:, :1]).long())
    np.testing.assert_allclose(top.logprobs[:, :1], chosen.numpy(), atol=1e-4)


def test_probabilities_end_with_the_text_at_a_stop_string(llama: HFModel) -> None:
    request = Request(prompt=PROMPTS[0], max_tokens=40, top_logprobs=1)
    whole = one(llama, request).text
    done = one(llama, replace(request, stop=(whole[8:14],)))
    assert done.logprobs is not None
    assert done.logprobs.ids is not None
    anchor = llama._prompts.anchor(llama.tokenizer(PROMPTS[0])["input_ids"])
    said = llama._prompts.text(done.logprobs.ids[:, 0].tolist(), anchor)
    assert said.startswith(done.text)
    assert len(said) < len(done.text) + 6


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_going_on_from_a_prefix_gives_the_rest_of_the_text(kind: str, tmp_path: Path) -> None:
    model = open_tiny(build(tmp_path, kind))
    known = " Anna starts with 3 apples."
    joined = one(model, Request(prompt=PROMPTS[0] + known, max_tokens=12))
    prefixed = one(model, Request(prompt=PROMPTS[0], answer_prefix=known, max_tokens=12))
    assert prefixed.text == joined.text


def test_an_encoder_decoder_goes_on_from_a_prefix(tmp_path: Path) -> None:
    model = open_tiny(build_tiny_seq2seq(tmp_path))
    prefix = "The answer is"
    requests = [
        Request(prompt=prompt, answer_prefix=start, max_tokens=10)
        for prompt in PROMPTS
        for start in (prefix, "")
    ]
    done = {(d.request.prompt, d.request.answer_prefix): d.text for d in model.complete(requests)}
    assert len(done) == len(requests)
    own = model.tokenizer(prefix, add_special_tokens=False)["input_ids"]
    start = torch.tensor([[model.model.config.decoder_start_token_id, *own]])
    written = generate(model, PROMPTS[0], 10, decoder_input_ids=start)
    whole = model.tokenizer.decode(written, skip_special_tokens=True)
    assert prefix + done[PROMPTS[0], prefix] == whole


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_spaces_at_the_seam_are_kept(kind: str, tmp_path: Path) -> None:
    wording = open_tiny(build(tmp_path, kind))._prompts
    prompt, answer = "A: Let's think.", "  She  buys\n\n 14 é .\n"
    before = wording.prompt_ids(Request(prompt=prompt))
    both = wording.prompt_ids(Request(prompt=prompt + answer))
    assert both[: len(before)] == before
    assert wording.text(both[len(before) :], wording.anchor(before)) == answer


def test_length_is_cut_at_max_tokens_and_at_the_models_positions(llama: HFModel) -> None:
    short = one(llama, Request(prompt=PROMPTS[0], max_tokens=3))
    assert (short.finish_reason, short.completion_tokens) == ("length", 3)
    done = one(llama, Request(prompt=PROMPTS[0], max_tokens=10_000))
    assert done.prompt_tokens + done.completion_tokens <= 256


def test_a_prompt_that_is_too_long_fails_alone(llama: HFModel) -> None:
    long = Request(prompt="apples " * 400, samples=(0, 1))
    done = list(llama.complete([long, Request(prompt="Let's", max_tokens=2)]))
    assert [d.finish_reason for d in done].count("error") == 2
    assert any("256 positions" in (d.error or "") for d in done)


def test_chat_messages_are_rendered_by_the_models_template(tmp_path: Path) -> None:
    model = open_tiny(build_tiny_causal(tmp_path, "gpt2", chat=True))
    assert model.chat
    turns = (Message(role="user", content="How many?"),)
    plain = one(model, Request(prompt="user: How many?<eos>assistant: ", max_tokens=8))
    assert one(model, Request(prompt=turns, max_tokens=8)).text == plain.text
    begun = Request(prompt="user: How many?<eos>assistant: There are", max_tokens=8)
    prefixed = Request(prompt=turns, answer_prefix="There are", max_tokens=8)
    assert one(model, prefixed).text == one(model, begun).text


def test_chat_messages_without_a_template_are_refused(llama: HFModel) -> None:
    request = Request(prompt=(Message(role="user", content="How many?"),))
    assert not llama.chat
    with pytest.raises(ModelError, match="no chat template"):
        list(llama.complete([request]))


def test_closing_early_leaves_the_model_usable(llama: HFModel) -> None:
    answers = llama.complete([SAMPLED])
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert not torch.is_inference_mode_enabled()
    assert len(list(llama.complete([SAMPLED]))) == 3


def test_the_name_changes_with_the_weights(tmp_path: Path) -> None:
    first = open_tiny(build_tiny_causal(tmp_path, "gpt2")).name
    assert first == open_tiny(tmp_path).name
    assert first.startswith(f"hf:{tmp_path.name}@")
    assert open_tiny(build_tiny_causal(tmp_path, "gpt2", seed=1)).name != first


def test_a_tokenizer_without_a_pad_token_pads_with_its_end_token(tmp_path: Path) -> None:
    loaded = load_model_and_tokenizer(str(build_tiny_causal(tmp_path, "gpt2")), device="cpu")
    assert not loaded.encoder_decoder
    assert loaded.tokenizer.pad_token_id == loaded.tokenizer.eos_token_id


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "has no config.json"),
        ("tokenizer.json", "has no tokenizer"),
        ("model.safetensors", "has no weights"),
    ],
)
def test_a_folder_without_a_part_is_refused(missing: str, message: str, tmp_path: Path) -> None:
    (build_tiny_causal(tmp_path, "gpt2") / missing).unlink()
    with pytest.raises(ModelError, match=message):
        load_model_and_tokenizer(str(tmp_path))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = build_tiny_causal(tmp_path, "gpt2")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickled"):
        load_model_and_tokenizer(str(folder))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"{tmp_path / 'nowhere'} is not a folder"):
        load_model_and_tokenizer(str(tmp_path / "nowhere"))


def test_an_unreachable_hub_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="as a hub name it cannot be loaded") as caught:
        load_model_and_tokenizer("nobody/nothing")
    assert "\n" not in str(caught.value)


def test_a_damaged_weight_file_is_one_line(tmp_path: Path) -> None:
    folder = build_tiny_causal(tmp_path, "gpt2")
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model_and_tokenizer(str(folder))
