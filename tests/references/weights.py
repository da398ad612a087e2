"""A layer's weights as nested dicts of float64 arrays, and random values for them."""

import keras
import numpy as np


def randomize(layer, rng):
    """Fills every weight with values that make each part of a formula matter.

    Fresh weights would hide mistakes: biases, beta and moving means start at 0,
    gamma and moving variances at 1.
    """
    for weight in layer.weights:
        if weight.name in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, weight.shape)
        else:
            scale = 1 / np.sqrt(np.prod(weight.shape[:-1]) or 1)
            value = rng.normal(0, max(scale, 0.3), weight.shape)
        weight.assign(value.astype("float32"))


def read(layer):
    """{sublayer: {weight: array}} below `layer`, by the names on the weights' paths."""
    tree = {}
    for path, weight in by_path(layer).items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        if name in node:
            raise ValueError(f"two weights at {path!r}")
        node[name] = keras.ops.convert_to_numpy(weight).astype("float64")
    return tree


def by_path(layer, trainable_only=False):
    """{path below `layer`: variable}."""
    weights = layer.trainable_weights if trainable_only else layer.weights
    return {weight.path.removeprefix(f"{layer.name}/"): weight for weight in weights}
