"""Layers made again from their configurations, with their weights and flags."""

import tempfile

import keras

__all__ = ["assign", "carry_flags", "carry_weights", "remade"]


def remade(operation, **changes):
    """An operation of the same configuration, without weights yet.

    A vocabulary that a layer has learned comes with it, as calls need it.

    Args:
        operation: a layer or an operation of `keras.ops`.
        **changes: entries of the configuration to be changed.

    Raises:
        ValueError: it cannot be made from its configuration, or has a vocabulary that
            cannot be carried.
    """
    try:
        if isinstance(operation, keras.layers.Lambda):
            copied = _remade_lambda(operation, **changes)
        else:
            config = {**operation.get_config(), **changes}
            copied = type(operation).from_config(config)
    except Exception as error:
        reason = str(error).partition("Example")[0]  # Keras shows how it is done
        raise ValueError(
            f"{operation.name!r} of the class {type(operation).__name__} cannot be "
            f"made again from its configuration: {' '.join(reason.split())}"
        ) from error
    copied.name = operation.name  # which its configuration may not hold
    _carry_assets(operation, copied)
    return copied


def _remade_lambda(layer, **changes):
    # From its configuration a function would lose the module that it is of.
    options = {
        "output_shape": layer._output_shape,
        "mask": layer.mask,
        "arguments": layer.arguments,
        "dtype": layer.dtype_policy,
        "name": layer.name,
    }
    return type(layer)(layer.function, **{**options, **changes})


def _carry_assets(operation, copied):
    """Give a copy what its layer keeps in files: vocabularies of lookups.

    Raises:
        ValueError: the copy cannot take them.
    """
    kept, taking = _with_assets(operation), _with_assets(copied)
    try:
        for layer, target in zip(kept, taking, strict=True):
            with tempfile.TemporaryDirectory() as folder:
                layer.save_assets(folder)
                target.load_assets(folder)
    except Exception as error:
        raise ValueError(
            f"The vocabulary of {operation.name!r} of the class "
            f"{type(operation).__name__} cannot be carried into a copy: {error}. Give "
            "it the vocabulary as an argument, or keep it out of the model."
        ) from error


def _with_assets(operation):
    """The layers in an operation that keep files beside variables."""
    if not isinstance(operation, keras.layers.Layer):
        return []
    layers = operation._flatten_layers()
    return [layer for layer in layers if hasattr(layer, "save_assets")]


def carry_weights(layer, copied):
    """Put all of a layer's variables, its random states too, into its copy.

    An operation that is no layer has none.

    Raises:
        ValueError: the copy has others, as where a layer makes some of them in a call.
    """
    if not isinstance(layer, keras.layers.Layer):
        return
    if len(layer.variables) != len(copied.variables):
        raise ValueError(
            f"Layer {layer.name!r} of the class {type(layer).__name__} has "
            f"{len(layer.variables)} variables, and {len(copied.variables)} when made "
            "again from its configuration. Let `get_config` hold all that they depend "
            "on."
        )
    for variable, target in zip(layer.variables, copied.variables, strict=True):
        assign(target, variable)
    for part in copied._flatten_layers():
        # Its constants are made of its weights. Other layers would make theirs of the
        # statistics of `adapt`, which a copy does not have.
        if isinstance(part, keras.layers.Normalization):
            part.finalize_state()


def assign(target, variable):
    """Give a variable the value of another."""
    # By NumPy: on JAX the two would share an array that training gives away.
    target.assign(keras.ops.convert_to_numpy(variable))


def carry_flags(layer, copied):
    """Make all parts of a copy trainable as the layer's are."""
    parts = zip(layer._flatten_layers(), copied._flatten_layers(), strict=False)
    for part, target in parts:  # the outer ones first, whose flags reach the inner
        target.trainable = part.trainable
    for variable, target in zip(layer.variables, copied.variables, strict=True):
        target.trainable = variable.trainable
