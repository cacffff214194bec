"""The name by which a model's forward pass takes the keys and values of tokens before.

It is ``past_key_values`` before transformers 5.24, and ``cache`` from then on; code that comes with
a model may keep to the former one.
"""

import inspect
from functools import cache
from typing import Any

from torch import nn
from transformers import Cache


def with_cache(model: nn.Module, states: Cache) -> dict[str, Any]:
    """Returns a cache as a keyword argument of a model's forward pass."""
    kind: Any = type(model)
    return {_name(kind): states}


@cache
def _name(kind: Any) -> str:
    is_new = "cache" in inspect.signature(kind.forward).parameters
    return "cache" if is_new else "past_key_values"
