"""Encoding each distinct input of an encoder-decoder's batch once.

With D rationales to a question, D rows of a batch have the same input. The encoder, and each
decoder layer's keys and values of its output, need only run on the distinct inputs::

    rows         q0 q0 q1 q0        first_rows  [0 2]     rows that the encoder sees
    encoder      q0    q1           copies      [0 0 1 0] its output is handed out by these
    decoder      q0 q0 q1 q0

Gradients of the copies add up in ``index_select``'s backward pass, as they would in a plain batch.

Shape suffixes: B rows, D distinct inputs among them.
"""

from typing import Any

from torch import Tensor, nn


class EncoderOnce:
    """Hooks on an encoder-decoder through which rows with the same input share its encoding.

    The encoder sees the first row of each distinct input, and its output is handed out to all rows.
    So are the keys and values that each layer of the decoder makes of it, which else would be made
    of every copy. Everything happens within the model's own forward pass, and again where
    activations are computed a second time for the backward pass.

    Args:
        model: An encoder-decoder of transformers, wrapped by peft or not. It gets the hooks, for
            good; without :meth:`share` they do nothing.
    """

    def __init__(self, model: Any) -> None:
        self._first_rows: Tensor | None = None
        self._copies: Tensor | None = None
        self._distinct: Tensor | None = None
        self._all: Tensor | None = None
        encoder = model.get_encoder()
        encoder.register_forward_pre_hook(self._before_encoder, with_kwargs=True)
        encoder.register_forward_hook(self._after_encoder)
        within_encoder = set(encoder.modules())
        for module in model.modules():
            if isinstance(module, nn.Linear) and module not in within_encoder:
                module.register_forward_pre_hook(self._before_layer)
                module.register_forward_hook(self._after_layer)

    def share(self, first_rows_D: Tensor, copies_B: Tensor) -> None:
        """Say which rows of the next batch have the same input.

        Args:
            first_rows_D: The first row of each distinct input.
            copies_B: The number of each row's input among the distinct ones.
        """
        self.forget()
        if len(first_rows_D) < len(copies_B):
            self._first_rows, self._copies = first_rows_D, copies_B

    def forget(self) -> None:
        """Let go of the last batch."""
        self._first_rows = self._copies = self._distinct = self._all = None

    def _before_encoder(
        self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if self._first_rows is None:
            return None
        rows = self._first_rows
        return (
            tuple(_rows_of(value, rows) for value in args),
            {name: _rows_of(value, rows) for name, value in kwargs.items()},
        )

    def _after_encoder(self, _: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
        if self._copies is None:
            return None
        # The decoder gets one encoding a row; the distinct ones are kept for its linear layers.
        self._distinct = output[0]
        self._all = output[0].index_select(0, self._copies)
        output["last_hidden_state"] = self._all
        return output

    def _before_layer(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        # Only the layers that make keys and values read the encoder's output itself.
        if self._all is None or inputs[0] is not self._all:
            return None
        # It gets the distinct encodings in place of all rows'; its output is handed out below.
        return (self._distinct, *inputs[1:])

    def _after_layer(self, _: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if self._copies is None or self._distinct is None or inputs[0] is not self._distinct:
            return None
        # Computed on distinct inputs; (D, T, out) to (B, T, out).
        return output.index_select(0, self._copies)


def _rows_of(value: Any, rows_D: Tensor) -> Any:
    """Returns these rows of a tensor, and anything else as it is."""
    return value[rows_D] if isinstance(value, Tensor) else value
