"""Which images form a batch: a pure function of (seed, epoch, step)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_attention.data.order import check_seed, shuffled
from keras_attention.layers.checks import positive_integer

__all__ = ["Batching"]


@dataclass(frozen=True, eq=False)
class Batching:
    """How groups of images are cut into batches; no batch mixes two groups.

    Every epoch shuffles each group, and the batches of all groups. What does not fill
    a group's last batch is completed from the start of its shuffled images, so that
    every image is seen, or left out.

    Args:
        groups: int64 arrays, places of images; none is empty.
        batch_size: at least 1.
        drop_remainder: leave out what does not fill a batch.
        seed: 0 to 2³¹ − 1.

    Raises:
        ValueError: a value is out of range, or there is no batch.
    """

    groups: tuple[np.ndarray, ...]
    batch_size: int
    drop_remainder: bool
    seed: int

    def __post_init__(self):
        positive_integer("batch_size", self.batch_size)
        check_seed(self.seed)
        if not self.steps:
            raise ValueError(
                f"No group of images fills a batch of {self.batch_size}: the groups "
                f"have {[len(group) for group in self.groups]}. Use a smaller "
                "`batch_size` or drop_remainder=False."
            )

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return sum(self._batches(group) for group in self.groups)

    def batches(
        self, first_epoch: int, epochs: int, first_step: int = 0
    ) -> tf.data.Dataset:
        """Dataset of `(int64 (batch_size,) places, int64 epoch)`.

        Args:
            first_epoch: first epoch to deliver, from 0.
            epochs: epoch to stop before.
            first_step: batches of the first epoch to leave out, up to all of them.

        Raises:
            ValueError: not 0 ≤ first_epoch < epochs.
        """
        if not 0 <= first_epoch < epochs:
            raise ValueError(
                "Epochs must satisfy 0 ≤ first_epoch < epochs. Received: "
                f"first_epoch={first_epoch}, epochs={epochs}"
            )
        first = first_epoch * self.steps + first_step
        steps = tf.data.Dataset.range(first, epochs * self.steps)
        return steps.map(self._batch, num_parallel_calls=tf.data.AUTOTUNE)

    def _batches(self, group: np.ndarray) -> int:
        whole, rest = divmod(len(group), self.batch_size)
        return whole + (rest > 0 and not self.drop_remainder)

    def _batch(self, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        epoch = step // self.steps
        number = shuffled(step % self.steps, self.steps, self.seed, epoch)
        places, first = tf.zeros(self.batch_size, tf.int64), 0
        for group in self.groups:
            within = number - first
            count = self._batches(group)
            mine = (within >= 0) & (within < count)
            drawn = self._from_group(group, tf.maximum(within, 0), epoch)
            places, first = tf.where(mine, drawn, places), first + count
        return places, epoch

    def _from_group(self, group: np.ndarray, number, epoch) -> tf.Tensor:
        positions = number * self.batch_size + tf.range(self.batch_size, dtype=tf.int64)
        drawn = shuffled(positions % len(group), len(group), self.seed, epoch)
        return tf.gather(tf.constant(group, tf.int64), drawn)
