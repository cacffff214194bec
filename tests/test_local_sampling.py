"""The choice of the next token."""

import pytest
import torch

from potstill.models.local.sampling import Draw, choose


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_of_equal_logits_the_first_token_is_taken(dtype: torch.dtype) -> None:
    """Logits in bfloat16 are often equal."""
    logits_RV = torch.tensor([[1, 5, 5, 2], [7, 7, 7, 7], [0, 1, 2, 3]], dtype=dtype)
    assert choose(logits_RV, [Draw(0.0, 1.0, 0.0)] * 3).tolist() == [1, 0, 3]
