"""A classifier up to its softmax: what a file is compared by."""

import keras


def ends_in_softmax(model) -> bool:
    """Whether a functional model's only output is a softmax over classes."""
    if isinstance(model.output, list | tuple | dict) or len(model.output.shape) != 2:
        return False
    last = _last(model)
    return (
        type(last) is keras.layers.Softmax  # a user's subclass may do more
        or getattr(last, "activation", None) is keras.activations.softmax
    )


def without_softmax(model):
    """A functional model that ends in softmax, up to its logits.

    Its layers are the model's, but for a last `Dense`, which is a copy.

    Raises:
        ValueError: the last layer has a softmax, but is no `Dense`, `Activation` or
            `Softmax`.
    """
    last = _last(model)
    if type(last) in (keras.layers.Softmax, keras.layers.Activation):
        return keras.Model(model.input, last.input)
    if type(last) is not keras.layers.Dense:
        raise ValueError(
            f"The softmax of {model.name!r} is inside {last.name!r}, of the class "
            f"{type(last).__name__}. Make it a layer of its own, "
            "`keras.layers.Softmax()`."
        )
    linear = keras.layers.Dense.from_config({**last.get_config(), "activation": None})
    logits = linear(last.input)
    linear.set_weights(last.get_weights())
    return keras.Model(model.input, logits)


def _last(model):
    output = model.get_config()["output_layers"]
    name = output[0] if isinstance(output[0], str) else output[0][0]
    return next(o for o in model.operations if o.name == name)  # maybe no layer
