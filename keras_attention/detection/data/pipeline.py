"""Batches of images with boxes for detectors."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import tensorflow as tf

from keras_attention.data.order import check_seed
from keras_attention.detection.data.batching import Batching
from keras_attention.detection.data.loading import Loader
from keras_attention.detection.data.records import BoxedImages
from keras_attention.detection.data.resizing import Sizing
from keras_attention.layers.checks import positive_integer

__all__ = ["detection_pipeline", "steps_per_epoch"]

BATCHES_AHEAD = 2  # those of detectors are too large for more


def detection_pipeline(
    images: BoxedImages,
    *,
    batch_size: int,
    training: bool,
    short_side: int = 800,
    long_side: int = 1333,
    multiple: int = 32,
    size: tuple[int, int] | None = None,
    orientations: bool = False,
    flip: bool = True,
    crops: bool = False,
    max_boxes: int | None = None,
    seed: int = 0,
    first_epoch: int = 0,
    epochs: int = 1,
    first_step: int = 0,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """Batches of images at the size at which a detector takes them.

    In training, batches are a function of (seed, epoch, step) alone, so that a resumed
    run sees what it would have seen. Each epoch has `steps_per_epoch` of them, and
    each image at least once: what a last batch lacks is taken from the start of the
    epoch. In evaluation every image comes once, unchanged but for its size, and a last
    batch may be smaller.

    Args:
        images: the set.
        batch_size: images per batch.
        training: shuffle, flip and crop.
        short_side, long_side: an image is scaled until its shorter side has
            `short_side` pixels, or its longer one `long_side`, as torchvision does.
        multiple: the batches' height and width are the least multiples of it that
            hold every image of the set; the rest is zeros, right and below.
        size: `(height, width)` to squash all images to instead, as SSD does.
        orientations: form batches of landscape or of portrait images only, each with
            a height and width of its own. That saves up to 40% of the pixels, but the
            dataset's static height and width are then unknown if there are both, and a
            model compiles twice. `Model.fit` on TensorFlow needs static ones; for
            evaluation rather make a pipeline for each of `images.by_orientation()`.
        flip: in training, exchange left and right of every second image.
        crops: in training, SSD's zooming out and random crops. Needs `size`.
        max_boxes: boxes in a batch per image (M). By default those of the image that
            has most. If some have more, their largest are kept, with a warning.
        seed: 0 to 2³¹ − 1.
        first_epoch: first epoch of training to deliver, from 0.
        epochs: epoch to stop before.
        first_step: batches of the first epoch to leave out.
        drop_remainder: in training, leave out what does not fill a batch.

    Returns:
        Dataset of known cardinality of dictionaries:
            images: float32 (batch, H, W, 3), RGB from 0 to 255.
            sizes: int32 (batch, 2), height and width of an image's own part, top left.
            boxes: float32 (batch, M, 4), xyxy in pixels of the image as it is fed.
            labels: int32 (batch, M), from 1; −1 with a box of zeros fills up.
            crowd: bool (batch, M), boxes over many objects.
            ids: int64 (batch,).
            originals: int32 (batch, 2), height and width of the file.

    Raises:
        ValueError: an argument is out of range, or there are no images.
        tf.errors.OpError: while it runs, where an image cannot be read; the message
            names the file.
    """
    sizing = Sizing(short_side, long_side, multiple, size)
    check_seed(seed)
    if not len(images):
        raise ValueError("There are no images to make batches of.")
    if crops and size is None:
        raise ValueError(
            "`crops` needs `size`, such as (300, 300): crops of any proportions fit "
            "no other common shape."
        )
    if drop_remainder and not training:
        raise ValueError(
            "Evaluation takes every image: drop_remainder=True is for training."
        )
    most = _most_boxes(images, max_boxes)
    loader = Loader(images, sizing, most, training, flip, crops, seed)
    groups = _groups(images, orientations)
    canvases = [_canvas(images, sizing, group) for group in groups]
    if training:
        batching = Batching(groups, batch_size, drop_remainder, seed)
        steps = batching.batches(first_epoch, epochs, first_step)
        batches = _training(loader, batching, canvases, steps)
    else:
        positive_integer("batch_size", batch_size)
        batches = _evaluation(loader, batch_size, groups, canvases)
    return batches.prefetch(BATCHES_AHEAD)


def steps_per_epoch(
    images: BoxedImages,
    batch_size: int,
    *,
    orientations: bool = False,
    drop_remainder: bool = False,
) -> int:
    """Batches in an epoch of training; arguments as in `detection_pipeline`.

    Raises:
        ValueError: there is no batch.
    """
    groups = _groups(images, orientations)
    return Batching(groups, batch_size, drop_remainder, seed=0).steps


def _groups(images: BoxedImages, orientations: bool) -> tuple[np.ndarray, ...]:
    """Places of the images that share a shape."""
    if not orientations:
        return (np.arange(len(images)),)
    wide = np.array([image.landscape for image in images.images])
    return tuple(group for group in map(np.flatnonzero, (wide, ~wide)) if len(group))


def _most_boxes(images: BoxedImages, max_boxes: int | None) -> int:
    if max_boxes is None:
        return max(images.most_boxes, 1)
    positive_integer("max_boxes", max_boxes)
    over = sum(len(image.boxes) > max_boxes for image in images.images)
    if over:
        warnings.warn(
            f"{over} of {len(images)} images have more than max_boxes={max_boxes} "
            f"boxes, up to {images.most_boxes}: their smallest are left out.",
            stacklevel=3,
        )
    return max_boxes


def _canvas(images: BoxedImages, sizing: Sizing, group) -> tuple[int, int]:
    """Height and width of the batches of a group."""
    members = (images.images[place] for place in group)
    return sizing.of_batch({(image.height, image.width) for image in members})


def _training(
    loader: Loader, batching: Batching, canvases: list, steps: tf.data.Dataset
) -> tf.data.Dataset:
    table = np.zeros((len(loader.images), 2), np.int32)
    for group, canvas in zip(batching.groups, canvases, strict=True):
        table[group] = canvas

    def load(place, epoch):
        one = len(set(canvases)) == 1
        canvas = canvases[0] if one else tf.gather(tf.constant(table), place)
        return loader.load(place, epoch, canvas)

    size = batching.batch_size
    return (
        steps.map(lambda places, epoch: (places, tf.fill([size], epoch)))
        .unbatch()
        .map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(size, drop_remainder=True)
        .apply(tf.data.experimental.assert_cardinality(steps.cardinality()))
    )


def _evaluation(
    loader: Loader, batch_size: int, groups: tuple, canvases: list
) -> tf.data.Dataset:
    parts = [
        tf.data.Dataset.from_tensor_slices(group)
        .map(
            lambda place, canvas=canvas: loader.load(place, np.int64(0), canvas),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .batch(batch_size)
        for group, canvas in zip(groups, canvases, strict=True)
    ]
    return functools.reduce(tf.data.Dataset.concatenate, parts)
