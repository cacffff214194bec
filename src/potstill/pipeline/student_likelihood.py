"""How the student finds each rationale before it has learned anything.

``curate.choose`` chooses teachers by it, and ``potstill advise`` ranks them. A teacher whose words
suit the student may be the better one to learn from, even if another is right more often: the
stronger teacher is not always the better one (Yuan et al., arXiv 2012.06048).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from potstill.curate import TeacherCandidate
from potstill.errors import ModelError, extra
from potstill.keys import settings_hash
from potstill.models.settings import LocalSettings
from potstill.prompts.formats import DataFormat
from potstill.records import Example, Likelihood, Question
from potstill.runtime.progress import Meter
from potstill.store import Store
from potstill.text.own_space import with_own_space
from potstill.train import TrainSettings
from potstill.train.defaults import longest_example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from potstill.train.encoding import Encoded
    from potstill.train.target_scores import TargetScorer, TargetScores


MEASURING = "measuring rationales under the student"
"""The work that needs the packages for local models, as messages name it."""


class LikelihoodSpec(NamedTuple):
    """The parts of the student's training that its likelihoods depend on."""

    start: LocalSettings
    """The checkpoint that it starts from."""

    data_format: DataFormat
    """The wording of its examples: one with rationales and without exemplars."""

    training: TrainSettings
    """Its longest example; longer ones are not learned."""

    keeps_thinking: bool = False
    """Whether it learns the teacher's thinking before each rationale."""


class MeasuredBy(NamedTuple):
    """The measures that are asked for beside the likelihood itself."""

    ranks: bool = False
    """Whether ranks are; they come from the same pass, and only older rows are without them."""

    steps: bool = False
    """Whether each step is measured behind the few before it, too, which takes rows of its own."""

    def is_met(self, stored: Likelihood | None) -> bool:
        """Whether a stored row has all that is asked for."""
        if stored is None or (self.ranks and stored.mean_rank is None):
            return False
        return not (self.steps and stored.local_naturalness is None)


class _Unmeasured(NamedTuple):
    """An example that was not measured yet, and the completions that it words."""

    example: Example
    completions: list[int]


class _Measured(NamedTuple):
    """The measures of one example."""

    mean_logprob: float
    mean_rank: float
    local_naturalness: float | None


