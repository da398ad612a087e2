"""Augmentation as pure functions of (images, seed), in the `tf.data` pipeline."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from keras_attention.data.order import WHOLE, Part
from keras_attention.data.preprocessing import resize

ASPECT_RATIOS = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Augmentation:
    """What training does to its images.

    Args:
        flip: mirror every second image, left to right.
        pad_crop: pixels of zeros on each side before a crop of the old size at
            a random place; 0 is none, 4 is customary on CIFAR.
        resized_crop: `(low, high)` share of the image's area that a crop of
            random aspect ratio (3/4 to 4/3) covers before it is scaled to the
            network's size; (0.08, 1) is customary on ImageNet. None is none.

    Raises:
        ValueError: a value is out of its range.
    """

    flip: bool = False
    pad_crop: int = 0
    resized_crop: tuple[float, float] | None = None

    def __post_init__(self):
        if not isinstance(self.pad_crop, int) or self.pad_crop < 0:
            raise ValueError(
                f"`pad_crop` must be a number of pixels ≥ 0. Received: {self.pad_crop}"
            )
        if self.resized_crop is not None:
            low, high = self.resized_crop
            if not 0 < low <= high <= 1:
                raise ValueError(
                    f"`resized_crop` must be (low, high) with 0 < low ≤ high ≤ 1. "
                    f"Received: {self.resized_crop}"
                )

    def batch(
        self, images: tf.Tensor, seed: tf.Tensor, part: Part = WHOLE
    ) -> tf.Tensor:
        """Flip and shift a batch; the same seed gives the same images.

        Args:
            images: uint8 `[batch, height, width, channels]`.
            seed: int `[2]`.
            part: of a batch that `images` is. Each image gets what it would get in
                the whole batch.
        """
        if not self.flip and not self.pad_crop:
            return images
        count = tf.shape(images)[0]
        draws = tf.random.stateless_uniform(
            [3, part.of * count], seed, maxval=tf.int32.max, dtype=tf.int32
        )
        draws = draws[:, part.number * count :][:, :count]
        shifts = draws[:2] % (2 * self.pad_crop + 1)
        # The low bit would tie the flip to nothing else: it has a row of its own.
        mirrored = draws[2] % 2 == 1 if self.flip else tf.zeros([count], tf.bool)
        return crop_and_flip(images, shifts[0], shifts[1], mirrored, self.pad_crop)


def crop_and_flip(
    images: tf.Tensor,
    top: tf.Tensor,
    left: tf.Tensor,
    mirrored: tf.Tensor,
    padding: int,
) -> tf.Tensor:
    """Pad with zeros, crop to the old size, mirror: each image in its own way.

    Two gathers do all three for a batch, which is several times faster than one
    crop per image.

    Args:
        images: `[batch, height, width, channels]`.
        top: int `[batch]`, first row of the crop in the padded image.
        left: int `[batch]`, first column of it.
        mirrored: bool `[batch]`.
        padding: pixels added on each side.
    """
    height, width = images.shape[1], images.shape[2]
    border = [padding, padding]
    padded = tf.pad(images, [[0, 0], border, border, [0, 0]])
    rows = top[:, None] + tf.range(height)
    columns = tf.range(width)
    columns = tf.where(mirrored[:, None], columns[::-1], columns) + left[:, None]
    cropped = tf.gather(padded, rows, batch_dims=1)
    # Columns are the second axis of every image: gather them with rows in front.
    cropped = tf.gather(cropped, columns, axis=2, batch_dims=1)
    return tf.ensure_shape(cropped, images.shape)


def random_resized_crop(
    image: tf.Tensor, size: tuple[int, int], area: tuple[float, float], seed: tf.Tensor
) -> tf.Tensor:
    """A random part of one image, scaled to `size` (Szegedy et al., 2015).

    Args:
        image: uint8 `[height, width, channels]`, any size.
        size: `(height, width)` of the result.
        area: `(low, high)` share of the image's area.
        seed: int `[2]`.
    """
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(image),
        tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=seed,
        min_object_covered=0.0,
        aspect_ratio_range=ASPECT_RATIOS,
        area_range=area,
    )
    # The op reports -1 for "all channels", which tf.slice understands.
    cropped = tf.slice(image, begin, extent)
    return tf.ensure_shape(resize(cropped, size), (*size, image.shape[-1]))
