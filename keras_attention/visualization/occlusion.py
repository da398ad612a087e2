"""Sensitivity to occlusion (Zeiler and Fergus, arXiv:1311.2901)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from keras_attention.layers.checks import positive_integer
from keras_attention.training.evaluation import predict_batch
from keras_attention.visualization.inputs import check_images
from keras_attention.visualization.scoring import check_classes, scoring
from keras_attention.visualization.sublayers import data_format

__all__ = ["Occlusion", "occlusion_sensitivity"]


@dataclass(frozen=True, eq=False)
class Occlusion:
    """How much a class loses where a patch covers the image.

    Args:
        drops: float32 `[N, len(rows), len(columns)]`: the image's score minus that with
            the patch there; below 0 where the patch helps.
        maps: float32 `[N, H, W]`: the mean drop of the patches that cover the pixel.
        rows, columns: the patches' upper left pixels.
        classes: int `[N]`, the class of each map.
        score: `"softmax"` or `"logits"`.
    """

    drops: np.ndarray
    maps: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    classes: np.ndarray
    score: str


def occlusion_sensitivity(
    model: keras.Model,
    images: np.ndarray,
    *,
    patch: int | tuple[int, int] = 8,
    stride: int | tuple[int, int] = 4,
    fill: float | Sequence[float] | str = 0.0,
    classes: int | Sequence[int] | None = None,
    score: str = "softmax",
    batch_size: int = 128,
    verbose: int = 1,
) -> Occlusion:
    """The drop of a class' score for a patch in every place of an image.

    Args:
        model: a classifier, softmax or logits; it is neither changed nor rebuilt.
        images: float `[N, H, W, C]`, or channels first, as the model takes them.
        patch: side in pixels, or (height, width).
        stride: pixels between two places, or (vertical, horizontal), at most the patch;
            the last place is at the border, so that every pixel is covered.
        fill: of the patch, in the network's units: a number (0 is the mean colour of
            normalized images), one for each channel, or `"mean"`, the image's own mean
            colour.
        classes: None for each image's own most probable class, an int, or a sequence
            of one for each image.
        score: `"softmax"`, the probability, or `"logits"`.
        batch_size: images at once.
        verbose: whether a bar shows the progress.

    Returns:
        The drops by place and by pixel, with classes and score.

    Raises:
        ValueError: a patch larger than the image, a stride larger than the patch,
            another fill, an unknown score, a class out of range, a model that is no
            classifier, images of another shape or type, or not finite.

    Source: arXiv:1311.2901, section 4.2, where the patch is grey.
    """
    images = check_images(model, images)
    positive_integer("batch_size", batch_size)
    last = data_format(model) == "channels_last"
    places = _Places(images.shape[1:3] if last else images.shape[2:], patch, stride)
    covered = _Covered(images, places, _colours(fill, images, last), last)
    with scoring(model, score) as (scores, number):
        wanted = check_classes(classes, number, len(images))
        scorer = _Scorer(model, scores)
        found, own = _run(scorer, covered, wanted, batch_size, verbose)
    whole, rest = found[: len(images)], found[len(images) :]
    shape = (len(images), len(places.rows), len(places.columns))
    drops = whole[:, None, None] - rest.reshape(shape)
    return Occlusion(
        drops, places.spread(drops), places.rows, places.columns, own, score
    )


class _Places:
    """Where the patch lies, row by row."""

    def __init__(self, size, patch, stride):
        self.size = size
        self.patch = _pair("patch", patch)
        stride = _pair("stride", stride)
        if any(p > n for p, n in zip(self.patch, size, strict=True)):
            raise ValueError(
                f"`patch` must fit into the image, {tuple(size)}. Received: {patch!r}."
            )
        if any(s > p for s, p in zip(stride, self.patch, strict=True)):
            raise ValueError(
                "`stride` must be at most `patch`, or pixels are left out. Received: "
                f"stride={stride!r} with patch={self.patch!r}."
            )
        self.rows, self.columns = map(_origins, size, self.patch, stride)

    def __len__(self):
        return len(self.rows) * len(self.columns)

    def windows(self):
        height, width = self.patch
        return [
            (slice(row, row + height), slice(column, column + width))
            for row, column in itertools.product(self.rows, self.columns)
        ]

    def spread(self, drops) -> np.ndarray:
        """The mean of the drops at every pixel."""
        total = np.zeros((len(drops), *self.size), "float32")
        count = np.zeros(self.size, "float32")
        flat = drops.reshape(len(drops), -1)
        for place, (rows, columns) in enumerate(self.windows()):
            total[:, rows, columns] += flat[:, place, None, None]
            count[rows, columns] += 1
        return total / count


class _Covered:
    """All images as they are, then each with the patch in every place."""

    def __init__(self, images, places, colours, last):
        self.images = images
        self._windows = places.windows()
        self._colours = colours
        self._last = last

    def __len__(self):
        return len(self.images) * (1 + len(self._windows))

    def image_of(self, index):
        """Which image each entry of `index` shows."""
        n = len(self.images)
        return np.where(index < n, index, (index - n) // len(self._windows))

    def __getitem__(self, index):
        image = self.image_of(index)
        batch = self.images[image]
        view = batch if self._last else np.moveaxis(batch, 1, -1)
        place = (index - len(self.images)) % len(self._windows)
        for k in np.flatnonzero(index >= len(self.images)):
            view[(k, *self._windows[place[k]])] = self._colours[image[k]]
        return batch


class _Scorer(keras.Model):
    """A model of the scores, which Keras compiles for the device."""

    def __init__(self, model, scores):
        super().__init__(name="scorer", dtype="float32")
        self.model = model
        self._scores = scores
        self.built = True  # or Keras runs it once more, to build it
        # XLA by device: with TensorFlow on a CPU it takes longer to compile than it
        # saves.
        self.compile(jit_compile="auto")

    def call(self, images):
        return self._scores(images)


def _run(scorer, covered, classes, batch_size, verbose):
    """The scores of the images' classes, and the classes.

    All batches have one size, for which the model is compiled once; the last is filled
    up with its last image.
    """
    total, images = len(covered), len(covered.images)
    size = -(-total // -(-total // batch_size))
    bar = keras.utils.Progbar(total, verbose=verbose)
    own = np.full(images, -1) if classes is None else classes
    found = []
    for start in range(0, total, size):
        index = np.arange(start, min(start + size, total))
        filled = np.pad(index, (0, size - len(index)), mode="edge")
        scores = predict_batch(scorer, covered[filled])[: len(index)]
        if classes is None:
            whole = index[index < images]
            own[whole] = scores[: len(whole)].argmax(axis=1)
        found.append(scores[np.arange(len(index)), own[covered.image_of(index)]])
        bar.update(index[-1] + 1)
    return np.concatenate(found), own


def _origins(size, patch, stride) -> np.ndarray:
    origins = np.arange(0, size - patch + 1, stride)
    return origins if origins[-1] == size - patch else np.append(origins, size - patch)


def _pair(name, value) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2:
        raise ValueError(
            f"`{name}` must be an integer or a pair of them. Received: {value!r}."
        )
    return tuple(positive_integer(name, side) for side in pair)


def _colours(fill, images, last) -> np.ndarray:
    """`[N, C]`, the patch's colour on each image."""
    if isinstance(fill, str) and fill == "mean":
        return images.mean(axis=(1, 2) if last else (2, 3))
    channels = images.shape[-1 if last else 1]
    colour = None if isinstance(fill, str) else np.asarray(fill)
    numbers = colour is not None and np.issubdtype(colour.dtype, np.number)
    shaped = numbers and colour.shape in ((), (channels,))
    if not shaped or not np.isfinite(colour).all():
        raise ValueError(
            f"`fill` must be a finite number, {channels} of them, or 'mean'. "
            f"Received: {fill!r}."
        )
    return np.broadcast_to(colour, (len(images), channels)).astype("float32")
