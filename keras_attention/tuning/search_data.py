"""The images of a search: training images for the weights, others for α."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from keras_attention.data import Augmentation, ImageData, RecordSplit
from keras_attention.data.partition import held_out, partition

ARCHITECTURE = "architecture_fraction"


def divide_training(
    data: ImageData, fraction: float, seed: int
) -> tuple[ImageData, ImageData]:
    """The training split in two: for the weights, and for the architecture.

    Neither has the data's own validation and test splits, which a search leaves
    alone.

    Args:
        data: with a training split.
        fraction: of the training images for the architecture, in (0, 1).
        seed: of the division. Streamed records, which are in random order already,
            are divided at a place instead.

    Raises:
        ValueError: a fraction that leaves one of them without images.
    """
    if not 0 < fraction < 1:
        raise ValueError(
            f"`{ARCHITECTURE}` must be between 0 and 1. Received: {fraction}"
        )
    if isinstance(data.train, RecordSplit):
        number = held_out(len(data.train), fraction, ARCHITECTURE)
        architecture, weights = _cut(data.train, number)
    else:
        parts = partition(len(data.train), {ARCHITECTURE: fraction}, seed)
        weights, architecture = (
            data.train.take(parts[name]) for name in ("train", ARCHITECTURE)
        )
    return tuple(
        dataclasses.replace(data, train=part, validation=None, test=None)
        for part in (weights, architecture)
    )


def batches(
    data: ImageData,
    augmentation: Augmentation,
    *,
    batch_size: int,
    seed: int,
    first: int,
    total: int,
) -> Iterator:
    """Training batches from number `first` of `total` on, epoch after epoch.

    They are a function of (seed, number) alone, wherever one begins.
    """
    per_epoch = data.steps_per_epoch(batch_size)
    epoch, skipped = divmod(first, per_epoch)
    epochs = max(epoch + 1, -(-total // per_epoch))
    delivered = data.training(
        augmentation,
        batch_size=batch_size,
        seed=seed,
        first_epoch=epoch,
        epochs=epochs,
        first_step=skipped,
    )
    return iter(delivered)


def _cut(split: RecordSplit, number: int) -> tuple[RecordSplit, RecordSplit]:
    """The first `number` records, and the others."""
    first, rest, left = [], [], number
    for file, skip, take in zip(split.files, split.skips, split.takes, strict=True):
        head = min(take, left)
        left -= head
        first.append((file, skip, head))
        rest.append((file, skip + head, take - head))
    return tuple(
        RecordSplit(
            *zip(*[piece for piece in pieces if piece[2]], strict=True), split.parse
        )
        for pieces in (first, rest)
    )
