"""A network as a file needs it: float32, inference only, batch norms folded."""

import keras

from keras_attention.attaching.copying import assign, carry_weights, remade
from keras_attention.attaching.graph import as_functional
from keras_attention.saved_models.folding import (
    foldable_norms,
    is_known,
    scale_and_shift,
    scale_outputs,
)

_DROPOUTS = (keras.layers.Dropout, keras.layers.SpatialDropout2D)


def export_form(model):
    """A copy of a network that computes the same, to 1e-5, with fewer operations.

    Every layer computes in float32, a batch norm after a convolution or a fully
    connected layer is part of that layer's weights, and dropout is gone. What an
    attention computes differently in a file is decided by its own operations, when
    the graph is made inside `ops.exporting.exporting()`.

    Args:
        model: a built functional or sequential model; left as it was.

    Raises:
        ValueError: the model is of another kind, is quantized, or holds a layer that
            cannot be made again from its configuration.
    """
    return _copy(as_functional(model), fold=True)


def float32_form(model):
    """A copy of a network in which every layer computes in float32."""
    return _copy(as_functional(model), fold=False)


def _copy(model, fold):
    layers = {layer.name: layer for layer in model.layers}
    norms = foldable_norms(_config(model), layers) if fold else {}
    with_bias = set(norms.values())

    gone = {
        name
        for name, layer in layers.items()
        if isinstance(layer, _DROPOUTS) and is_known(layer)
    }
    gone.update(norms)

    def copy(layer):
        if layer.name in gone:
            return keras.layers.Identity(name=layer.name)
        if isinstance(layer, keras.Model):
            return _copy(as_functional(layer), fold)
        return _again(layer, use_bias=layer.name in with_bias)

    def call(layer, *args, **kwargs):
        return args[0] if layer.name in gone else layer(*args, **kwargs)

    copied = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for name, layer in layers.items():
        if layer.weights and not isinstance(layer, keras.Model) and name not in gone:
            _carry(layer, copied.get_layer(name))
    for norm, before in norms.items():
        scale_outputs(copied.get_layer(before), *scale_and_shift(layers[norm]))
    return copied


def _config(layer):
    try:
        return layer.get_config()
    except NotImplementedError as error:
        reason = str(error).partition("Example")[0]  # Keras shows how it is done
        raise ValueError(
            f"{layer.name!r} has no configuration to copy it by: "
            f"{' '.join(reason.split())}"
        ) from error


def _again(layer, use_bias):
    """The layer without weights yet, in float32, with a bias if it is to have one."""
    changes = {"use_bias": True} if use_bias else {}
    if "dtype" in _config(layer) and not isinstance(layer, keras.layers.InputLayer):
        changes["dtype"] = "float32"
    return remade(layer, **changes)


def _carry(layer, copied):
    """Put a layer's weights into its copy, which may have biases more."""
    if len(layer.weights) == len(copied.weights):
        carry_weights(layer, copied)
        return
    targets = _by_path(copied)
    for path, weight in _by_path(layer).items():
        assign(targets[path], weight)


def _by_path(layer):
    """{path below what all paths have in common: weight}."""
    paths = [weight.path.split("/") for weight in layer.weights]
    columns = zip(*(path[:-1] for path in paths), strict=False)
    common = [len(set(column)) == 1 for column in columns]
    depth = (*common, False).index(False)
    return {
        tuple(path[depth:]): weight
        for path, weight in zip(paths, layer.weights, strict=True)
    }
