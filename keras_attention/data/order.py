"""The order of training images as a pure function of (seed, epoch, position).

A run that stopped can go on with the images it would have seen: nothing about
the order is kept in an iterator, so nothing about it can be lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

SEED_LIMIT = 2**31


@dataclass(frozen=True)
class Order:
    """Which epochs to deliver, and how they are cut into batches.

    Every epoch delivers `steps` whole batches. The `count % batch_size` images
    that do not fill one are left out of that epoch; others are left out of the
    next, because each epoch has its own order.

    Args:
        count: images in the split.
        batch_size: images in a batch.
        seed: 0 to 2³¹ − 1.
        first_epoch: the first epoch delivered, from 0.
        epochs: the epoch to stop before.

    Raises:
        ValueError: a value is out of range, or there is less than one batch.
    """

    count: int
    batch_size: int
    seed: int
    first_epoch: int
    epochs: int

    def __post_init__(self):
        check_seed(self.seed)
        if self.batch_size < 1:
            raise ValueError(
                f"The batch size must be at least 1. Received: {self.batch_size}"
            )
        if not 0 <= self.first_epoch < self.epochs:
            raise ValueError(
                "Epochs must satisfy 0 ≤ first_epoch < epochs. Received: "
                f"first_epoch={self.first_epoch}, epochs={self.epochs}"
            )
        if self.count < self.batch_size:
            raise ValueError(
                f"The training split has {self.count} images, fewer than one batch "
                f"of {self.batch_size}: use a batch size of at most {self.count}, "
                "or more images"
            )

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return self.count // self.batch_size

    @property
    def first_step(self) -> int:
        """Global step of the first batch delivered."""
        return self.first_epoch * self.steps

    @property
    def total_steps(self) -> int:
        """Batches delivered over all epochs."""
        return (self.epochs - self.first_epoch) * self.steps

    @property
    def images_per_epoch(self) -> int:
        """Images delivered in an epoch: whole batches only."""
        return self.steps * self.batch_size

    def batches(self) -> tf.data.Dataset:
        """Dataset of int64 `[batch_size]` indices into the split."""
        steps = tf.data.Dataset.range(
            self.first_step, self.first_step + self.total_steps
        )
        return steps.map(self._batch, num_parallel_calls=tf.data.AUTOTUNE)

    def samples(self) -> tf.data.Dataset:
        """Dataset of scalar int64 indices: `batches` one by one."""
        return self.batches().unbatch()

    def _batch(self, step: tf.Tensor) -> tf.Tensor:
        epoch, within = step // self.steps, step % self.steps
        positions = within * self.batch_size + tf.range(self.batch_size, dtype=tf.int64)
        return shuffled(positions, self.count, self.seed, epoch)


def shuffled(positions: tf.Tensor, count, seed: int, draw: tf.Tensor) -> tf.Tensor:
    """Where a permutation of `range(count)` sends positions.

    Args:
        positions: int64, a scalar or a vector.
        count: int or int64 scalar.
        seed: 0 to 2³¹ − 1.
        draw: int64 scalar, such as the epoch: each has a permutation of its own.
    """
    pair = tf.stack([tf.constant(seed, tf.int64), draw])
    return tf.random.experimental.index_shuffle(positions, pair, count - 1)


def draw_seed(seed: int, purpose: int, number: tf.Tensor) -> tf.Tensor:
    """The stateless seed `[2]` of the batch or image with this global number.

    Draws for different purposes (a small constant) are independent.
    """
    pair = tf.constant([seed, purpose], tf.int64)
    return tf.random.experimental.stateless_fold_in(pair, number)


def check_seed(seed: int) -> None:
    """Raise ValueError unless the seed is an int from 0 to 2³¹ − 1."""
    if not isinstance(seed, int) or not 0 <= seed < SEED_LIMIT:
        raise ValueError(
            f"The seed must be an integer from 0 to {SEED_LIMIT - 1}. "
            f"Received: {seed!r}"
        )
