"""What the attention layers of a network attend to in given images."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_attention.layers.checks import positive_integer
from keras_attention.visualization.inputs import batches, check_images
from keras_attention.visualization.intercepting import intercepted
from keras_attention.visualization.sublayers import CallNames, sublayers

__all__ = ["AttentionMap", "attention_maps"]


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """One map of one attention layer, for every image.

    Args:
        layer: the layer's name: `"stage1_block1_attention"`, or inside another
            `"backbone/stage1_block1_attention"`; from its second call on with `"#2"`, …
            behind it.
        kind: `"channel"`, `"spatial"`, `"volume"`, `"kernel"` or `"positions"`.
        values: float32, channels last whatever the network's layout: `[N, C]`,
            `[N, H, W]`, `[N, H, W, C]`; of an AW-convolution `[N, kh, kw, maps, C2]`;
            of self-attention `[N, heads, H, W, H, W]`, query position before key
            position, each query's sum being 1.
    """

    layer: str
    kind: str
    values: np.ndarray

    def spatial(self) -> np.ndarray | None:
        """What each place gets, `[N, H, W]`; None for the kinds without places.

        Of a volume the mean over channels. Of positions how much each place is attended
        to: the mean over heads and queries times the number of places, so that 1 is
        what every place gets where all are attended to alike.
        """
        if self.kind == "spatial":
            return self.values
        if self.kind == "volume":
            return self.values.mean(axis=3)
        if self.kind == "positions":
            height, width = self.values.shape[-2:]
            return self.values.mean(axis=(1, 2, 3)) * (height * width)
        return None


def attention_maps(
    model: keras.Model, images: np.ndarray, *, batch_size: int = 32
) -> list[AttentionMap]:
    """The maps of all attention layers of a model, in the order of their calls.

    The model is neither changed nor rebuilt. An attention layer is one with a method
    `attention_maps(inputs)` that gives {kind: map}, as every `Gate` has.

    Args:
        model: any Keras model, with nested ones too.
        images: float `[N, H, W, C]`, or channels first, as the model takes them.
        batch_size: images at once; the maps of all stay in memory.

    Returns:
        One `AttentionMap` for each map of each call of each layer.

    Raises:
        ValueError: no attention in the model; images of another shape or type, or not
            finite; a `batch_size` below 1.
    """
    images = check_images(model, images)
    positive_integer("batch_size", batch_size)
    names = sublayers(model)
    layers = [layer for layer in names if hasattr(layer, "attention_maps")]
    if not layers:
        raise ValueError(
            f"Model {model.name!r} has no attention to show. Build it with one, such "
            "as attention='cbam', give layers of your own a method "
            "`attention_maps(inputs)`, or look at Grad-CAM and occlusion only "
            "(--maps grad-cam occlusion)."
        )
    parts = []
    for batch in batches(images, batch_size):
        recorder = _Recorder(names)
        with intercepted(layers, recorder.record):
            model(batch, training=False)
        parts.append(recorder.found)
    return [
        AttentionMap(*key, np.concatenate([part[key] for part in parts]))
        for key in parts[0]
    ]


class _Recorder:
    """Keeps the maps of every call: `found` is {(layer, kind): values}."""

    def __init__(self, names):
        self.found = {}
        self._calls = CallNames(names)
        self._busy = False

    def record(self, layer, inputs, outputs):
        # To find its maps, a layer may call attentions inside it once more.
        if not self._busy:
            self._busy = True
            maps = layer.attention_maps(inputs)
            self._busy = False
            name = self._calls.name(layer)
            for kind, values in maps.items():
                self.found[name, kind] = _channels_last(layer, kind, values)
        return outputs


def _channels_last(layer, kind, values) -> np.ndarray:
    values = ops.convert_to_numpy(ops.cast(values, "float32"))
    if kind == "channel":
        return values.reshape(len(values), -1)
    if kind in ("spatial", "volume"):
        if getattr(layer, "data_format", None) == "channels_first":
            values = values.transpose(0, 2, 3, 1)
        return values[..., 0] if kind == "spatial" else values
    return values
