"""Log-probabilities and echo of a student on this machine, against a direct forward pass."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import torch
from fakes_upstream import Served, served
from tiny_models import Architecture, build_tiny_causal, build_tiny_seq2seq
from transformers import AutoModelForCausalLM, AutoTokenizer

from potstill.models.local import text_scores
from potstill.models.local.model import HFModel
from potstill.models.local.text_scores import score_text
from potstill.models.settings import LocalSettings
from potstill.models.token_requests import EchoedCompletion, TokenRequest
from potstill.serve.settings import ServeSettings

PROMPTS = ["Anna has 3 apples.", "Q: Zoé reads 5 pages.\nA:", "The coin"]


class Reference:
    """The model by transformers alone."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder)
        self.model.eval()

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text)["input_ids"])

    @torch.inference_mode()
    def logprobs(self, ids: list[int]) -> torch.Tensor:
        """``(T, V)``: those of each token's successor."""
        logits = self.model(input_ids=torch.tensor([ids])).logits[0]
        return torch.log_softmax(logits.float(), dim=-1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_causal(tmp_path_factory.mktemp("student"), "llama")


@pytest.fixture(scope="module")
def reference(folder: Path) -> Reference:
    return Reference(folder)


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Served]:
    values = {"student": f"hf:{folder}", "name": "tiny", "port": 0}
    with served(ServeSettings.model_validate(values)) as server:
        yield server


def complete(running: Served, **fields: Any) -> Any:
    return running.client.completions.create(
        **{"model": "tiny", "temperature": 0, "echo": True, "logprobs": 2, **fields}
    )


@pytest.mark.parametrize("in_tokens", [False, True])
@pytest.mark.parametrize("max_tokens", [0, 1, 3])
def test_an_echo_lists_what_a_forward_pass_gives(
    running: Served, reference: Reference, in_tokens: bool, max_tokens: int
) -> None:
    prompt: Any = [reference.ids(text) for text in PROMPTS] if in_tokens else PROMPTS
    answer = complete(running, prompt=prompt, max_tokens=max_tokens)
    for text, choice in zip(PROMPTS, answer.choices, strict=True):
        ids, listed = reference.ids(text), choice.logprobs
        for _ in range(max_tokens):
            ids.append(int(reference.logprobs(ids)[-1].argmax()))
        expected = reference.logprobs(ids)
        own = [float(expected[place, token]) for place, token in enumerate(ids[1:])]
        assert listed.token_logprobs[0] is None
        assert listed.token_logprobs[1:] == pytest.approx(own, abs=1e-4)
        best = expected.topk(2, dim=-1).values[: len(own)]
        assert listed.top_logprobs[0] is None
        for alternatives, (first, second) in zip(listed.top_logprobs[1:], best, strict=True):
            assert sorted(alternatives.values(), reverse=True) == pytest.approx(
                [float(first), float(second)], abs=1e-4
            )
        assert choice.text == reference.tokenizer.decode(ids, skip_special_tokens=True)
        assert choice.text.startswith(text)
        assert choice.finish_reason == "length"


def test_what_is_written_is_exactly_among_the_likeliest(running: Served) -> None:
    # lm-evaluation-harness finds out so whether a continuation is greedy.
    listed = complete(running, prompt=PROMPTS[0], max_tokens=2, logprobs=1).choices[0].logprobs
    assert listed.token_logprobs[-2:] == [max(top.values()) for top in listed.top_logprobs[-2:]]


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_tokens_begin_where_they_stand_in_the_text(
    tmp_path: Path, architecture: Architecture
) -> None:
    text = "Zoé reads 5 pages" + (" for €5." if architecture == "gpt2" else ".")
    folder = build_tiny_causal(tmp_path, architecture)
    values = {"student": f"hf:{folder}", "name": "tiny", "port": 0}
    with served(ServeSettings.model_validate(values)) as running:
        listed = complete(running, prompt=text, max_tokens=0).choices[0].logprobs
    # The bytes of a character that is more than one token are no text by themselves.
    assert ("bytes:\\xe2" in "".join(listed.tokens)) is (architecture == "gpt2")
    ends = [*listed.text_offset[1:], len(text)]
    for token, start, end in zip(listed.tokens, listed.text_offset, ends, strict=True):
        if not token.startswith(("bytes:", "<s>")):
            assert text[start:end].strip() == token.strip()


