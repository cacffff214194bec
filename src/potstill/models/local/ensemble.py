"""Several models that write one text: at each token their probabilities are averaged.

:class:`AveragedModel` answers the decoding loop as one model would. Its cache holds the layers of
all members one after another, so rows come and go in all members at once, and its logits are the
logarithms of the mean of the members' softmaxes.

Shape suffixes: P prompts, T tokens, D hidden dimensions of all encoders together.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput

from potstill.errors import ModelError
from potstill.models.local.cache_argument import with_cache
from potstill.models.local.loading import Loaded
from potstill.models.local.model import HFModel


class EnsembleModel(HFModel):
    """A model that asks several models of one tokenizer.

    Members may differ in size and architecture. Their order changes nothing.

    Args:
        members: Two or more, all causal or all encoder-decoders, on one device.

    Raises:
        ModelError: They cannot write one text together.
    """

    def __init__(self, members: Sequence[HFModel]) -> None:
        members = sorted(members, key=lambda member: member.name)
        _check_alike(members)
        name = f"ensemble:{'+'.join(member.name for member in members)}"
        first = members[0]
        averaged = cast(PreTrainedModel, AveragedModel([member.model for member in members]))
        loaded = Loaded(averaged, first.tokenizer, first.encoder_decoder)
        # Every row has a cache in each of the members.
        batch_tokens = max(1, first._batch_tokens // len(members))
        self._set_up(loaded, name, name=name, batch_tokens=batch_tokens)
        positions = [member._positions for member in members if member._positions is not None]
        self._positions = min(positions, default=None)
        self._end_ids = frozenset[int]().union(*(member._end_ids for member in members))


class AveragedModel(nn.Module):
    """All members together, with what the decoding loop needs of a model.

    One cache holds the layers of all members, and one tensor the hidden states of all encoders side
    by side.

    Args:
        members: The members' own models, in the order of their names.
    """

    def __init__(self, members: Sequence[PreTrainedModel]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.config, self.generation_config = members[0].config, members[0].generation_config
        self.device, self.dtype = members[0].device, members[0].dtype
        self._accepted = [frozenset(inspect.signature(one.forward).parameters) for one in members]
        self._layers: list[int] = []
        """The number of layers of the cache that each member has filled."""

        self._widths: list[int] = []
        """The number of hidden dimensions of each encoder."""

    def get_encoder(self) -> Callable[..., tuple[Tensor]]:
        """Returns all members' encoders as one."""
        return self._encode

    def _encode(self, **inputs: Tensor) -> tuple[Tensor]:
        members = cast(Sequence[PreTrainedModel], self.members)
        hidden = [member.get_encoder()(**inputs)[0] for member in members]
        self._widths = [states.shape[-1] for states in hidden]
        return (torch.cat(hidden, dim=-1),)

    def forward(
        self,
        *,
        cache: Cache,
        encoder_outputs: BaseModelOutput | None = None,
        position_ids: Tensor | None = None,
        logits_to_keep: int = 1,
        **inputs: Any,
    ) -> CausalLMOutput:
        """Returns the logarithms of the members' mean probabilities behind each row's tokens.

        Args:
            cache: The cache of all members; empty at first.
            encoder_outputs: The output of :meth:`get_encoder`.
            position_ids: Passed to the members that take them.
            logits_to_keep: How many of the last tokens' logits are wanted; 0: all. Passed to the
                members that take it.
            **inputs: Passed to every member.
        """
        caches = self._caches(cache)
        further = {"position_ids": position_ids, "logits_to_keep": logits_to_keep}
        own: list[dict[str, Any]] = [
            {name: value for name, value in further.items() if name in accepted}
            for accepted in self._accepted
        ]
        if encoder_outputs is not None:  # cut the side-by-side hidden states apart again
            hidden_PTD = encoder_outputs.last_hidden_state
            assert hidden_PTD is not None
            for member_inputs, part in zip(
                own, hidden_PTD.split(self._widths, dim=-1), strict=True
            ):
                member_inputs["encoder_outputs"] = BaseModelOutput(last_hidden_state=part)
        logits = [
            member(**with_cache(member, part), **member_inputs, **inputs).logits[
                :, -logits_to_keep:
            ]
            for member, part, member_inputs in zip(self.members, caches, own, strict=True)
        ]
        self._keep_layers(cache, caches)
        return CausalLMOutput(logits=cast(torch.FloatTensor, log_mean(logits)))

    def _caches(self, whole: Cache) -> list[Cache]:
        """Returns each member's part of the cache; before the prompts an empty one for each."""
        parts = _parts(whole)
        if not parts[0].layers:
            return [_joined([DynamicCache() for _ in parts]) for _ in self.members]
        # Member m's layers are the ones from ends[m] - count to ends[m], the same objects: what a
        # member writes to its part stands in the whole.
        ends = list(accumulate(self._layers))
        return [
            _joined([Cache(layers=part.layers[end - count : end]) for part in parts])
            for end, count in zip(ends, self._layers, strict=True)
        ]

    def _keep_layers(self, whole: Cache, caches: Sequence[Cache]) -> None:
        """Put the layers that the members filled into a cache that was empty."""
        if _parts(whole)[0].layers:
            return
        self._layers = [len(_parts(cache)[0].layers) for cache in caches]
        for cache in caches:
            for kept, filled in zip(_parts(whole), _parts(cache), strict=True):
                kept.layers.extend(filled.layers)


def _parts(cache: Cache) -> list[Cache]:
    """Returns the caches that a cache consists of: an encoder-decoder's are two."""
    if isinstance(cache, EncoderDecoderCache):
        return [cache.self_attention_cache, cache.cross_attention_cache]
    return [cache]


def _joined(parts: Sequence[Cache]) -> Cache:
    return parts[0] if len(parts) == 1 else EncoderDecoderCache(*parts)


def log_mean(members: Sequence[Tensor]) -> Tensor:
    """Returns the logarithm of the mean of softmaxes, each given by its logits.

    Heads are padded to different widths; tokens that not all of them have are left out.
    """
    width = min(logits.shape[-1] for logits in members)
    # The tokens that all members have; their logits are normalised over these alone.
    logs = [torch.log_softmax(logits[..., :width].float(), dim=-1) for logits in members]
    # log mean_m exp(l_m) = logsumexp_m(l_m) - log M
    return torch.logsumexp(torch.stack(logs), dim=0) - math.log(len(members))


def _check_alike(members: Sequence[HFModel]) -> None:
    """Refuse members that cannot write one text together.

    Raises:
        ModelError: They differ in tokenizer, kind or device.
    """
    first = members[0]
    for other in members[1:]:
        if other.tokenizer.get_vocab() != first.tokenizer.get_vocab():
            fault = "have different tokenizers, so their probabilities are not of the same tokens"
        elif other.encoder_decoder != first.encoder_decoder:
            fault = "are a decoder-only model and an encoder-decoder"
        elif other.model.device != first.model.device:
            fault = f"are on {first.model.device} and {other.model.device}"
        else:
            continue
        raise ModelError(
            f"{first.name} and {other.name} {fault}; an ensemble needs models that are alike in "
            "this."
        )
