"""Batch norms folded into the layer before them.

γ (y − μ) / √(σ² + ε) + β of y = W x + b is (s W) x + (s b + t), with s = γ / √(σ² + ε)
and t = β − s μ. It also holds where a gate or a sum of gated products stands between W
and y, as in an AW-convolution, so that its norm costs nothing; a converter, which looks
at single operations, cannot know that.
"""

import keras
import numpy as np

from keras_attention.ops.layout import channel_axis

_KERNELS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)


def foldable_norms(config, layers):
    """{name of a batch norm: name of the layer that it can be folded into}.

    Args:
        config: `get_config()` of a functional model.
        layers: {name: layer} of that model; operations that are no layers are none.
    """
    sources = {
        item["name"]: _sources(item["inbound_nodes"]) for item in config["layers"]
    }
    used = [name for calls in sources.values() for call in calls for name in call]
    used += _references(config["output_layers"])
    found = {}
    for name, calls in sources.items():
        norm = layers.get(name)
        if not (isinstance(norm, keras.layers.BatchNormalization) and is_known(norm)):
            continue
        (before,) = calls[0] if len(calls) == len(calls[0]) == 1 else (None,)
        alone = used.count(before) == 1 and len(sources.get(before, ())) == 1
        if alone and before in layers and _takes(layers[before], norm):
            found[name] = before
    return found


def scale_and_shift(norm):
    """s and t of a batch norm in inference, in float64."""
    variance = _array(norm.moving_variance)
    scale = 1 / np.sqrt(variance + norm.epsilon)
    if norm.gamma is not None:
        scale *= _array(norm.gamma)
    shift = -scale * _array(norm.moving_mean)
    if norm.beta is not None:
        shift += _array(norm.beta)
    return scale, shift


def scale_outputs(layer, scale, shift):
    """Change a layer's weights so that it gives scale · y + shift for y.

    Args:
        layer: a convolution or `Dense` with a bias, or a layer with a method
            `scale_outputs(scale, shift)` of its own.
        scale, shift: arrays, one number for each output channel.
    """
    if hasattr(layer, "scale_outputs"):
        return layer.scale_outputs(scale, shift)
    kernel = _array(layer.kernel)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        layer.kernel.assign(kernel * scale.reshape(kernel.shape[-2:]))
    else:
        layer.kernel.assign(kernel * scale)
    layer.bias.assign(_array(layer.bias) * scale + shift)


def is_known(layer):
    """Whether no user's subclass computes something else by the same weights."""
    return type(layer).__module__.partition(".")[0] in ("keras", "keras_attention")


def _takes(layer, norm):
    if not (is_known(layer) or "scale_outputs" in vars(type(layer))):
        return False
    if hasattr(layer, "scale_outputs"):
        axis = channel_axis(layer.data_format)
    elif isinstance(layer, _KERNELS) and layer.activation is keras.activations.linear:
        axis = channel_axis(getattr(layer, "data_format", "channels_last"))
    else:
        return False
    rank = len(norm.input.shape)
    return norm.axis % rank == axis % rank


def _sources(inbound_nodes):
    """For each call of a layer the names of the layers whose outputs it takes."""
    return [_references(node) for node in inbound_nodes]


def _references(node):
    """Names in the "keras_history" entries of a part of a model's configuration."""
    if isinstance(node, dict):
        if "keras_history" in node:
            return [node["keras_history"][0]]
        return [name for value in node.values() for name in _references(value)]
    if isinstance(node, list | tuple):
        if [type(item) for item in node] == [str, int, int]:  # an output
            return [node[0]]
        return [name for value in node for name in _references(value)]
    return []


def _array(variable):
    return keras.ops.convert_to_numpy(variable).astype("float64")