@pytest.mark.parametrize("max_tokens", [1, 5])
def test_an_end_token_is_listed(folder: Path, reference: Reference, max_tokens: int) -> None:
    # Else who leaves the last token out, as lm-evaluation-harness does, loses one of the text.
    ids = reference.ids(PROMPTS[0])
    following = int(reference.logprobs(ids)[-1].argmax())
    model = LocalSettings(model=f"hf:{folder}").open()
    assert isinstance(model, HFModel)
    model._end_ids = model._echoes._end_ids = frozenset({following})
    request = TokenRequest(
        prompt=PROMPTS[0], echo=True, temperature=0, max_tokens=max_tokens, top_logprobs=1
    )
    (answer,) = model.complete([request])
    assert isinstance(answer, EchoedCompletion) and answer.logprobs is not None
    assert answer.ids == (*ids, following)
    assert (answer.text, answer.finish_reason) == ("", "stop")
    assert len(answer.logprobs.logprobs) == len(ids)


def test_a_long_text_is_scored_in_parts(
    folder: Path, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = reference.ids(" ".join(PROMPTS))
    whole, following = score_text(reference.model, ids, 3)
    monkeypatch.setattr(text_scores, "CHUNK_TOKENS", 4)
    parts, again = score_text(reference.model, ids, 3)
    assert len(ids) > 12 and again == following
    np.testing.assert_allclose(parts.logprobs, whole.logprobs, atol=1e-5)
    np.testing.assert_array_equal(parts.ids, whole.ids)


def test_a_chat_lists_its_own_tokens(folder: Path, reference: Reference) -> None:
    values = {"student": f"hf:{folder}", "name": "tiny", "port": 0}
    messages: Any = [{"role": "user", "content": "The coin"}]
    with served(ServeSettings.model_validate(values)) as running:
        answer = running.client.chat.completions.create(
            model="tiny", messages=messages, temperature=0, max_tokens=4, logprobs=True,
            top_logprobs=2,
        )  # fmt: skip
    choice = answer.choices[0]
    assert choice.logprobs is not None and choice.logprobs.content is not None
    entries = choice.logprobs.content
    spelled = b"".join(bytes(entry.bytes or ()) for entry in entries)
    assert spelled.decode(errors="replace").strip() == (choice.message.content or "").strip()
    for entry in entries:
        assert entry.logprob == entry.top_logprobs[0].logprob  # greedy
        assert len(entry.top_logprobs) == 2


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"prompt": [5, 10**6]}, "has the token 1000000"),
        ({"prompt": "x", "logprobs": 21}, "from 0 to 20"),
        ({"prompt": "x", "max_tokens": 0, "echo": False}, "from 1"),
        ({"prompt": "x", "extra_body": {"top_k": 4}}, "a student on this machine does not take"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    running: Served, fields: dict[str, Any], told: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=told):
        complete(running, **fields)


def test_a_student_that_reads_apart_echoes_nothing(tmp_path: Path) -> None:
    folder = build_tiny_seq2seq(tmp_path)
    values = {"student": f"hf:{folder}", "name": "tiny", "port": 0}
    with served(ServeSettings.model_validate(values)) as running:
        with pytest.raises(openai.BadRequestError, match="reads its prompt apart"):
            complete(running, prompt="x")
        listed = complete(running, prompt="The coin", echo=False, max_tokens=3).choices[0].logprobs
    assert len(listed.token_logprobs) == len(listed.tokens)
