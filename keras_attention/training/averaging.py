"""Averaged weights (EMA), where a network is measured and kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras


class AveragedEvaluation(keras.callbacks.Callback):
    """Measure the averaged weights, and go on training with the others.

    What `keras.callbacks.SwapEMAWeights` is for. That one swaps by additions and
    subtractions on TensorFlow, so that each validation moves the weights by a
    rounding error; here they come back bit for bit.
    """

    def on_test_begin(self, logs=None):
        swap(self.model)

    def on_test_end(self, logs=None):
        swap(self.model)


@contextlib.contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Within the block the model has averaged weights, if its optimizer keeps such."""
    if not _sgd(model).use_ema:
        yield
        return
    swap(model)
    try:
        yield
    finally:
        swap(model)


def take_averages(model: keras.Model) -> None:
    """Give the model its averaged weights for good, if its optimizer keeps such.

    `keras.optimizers` does so at the end of every `fit`, but `SGDL2` does not: a run
    may have several, and goes on with the others.
    """
    if _sgd(model).use_ema:
        for variable, average in _pairs(model):
            variable.assign(average)


def swap(model: keras.Model) -> None:
    """Exchange the weights that train with their averages."""
    for variable, average in _pairs(model):
        value = keras.ops.convert_to_numpy(variable)
        variable.assign(average)
        average.assign(value)


def _pairs(model: keras.Model) -> Iterator:
    """Each variable that trains, and its average."""
    optimizer = _sgd(model)
    return zip(
        optimizer._trainable_variables,
        optimizer._model_variables_moving_average,
        strict=True,
    )


def _sgd(model: keras.Model) -> keras.optimizers.Optimizer:
    # Under mixed_float16 Keras wraps it, to scale the loss.
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)
