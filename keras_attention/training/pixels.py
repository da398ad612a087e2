"""What numbers a network wants its images' pixels to be."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np

from keras_attention.attaching.graph import Graph
from keras_attention.choices import check_choice
from keras_attention.weights.preprocessing import IMAGENET

# By the name: mean and std as in `Preprocessing`, and what they make of pixels.
PIXELS = {
    "byte": (0.0, 1 / 255, "from 0 to 255"),
    "unit": (0.0, 1.0, "from 0 to 1"),
    "signed": (0.5, 0.5, "from -1 to 1"),
    "imagenet": (IMAGENET.mean, IMAGENET.std, "less ImageNet's mean, by its deviation"),
}
UNKNOWN = (
    "prepared as the data set says, as nothing tells what the weights want; "
    f"`pixels` does, by one of {', '.join(PIXELS)}"
)
SCALING = (keras.layers.Rescaling, keras.layers.Normalization)
# Layers that leave pixels in their range.
PASSED = (
    keras.layers.CenterCrop,
    keras.layers.RandomBrightness,
    keras.layers.RandomContrast,
    keras.layers.RandomCrop,
    keras.layers.RandomFlip,
    keras.layers.RandomRotation,
    keras.layers.RandomTranslation,
    keras.layers.RandomZoom,
    keras.layers.Resizing,
)
# No network is given numbers so far apart as a scaling of the wrong range makes them.
WIDEST = 16


def by_name(name: str, channels: int) -> dict:
    """`mean` and `std` as in `Preprocessing`, for pixels of a name in `PIXELS`.

    Raises:
        ValueError: an unknown name, or one of images with other channels.
    """
    mean, std, _ = PIXELS[check_choice("pixels", name, PIXELS)]
    if isinstance(mean, float):
        return {"mean": (mean,) * channels, "std": (std,) * channels}
    if len(mean) != channels:
        raise ValueError(
            f"pixels={name!r} is for images of {len(mean)} channels. The network takes "
            f"{channels}: choose another"
        )
    return {"mean": mean, "std": std}


def wanted_by(model: keras.Model) -> tuple[dict, str]:
    """What a network's own first layers tell.

    A `Rescaling` or an adapted `Normalization` takes pixels from 0 to 255, or from 0 to
    1 where it would make numbers of the former that are too far apart.

    Returns:
        (`mean` and `std` as in `Preprocessing`, empty where nothing tells; in words).
    """
    for layer in _first_layers(Graph(model)):
        slope = _slope(layer) if isinstance(layer, SCALING) else None
        if slope not in (None, 1):
            name = "byte" if 255 * slope <= WIDEST else "unit"
            words = f"pixels {PIXELS[name][-1]}, as it scales them by {layer.name!r}"
            return by_name(name, model.input_shape[-1]), words
        if slope is None and not isinstance(layer, PASSED):
            break
    return {}, UNKNOWN


def _slope(layer: keras.layers.Layer) -> float:
    """How much further apart pixels are behind a scaling layer."""
    if isinstance(layer, keras.layers.Rescaling):
        return float(np.median(np.abs(layer.scale)))
    variance = keras.ops.convert_to_numpy(keras.ops.cast(layer.variance, "float32"))
    return float(1 / np.sqrt(np.median(variance)))


def _first_layers(graph: Graph) -> Iterator[keras.Operation | None]:
    """What images go through one by one, also in models; None at a fork."""
    call = graph.calls[0]
    while following := graph.consumers[call.index]:
        call = following[0]
        if len(following) > 1:
            yield None
        elif id(call.operation) in graph.nested:
            yield from _first_layers(graph.nested[id(call.operation)])
        else:
            yield call.operation
