"""Layers made again from their configurations, with their weights and flags."""

import keras

__all__ = ["carry_flags", "carry_weights", "remade"]


def remade(operation, **changes):
    """An operation of the same configuration, without weights yet.

    Args:
        operation: a layer or an operation of `keras.ops`.
        **changes: entries of the configuration to be changed.

    Raises:
        ValueError: it cannot be made from its configuration.
    """
    try:
        if isinstance(operation, keras.layers.Lambda):
            copied = _remade_lambda(operation)
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
    return copied


def _remade_lambda(layer):
    # From its configuration a function would lose the module that it is of.
    return type(layer)(
        layer.function,
        output_shape=layer._output_shape,
        mask=layer.mask,
        arguments=layer.arguments,
        dtype=layer.dtype_policy,
        name=layer.name,
    )


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
        if hasattr(part, "finalize_state"):  # Normalization's constants of its weights
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
