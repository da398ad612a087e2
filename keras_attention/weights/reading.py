"""Read weight files of other libraries, as tensors by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_attention.weights import keras_files, pytorch_files, safetensors_files
from keras_attention.weights.checking import MAX_BYTES

READERS = {
    ".safetensors": safetensors_files.read_safetensors,
    ".pth": pytorch_files.read_pytorch,
    ".pt": pytorch_files.read_pytorch,
    ".bin": pytorch_files.read_pytorch,
    ".tar": pytorch_files.read_pytorch,
    ".h5": keras_files.read_legacy_h5,
}


def read_tensors(
    path: str | Path, *, max_bytes: int = MAX_BYTES
) -> dict[str, np.ndarray]:
    """Read the tensors of a weight file that somebody else may have made.

    Nothing in the file is run, and no more memory is taken than it declares and
    `max_bytes` allows. A flipped bit in the numbers of a file without a check sum
    cannot be found, unless it makes a number infinite or NaN. A check sum have zip
    files, which PyTorch writes since 1.6, and safetensors files of this package.

    Args:
        path: a `.safetensors` file; PyTorch's `.pth`, `.pt`, `.bin` or `.pth.tar`;
            or one of Keras' old `.h5` files of weights by layer, whose names become
            "layer/variable".
        max_bytes: limit of all tensors together, looked at before memory is taken.

    Returns:
        {name: array}; float16 and bfloat16 as float32, counters of batches as they
        are.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the suffix is another one, or the file is damaged, too large, or
            holds what no weights are. The message names the file.
        ImportError: the package that reads it is not installed.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(
            f"{path} has the suffix {path.suffix!r}. Weight files have one of: "
            f"{', '.join(READERS)}"
        )
    return reader(path, max_bytes=max_bytes)
