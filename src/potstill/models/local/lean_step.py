"""One step of writing, without what a model's own forward pass spends beside its products.

A step multiplies a handful of rows with all weights; where these are few, the cache, the masks and
the calls of transformers' layers take as long as the products do. Here the operations of its Llama
layers are done in the same order and with the same roundings, on the layers' own weights::

    q, k, v = qkv(norm(x))          one product for three layers
    x += out(attention(q, k, v))
    gate, up = gate_up(norm(x))     one product for two
    x += down(act(gate) * up)

Outcomes are those of the model's own forward pass to the last bit in bfloat16, and in float32 where
both read laid out weights. :meth:`LeanStep.of` takes models by name and proves it on a few tokens.

Shape suffixes: R rows, D hidden size, H query heads, K key heads, G query heads a key head, S a
head's size, C columns of the cache, V vocabulary.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache, PreTrainedModel

from potstill.models.local.cache_argument import with_cache
from potstill.models.local.kv_cache import Room, RowCache, RowLayer
from potstill.models.local.learned_prefix import has_prefix
from potstill.models.local.packed_layers import MOST_ROWS, MergedLinear, PackedLinear
from potstill.models.local.prefill import prefix_attention

LAYOUTS = frozenset(
    ["LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"]
)
"""The models of transformers whose layers are computed as above."""

ATTENTION = "sdpa"
"""transformers' attention that is done here."""

TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
"""Largest difference of a proof from the model's own logits, as a share of the largest one: plain
and laid out weights round otherwise in float32."""


class Rotation(NamedTuple):
    """The turning of queries and keys by their positions."""

    cos_R1S: Tensor
    signed_sin_R1S: Tensor
    """(x1, x2) turns to (x1, x2) cos + (-x2, x1) sin: the sign is the sine's."""

    def turned(self, heads_RHS: Tensor) -> Tensor:
        """Returns heads turned."""
        swapped_RHS = heads_RHS.roll(heads_RHS.shape[-1] // 2, -1)
        return (heads_RHS * self.cos_R1S).add_(swapped_RHS.mul_(self.signed_sin_R1S))


class _Reading(NamedTuple):
    """The inputs that all layers of one step share."""

    rotation: Rotation
    mask: Tensor | None
    """``(R, 1, 1, C)``, the columns that a row reads; None: all, or those of a prefix apart."""

    beside: bool
    """Whether a prefix that stands apart is read, too."""


class LeanStep:
    """The step of a model whose layers are laid out as Llama's.

    Args:
        model: One of :data:`LAYOUTS`, all of whose linear layers are packed.
    """

    def __init__(self, model: Any) -> None:
        decoder = model.model
        self._embed, self._rotary = decoder.embed_tokens, decoder.rotary_emb
        self._layers = [_Layer(layer) for layer in decoder.layers]
        self._norm, self._head = decoder.norm, model.lm_head

    @classmethod
    def of(cls, model: nn.Module) -> "LeanStep | None":
        """Returns a model's step; None where the model's own forward pass has to do it."""
        if type(model).__name__ not in LAYOUTS or not isinstance(model, PreTrainedModel):
            return None
        config = model.config
        windows = [
            kind for kind in getattr(config, "layer_types", None) or [] if "full" not in kind
        ]
        if windows or getattr(config, "sliding_window", None) or has_prefix(model):
            return None
        linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
        packed = all(isinstance(layer, PackedLinear) for layer in linear)
        if not packed or config._attn_implementation != ATTENTION:
            return None
        step = cls(model)
        if step._differs(model) <= TOLERANCES[model.dtype]:
            return step
        for layer in step._layers:
            layer.part()
        return None

    @staticmethod
    def takes(rows: int) -> bool:
        """Whether a step has as few rows as laid out weights are read for."""
        return rows <= MOST_ROWS

    def logits(
        self,
        tokens_R: Tensor,
        positions_R: Tensor,
        cache: RowCache,
        own_RC: Tensor,
        *,
        beside: bool = False,
    ) -> Tensor:
        """Returns the ``(R, V)`` logits after one more token of every row.

        Args:
            tokens_R: The tokens.
            positions_R: Their positions.
            cache: Takes their keys and values at its edge.
            own_RC: Whether a column of the cache, or the new one, is a row's own.
            beside: Whether a prefix that stands apart is read, too (``prefill.reading``).
        """
        states_RD = self._embed(tokens_R)
        cos_R1S, sin_R1S = self._rotary(states_RD[:, None], positions_R[:, None])
        half = sin_R1S.shape[-1] // 2
        signed_R1S = torch.cat([-sin_R1S[..., :half], sin_R1S[..., half:]], dim=-1)
        rotation = Rotation(cos_R1S, signed_R1S)
        mask = None if beside or bool(own_RC.all()) else own_RC[:, None, None]
        reading = _Reading(rotation, mask, beside)
        for layer, columns in zip(self._layers, cache.row_layers, strict=True):
            states_RD = layer.run(states_RD, columns, reading)
        logits_RV: Tensor = self._head(_normed(states_RD, self._norm))
        return logits_RV

    @torch.inference_mode()
    def _differs(self, model: Any) -> float:
        """Returns how far logits are from the model's own, as a share of the largest of these."""
        # Two rows of four tokens, of which one is padding in the second; then one more of each.
        vocabulary, device = int(model.config.vocab_size), model.device
        ids_RT = torch.tensor([[5, 22, 39, 56], [0, 73, 90, 107]], device=device) % vocabulary
        mask_RT = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 1, 1, 1]], device=device)
        places_RT = (mask_RT.cumsum(-1) - 1).clamp(min=0)
        prompts = DynamicCache()
        model(
            input_ids=ids_RT,
            attention_mask=mask_RT[:, :-1],
            position_ids=places_RT[:, :-1],
            **with_cache(model, prompts),
        )
        cache = RowCache(prompts)
        cache.join(prompts, [0, 1], Room(rows=2, columns=8))
        tokens_R = torch.tensor([124, 141], device=device) % vocabulary
        ours = self.logits(tokens_R, places_RT[:, -1], cache, mask_RT.bool())
        # The model writes the same column again, which was not counted.
        theirs = model(
            input_ids=tokens_R[:, None],
            attention_mask=mask_RT,
            position_ids=places_RT[:, -1:],
            **with_cache(model, cache),
        ).logits[:, -1]
        return float((ours - theirs).abs().max() / theirs.abs().max())


