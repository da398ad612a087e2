"""Read PyTorch's checkpoints, which are pickles, without running what is in them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from keras_attention import extras
from keras_attention.weights.checking import (
    MAX_BYTES,
    check_file,
    check_kind,
    check_total,
    check_zip,
    checked_tensors,
    naming,
)

# Where training scripts keep a network's tensors in a checkpoint. Averaged weights
# are what such a script evaluates, and so come first.
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "net")
# `torch.nn.DataParallel` puts it before each name.
PARALLEL = "module."


def read_pytorch(
    path: str | Path, *, max_bytes: int = MAX_BYTES
) -> dict[str, np.ndarray]:
    """Read the tensors of a PyTorch checkpoint, with `weights_only=True` and only so.

    Both of PyTorch's formats are read: zip files, which have check sums, and the
    pickles that it wrote before version 1.6, in whose numbers a flipped bit cannot
    be found unless it makes one infinite or NaN. Zip files are looked at before
    PyTorch sees them.

    Args:
        path: the file.
        max_bytes: limit of all tensors together.

    Returns:
        {name: array} of the checkpoint, or of what it holds as "state_dict_ema",
        "model_ema", "state_dict", "model" or "net", the first of these that is
        there; without the "module." that data-parallel training puts before names.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, too large, holds code or what no weights are.
        ImportError: PyTorch is not installed.
    """
    path = Path(path)
    check_file(path)
    with naming(path):
        if zipfile.is_zipfile(path):
            _check_archive(check_zip(path, max_bytes, stored=True))
    torch = extras.require("torch", extra="torch", purpose="A PyTorch checkpoint")
    with naming(path):
        tensors = _state(_load(torch, path), torch)
        _check_storages(tensors, path.stat().st_size, max_bytes, torch)
        tensors = {name: _as_array(t, torch) for name, t in tensors.items()}
        return checked_tensors(_without_prefix(tensors))


def _check_archive(sizes: Iterable[str]) -> None:
    pickles = [name for name in sizes if name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise ValueError(
            f"a PyTorch checkpoint has one member 'data.pkl'. Found: {len(pickles)}"
        )


def _load(torch, path: Path):
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch's own message advises to load the file with `weights_only=False`;
        # what went wrong is in the error before.
        said = f". PyTorch says: {error.__context__}" if error.__context__ else ""
        raise ValueError(
            "it is damaged, or holds more than tensors: objects or code, which are "
            f"never loaded. Where you trust it, save its `state_dict()` alone{said}"
        ) from error


def _state(content, torch) -> dict:
    """The {name: tensor} in a checkpoint."""
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"it holds no tensors by name but {_said(content)}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ValueError(
                "it holds no tensors by name: under "
                f"{name!r} is {_said(value)}. Tensors are looked for in the file "
                f"itself and under {', '.join(map(repr, WRAPPERS))}"
            )
    return dict(content)


def _said(value) -> str:
    if isinstance(value, Mapping):
        keys = ", ".join(repr(key) for key in list(value)[:5])
        return f"a dict with the keys {keys}" if keys else "an empty dict"
    return f"a value of type {type(value).__name__}"


def _check_storages(tensors: dict, file_size: int, max_bytes: int, torch) -> None:
    """Raise ValueError if tensors have numbers that are not in the file.

    A few bytes can declare a large memory that is never filled, or a large tensor
    that repeats one number.
    """
    storages = {}
    for name, tensor in tensors.items():
        check_kind(name, str(tensor.dtype).removeprefix("torch."))
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise ValueError(f"the tensor {name!r} is sparse or has no numbers")
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        if tensor.nbytes > storage.nbytes():
            raise ValueError(f"the tensor {name!r} repeats numbers of the file")
    if sum(storages.values()) > file_size:
        raise ValueError("its tensors are larger than the file")
    check_total((tensor.nbytes for tensor in tensors.values()), max_bytes)


def _as_array(tensor, torch) -> np.ndarray:
    tensor = tensor.detach()
    # NumPy has no bfloat16 that PyTorch would convert to.
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _without_prefix(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if not all(name.startswith(PARALLEL) for name in tensors):
        return tensors
    return {name.removeprefix(PARALLEL): array for name, array in tensors.items()}
