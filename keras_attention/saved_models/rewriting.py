"""A network as a file needs it: float32, inference only, batch norms folded."""

import keras

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


def as_functional(model):
    """The model as a functional one, of the same layers.

    Raises:
        ValueError: it is no functional or sequential model, not built, or quantized.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"A `keras.Model` is needed. Received: {model!r} of type "
            f"{type(model).__name__}."
        )
    if not model.built:
        raise ValueError(
            f"Model {model.name!r} is not built, so it has no weights to export. Call "
            "it on data, or give it an input shape, first."
        )
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    if not getattr(model, "inputs", None) or not hasattr(model, "operations"):
        raise ValueError(
            f"Model {model.name!r} is of the class {type(model).__name__}, whose "
            "structure is not known. Functional and sequential models can be exported."
        )
    for layer in model._flatten_layers(include_self=False):
        if getattr(layer, "quantization_mode", None):
            raise ValueError(
                f"Layer {layer.name!r} is quantized ({layer.quantization_mode}) "
                "already. Export the network before `quantize()`, with precision="
                "'int8'."
            )
    return model


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
    config = _config(layer)
    if "dtype" in config and not isinstance(layer, keras.layers.InputLayer):
        config["dtype"] = "float32"
    if use_bias:
        config["use_bias"] = True
    try:
        copied = type(layer).from_config(config)
    except Exception as error:
        raise ValueError(
            f"Layer {layer.name!r} of the class {type(layer).__name__} cannot be made "
            f"again from its configuration: {error}"
        ) from error
    copied.name = layer.name  # which its configuration may not hold
    return copied


def _carry(layer, copied):
    """Put a layer's weights into its copy, which may have biases more."""
    pairs = zip(layer.weights, copied.weights, strict=False)
    if len(layer.weights) < len(copied.weights):
        targets = _by_path(copied)
        pairs = ((weight, targets[path]) for path, weight in _by_path(layer).items())
    for weight, target in pairs:
        # By NumPy: on JAX the two would share an array that training gives away.
        target.assign(keras.ops.convert_to_numpy(weight))


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
