"""Where the first value that is not finite came from."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_attention.training.checkpoint import not_finite
from keras_attention.training.interruption import StopRequest


def find_divergence(
    model: keras.Model, steps: Iterator[tuple[float, object]]
) -> str | None:
    """Train until a value is not finite, and tell which was the first.

    Args:
        model: in the state before the first of the steps.
        steps: makes the next of the steps with which it has diverged when it is asked,
            and gives its loss and its images (None for a step without any).

    Returns:
        What it was: the output of a layer, the loss, or weights after an update. None
        if all stays finite.
    """
    before = model.get_weights()
    for number, (loss, images) in enumerate(steps, start=1):
        wrong = not_finite(model)
        if wrong or not math.isfinite(loss):
            model.set_weights(before)
            layer = None if images is None else first_layer(model, images)
            return f"{_first(layer, loss, wrong)}, {number} steps after the checkpoint"
        before = model.get_weights()
    return None


def training_steps(model: keras.Model, batches: tf.data.Dataset) -> Iterator:
    """What `find_divergence` takes, of a compiled model and its batches."""
    for images, labels in batches.as_numpy_iterator():
        yield model.train_on_batch(images, labels, return_dict=True)["loss"], images


def explained(
    error: FloatingPointError,
    checkpoint: Path,
    model: keras.Model,
    again: Callable[[], tuple[Iterator, int]] | None,
    stop: StopRequest,
    verbose: int | str = 0,
) -> FloatingPointError:
    """The error with the layer in which it began, and what to do.

    Args:
        error: what a run has ended with.
        checkpoint: the last one.
        model: what diverged.
        again: goes back to the checkpoint, and gives the steps from there as
            `find_divergence` takes them, and how many led to the error. None where
            they cannot be done again.
        stop: whether the run is asked to stop, which ends the search, too.
        verbose: whether to tell that steps are done again.
    """
    said = ""
    if again is not None:
        if verbose:
            print(f"\n{error}. Going back to find out where it began", flush=True)
        try:
            steps, count = again()
            asked = itertools.takewhile(lambda _: not stop, steps)
            found = find_divergence(model, itertools.islice(asked, count))
            first = f"The first value that is not finite is {found}. "
            said = first if found else f"It did not come again in {count} steps. "
        except Exception as other:  # whatever it is, it must not hide the first one
            said = f"Where it began is not known ({type(other).__name__}: {other}). "
    return FloatingPointError(
        f"{error}. {said}Try a lower learning rate. {checkpoint}, of before that, is "
        "untouched"
    )


def first_layer(model: keras.Model, images) -> str | None:
    """The first layer, in the order of computing, whose output is not all finite."""
    found = []
    with _outputs_seen(model, found):
        model(images, training=True)
    return found[0] if found else None


def _first(layer: str | None, loss: float, wrong: list[str]) -> str:
    if layer:
        return f"the output of the layer {layer!r}"
    if not math.isfinite(loss):
        return f"the loss ({loss}), of outputs that are finite"
    others = f" and {len(wrong) - 1} others" if len(wrong) > 1 else ""
    return f"an update of the weights: {wrong[0]}{others}"


@contextlib.contextmanager
def _outputs_seen(model: keras.Model, found: list[str]) -> Iterator[None]:
    """Within the block, layers whose outputs are not finite are added to `found`."""
    layers = [each for each in model._flatten_layers() if not _is_network(each)]
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_output_seen(layer, found))
        yield


def _is_network(layer) -> bool:
    return isinstance(layer, keras.Model)


@contextlib.contextmanager
def _output_seen(layer, found: list[str]) -> Iterator[None]:
    # In its `__dict__`: Keras tracks no change there.
    attributes, call = vars(layer), layer.call

    def seen(*arguments, **options):
        outputs = call(*arguments, **options)
        arrays = keras.tree.flatten(outputs)
        if not all(np.isfinite(keras.ops.convert_to_numpy(a)).all() for a in arrays):
            found.append(layer.name)
        return outputs

    attributes["call"] = seen
    try:
        yield
    finally:
        del attributes["call"]
