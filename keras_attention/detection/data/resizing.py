"""The size at which an image is fed, and images and boxes at that size."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_attention.layers.checks import positive_integer

__all__ = ["Sizing", "resize_and_pad", "scale_boxes"]


@dataclass(frozen=True)
class Sizing:
    """How large images are fed.

    Args:
        short_side: pixels of an image's shorter side,
        long_side: or less, so that its longer side does not pass this.
        multiple: height and width of a batch are multiples of it.
        size: `(height, width)` to squash every image to, whatever its proportions,
            as SSD does. The other three then mean nothing.

    Raises:
        ValueError: a value is no integer of at least 1.
    """

    short_side: int = 800
    long_side: int = 1333
    multiple: int = 32
    size: tuple[int, int] | None = None

    def __post_init__(self):
        for name in ("short_side", "long_side", "multiple"):
            positive_integer(name, getattr(self, name))
        if self.size is None:
            return
        if not isinstance(self.size, tuple | list) or len(self.size) != 2:
            raise ValueError(
                f"`size` must be (height, width) or None. Received: {self.size!r}."
            )
        sides = tuple(positive_integer("size", side) for side in self.size)
        object.__setattr__(self, "size", sides)

    def of_image(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which an image of this height and width is fed."""
        if self.size is not None:
            return self.size
        # torchvision's GeneralizedRCNNTransform, its rounding down included.
        short, long = sorted((height, width))
        scale = min(self.short_side / short, self.long_side / long)
        return max(1, math.floor(height * scale)), max(1, math.floor(width * scale))

    def of_batch(self, originals: Iterable[tuple[int, int]]) -> tuple[int, int]:
        """The least height and width that hold every image of these sizes."""
        if self.size is not None:
            return self.size
        largest = np.max([self.of_image(*size) for size in originals], axis=0)
        height, width = -(-largest // self.multiple) * self.multiple
        return int(height), int(width)


# `keras.layers.Resizing` agrees with these two, but has one size for all images, makes
# labels floats and pads nothing at the right and the bottom alone.
def resize_and_pad(pixels: tf.Tensor, size: tf.Tensor, canvas) -> tf.Tensor:
    """Resize bilinearly, half-pixel centres, no antialias; add zeros right and below.

    Args:
        pixels: uint8 (height, width, 3).
        size: int32 (2,), height and width to resize to.
        canvas: `(height, width)` of the result, at least `size`.

    Returns:
        float32 (*canvas, 3) from 0 to 255, not rounded.
    """
    resized = tf.image.resize(pixels, size)
    below, right = canvas[0] - size[0], canvas[1] - size[1]
    return tf.pad(resized, [[0, below], [0, right], [0, 0]])


def scale_boxes(boxes: np.ndarray, size, new_size) -> np.ndarray:
    """Boxes in an image of `size` in that image at `new_size`, cut at its edges.

    Each side is scaled by its own ratio of whole numbers of pixels.

    Args:
        boxes: (…, n, 4), xyxy in pixels.
        size, new_size: (2,) or (…, 2), height and width.

    Returns:
        float32 (…, n, 4).
    """
    old, new = (
        np.asarray(s, np.float64)[..., None, [1, 0, 1, 0]] for s in (size, new_size)
    )
    scaled = np.asarray(boxes, np.float64) * (new / old)
    return np.clip(scaled, 0, new).astype(np.float32)
