"""The key-value cache of a batch whose rows come and go, in buffers allocated once.

Every row ends at a common right edge, so one step writes one column. A row that leaves gives its
place to the last row; a row that joins is laid to the left of the edge. Columns before a row's
own first token hold zeros or another row's leavings and are masked out (they have to be finite: a
masked column is multiplied by 0, and 0 * nan is nan).

Shape suffixes: R rows, H key-value heads, C columns of the buffer, T tokens, D head dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer


@dataclass(slots=True)
class Span:
    """The part of the buffers in use, shared by all layers."""

    rows: int = 0
    start: int = 0
    """First column in use."""

    edge: int = 0
    """The column after the last one written; the cache's owner moves it after each forward."""

    @property
    def width(self) -> int:
        """Columns in use."""
        return self.edge - self.start


class Room(NamedTuple):
    """What the buffers have to hold before the next rows join."""

    rows: int
    columns: int
    """The most that any row, old or new, will come to."""


class RowLayer(DynamicLayer):
    """One layer's buffers; what a model sees of them are views."""

    def __init__(self, span: Span, keys_RHTD: Tensor, values_RHTD: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.span = span
        self.is_initialized = True
        self.buffers = [_empty(keys_RHTD, 0, 0), _empty(values_RHTD, 0, 0)]

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write new columns at the edge; the views that are returned include them."""
        span = self.span
        end = span.edge + key_states.shape[-2]
        for buffer_RHCD, states_RHTD in zip(self.buffers, (key_states, value_states), strict=True):
            buffer_RHCD[: span.rows, :, span.edge : end] = states_RHTD
        keys_RHCD, values_RHCD = self.buffers
        return (
            keys_RHCD[: span.rows, :, span.start : end],
            values_RHCD[: span.rows, :, span.start : end],
        )

    def get_seq_length(self) -> int:
        """Columns a model has seen."""
        return self.span.width

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the keys under a mask."""
        return self.span.width + query_length, 0


class RowCache(Cache):
    """A cache from which rows leave, and into which prompts' caches are laid."""

    def __init__(self, prompts: DynamicCache) -> None:
        self.span = Span()
        self.row_layers = [RowLayer(self.span, *layer_states(layer)) for layer in prompts.layers]
        super().__init__(layers=list(self.row_layers))

    def join(self, prompts: DynamicCache, sources: Sequence[int], room: Room) -> None:
        """Add a row for each source, a row of ``prompts``; a source may be named many times.

        Args:
            prompts: Left-padded; its last column is each prompt's last token.
            sources: Which row of ``prompts`` each new row continues.
            room: For these rows, the old ones, and those that will join directly after.
        """
        length = prompts.get_seq_length()
        self._make_room(room, max(self.span.width, length))
        span = self.span
        first, span.rows = span.rows, span.rows + len(sources)
        before, span.start = span.start, min(span.start, span.edge - length)
        for buffer in self._buffers():
            buffer[:first, :, span.start : before] = 0
            buffer[first : span.rows, :, span.start : span.edge - length] = 0
        alone = list(sources) == list(range(len(sources)))  # one sample each: nothing to repeat
        for own, theirs in zip(self.row_layers, prompts.layers, strict=True):
            for buffer, states in zip(own.buffers, layer_states(theirs), strict=True):
                new_RHCD = buffer[first : span.rows]
                picked = states if alone else states[torch.tensor(sources, device=states.device)]
                new_RHCD[:, :, span.edge - length : span.edge] = picked

    def leave(self, places: Sequence[int], holes: Sequence[int], *, rows: int, width: int) -> None:
        """Move the rows in ``places`` into ``holes``, then keep the first ``rows`` only.

        Args:
            places: Rows to keep that stand too far behind.
            holes: Rows to overwrite, as many.
            rows: How many stay.
            width: Tokens of the longest row that stays.
        """
        span = self.span
        if holes:
            for buffer_RHCD in self._buffers():
                live_RHCD = buffer_RHCD[:, :, span.start : span.edge]
                live_RHCD[list(holes)] = live_RHCD[list(places)]
        span.rows, span.start = rows, span.edge - width

    def advance(self) -> None:
        """Count the column that a forward has just written."""
        self.span.edge += 1

    def open_column(self) -> None:
        """Make sure that one more column can be written."""
        if self.span.edge == self._buffers()[0].shape[2]:
            self._slide(self.span.width)

    def _make_room(self, room: Room, width: int) -> None:
        """Have buffers of that size, with ``width`` columns left of the edge."""
        have_R, _, have_C, _ = self._buffers()[0].shape
        rows, columns = room
        columns += 1 + columns // 2  # so that it is rare to slide back
        if rows > have_R or columns > have_C:
            rows += rows // 4  # so that it is rare to grow
            shape = max(rows, have_R), max(columns, have_C)
            for layer in self.row_layers:
                layer.buffers = [self._copied(buffer, *shape) for buffer in layer.buffers]
        if self.span.edge < width or self.span.rows == 0:
            self._slide(width)

    def _copied(self, buffer: Tensor, rows: int, columns: int) -> Tensor:
        """A larger buffer with the live part of this one, at the same place."""
        larger = _empty(buffer, rows, columns)
        used = slice(self.span.start, self.span.edge)
        larger[: self.span.rows, :, used] = buffer[: self.span.rows, :, used]
        return larger

    def _slide(self, edge: int) -> None:
        """Move the live columns so that they end at ``edge``."""
        span = self.span
        width, rows = (span.width, span.rows) if span.rows else (0, 0)
        for buffer in self._buffers() if width else []:
            live = buffer[:rows, :, span.start : span.edge].clone()
            buffer[:rows, :, edge - width : edge] = live
        span.start, span.edge = edge - width, edge

    def _buffers(self) -> list[Tensor]:
        return [buffer for layer in self.row_layers for buffer in layer.buffers]


def layer_states(layer: object) -> tuple[Tensor, Tensor]:
    """The keys and values of a filled layer of a cache."""
    assert isinstance(layer, DynamicLayer)
    assert layer.keys is not None
    assert layer.values is not None
    return layer.keys, layer.values


def filled_layer(keys: Tensor, values: Tensor) -> DynamicLayer:
    """A layer that goes on from keys and values; they are not copied before it does."""
    layer = DynamicLayer()
    layer.lazy_initialization(keys, values)
    layer.keys, layer.values = keys, values
    return layer


def _empty(like_RHTD: Tensor, rows: int, columns: int) -> Tensor:
    """A buffer of the same heads; what is not written yet is whatever the memory held."""
    _, heads, _, dimension = like_RHTD.shape
    return like_RHTD.new_empty(rows, heads, columns, dimension)
