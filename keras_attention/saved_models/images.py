"""Images for calibration and comparison, in the forms that users have them."""

from __future__ import annotations

import numpy as np

MOST = 1000  # images kept in memory


def as_images(name: str, data, shape: tuple[int, ...], least: int) -> np.ndarray:
    """Up to 1,000 images as one float32 array.

    Args:
        name: of the argument, for errors.
        data: `[n, *shape]`, or an iterable of batches, of images or of tuples whose
            first entry they are.
        shape: (height, width, channels).
        least: number of images that are needed.

    Raises:
        ValueError: fewer images, of another shape or type, or not finite.
    """
    whole = hasattr(data, "shape") and hasattr(data, "dtype")
    if not whole and not hasattr(data, "__iter__"):
        raise ValueError(
            f"`{name}` is an array of images or batches of them. "
            f"Received: {type(data).__name__}."
        )
    batches, count = [], 0
    for batch in [data] if whole else data:
        batch = batch[0] if isinstance(batch, tuple | list) else batch
        batches.append(_checked(name, np.asarray(batch), shape))
        count += len(batch)
        if count >= MOST:
            break
    if count < least:
        raise ValueError(
            f"`{name}` has {count} images, and at least {least} are needed."
        )
    return np.concatenate(batches)[:MOST]


def _checked(name, batch, shape):
    if batch.ndim != 4 or batch.shape[1:] != shape:
        raise ValueError(
            f"`{name}` has batches of shape {batch.shape}; the network takes "
            f"(n, {', '.join(map(str, shape))})."
        )
    if batch.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"`{name}` must be float32 as the network takes it, after normalization. "
            f"Received: {batch.dtype}."
        )
    if not np.isfinite(batch).all():
        raise ValueError(f"`{name}` holds a number that is not finite.")
    return batch.astype("float32")
