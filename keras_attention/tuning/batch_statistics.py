"""Batch normalisation that can be differentiated twice."""

from __future__ import annotations

import contextlib

import keras
from keras import ops

OTHER_NORMS = (keras.layers.GroupNormalization, keras.layers.LayerNormalization)


@contextlib.contextmanager
def exact_batch_statistics(model):
    """While open, batch norms take mean x and mean (x − mean x)² as they are.

    Keras takes `ops.moments`, which on TensorFlow holds the mean inside the variance
    constant. That leaves values and first derivatives as they should be, because
    Σ (x − mean x) is 0, and second derivatives not.

    Open it around the tracing of a function (inside `tf.function`, outside
    `tf.distribute.Strategy.run`, whose replicas trace side by side); what was traced
    stays exact afterwards. Layers with `synchronized=True` are left alone: they take
    sums over the replicas, which are differentiated in full.

    Args:
        model: a `keras.Model`, or a layer; nested layers are found.

    Raises:
        ValueError: the model has a layer with `ops.moments` where it cannot be
            replaced (`keras.layers.GroupNormalization`, `LayerNormalization`). A call
            of `ops.moments` in a layer of your own is not seen.
    """
    layers = model._flatten_layers()
    with contextlib.ExitStack() as stack:
        for layer in layers:
            if isinstance(layer, OTHER_NORMS):
                raise ValueError(
                    f"The second derivative of {layer.name!r} is wrong on TensorFlow, "
                    "as its `ops.moments` stops a gradient. Use batch normalisation, "
                    "or order 1, which is right with it."
                )
            batch_norm = isinstance(layer, keras.layers.BatchNormalization)
            if batch_norm and not layer.synchronized:
                stack.enter_context(_exact(layer))
        yield


@contextlib.contextmanager
def _exact(layer):
    """One layer with moments of its own, in its `__dict__`: Keras tracks no change."""
    attributes = vars(layer)
    own = {"_moments": attributes["_moments"]} if "_moments" in attributes else {}
    attributes["_moments"] = _moments_of(layer, layer._moments)
    try:
        yield
    finally:
        del attributes["_moments"]
        attributes.update(own)


def _moments_of(layer, original):
    def moments(inputs, mask):
        if mask is not None:  # sums, differentiated in full
            return original(inputs, mask)
        axes = layer._reduction_axes
        return ops.mean(inputs, axes), ops.var(inputs, axes)

    return moments
