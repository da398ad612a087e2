"""One image on its way into a batch, in NumPy."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from keras_attention.detection.data.records import BoxedImage

__all__ = ["Example", "flipped", "limited", "read_example"]


@dataclass(frozen=True, eq=False)
class Example:
    """Pixels and the boxes in them.

    Args:
        pixels: uint8 (height, width, 3).
        boxes: float32 (n, 4), xyxy, within the image.
        labels: int32 (n,).
        crowd: bool (n,).
    """

    pixels: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[:2]

    def select(self, chosen: np.ndarray) -> Example:
        """The same pixels with the chosen boxes only (bool (n,) or places)."""
        return dataclasses.replace(
            self,
            boxes=self.boxes[chosen],
            labels=self.labels[chosen],
            crowd=self.crowd[chosen],
        )


def read_example(image: BoxedImage) -> Example:
    """An image with its boxes cut at its edges."""
    height, width = image.height, image.width
    boxes = np.clip(image.boxes, 0, np.float32([width, height, width, height]))
    return Example(image.read_pixels(), boxes, image.labels, image.crowd)


# Keras 3.15's own layers have defects. `RandomFlip` draws from a state that a resumed
# run does not have, turns boxes that only fill up into (width, 0, width, 0) and labels
# into floats, and takes no single image in tf.data on JAX. `RandomCrop` shifts x by the
# rows cut off and y by the columns. `MaxNumBoundingBoxes` fills up with boxes of −1,
# and leaves other fields, such as `crowd`, at their old length.
def flipped(example: Example) -> Example:
    """Left and right exchanged: x → width − x."""
    x1, y1, x2, y2 = example.boxes.T
    width = np.float32(example.size[1])
    boxes = np.stack([width - x2, y1, width - x1, y2], axis=1)
    return dataclasses.replace(example, pixels=example.pixels[:, ::-1], boxes=boxes)


def limited(example: Example, most: int) -> Example:
    """At most so many boxes: the largest, crowds last; they keep their order."""
    if len(example.boxes) <= most:
        return example
    x1, y1, x2, y2 = example.boxes.T
    areas = (x2 - x1) * (y2 - y1)
    chosen = np.lexsort((-areas, example.crowd))[:most]
    return example.select(np.sort(chosen))
