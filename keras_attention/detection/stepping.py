"""Steps of a detector, compiled once for each shape of a batch."""

from __future__ import annotations

import re
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

# What a detector reads of a batch.
IN_TRAINING = ("images", "sizes", "boxes", "labels", "crowd")
IN_PREDICTION = ("images", "sizes")


class Stepper:
    """Trains on a batch, or predicts one.

    Keras' own `fit` and `predict` relax their function to unknown sizes when batches
    of a second shape come (on TensorFlow), and detectors need known ones. Here each
    shape has a function of its own.

    Args:
        model: a `Detector`; compiled, to train.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self._training, self._prediction = {}, {}

    def train(self, batch: dict) -> dict[str, float]:
        """A step of the optimizer.

        Returns:
            The batch's losses, and `loss`, their sum.
        """
        batch = _chosen(batch, IN_TRAINING)
        key = _shapes(batch)
        self.model.train_function = self._training.get(key)
        logs = self.model.train_on_batch(batch, return_dict=True)
        self._training[key] = self.model.train_function
        return {name: float(value) for name, value in logs.items()}

    def predict(self, batch: dict) -> dict[str, np.ndarray]:
        """The detections of each image, as `Detector` describes them."""
        batch = _chosen(batch, IN_PREDICTION)
        key = _shapes(batch)
        self.model.predict_function = self._prediction.get(key)
        found = self.model.predict_on_batch(batch)
        self._prediction[key] = self.model.predict_function
        return found


def _chosen(batch, names):
    return {name: np.asarray(batch[name]) for name in names if name in batch}


def _shapes(batch):
    return tuple((name, array.shape) for name, array in batch.items())


def reading(batches: tf.data.Dataset) -> Iterator[dict[str, np.ndarray]]:
    """The batches of `detection_pipeline`, as arrays.

    Raises:
        FileNotFoundError, ValueError: an image cannot be read; the message names it.
    """
    try:
        yield from batches.as_numpy_iterator()
    except tf.errors.OpError as error:
        raise _cause(error) from error


def _cause(error: tf.errors.OpError) -> Exception:
    """What was raised in the pipeline: TensorFlow has it as text, with a traceback."""
    first = re.sub(r"^\{\{.*?\}\} ", "", error.message).partition("\n")[0]
    kind, _, said = first.partition(": ")
    found = FileNotFoundError if kind == "FileNotFoundError" else ValueError
    return found(said or first)
