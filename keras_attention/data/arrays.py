"""Images that are in memory already."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from keras_attention.data.image_data import ImageData
from keras_attention.data.partition import divide
from keras_attention.data.preprocessing import Preprocessing
from keras_attention.data.splits import ArraySplit


def from_arrays(
    train: tuple[np.ndarray, np.ndarray],
    *,
    class_names: Sequence[str],
    validation: tuple[np.ndarray, np.ndarray] | float = 0.1,
    test: tuple[np.ndarray, np.ndarray] | float = 0.0,
    image_size: tuple[int, int] | None = None,
    seed: int = 0,
    limit: int | None = None,
    name: str = "arrays",
    source: dict | None = None,
) -> ImageData:
    """Data from NumPy arrays.

    Mean and standard deviation per channel are taken from the training split.

    Args:
        train: `(images, labels)`: uint8 `[n, height, width, channels]` (0 to 255,
            1 or 3 channels) and integers `[n]` from 0 to `len(class_names) - 1`.
        class_names: name of each label, at least 2.
        validation: such a pair, or the fraction of the training images to hold
            out, 0 for none.
        test: such a pair, or a fraction of the training images.
        image_size: `(height, width)` of the network's input, or None for the
            images' own.
        seed: of the division and of `limit`.
        limit: most images in any split, drawn at random.
        name: for messages.
        source: keyword arguments for `keras_attention.data.load` that load this
            data again, if there are such.

    Raises:
        ValueError: a wrong type, shape, label or fraction.
    """
    given = {"train": train, "validation": validation, "test": test}
    pairs = {key: value for key, value in given.items() if isinstance(value, tuple)}
    fractions = dict.fromkeys(pairs, 0.0) | {
        key: value for key, value in given.items() if key not in pairs
    }
    whole = {
        key: _split(f"{name} {key}", pair, len(class_names))
        for key, pair in pairs.items()
    }
    _check_same_shape(name, whole)
    splits = divide(
        whole,
        validation=fractions["validation"],
        test=fractions["test"],
        seed=seed,
        limit=limit,
    )
    images = splits["train"].images
    mean, std = channel_statistics(images)
    preprocessing = Preprocessing(
        size=tuple(image_size or images.shape[1:3]),
        channels=images.shape[-1],
        mean=mean,
        std=std,
        class_names=tuple(class_names),
    )
    return ImageData(
        name, preprocessing, **splits, source=source, fingerprint=_fingerprint(splits)
    )


def channel_statistics(images: np.ndarray) -> tuple[tuple, tuple]:
    """Mean and standard deviation per channel of uint8 images, range 0 to 1.

    Rounded to four digits, as they are published; the deviation is at least
    0.0001, so that constant images can be normalised.
    """
    # A histogram is exact and needs no float copy of the images.
    values = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(images.shape[-1]):
        counts = np.bincount(images[..., channel].ravel(), minlength=256)
        mean = np.average(values, weights=counts)
        variance = np.average((values - mean) ** 2, weights=counts)
        means.append(round(float(mean), 4))
        deviations.append(max(round(float(variance**0.5), 4), 1e-4))
    return tuple(means), tuple(deviations)


def _split(what: str, pair: tuple, classes: int) -> ArraySplit:
    images, labels = (np.asarray(array) for array in pair)
    if images.dtype != np.uint8:
        raise ValueError(
            f"{what}: images must be uint8 from 0 to 255. Received: {images.dtype}. "
            "Images from 0 to 1 become so with (255 * images).round().astype('uint8')"
        )
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"{what}: images must be [n, height, width, channels] with 1 or 3 "
            f"channels. Received shape: {images.shape}"
        )
    if labels.shape != images.shape[:1] or not len(labels):
        raise ValueError(
            f"{what}: one label for each of {len(images)} images (at least 1) is "
            f"needed. Received labels of shape {labels.shape}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"{what}: labels must be integers, not one-hot or floats. "
            f"Received: {labels.dtype}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"{what}: labels must be from 0 to {classes - 1} for {classes} classes. "
            f"Received: {labels.min()} to {labels.max()}"
        )
    return ArraySplit(images, labels.astype(np.int64))


def _check_same_shape(name: str, splits: dict[str, ArraySplit]) -> None:
    shapes = {key: split.images.shape[1:] for key, split in splits.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"{name}: the splits' images differ in shape: {shapes}")


def _fingerprint(splits: dict[str, ArraySplit]) -> str:
    checksum = 0
    for split in splits.values():
        checksum = zlib.crc32(split.labels.tobytes(), checksum)
        checksum = zlib.crc32(np.ascontiguousarray(split.images), checksum)
    return f"crc32:{checksum:08x}"
