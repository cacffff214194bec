"""The likelihood of each rationale under the student before it has learned anything.

``curate.choose: likelihood`` chooses teachers by it. A teacher whose words the student finds likely
may be the better one to learn from, even if another is right more often: the stronger teacher is
not always the better one (Yuan et al., arXiv 2012.06048).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from potstill.curate import TeacherCandidate
from potstill.errors import extra
from potstill.keys import settings_hash
from potstill.models.settings import LocalSettings
from potstill.prompts.formats import DataFormat
from potstill.records import Example, Likelihood
from potstill.runtime.progress import Meter
from potstill.store import Store
from potstill.text.own_space import with_own_space
from potstill.train import TrainSettings
from potstill.train.defaults import longest_example

if TYPE_CHECKING:
    from potstill.train.encoding import Encoded


class LikelihoodSpec(NamedTuple):
    """The parts of the student's training that its likelihoods depend on."""

    start: LocalSettings
    """The checkpoint that it starts from."""

    data_format: DataFormat
    """The wording of its examples: one with rationales and without exemplars."""

    training: TrainSettings
    """Its longest example; longer ones are not learned."""


class _Unmeasured(NamedTuple):
    """An example that was not measured yet, and the completions that it words."""

    example: Example
    completions: list[int]


class LikelihoodScorer:
    """Measures rationales under the checkpoint that the student starts from.

    Each is worded as the student would learn it, and measured as its training loss before the first
    step: the mean over the target's tokens, the end of the text among them, prompt left out. Every
    batch is stored, so that a killed curation goes on where it stopped, and a repeated one loads no
    model.

    Args:
        spec: The parts of the student's training that its likelihoods depend on.
        store: Keeps the likelihoods.
        meter: Shows how many are measured.
    """

    def __init__(self, spec: LikelihoodSpec, store: Store, meter: Meter) -> None:
        self._spec, self._store, self._meter = spec, store, meter

    def __call__(self, candidates: Sequence[TeacherCandidate]) -> Mapping[int, Likelihood]:
        """The likelihoods by completion, without those of rationales too long to be learned.

        Raises:
            ModelError: The checkpoint cannot be loaded.
        """
        with extra("local", needed_for="curate.choose: likelihood"):
            from potstill.models.local.loading import is_encoder_decoder

        encoder_decoder = is_encoder_decoder(self._spec.start)
        identity = self._identity()
        likelihoods: dict[int, Likelihood] = {}
        unmeasured: dict[str, _Unmeasured] = {}  # by the hash of checkpoint and example
        for candidate in candidates:
            example = self._example(candidate, encoder_decoder=encoder_decoder)
            key = settings_hash(identity, _plain_values(example))
            stored = self._store.likelihood(candidate.completion_id, settings_hash=key)
            if stored is not None:
                likelihoods[candidate.completion_id] = stored
            else:
                entry = unmeasured.setdefault(key, _Unmeasured(example, []))
                entry.completions.append(candidate.completion_id)
        encoded = self._encode(unmeasured, encoder_decoder=encoder_decoder)
        total = len(likelihoods) + sum(len(unmeasured[key].completions) for key in encoded)
        label = f"likelihoods under {self._spec.start.model}"
        with self._meter.stage(label, total=total, done=len(likelihoods)) as advance:
            for batch in self._measure(encoded, unmeasured) if encoded else ():
                self._store.add_likelihoods(batch)
                new = [likelihood for measured in batch.values() for likelihood in measured]
                likelihoods |= {likelihood.completion_id: likelihood for likelihood in new}
                advance(len(new), sum(likelihood.tokens for likelihood in new), 0.0)
        return likelihoods

    def _identity(self) -> object:
        """The checkpoint's weights and number format; a folder may be moved and stays the same."""
        from potstill.models.local.loading import folder_digest, is_folder

        start = self._spec.start
        source = start.source
        weights = folder_digest(Path(source)) if is_folder(source) else [source, start.revision]
        return [weights, start.dtype]

    def _example(self, candidate: TeacherCandidate, *, encoder_decoder: bool) -> Example:
        """The rationale as the student would learn it."""
        data_format, question, text = self._spec.data_format, candidate.question, candidate.text
        if data_format.verbatim:
            for _, found in self._store.texts_of([candidate.completion_id]):
                text = with_own_space(text, found.text)
        return Example(
            prompt=data_format.prompt(question, encoder_decoder=encoder_decoder),
            target=data_format.target(text, question.answer, encoder_decoder=encoder_decoder),
        )

    def _encode(
        self, unmeasured: Mapping[str, _Unmeasured], *, encoder_decoder: bool
    ) -> dict[str, "Encoded"]:
        """The examples in tokens, longest first, without those that are too long to be learned."""
        if not unmeasured:
            return {}
        from potstill.models.local.loading import load_config, load_tokenizer
        from potstill.train.encoding import Encoder
        from potstill.train.resolution import start_facts

        start = self._spec.start
        longest = longest_example(self._spec.training, start_facts(start))
        config = load_config(start).get_text_config(decoder=True)
        positions = getattr(config, "max_position_embeddings", None)
        if positions is not None and not encoder_decoder:
            longest = min(longest, positions)
        encoder = Encoder(
            load_tokenizer(start),
            encoder_decoder=encoder_decoder,
            control_tokens=start.control_tokens,
        )
        encoded = {
            key: example
            for key, entry in unmeasured.items()
            for example in encoder.encode([entry.example], max_length=longest).examples
        }
        return dict(sorted(encoded.items(), key=lambda item: -item[1].length))

    def _measure(
        self, encoded: Mapping[str, "Encoded"], unmeasured: Mapping[str, _Unmeasured]
    ) -> Iterator[dict[str, list[Likelihood]]]:
        """The likelihoods by key, a batch of examples of about the same length at a time."""
        from potstill.models.local.loading import load_model_and_tokenizer
        from potstill.train.target_likelihood import mean_logprobs

        start = self._spec.start
        loaded = load_model_and_tokenizer(
            start.source,
            dtype=start.dtype,
            device=start.device,
            revision=start.revision,
            trust_remote_code=start.trust_remote_code,
        )
        keys, examples = iter(encoded), list(encoded.values())
        for means in mean_logprobs(loaded, examples, batch_tokens=start.batch_tokens):
            yield {
                key: [
                    Likelihood(
                        completion_id=completion_id,
                        student=start.model,
                        mean_logprob=mean,
                        tokens=len(encoded[key].target),
                    )
                    for completion_id in unmeasured[key].completions
                ]
                for key, mean in zip(islice(keys, len(means)), means, strict=True)
            }


def _plain_values(example: Example) -> list[object]:
    """An example as plain values, to be hashed."""
    prompt = example.prompt
    turns = prompt if isinstance(prompt, str) else [asdict(message) for message in prompt]
    return [turns, example.target]
