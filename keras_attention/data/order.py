"""The order of training images as a pure function of (seed, epoch, position).

A run that stopped can go on with the images it would have seen: nothing about
the order is kept in an iterator, so nothing about it can be lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

SEED_LIMIT = 2**31


@dataclass(frozen=True)
class Part:
    """What one of several processes takes of every batch: its own stretch of it.

    Args:
        number: of the process, from 0.
        of: processes.

    Raises:
        ValueError: there is no such process.
    """

    number: int = 0
    of: int = 1

    def __post_init__(self):
        if not 0 <= self.number < self.of:
            raise ValueError(
                f"A part is one of 0 to {self.of - 1}. Received: {self.number}"
            )

    def size(self, batch_size: int) -> int:
        """Images of a batch that are this part's.

        Raises:
            ValueError: the processes do not divide the batch.
        """
        if batch_size % self.of:
            raise ValueError(
                f"{self.of} processes must divide the batch size. Received: "
                f"{batch_size}"
            )
        return batch_size // self.of

    def first(self, batch_size: int) -> int:
        """Place in the batch of the first of them."""
        return self.number * self.size(batch_size)

    def global_number(self, number: tf.Tensor, batch_size: int) -> tf.Tensor:
        """Number over all parts of this part's image with a number."""
        size = self.size(batch_size)
        return number // size * batch_size + self.first(batch_size) + number % size

    def holds(self, number: tf.Tensor, batch_size: int) -> tf.Tensor:
        """Whether the image with a number over all parts is this part's."""
        within = number % batch_size - self.first(batch_size)
        return (within >= 0) & (within < self.size(batch_size))


WHOLE = Part()


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
        first_step: batches of the first epoch to leave out: a run that stopped within
            an epoch has had them.
        part: what to deliver of every batch.

    Raises:
        ValueError: a value is out of range, or there is less than one batch.
    """

    count: int
    batch_size: int
    seed: int
    first_epoch: int
    epochs: int
    first_step: int = 0
    part: Part = WHOLE

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
        if not 0 <= self.first_step < self.steps:
            raise ValueError(
                f"`first_step` must be a step of the epoch, 0 to {self.steps - 1}. "
                f"Received: {self.first_step}"
            )
        self.part.size(self.batch_size)

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return self.count // self.batch_size

    @property
    def begin(self) -> int:
        """Global step of the first batch delivered."""
        return self.first_epoch * self.steps + self.first_step

    @property
    def total_steps(self) -> int:
        """Batches delivered over all epochs."""
        return self.epochs * self.steps - self.begin

    @property
    def part_size(self) -> int:
        """Images delivered of every batch."""
        return self.part.size(self.batch_size)

    @property
    def images_per_epoch(self) -> int:
        """Images delivered in an epoch: whole batches only."""
        return self.steps * self.batch_size

    def batches(self) -> tf.data.Dataset:
        """Dataset of int64 `[part_size]` indices into the split."""
        steps = tf.data.Dataset.range(self.begin, self.begin + self.total_steps)
        return steps.map(self._batch, num_parallel_calls=tf.data.AUTOTUNE)

    def samples(self) -> tf.data.Dataset:
        """Dataset of scalar int64 indices: `batches` one by one."""
        return self.batches().unbatch()

    def _batch(self, step: tf.Tensor) -> tf.Tensor:
        epoch, within = step // self.steps, step % self.steps
        first = within * self.batch_size + self.part.first(self.batch_size)
        positions = first + tf.range(self.part_size, dtype=tf.int64)
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
