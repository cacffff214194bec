"""A model that scores given texts by a dense forward pass each, for tests of what uses scores."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from potstill.models.interface import Model
from potstill.models.local.loading import load_model_and_tokenizer
from potstill.models.local.prompt_encoding import PromptEncoder
from potstill.models.settings import LocalSettings
from potstill.records import Completion, Request, TokenLogprobs
from potstill.train.alignment import Vocabulary


class DenseScorer(Model):
    """Scores with a folder's weights; it remembers what it was asked, and how often."""

    scores_texts = True
    is_server = True  # what it has scored is stored at once

    def __init__(self, folder: Path, *, name: str = "scorer", dtype: str = "float32") -> None:
        self.name = name
        self.settings = LocalSettings(model=f"hf:{folder}", device="cpu")
        loaded = load_model_and_tokenizer(str(folder), dtype="float32", device="cpu")
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        if dtype == "float64":
            self.model = self.model.double()
        self.chat = self.tokenizer.chat_template is not None
        self._prompts = PromptEncoder(self.tokenizer, "the scorer")
        self._vocabulary = Vocabulary(self.tokenizer)
        self.asked: list[Request] = []
        self.left: int | None = None
        """Requests before ``fault`` is raised; None: it never is."""

        self.fault: BaseException = SystemExit("the machine goes off")

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            if self.left is not None:
                self.left -= 1
                if not self.left:
                    raise self.fault
            self.asked.append(request)
            assert request.given is not None
            prompt = self._prompts.prompt_ids(request)
            text = [*request.given.ids] or self._prompts.answer_ids(request.given.text)
            yield Completion(
                request=request,
                sample=0,
                text=request.given.text,
                finish_reason="stop",
                prompt_tokens=len(prompt) + len(text),
                logprobs=self.scores(prompt, text, request.top_logprobs, ends=request.given.ends),
            )

    @torch.inference_mode()
    def scores(self, prompt: list[int], text: list[int], top: int, *, ends: bool) -> TokenLogprobs:
        """The probabilities of a text's tokens behind a prompt, and of its end, by bytes."""
        end = self.tokenizer.eos_token_id
        wanted = [*text, end] if ends else text
        ids = torch.tensor([[*prompt, *wanted]])[:, : len(prompt) + len(wanted) - 1]
        logits = self.model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 :]
        logs = logits.log_softmax(-1)
        found = logs.topk(min(top, logs.shape[1]), -1)
        chosen = torch.tensor(wanted)[:, None]
        both = torch.cat([chosen, found.indices], 1).numpy().astype(np.int32)
        values = torch.cat([logs.gather(1, chosen), found.values], 1).numpy().astype(np.float32)
        special = np.isin(both, [one for one in self.tokenizer.all_special_ids if one != end])
        values[special] = -np.inf
        names, lengths = self._vocabulary.names(both)
        return TokenLogprobs(logprobs=values, token_bytes=names, lengths=lengths)