class _Layer:
    """The weights of one layer, and what is done with them."""

    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._before_attention = layer.input_layernorm
        self._qkv = MergedLinear([attention.q_proj, attention.k_proj, attention.v_proj])
        self._attention, self._out = attention, attention.o_proj
        self._head_norms = [getattr(attention, name, None) for name in ("q_norm", "k_norm")]
        self._size = int(attention.head_dim)
        self._query_heads = attention.q_proj.out_features // self._size
        self._key_heads = attention.k_proj.out_features // self._size
        self._before_mlp = layer.post_attention_layernorm
        self._gate_up = MergedLinear([mlp.gate_proj, mlp.up_proj])
        self._act, self._down = mlp.act_fn, mlp.down_proj

    def part(self) -> None:
        """Give the layers back what was merged."""
        self._qkv.part()
        self._gate_up.part()

    def run(self, states_RD: Tensor, columns: RowLayer, reading: _Reading) -> Tensor:
        """Returns the hidden states after this layer; ``columns`` takes its keys and values."""
        normed_RD = _normed(states_RD, self._before_attention)
        attended_RD = self._attend(normed_RD, columns, reading)
        states_RD = states_RD + self._out(attended_RD)
        gate, up = self._gate_up(_normed(states_RD, self._before_mlp)).chunk(2, dim=-1)
        down: Tensor = self._down(self._act(gate) * up)
        return states_RD + down

    def _attend(self, states_RD: Tensor, columns: RowLayer, reading: _Reading) -> Tensor:
        R, H, K, S = len(states_RD), self._query_heads, self._key_heads, self._size
        heads_RHS = self._qkv(states_RD).view(R, -1, S)
        turned_RHS = reading.rotation.turned(self._normed_heads(heads_RHS[:, : H + K]))
        keys_RKCS, values_RKCS = columns.update(
            turned_RHS[:, H:, None], heads_RHS[:, H + K :, None]
        )
        query_RHS, scale = turned_RHS[:, :H], float(self._attention.scaling)
        if reading.beside:
            out, _ = prefix_attention(
                self._attention, query_RHS[:, :, None], keys_RKCS, values_RKCS, None, scaling=scale
            )
            return out.reshape(R, -1)
        # The query heads of a key head stand as its queries, so that no key is repeated.
        out_RKGS = F.scaled_dot_product_attention(
            query_RHS.view(R, K, H // K, S),
            keys_RKCS,
            values_RKCS,
            attn_mask=reading.mask,
            scale=scale,
        )
        return out_RKGS.reshape(R, -1)

    def _normed_heads(self, heads_RHS: Tensor) -> Tensor:
        query_norm, key_norm = self._head_norms
        if query_norm is None or key_norm is None:
            return heads_RHS
        query, key = heads_RHS.split([self._query_heads, self._key_heads], dim=1)
        return torch.cat([_normed(query, query_norm), _normed(key, key_norm)], dim=1)


def _normed(states: Tensor, norm: Any) -> Tensor:
    """Returns states over their root mean square, rounded, times the norm's weight."""
    wide = states.to(torch.float32)
    scale = wide.square().mean(-1, keepdim=True).add_(norm.variance_epsilon).rsqrt_()
    normed: Tensor = norm.weight * (wide * scale).to(states.dtype)
    return normed
