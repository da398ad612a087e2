"""What a network expects of an image: it travels with every trained model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import tensorflow as tf

from keras_attention.choices import check_choice
from keras_attention.weights.preprocessing import INTERPOLATIONS, ImageFormat


@dataclass(frozen=True)
class Preprocessing:
    """Size, normalisation and classes of a network's input.

    Args:
        size: `(height, width)` in pixels, each at least 1.
        channels: 1 or 3.
        mean: per channel, in units of the full range (0 to 1).
        std: per channel, in the same units, above 0.
        class_names: one name per label; label `i` is `class_names[i]`.
        crop_fraction: in evaluation the image is scaled, with its proportions
            kept, until `size / crop_fraction` is covered, and the middle is cut
            out. 0.875 is ImageNet's 224 of 256; 1 keeps all of a square image.
        interpolation: `"bilinear"` or `"bicubic"`, of that scaling. Records of before
            there was a choice are bilinear.

    Raises:
        ValueError: a value is out of its range, or the lengths disagree.
    """

    size: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    crop_fraction: float = 1.0
    interpolation: str = "bilinear"

    def __post_init__(self):
        if self.channels not in (1, 3):
            raise ValueError(f"`channels` must be 1 or 3. Received: {self.channels}")
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(
                f"`size` must be (height, width), at least 1 each. "
                f"Received: {self.size}"
            )
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ValueError(
                f"`mean` and `std` need one value for each of {self.channels} "
                f"channels. Received: mean={self.mean}, std={self.std}"
            )
        if min(self.std) <= 0:
            raise ValueError(f"`std` must be above 0. Received: {self.std}")
        if not 0 < self.crop_fraction <= 1:
            raise ValueError(
                f"`crop_fraction` must be in (0, 1]. Received: {self.crop_fraction}"
            )
        if len(self.class_names) < 2:
            raise ValueError(
                f"At least two classes are needed. Received: {self.class_names}"
            )
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)

    @classmethod
    def of_weights(
        cls,
        expected: ImageFormat,
        class_names: tuple[str, ...],
        size: tuple[int, int] | None = None,
    ) -> Preprocessing:
        """What weights that were loaded expect.

        Args:
            expected: `preprocessing` of the weights' report.
            class_names: one name per label.
            size: (height, width), instead of that of the weights.
        """
        return cls(
            size=size or expected.size,
            channels=len(expected.mean),
            mean=expected.mean,
            std=expected.std,
            class_names=tuple(class_names),
            crop_fraction=expected.crop_fraction,
            interpolation=expected.interpolation,
        )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`."""
        return (*self.size, self.channels)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def fit_size(self, images: tf.Tensor) -> tf.Tensor:
        """Scale and cut the middle, as evaluation does.

        Args:
            images: uint8, `[height, width, channels]` or a batch of such.

        Returns:
            uint8, `[*self.size, channels]` or a batch of such.
        """
        if self.crop_fraction == 1 and tuple(images.shape[-3:-1]) == self.size:
            return images
        height, width = self.size
        actual = tf.cast(tf.shape(images)[-3:-1], tf.float32)
        wanted = tf.constant([height, width], tf.float32)
        scale = tf.reduce_max(wanted / self.crop_fraction / actual)
        scaled = tf.cast(tf.round(tf.maximum(actual * scale, wanted)), tf.int32)
        top, left = tf.unstack((scaled - [height, width]) // 2)
        resized = resize(images, scaled, self.interpolation)
        return resized[..., top : top + height, left : left + width, :]

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        """`(images / 255 − mean) / std`: uint8 `[..., channels]` to float32."""
        mean = tf.constant(self.mean, tf.float32) * 255
        std = tf.constant(self.std, tf.float32) * 255
        return (tf.cast(images, tf.float32) - mean) / std

    def to_dict(self) -> dict:
        """A dictionary of JSON types."""
        content = dataclasses.asdict(self)
        if self.interpolation == INTERPOLATIONS[0]:
            # As in the records of runs from before there was a choice.
            del content["interpolation"]
        return content

    @classmethod
    def from_dict(cls, config: dict) -> Preprocessing:
        """The inverse of `to_dict`, also after a trip through a JSON file."""
        tuples = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in config.items()
        }
        return cls(**tuples)


def resize(images: tf.Tensor, size, interpolation: str = "bilinear") -> tf.Tensor:
    """Antialiased resize of uint8 images, rounded back to uint8."""
    resized = tf.image.resize(images, size, interpolation, antialias=True)
    # Bicubic overshoots at edges.
    return tf.saturate_cast(tf.round(resized), tf.uint8)
