"""Seeded division of one set of images into train, validation and test."""

from __future__ import annotations

import numpy as np

from keras_attention.data.order import check_seed


def check_fraction(name: str, value: float) -> None:
    """Raise ValueError unless 0 ≤ value < 1."""
    if not 0 <= value < 1:
        raise ValueError(
            f"`{name}` must be a fraction of the images, 0 ≤ {name} < 1. "
            f"Received: {value}"
        )


def check_limit(limit: int | None) -> None:
    """Raise ValueError unless None or at least 1."""
    if limit is not None and limit < 1:
        raise ValueError(f"`limit` must be at least 1 image. Received: {limit}")


def held_out(count: int, fraction: float, what: str) -> int:
    """How many of `count` images a fraction is.

    Raises:
        ValueError: a fraction above 0 that rounds to no image at all, or leaves
            none.
    """
    check_fraction(what, fraction)
    number = round(count * fraction)
    if fraction and not 0 < number < count:
        raise ValueError(
            f"`{what}`={fraction} of {count} images is {number}: "
            "choose another fraction, 0 for none, or add images"
        )
    return number


def partition(
    count: int, fractions: dict[str, float], seed: int
) -> dict[str, np.ndarray]:
    """Divide `range(count)` at random.

    Args:
        count: number of images.
        fractions: share of the images for each name; "train" gets the rest.
        seed: 0 to 2³¹ − 1.

    Returns:
        Indices by name, "train" included; the same for the same arguments.
    """
    check_seed(seed)
    indices = np.random.default_rng(seed).permutation(count)
    parts = {}
    for name, fraction in fractions.items():
        number = held_out(count, fraction, name)
        parts[name], indices = indices[:number], indices[number:]
    if not len(indices):
        raise ValueError(f"{fractions} of {count} images leaves none to train on")
    return {"train": indices, **parts}


def divide(splits: dict, *, validation: float, test: float, seed: int, limit) -> dict:
    """Make the splits that a data set does not bring, and cut all to `limit`.

    Args:
        splits: by name; "train" must be there. Each has `take(indices)`.
        validation: fraction of the training images, where there is no such split.
        test: the same for the test split.
        seed: of the division.
        limit: most images in any split, or None.

    Returns:
        Splits by name, without empty ones.
    """
    check_limit(limit)
    wanted = {"test": test, "validation": validation}
    missing = {name: part for name, part in wanted.items() if name not in splits}
    train = splits["train"]
    parts = partition(len(train), missing, seed)
    divided = splits | {name: train.take(indices) for name, indices in parts.items()}
    return {
        # The other splits are in storage order, which is often by class.
        name: split if limit is None else limited(split, limit, seed)
        for name, split in divided.items()
        if len(split)
    }


def limited(split, limit: int, seed: int):
    """At most `limit` images of a split, drawn at random."""
    if len(split) <= limit:
        return split
    return split.take(np.random.default_rng(seed).permutation(len(split))[:limit])
