"""How likely the student finds each rationale before it has learned anything.

A teacher whose words the student finds likely may be the better one to learn from, even if another
is right more often: the stronger teacher is not always the better one (Yuan et al., arXiv
2012.06048).

How likely a model finds targets, without training it.

Shape suffixes: N tokens of a batch's targets, n tokens of a chunk, V vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from potstill.curate import TeacherCandidate
from potstill.errors import extra
from potstill.keys import settings_hash
from potstill.models import local_source
from potstill.models.local.loading import Loaded
from potstill.models.settings import LocalSettings
from potstill.prompts.formats import DataFormat
from potstill.records import Example, Likelihood
from potstill.runtime.progress import Meter
from potstill.store import Store
from potstill.train.batches import Collate, padded_collation
from potstill.train.chunked_loss import Head
from potstill.train.encoding import Encoded

if TYPE_CHECKING:
    from potstill.train.encoding import Encoded


class LikelihoodSpec(NamedTuple):
    """What the student is going to learn, as far as its likelihoods depend on it."""

    start: LocalSettings
    """The checkpoint that it starts from."""

    data_format: DataFormat
    """One with rationales and without exemplars."""

    max_length: int
    """Most tokens of prompt and target; longer examples are not learned."""


class _Missing(NamedTuple):
    """An example that was not measured yet, and the completions that it words."""

    example: Example
    completions: list[int]


class LikelihoodScorer:
    """Measures rationales under the checkpoint that the student starts from.

    Each is worded as the student would learn it, and measured as its training loss before the first
    step: the mean over the target's tokens, the end of the text among them, prompt left out. What
    is measured is kept batch by batch, so that a killed curation goes on where it stopped, and a
    repeated one loads no model.

    Args:
        learned: What the student is going to learn.
        store: Keeps what was measured.
        meter: Shown the progress.
    """

    def __init__(self, learned: LikelihoodSpec, store: Store, meter: Meter) -> None:
        self._learned, self._store, self._meter = learned, store, meter

    def __call__(self, candidates: Sequence[TeacherCandidate]) -> Mapping[int, Likelihood]:
        """The likelihoods by completion, without those of rationales too long to be learned.

        Raises:
            ModelError: The checkpoint cannot be loaded.
        """
        with extra("local", needed_for="curate.choose: likelihood"):
            from potstill.models.local.loading import is_encoder_decoder

        encoder_decoder = is_encoder_decoder(self._learned.start)
        identity = self._identity()
        found, missing = dict[int, Likelihood](), dict[str, _Missing]()
        for each in candidates:
            example = self._example(each, encoder_decoder=encoder_decoder)
            made_by = settings_hash(identity, _plain(example))
            there = self._store.likelihood(each.completion_id, settings_hash=made_by)
            if there is not None:
                found[each.completion_id] = there
            else:
                unmeasured = missing.setdefault(made_by, _Missing(example, []))
                unmeasured.completions.append(each.completion_id)
        wanted = self._fitting(missing, encoder_decoder=encoder_decoder)
        total = len(found) + sum(len(missing[made_by].completions) for made_by in wanted)
        label = f"likelihoods under {self._learned.start.model}"
        with self._meter.stage(label, total=total, done=len(found)) as advance:
            for batch in self._measured(wanted, missing) if wanted else ():
                self._store.add_likelihoods(batch)
                new = [each for likelihoods in batch.values() for each in likelihoods]
                found |= {each.completion_id: each for each in new}
                advance(len(new), sum(each.tokens for each in new), 0.0)
        return found

    def _identity(self) -> object:
        """The checkpoint's weights and number format; a folder may move and stays what it is."""
        from potstill.models.local.loading import folder_digest, is_folder

        start, source = self._learned.start, local_source(self._learned.start)
        weights = folder_digest(Path(source)) if is_folder(source) else [source, start.revision]
        return [weights, start.dtype]

    def _example(self, candidate: TeacherCandidate, *, encoder_decoder: bool) -> Example:
        """The rationale as the student would learn it."""
        data_format, question = self._learned.data_format, candidate.question
        return Example(
            prompt=data_format.prompt(question, encoder_decoder=encoder_decoder),
            target=data_format.target(
                candidate.text, question.answer, encoder_decoder=encoder_decoder
            ),
        )

    def _fitting(
        self, missing: Mapping[str, _Missing], *, encoder_decoder: bool
    ) -> dict[str, "Encoded"]:
        """The examples in tokens, longest first, without those that are too long to be learned."""
        if not missing:
            return {}
        from potstill.models.local.loading import load_config, load_tokenizer
        from potstill.train.encoding import Encoder

        tokenizer = load_tokenizer(self._learned.start)
        positions = getattr(
            load_config(self._learned.start).get_text_config(decoder=True),
            "max_position_embeddings",
            None,
        )
        longest = self._learned.max_length
        if positions is not None and not encoder_decoder:
            longest = min(longest, positions)
        encoder = Encoder(tokenizer, encoder_decoder=encoder_decoder)
        found = {
            made_by: encoded
            for made_by, each in missing.items()
            for encoded in encoder.encode([each.example], max_length=longest).examples
        }
        return dict(sorted(found.items(), key=lambda item: -item[1].length))

    def _measured(
        self, wanted: Mapping[str, "Encoded"], missing: Mapping[str, _Missing]
    ) -> Iterator[dict[str, list[Likelihood]]]:
        """The likelihoods of examples of like length, a batch at a time."""
        from potstill.models.local.loading import load_model_and_tokenizer
        from potstill.pipeline.student_likelihood import mean_logprobs

        start = self._learned.start
        loaded = load_model_and_tokenizer(
            local_source(start),
            dtype=start.dtype,
            device=start.device,
            revision=start.revision,
            trust_remote_code=start.trust_remote_code,
        )
        names = iter(wanted)
        examples = list(wanted.values())
        for means in mean_logprobs(loaded, examples, batch_tokens=start.batch_tokens):
            batch = zip(islice(names, len(means)), means, strict=True)
            yield {
                made_by: [
                    Likelihood(
                        completion_id=completion_id,
                        student=start.model,
                        mean_logprob=mean,
                        tokens=len(wanted[made_by].target),
                    )
                    for completion_id in missing[made_by].completions
                ]
                for made_by, mean in batch
            }


