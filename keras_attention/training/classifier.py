"""Another classifier on the same network."""

from __future__ import annotations

import keras

END = (keras.layers.Activation, keras.layers.Softmax)


def replace_classifier(model: keras.Model, classes: int) -> keras.Model:
    """The network with a classifier for other classes, drawn anew.

    The new `Dense` has the old one's name and options; an activation behind it stays.
    All other layers are the old network's own.

    Args:
        model: functional or sequential, ending in `Dense`, behind which an
            `Activation` or a `Softmax` may stand.
        classes: of the new classifier.

    Raises:
        ValueError: it ends otherwise; the message names its last layers.
    """
    dense, behind = _end(model)
    made = keras.layers.Dense.from_config({**dense.get_config(), "units": classes})
    outputs = made(dense.input)
    for layer in behind:
        outputs = type(layer).from_config(layer.get_config())(outputs)
    return keras.Model(model.inputs, outputs, name=model.name)


def classifier_of(model: keras.Model) -> str:
    """The name of the `Dense` that a classifier ends in.

    Raises:
        ValueError: as `replace_classifier`.
    """
    return _end(model)[0].name


def _end(model: keras.Model) -> tuple[keras.layers.Dense, list]:
    """The last `Dense`, and the activation behind it."""
    layers = list(model.layers)
    behind = []
    while layers and isinstance(layers[-1], END) and not behind:
        behind.append(layers.pop())
    if not layers or not isinstance(layers[-1], keras.layers.Dense):
        last = [f"{x.name} ({type(x).__name__})" for x in model.layers[-3:]]
        raise ValueError(
            "A classifier must end in a Dense, with at most a Softmax or an Activation "
            f"behind it. {model.name} ends in {', '.join(last)}"
        )
    if len(model.outputs) != 1 or len(model.inputs) != 1:
        raise ValueError(
            f"A classifier has one input and one output. {model.name} has "
            f"{len(model.inputs)} and {len(model.outputs)}"
        )
    return layers[-1], behind
