"""One image of a batch: read, augmented, resized and padded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_attention.detection.data.cropping import random_crop, zoom_out
from keras_attention.detection.data.examples import (
    Example,
    flipped,
    limited,
    read_example,
)
from keras_attention.detection.data.records import BoxedImages
from keras_attention.detection.data.resizing import (
    Sizing,
    resize_and_pad,
    scale_boxes,
)

__all__ = ["Loader"]

FLIP_PROBABILITY = 0.5
TYPES = {
    "pixels": tf.uint8,
    "sizes": tf.int32,
    "boxes": tf.float32,
    "labels": tf.int32,
    "crowd": tf.bool,
    "ids": tf.int64,
    "originals": tf.int32,
}


@dataclass(frozen=True, eq=False)
class Loader:
    """Makes the images of batches; arguments as of `detection_pipeline`.

    Args:
        max_boxes: M.
        training: whether to flip and crop at all.
    """

    images: BoxedImages
    sizing: Sizing
    max_boxes: int
    training: bool
    flip: bool
    crops: bool
    seed: int

    def load(self, place: tf.Tensor, epoch: tf.Tensor, canvas) -> dict:
        """An image as `detection_pipeline` returns it, without the batch's axis.

        Args:
            place: int64 scalar, of the image in the set.
            epoch: int64 scalar.
            canvas: `(height, width)` of ints, or int32 (2,).
        """
        read = tf.numpy_function(self._read, [place, epoch], list(TYPES.values()))
        image = dict(zip(TYPES, read, strict=True))
        pixels = tf.ensure_shape(image.pop("pixels"), (None, None, 3))
        for name, shape in self._shapes().items():
            image[name] = tf.ensure_shape(image[name], shape)
        fed = resize_and_pad(pixels, image["sizes"], canvas)
        sides = canvas if isinstance(canvas, tuple) else (None, None)
        return {"images": tf.ensure_shape(fed, (*sides, 3)), **image}

    def _shapes(self) -> dict:
        boxes = {"boxes": (self.max_boxes, 4), "labels": (self.max_boxes,)}
        boxes["crowd"] = boxes["labels"]
        return {"sizes": (2,), **boxes, "ids": (), "originals": (2,)}

    def _read(self, place: np.int64, epoch: np.int64) -> tuple:
        """What TYPES lists, in NumPy."""
        image = self.images.images[place]
        example = read_example(image)
        if self.training:
            rng = np.random.default_rng([self.seed, int(epoch), int(place)])
            example = self._augmented(example, rng)
        example = limited(example, self.max_boxes)
        size = self.sizing.of_image(*example.size)
        missing = self.max_boxes - len(example.boxes)
        boxes = scale_boxes(example.boxes, example.size, size)
        return (
            np.ascontiguousarray(example.pixels),
            np.int32(size),
            np.pad(boxes, ((0, missing), (0, 0))),
            np.pad(example.labels, (0, missing), constant_values=-1),
            np.pad(example.crowd, (0, missing)),
            np.int64(image.id),
            np.int32([image.height, image.width]),
        )

    def _augmented(self, example: Example, rng: np.random.Generator) -> Example:
        if self.crops:
            example = random_crop(zoom_out(example, rng), rng)
        mirrored = self.flip and rng.random() < FLIP_PROBABILITY
        return flipped(example) if mirrored else example
