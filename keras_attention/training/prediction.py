"""Classes of image files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_attention.data.corruption import read_image
from keras_attention.data.preprocessing import Preprocessing
from keras_attention.training.compilation import gives_logits
from keras_attention.training.evaluation import predict_batch

BATCH = 64


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one image, the likeliest first."""

    path: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]

    def __str__(self) -> str:
        pairs = zip(self.classes, self.probabilities, strict=True)
        listed = ", ".join(f"{name} {100 * value:.1f} %" for name, value in pairs)
        return f"{self.path}: {listed}"

    def to_dict(self) -> dict:
        """A dictionary of JSON types."""
        return {
            "path": self.path,
            "classes": list(self.classes),
            "probabilities": list(self.probabilities),
        }


def predict(
    model: keras.Model,
    preprocessing: Preprocessing,
    paths: Sequence[str | Path],
    *,
    top: int = 5,
) -> list[Prediction]:
    """Classify image files, prepared as evaluation prepares its images.

    Args:
        model: a classifier, softmax or logits.
        preprocessing: what it expects.
        paths: JPEG, PNG, BMP or GIF files.
        top: classes to list; all of them where there are fewer.

    Returns:
        One `Prediction` per file, in the order of `paths`.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file is no image, `paths` is empty, or `top` below 1.
    """
    if not paths:
        raise ValueError("At least one image file is needed")
    if top < 1:
        raise ValueError(f"`top` must be at least 1. Received: {top}")
    found = []
    for start in range(0, len(paths), BATCH):
        batch = [str(path) for path in paths[start : start + BATCH]]
        images = np.stack([read_input(path, preprocessing) for path in batch])
        found += [
            _prediction(path, row, preprocessing.class_names, top)
            for path, row in zip(batch, probabilities(model, images), strict=True)
        ]
    return found


def probabilities(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Of every class, float32 `[batch, classes]`, also where a model gives logits.

    Raises:
        ValueError: the model is no classifier, or an output is not a finite number.
    """
    scores = predict_batch(model, images)
    return softmax(scores) if gives_logits(model) else scores


def read_input(path: str, preprocessing: Preprocessing) -> np.ndarray:
    """An image file as a network takes it, float32 `[height, width, channels]`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no image; the message names it.
    """
    image = read_image(path, preprocessing.channels)
    return preprocessing.normalize(preprocessing.fit_size(image)).numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _prediction(path, probabilities, class_names, top: int) -> Prediction:
    best = np.argsort(-probabilities, kind="stable")[:top]
    return Prediction(
        path,
        tuple(class_names[index] for index in best),
        tuple(float(probabilities[index]) for index in best),
    )
