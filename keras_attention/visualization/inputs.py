"""The images that a network is asked about."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np

__all__ = ["batches", "check_images"]


def check_images(model: keras.Model, images) -> np.ndarray:
    """`images` as a float32 array.

    Args:
        model: which shall take them.
        images: float `[N, H, W, C]`, or channels first, as the network takes them.

    Raises:
        ValueError: none, another rank, shape or type, or a number that is not finite.
    """
    images = np.asarray(images)
    wanted = getattr(model, "input_shape", None)  # a subclass may have none
    if not isinstance(wanted, tuple) or len(wanted) != 4:
        wanted = (None,) * 4
    fits = images.ndim == 4 and all(
        want in (None, got)
        for want, got in zip(wanted[1:], images.shape[1:], strict=True)
    )
    if not fits or not images.size:
        sizes = ", ".join("any" if n is None else str(n) for n in wanted[1:])
        raise ValueError(
            f"`images` must be a batch of at least one image, [N, {sizes}], as "
            f"{model.name!r} takes them. Received: shape {images.shape}."
        )
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(
            "`images` must be floats as the network takes them, after normalization. "
            f"Received: {images.dtype}."
        )
    if not np.isfinite(images).all():
        raise ValueError("`images` must be finite. Received: NaN or infinity.")
    return images.astype("float32")


def batches(images: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """The images in parts of `batch_size`, the last one maybe smaller."""
    for start in range(0, len(images), batch_size):
        yield images[start : start + batch_size]