class LikelihoodScorer:
    """Measures rationales under the checkpoint that the student starts from.

    Each is worded as the student would learn it, and measured at the target's tokens, the end of
    the text among them, prompt left out; the mean log-probability is its training loss before the
    first step, with the sign turned. Every batch is stored, so that a killed curation goes on where
    it stopped, and a repeated one loads no model.

    Args:
        spec: The parts of the student's training that its likelihoods depend on.
        store: Keeps the likelihoods.
        meter: Shows how many are measured.
        measured_by: The further measures beside the likelihood.
    """

    def __init__(
        self,
        spec: LikelihoodSpec,
        store: Store,
        meter: Meter,
        measured_by: MeasuredBy = MeasuredBy(),  # noqa: B008  a tuple of two truth values
    ) -> None:
        self._spec, self._store, self._meter = spec, store, meter
        self._measured_by = measured_by

    def __call__(self, candidates: Sequence[TeacherCandidate]) -> Mapping[int, Likelihood]:
        """The likelihoods by completion, without those of rationales too long to be learned.

        Raises:
            ModelError: The checkpoint cannot be loaded, or gives no numbers.
        """
        with extra("local", needed_for=MEASURING):
            from potstill.models.local.loading import is_encoder_decoder

        encoder_decoder = is_encoder_decoder(self._spec.start)
        identity = self._identity()
        likelihoods: dict[int, Likelihood] = {}
        unmeasured: dict[str, _Unmeasured] = {}  # by the hash of checkpoint and example
        for candidate in candidates:
            example = self._example(candidate, encoder_decoder=encoder_decoder)
            key = settings_hash(identity, _plain_values(example))
            stored = self._store.likelihood(candidate.completion_id, settings_hash=key)
            if stored is not None and self._measured_by.is_met(stored):
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

    def check(self, question: Question) -> None:
        """Find what would stop the measuring, before teachers are paid; no weights are read.

        Args:
            question: One that is worded and encoded.

        Raises:
            MissingExtraError: The packages that it takes are not installed.
            ModelError: The checkpoint, its tokenizer or its device cannot be had.
            ConfigError: The checkpoint cannot be trained.
        """
        with extra("local", needed_for=MEASURING):
            from potstill.models.local.loading import check_device, is_encoder_decoder
            from potstill.models.local.weight_files import check_weight_files
        start = self._spec.start
        encoder_decoder = is_encoder_decoder(start)
        check_weight_files(start.source, start.revision)
        check_device(start.device, at=start.model)
        data_format = self._spec.data_format
        example = Example(
            prompt=data_format.prompt(question, encoder_decoder=encoder_decoder),
            target=data_format.target("", question.answer, encoder_decoder=encoder_decoder),
        )
        self._encode({"": _Unmeasured(example, [])}, encoder_decoder=encoder_decoder)

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
        thinking = None
        if data_format.verbatim:
            for _, found in self._store.texts_of([candidate.completion_id]):
                text = with_own_space(text, found.text)
        if self._spec.keeps_thinking:
            known = self._store.thinking_of([candidate.completion_id])
            thinking = known.get(candidate.completion_id)
        return Example(
            prompt=data_format.prompt(question, encoder_decoder=encoder_decoder),
            target=data_format.target(text, question.answer, encoder_decoder=encoder_decoder),
            thinking=thinking,
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
        from potstill.train.target_scores import TargetScorer

        start = self._spec.start
        loaded = load_model_and_tokenizer(
            start.source,
            dtype=start.dtype,
            device=start.device,
            revision=start.revision,
            trust_remote_code=start.trust_remote_code,
        )
        scorer = TargetScorer(loaded, batch_tokens=start.batch_tokens)
        local = _steps_measured(scorer, loaded.tokenizer) if self._measured_by.steps else None
        keys = iter(encoded)
        for scores in scorer.batches([*encoded.values()]):
            batch = list(islice(keys, len(scores)))
            steps = local([encoded[key] for key in batch], scores) if local else [None] * len(batch)
            yield {
                key: self._likelihoods(
                    unmeasured[key].completions,
                    _Measured(
                        float(own.logprobs_T.mean()), float(own.ranks_T.float().mean()), naturalness
                    ),
                    tokens=len(encoded[key].target),
                )
                for key, own, naturalness in zip(batch, scores, steps, strict=True)
            }

    def _likelihoods(
        self, completions: Sequence[int], measured: _Measured, *, tokens: int
    ) -> list[Likelihood]:
        """The likelihoods of the completions that one example words.

        Raises:
            ModelError: The model gave no numbers.
        """
        start = self._spec.start
        if not all(isfinite(value) for value in measured if value is not None):
            raise ModelError(
                f"{start.model} gives no probability of some rationale, but {measured[0]}: its "
                f"weights do not fit its number format, {start.dtype}. Set student.dtype to "
                "float32."
            )
        return [
            Likelihood(
                completion_id=completion_id,
                student=start.model,
                tokens=tokens,
                **measured._asdict(),
            )
            for completion_id in completions
        ]


def _steps_measured(
    scorer: "TargetScorer", tokenizer: "PreTrainedTokenizerBase"
) -> "Callable[[Sequence[Encoded], Sequence[TargetScores]], list[float | None]]":
    """Returns the function that gives the local naturalness of examples, told their scores."""
    from potstill.train.local_steps import StepFinder, local_naturalness, local_rows

    finder = StepFinder(tokenizer)

    def measure(
        examples: Sequence["Encoded"], scores: Sequence["TargetScores"]
    ) -> list[float | None]:
        starts = [finder.starts(example.target) for example in examples]
        rows = [local_rows(*one) for one in zip(examples, starts, strict=True)]
        scored = iter(scorer.in_any_order([row for own in rows for row in own]))
        return [
            local_naturalness(
                own.logprobs_T, begins, [one.logprobs_T for one in islice(scored, len(steps))]
            )
            for own, begins, steps in zip(scores, starts, rows, strict=True)
        ]

    return measure


def _plain_values(example: Example) -> list[object]:
    """An example as plain values, to be hashed."""
    prompt = example.prompt
    turns = prompt if isinstance(prompt, str) else [asdict(message) for message in prompt]
    thinking = [] if example.thinking is None else [example.thinking]
    return [turns, example.target, *thinking]
