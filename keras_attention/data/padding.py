"""Evaluation batches that several devices can share, whatever the number of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_attention.data.order import WHOLE, Part


@dataclass(frozen=True)
class Padding:
    """How a split is filled up with empty images, so that devices divide each batch.

    An empty image has weight 0. The others have one weight, N_padded / N, with which
    Keras' `evaluate` reports what one device does: it averages a loss over all images
    of a batch, and over batches by all of their images, which makes
    Σ weight · loss / N_padded = Σ loss / N. Metrics must be `weighted_metrics`.

    Args:
        images: N, in the split.
        batch_size: images in a batch, over all devices.
        devices: that share a batch.
        part: what this process takes of every batch.

    Raises:
        ValueError: the devices do not divide the batch.
    """

    images: int
    batch_size: int
    devices: int
    part: Part = WHOLE

    def __post_init__(self):
        if self.batch_size % self.devices:
            raise ValueError(
                f"{self.devices} devices must divide the batch size. Received: "
                f"{self.batch_size}"
            )

    @property
    def last(self) -> int:
        """Images in the last batch, empty ones included; 0 where none is smaller."""
        left = self.images % self.batch_size
        return -(-left // self.devices) * self.devices

    @property
    def weight(self) -> float:
        """Of an image that is not empty."""
        return (self.images // self.batch_size * self.batch_size + self.last) / (
            self.images
        )

    def places(self) -> np.ndarray:
        """Where in the split this part's images are, rising."""
        whole = self.images // self.batch_size
        starts = np.arange(whole) * self.batch_size + self.part.first(self.batch_size)
        inner = starts[:, None] + np.arange(self.part.size(self.batch_size))
        first = whole * self.batch_size + self.part.first(self.last)
        end = min(first + self.part.size(self.last), self.images)
        return np.concatenate([inner.ravel(), np.arange(first, max(first, end))])

    def batches(self, samples: tf.data.Dataset) -> tf.data.Dataset:
        """Batches with weights, empty images in the last.

        Args:
            samples: `(image, label)`, of one shape, of the images at `places`.

        Returns:
            Dataset of `(images, labels, float32 weights)`, as many in every part.
        """
        size, real = self.part.size(self.batch_size), len(self.places())
        whole = self.images // self.batch_size
        missing = whole * size + self.part.size(self.last) - real
        empty = tf.nest.map_structure(
            lambda spec: tf.zeros([missing, *spec.shape], spec.dtype),
            samples.element_spec,
        )
        weights = tf.constant([self.weight] * real + [0.0] * missing, tf.float32)
        samples = samples.concatenate(tf.data.Dataset.from_tensor_slices(empty))
        weighed = tf.data.Dataset.zip(
            samples, tf.data.Dataset.from_tensor_slices(weights)
        )
        return weighed.map(lambda sample, weight: (*sample, weight)).batch(size)