def _plain(example: Example) -> list[object]:
    """An example as plain values."""
    prompt = example.prompt
    return [prompt if isinstance(prompt, str) else [asdict(m) for m in prompt], example.target]


def mean_logprobs(
    loaded: Loaded, examples: Sequence[Encoded], *, batch_tokens: int
) -> Iterator[list[float]]:
    """The mean natural-log probability of each target's tokens, batch by batch, in order.

    Args:
        loaded: The model, in evaluation mode.
        examples: Best in order of their length, so that little is filled up.
        batch_tokens: Most tokens of a batch, as long as one example is no longer.
    """
    head, collate = Head.of(loaded.model), padded_collation(loaded)
    for batch in _batches(examples, batch_tokens):
        nats_N = _nats(loaded, head, collate, batch)
        yield [-float(each.mean()) for each in nats_N.split([len(one.target) for one in batch])]


@torch.no_grad()
def _nats(loaded: Loaded, head: Head, collate: Collate, batch: Sequence[Encoded]) -> Tensor:
    """The ``(N,)`` losses of a batch's target tokens, on the CPU."""
    device = loaded.model.device
    made = collate(batch)
    labels_N = made["targets"]["labels_N"].to(device)
    nats_N = torch.zeros(len(labels_N), device=device)

    def compute(logits_nV: Tensor, rows: slice) -> Tensor:
        nats_N[rows] = F.cross_entropy(logits_nV.float(), labels_N[rows], reduction="none")
        return nats_N[rows]

    inputs = {name: each.to(device) for name, each in made["inputs"].items()}
    positions_N, weights_N = made["positions"].to(device), made["weights"].to(device)
    with head.losses(positions_N, weights_N, compute) as loss:
        loss.finish(loaded.model(**inputs, use_cache=False).logits)
    return nats_N.cpu()


def _batches(examples: Sequence[Encoded], batch_tokens: int) -> Iterator[list[Encoded]]:
    """Neighbours that come to no more than ``batch_tokens``, padding included."""
    batch: list[Encoded] = []
    widest = 0
    for one in examples:
        widest = max(widest, one.length)
        if batch and widest * (len(batch) + 1) > batch_tokens:
            yield batch
            batch, widest = [], one.length
        batch.append(one)
    if batch:
        yield batch
