"""One way to run a file, whatever its format."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_attention.saved_models.description import Description


class Artifact(abc.ABC):
    """An exported network, ready to run.

    Args:
        path: of the file or folder.
        description: what it says of itself.
        threads: for the runtime; None leaves the choice to it.
    """

    def __init__(self, path: Path, description: Description, threads: int | None):
        self.path, self.description, self.threads = path, description, threads

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Name of each class, if the file has them."""
        return self.description.labels

    @property
    def bytes(self) -> int:
        """Size of the file, or of all files in the folder."""
        if self.path.is_file():
            return self.path.stat().st_size
        return sum(f.stat().st_size for f in self.path.rglob("*") if f.is_file())

    def predict(self, images, *, batch_size: int = 32):
        """The network's outputs, as `keras.Model.predict` gives them.

        Args:
            images: float32 `[n, height, width, channels]`, as the network takes them:
                see `preprocess`.
            batch_size: images at a time, where the file leaves it open; other files
                are run at the size they were made for, the last batch filled up.

        Returns:
            An array, or a dict of arrays by name for several outputs.

        Raises:
            ValueError: images of another shape or type.
        """
        outputs = self._run_all(self._check(images), batch_size, logits=False)
        return outputs[0] if len(outputs) == 1 else self._named(outputs)

    def logits(self, images, *, batch_size: int = 32) -> np.ndarray:
        """The inputs of the network's softmax, which the file computes on the way.

        Raises:
            ValueError: the network does not end in a softmax; and as `predict`.
        """
        if not self.description.softmax:
            raise ValueError(
                f"{self.path} does not end in a softmax: use `predict`, whose outputs "
                "are what the network computes last."
            )
        return self._run_all(self._check(images), batch_size, logits=True)[0]

    def preprocess(self, images) -> np.ndarray:
        """What `predict` takes, from uint8 images of the network's height and width.

        Raises:
            ValueError: the file has no preprocessing, or other images.
        """
        if self.description.preprocessing is None:
            raise ValueError(
                f"{self.path} was exported without `preprocessing`, so it does not "
                "tell how images become its input."
            )
        from keras_attention.data.preprocessing import Preprocessing

        images = np.asarray(images)
        if images.dtype != np.uint8:
            raise ValueError(f"uint8 images are needed. Received: {images.dtype}.")
        how = Preprocessing.from_dict(self.description.preprocessing)
        return how.normalize(images).numpy()

    @abc.abstractmethod
    def operators(self) -> dict[str, int]:
        """Names of the file's operators, and how many there are of each."""

    def slow_operators(self) -> dict[str, int] | None:
        """Those that the runtime's fast kernels do not take; None where unknown."""
        return None

    @abc.abstractmethod
    def runner(self, count: int, *, logits: bool = False):
        """A function from `count` images to the list of output arrays."""

    def _run_all(self, images: np.ndarray, batch_size: int, logits: bool):
        size = self.description.input_shape[0] or min(batch_size, len(images))
        run = self.runner(size, logits=logits)
        batches = []
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            count = len(batch)
            if count < size:
                batch = np.concatenate([batch, np.repeat(batch[-1:], size - count, 0)])
            batches.append([output[:count] for output in run(batch)])
        return [np.concatenate(parts) for parts in zip(*batches, strict=True)]

    def _named(self, outputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self.description.output_names, outputs, strict=True))

    def _check(self, images) -> np.ndarray:
        images = np.asarray(images)
        wanted = tuple(self.description.input_shape[1:])
        if images.ndim != 4 or images.shape[1:] != wanted or not len(images):
            raise ValueError(
                f"{self.path} takes images of shape (n, {', '.join(map(str, wanted))}) "
                f"with n ≥ 1. Received: {images.shape}."
            )
        if images.dtype not in (np.float32, np.float64):
            hint = " See `preprocess`." if images.dtype == np.uint8 else ""
            raise ValueError(
                f"{self.path} takes float32 images, as the network does. "
                f"Received: {images.dtype}.{hint}"
            )
        return images.astype("float32", copy=False)


def load(path: str | Path, *, threads: int | None = None) -> Artifact:
    """An exported network, ready to run.

    Args:
        path: a LiteRT or ONNX file, or the folder of a SavedModel, written by
            `export`.
        threads: for the runtime; None leaves the choice to it.

    Returns:
        An `Artifact`, whose `predict(images)` is the network's.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it is something else, or damaged.
        ImportError: the runtime is missing; the message says how to install it.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no {path}")
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise ValueError(f"`threads` must be an integer ≥ 1. Received: {threads!r}.")
    return _kind(path).open(path, threads)


def _kind(path: Path) -> type[Artifact]:
    """The class for a path; each brings its runtime, so that others need not be."""
    if path.is_dir():
        from keras_attention.saved_models.runtime_saved_model import SavedModel

        return SavedModel
    if path.suffix == ".tflite":
        from keras_attention.saved_models.runtime_litert import LiteRT

        return LiteRT
    if path.suffix == ".onnx":
        from keras_attention.saved_models.runtime_onnx import Onnx

        return Onnx
    raise ValueError(
        f"{path} is no exported network: a '.tflite' or '.onnx' file or the folder "
        "of a SavedModel is needed."
    )
