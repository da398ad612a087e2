"""The layers of a model by name, and their calls."""

from __future__ import annotations

import collections

import keras

from keras_attention.layers.gate import Gate

__all__ = ["CallNames", "data_format", "sublayers"]


def sublayers(model: keras.Model) -> dict[keras.layers.Layer, str]:
    """{layer: name} of all layers of a model, each before those inside it.

    Names are the layers' own; inside a nested model or a composite layer its name and a
    slash come first: `"backbone/stage1_block1_attention"`. The parts of a `Gate` are
    left out.
    """
    found = {}
    _add(model, "", found)
    return found


def _add(parent, prefix, found):
    for layer in parent._flatten_layers(include_self=False, recursive=False):
        if layer not in found:
            found[layer] = prefix + layer.name
            if not isinstance(layer, Gate):
                _add(layer, f"{found[layer]}/", found)


class CallNames:
    """Names of calls: the layer's, from its second call on with `"#2"`, … behind it.

    Args:
        names: {layer: name}.
    """

    def __init__(self, names: dict[keras.layers.Layer, str]):
        self._names = names
        self._calls = collections.Counter()

    def name(self, layer: keras.layers.Layer) -> str:
        """The name of a call of the layer, which this is."""
        name = self._names[layer]
        self._calls[name] += 1
        count = self._calls[name]
        return name if count == 1 else f"{name}#{count}"


def data_format(model: keras.Model) -> str:
    """That of the model's first layer that has one; else Keras' own."""
    own = (getattr(layer, "data_format", None) for layer in sublayers(model))
    return next(filter(None, own), keras.config.image_data_format())
