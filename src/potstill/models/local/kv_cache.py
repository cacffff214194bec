"""The key-value cache of a batch whose rows come and go, in buffers allocated once.

Every row ends at a common right edge, so one step writes one column for all rows. A row that leaves
gives its place to the last row; a row that joins is laid to the left of the edge::

    columns    0 1 2 3 4 5 6 7            start = 1, edge = 6
    row 0      . a a a a a . .            the next token goes to column 6
    row 1      . . . b b b . .            b was shorter: its first columns are masked
    (free)     . . . . . . . .

When the edge reaches the buffers' end, the live columns are moved back to their beginning. Columns
before a row's own first token hold zeros or another row's leavings and are masked out (they have to
be finite: a masked column is multiplied by 0, and 0 * nan is nan).

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
class LiveBlock:
    """The rows and columns of the buffers in use, the same in all layers."""

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
    """The size that the buffers have to hold before the next rows join."""

    rows: int
    columns: int
    """The most columns that any row, old or new, will come to."""


class RowLayer(DynamicLayer):
    """One layer's buffers; a model sees views of them."""

    def __init__(self, live: LiveBlock, keys_RHTD: Tensor, values_RHTD: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = live
        self.is_initialized = True
        self.buffers = [_empty(keys_RHTD, 0, 0), _empty(values_RHTD, 0, 0)]

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write new columns at the edge, and return views that include them."""
        live = self.live
        # T new columns from the common right edge on, at the same place in every row.
        end = live.edge + key_states.shape[-2]
        for buffer_RHCD, states_RHTD in zip(self.buffers, (key_states, value_states), strict=True):
            buffer_RHCD[: live.rows, :, live.edge : end] = states_RHTD
        # Attention reads all live columns and the new ones; slices, so nothing is copied.
        keys_RHCD, values_RHCD = self.buffers
        return (
            keys_RHCD[: live.rows, :, live.start : end],
            values_RHCD[: live.rows, :, live.start : end],
        )

    def get_seq_length(self) -> int:
        """Returns the number of columns that a model has seen."""
        return self.live.width

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Returns length and offset of the keys under a mask."""
        return self.live.width + query_length, 0


class RowCache(Cache):
    """A cache from which rows leave, and into which prompts' caches are laid."""

    def __init__(self, prompts: DynamicCache) -> None:
        self.live = LiveBlock()
        self.row_layers = [RowLayer(self.live, *layer_states(layer)) for layer in prompts.layers]
        super().__init__(layers=list(self.row_layers))

    def join(self, prompts: DynamicCache, sources: Sequence[int], room: Room) -> None:
        """Add a row for each source, which is a row of ``prompts`` and may be named many times.

        Args:
            prompts: The prompts' cache, left-padded; its last column is each prompt's last token.
            sources: The row of ``prompts`` that each new row continues.
            room: The size for these rows, the old ones, and those that join directly after.
        """
        # Make room for the prompts' columns left of the edge; the live block then begins there.
        length = prompts.get_seq_length()
        self._make_room(room, max(self.live.width, length))
        live = self.live
        first, live.rows = live.rows, live.rows + len(sources)
        before, live.start = live.start, min(live.start, live.edge - length)
        # Zeros where the block has grown: old rows to the left, new rows before their prompt.
        for buffer in self._buffers():
            buffer[:first, :, live.start : before] = 0
            buffer[first : live.rows, :, live.start : live.edge - length] = 0
        # Copy each source's columns into its new row, so that they end at the edge.
        alone = list(sources) == list(range(len(sources)))  # one sample each: nothing to repeat
        for own, theirs in zip(self.row_layers, prompts.layers, strict=True):
            for buffer, states in zip(own.buffers, layer_states(theirs), strict=True):
                new_RHCD = buffer[first : live.rows]
                picked = states if alone else states[torch.tensor(sources, device=states.device)]
                new_RHCD[:, :, live.edge - length : live.edge] = picked

    def leave(self, places: Sequence[int], holes: Sequence[int], *, rows: int, width: int) -> None:
        """Move the rows in ``places`` into ``holes``, then keep the first ``rows`` only.

        Args:
            places: Rows to keep that stand behind the first ``rows``.
            holes: Rows among the first ``rows`` to overwrite, as many.
            rows: The number of rows that stay.
            width: Columns of the longest row that stays.
        """
        live = self.live
        if holes:
            # In every layer, keys and values of the rows that move; only their live columns.
            for buffer_RHCD in self._buffers():
                columns_RHCD = buffer_RHCD[:, :, live.start : live.edge]
                columns_RHCD[list(holes)] = columns_RHCD[list(places)]
        # The longest row may have left: the block narrows to the longest that stays.
        live.rows, live.start = rows, live.edge - width

    def advance(self) -> None:
        """Count the column that a forward pass has just written."""
        self.live.edge += 1

    def open_column(self) -> None:
        """Make sure that one more column can be written."""
        if self.live.edge == self._buffers()[0].shape[2]:
            self._slide(self.live.width)

    def _make_room(self, room: Room, width: int) -> None:
        """Provide buffers of that size, with ``width`` columns left of the edge."""
        have_R, _, have_C, _ = self._buffers()[0].shape
        rows, columns = room
        columns += 1 + columns // 2  # so that it is rare to slide back
        if rows > have_R or columns > have_C:
            rows += rows // 4  # so that it is rare to grow
            rows, columns = max(rows, have_R), max(columns, have_C)
            for layer in self.row_layers:
                layer.buffers = [self._copied(buffer, rows, columns) for buffer in layer.buffers]
        # Too few columns left of the edge for what joins; or nobody is there, and the edge is free.
        if self.live.edge < width or self.live.rows == 0:
            self._slide(width)

    def _copied(self, buffer: Tensor, rows: int, columns: int) -> Tensor:
        """Returns a larger buffer with the live block of this one at the same place."""
        larger = _empty(buffer, rows, columns)
        used = slice(self.live.start, self.live.edge)
        larger[: self.live.rows, :, used] = buffer[: self.live.rows, :, used]
        return larger

    def _slide(self, edge: int) -> None:
        """Move the live columns so that they end at ``edge``."""
        live = self.live
        width, rows = (live.width, live.rows) if live.rows else (0, 0)
        for buffer in self._buffers() if width else []:
            # A copy first: the columns may overlap with where they go.
            columns = buffer[:rows, :, live.start : live.edge].clone()
            buffer[:rows, :, edge - width : edge] = columns
        live.start, live.edge = edge - width, edge

    def _buffers(self) -> list[Tensor]:
        return [buffer for layer in self.row_layers for buffer in layer.buffers]


def layer_states(layer: object) -> tuple[Tensor, Tensor]:
    """Returns the keys and values of a filled layer of a cache."""
    assert isinstance(layer, DynamicLayer)
    assert layer.keys is not None
    assert layer.values is not None
    return layer.keys, layer.values


def filled_layer(keys: Tensor, values: Tensor) -> DynamicLayer:
    """Returns a layer that goes on from keys and values; they are not copied before it does."""
    layer = DynamicLayer()
    layer.lazy_initialization(keys, values)
    layer.keys, layer.values = keys, values
    return layer


def _empty(like_RHTD: Tensor, rows: int, columns: int) -> Tensor:
    """Returns a buffer of the same heads; unwritten columns are whatever the memory held."""
    _, heads, _, dimension = like_RHTD.shape
    return like_RHTD.new_empty(rows, heads, columns, dimension)
