"""Weights that several processes hold in parts (FSDP2), as accelerate's configuration asks for it.

Each process writes its own part of the optimiser's state, as safetensors that name the place of
each part in its whole. Any number of processes goes on from that, sharded or not, and what one
process has written is taken up by processes that shard::

    resume/optimizer/shard-00001-model-00001-of-00001.safetensors
                     shard-00002-model-00001-of-00001.safetensors
"""

import copy
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from potstill.errors import ConfigError
from potstill.launched import asked_of_accelerate

Keyed = dict[str, Tensor]
"""Tensors of the optimiser's state by the name of their weight, a slash, and their own."""

States = Iterator[tuple[str, dict[str, Tensor]]]
"""The optimiser's state of each weight, whole, by the name of the weight."""


def is_fsdp_asked_for() -> bool:
    """Whether accelerate's configuration asks for weights in parts."""
    return asked_of_accelerate("ACCELERATE_USE_FSDP")


def check_fsdp() -> None:
    """Refuse the older FSDP, whose weights lie flattened together, and a torch that is too old.

    Raises:
        ConfigError: It is asked for.
    """
    if not is_fsdp_asked_for():
        return
    if find_spec("torch.distributed.checkpoint.hf_storage") is None:
        raise ConfigError(
            f"torch {torch.__version__} cannot write the state of weights in parts as safetensors. "
            "Install a newer one: pip install -U torch"
        )
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise ConfigError(
            "accelerate's configuration asks for FSDP in its first version, which potstill does "
            "not train with. Set fsdp_version: 2 under fsdp_config (examples/accelerate/fsdp2.yaml)"
        )


def shard_on_processors(accelerator: Any) -> None:
    """Have accelerate shard weights on processors, too, where its configuration asks for it.

    By itself it looks at that on GPUs alone, and on processors gives every process all weights.
    """
    state = accelerator.state
    if is_fsdp_asked_for() and state.distributed_type == DistributedType.MULTI_CPU:
        state.distributed_type = DistributedType.FSDP
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP  # as on GPUs
        state.fsdp_plugin = FullyShardedDataParallelPlugin()


def without_weights(model: nn.Module) -> nn.Module:
    """Returns a copy of a model whose weights take no memory, to be filled by :func:`filled`."""
    empty: dict[int, Any] = {
        id(weight): nn.Parameter(weight.detach().to("meta"), requires_grad=weight.requires_grad)
        for weight in model.parameters()
    }
    return copy.deepcopy(model, empty)


def filled(skeleton: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """Returns a model with the given weights, as a copy of one without.

    Args:
        skeleton: Made by :func:`without_weights`; stays as it is.
        weights: All of them, by their names.
    """
    given: dict[int, Any] = {
        id(weight): nn.Parameter(weights[name], requires_grad=False)
        for name, weight in skeleton.named_parameters()
    }
    return copy.deepcopy(skeleton, given)


def save_parts(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Write an optimiser's state, each process its own part; all have to come.

    Args:
        model: The model in training, which gives the states their names.
        optimizer: Its optimiser.
        folder: Is there already.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    state: Keyed = {
        f"{name}/{key}": _at_least_a_row(tensor)
        for name, weight in trained_weights(model)
        for key, tensor in optimizer.state[weight].items()
    }
    save(state, storage_writer=writer)


def load_parts(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Read what :func:`save_parts` wrote, by whichever number of processes.

    Args:
        model: The model in training, its weights whole or in parts.
        optimizer: Its optimiser, which takes the state.
        folder: Holds the parts.
    """
    reader, sizes = _reader_of(folder)
    state: Keyed = {}
    for name, weight in trained_weights(model):
        for key in (key for key in sizes if key.rpartition("/")[0] == name):
            like = sizes[key] == weight.shape
            state[key] = torch.zeros_like(weight) if like else torch.zeros(sizes[key])
    _fill(state, reader)
    for name, weight in trained_weights(model):
        optimizer.state[weight] = {
            key.rpartition("/")[2]: tensor if tensor.shape == weight.shape else tensor[0]
            for key, tensor in state.items()
            if key.rpartition("/")[0] == name
        }


def states_in(parts: Path) -> States:
    """Yields what :func:`save_parts` wrote, or DeepSpeed's parts; one weight is held at a time."""
    reader, sizes = _reader_of(parts)
    for name in sorted({key.rpartition("/")[0] for key in sizes}):
        own = {key: size for key, size in sizes.items() if key.rpartition("/")[0] == name}
        state = {key: torch.zeros(size) for key, size in own.items()}
        _fill(state, reader)
        yield name, {key.rpartition("/")[2]: tensor for key, tensor in state.items()}


def states_of(whole: Path, names: Sequence[str]) -> States:
    """Yields the state that one process has written.

    Args:
        whole: The state as torch writes it; read as plain tensors and numbers.
        names: The names of the weights, in the optimiser's order.
    """
    state = torch.load(whole, map_location="cpu", weights_only=True, mmap=True)["state"]
    return ((name, state[number]) for number, name in enumerate(names))


def _reader_of(folder: Path) -> tuple[Any, dict[str, torch.Size]]:
    """Returns what reads parts, and the sizes of the tensors that they make, by their names."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

    reader = HuggingFaceStorageReader(str(folder))
    known = reader.read_metadata().state_dict_metadata
    sizes = {key: one.size for key, one in known.items() if isinstance(one, TensorStorageMetadata)}
    return reader, sizes


def _fill(state: Keyed, reader: Any) -> None:
    """Read the tensors of a state."""
    from torch.distributed.checkpoint.state_dict_loader import load

    with warnings.catch_warnings():  # each process reads what it needs by itself, as is meant
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        load(state, storage_reader=reader, no_dist=True)


def load_whole(optimizer: torch.optim.Optimizer, path: Path) -> None:
    """Take up the state that one process has written for weights which are in parts now.

    Args:
        optimizer: The optimiser of weights in parts.
        path: The state as torch writes it; read as plain tensors and numbers.
    """
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["state"]
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for number, weight in enumerate(weights):
        optimizer.state[weight] = {
            key: _in_parts(tensor, weight) if tensor.shape == weight.shape else tensor.clone()
            for key, tensor in state[number].items()
        }


def _in_parts(tensor: Tensor, like: Tensor) -> Tensor:
    assert isinstance(like, DTensor)
    whole = tensor.to(like.device)
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)


def trained_weights(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yields the weights that are trained, and their names."""
    return ((name, one) for name, one in model.named_parameters() if one.requires_grad)


def _at_least_a_row(tensor: Tensor) -> Tensor:
    """Returns a number as a row of one, which can be read in parts as all else is."""
    return tensor[None] if tensor.ndim == 0 else tensor
