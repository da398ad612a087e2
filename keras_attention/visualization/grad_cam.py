"""Grad-CAM (Selvaraju et al., arXiv:1610.02391)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_attention.choices import unknown
from keras_attention.layers.checks import positive_integer
from keras_attention.visualization.differentiation import gradient_at
from keras_attention.visualization.inputs import batches, check_images
from keras_attention.visualization.intercepting import intercepted
from keras_attention.visualization.scoring import check_classes, scoring
from keras_attention.visualization.sublayers import CallNames, data_format, sublayers

__all__ = ["GradCAM", "grad_cam"]


@dataclass(frozen=True, eq=False)
class GradCAM:
    """Where a layer's features speak for a class.

    Args:
        maps: float32 `[N, H, W]` of the layer's size, at least 0.
        layer: whose output was differentiated by.
        classes: int `[N]`, the class of each map.
        score: `"logits"` or `"softmax"`.
    """

    maps: np.ndarray
    layer: str
    classes: np.ndarray
    score: str


@dataclass(frozen=True)
class _Output:
    """A 4-D output of a layer."""

    layer: keras.layers.Layer
    shape: tuple[int, ...]
    dtype: str

    def channels_last(self, tensor, model) -> np.ndarray:
        array = ops.convert_to_numpy(ops.cast(tensor, "float32"))
        return array.transpose(0, 2, 3, 1) if self._is_first(model) else array

    def has_places(self, model) -> bool:
        """Whether there are more than one, as there are not after a global pool."""
        sides = self.shape[2:] if self._is_first(model) else self.shape[1:3]
        return max(sides) > 1

    def _is_first(self, model) -> bool:
        own = getattr(self.layer, "data_format", None) or data_format(model)
        return own == "channels_first"


def grad_cam(
    model: keras.Model,
    images: np.ndarray,
    *,
    classes: int | Sequence[int] | None = None,
    layer: str | None = None,
    score: str = "logits",
    batch_size: int = 32,
) -> GradCAM:
    """ReLU(Σ_k α_k A_k), α_k the mean over positions of ∂y_c / ∂A_k.

    A_k are the channels of a layer's output and y_c is the score of class c. The maps
    are not normalized: they compare between images, and are 0 where nothing speaks for
    the class.

    Args:
        model: a classifier, softmax or logits; it is neither changed nor rebuilt.
        images: float `[N, H, W, C]`, or channels first, as the model takes them.
        classes: None for each image's own most probable class, an int, or a sequence
            of one for each image.
        layer: a layer's name, in a nested model `"backbone/conv"`; the beginning of
            names, such as `"stage3"`, for the last of them; or None for the last layer
            whose 4-D output has more than one place.
        score: `"logits"`, before the softmax, as in the paper, or `"softmax"`.
        batch_size: images at once; one backward pass for each batch.

    Returns:
        The maps with layer, classes and score.

    Raises:
        ValueError: an unknown layer or score, a class out of range, a model that is no
            classifier, images of another shape or type, or not finite.

    Source: arXiv:1610.02391, equations 1 and 2.
    """
    images = check_images(model, images)
    positive_integer("batch_size", batch_size)
    names = sublayers(model)
    with scoring(model, score) as (scores, number):
        wanted = check_classes(classes, number, len(images))
        outputs = _outputs(scores, images[:batch_size], names)
        name = _choose(layer, outputs, model)
        maps, found = [], []
        for start, batch in enumerate(batches(images, batch_size)):
            part = slice(start * batch_size, (start + 1) * batch_size)
            own = None if wanted is None else wanted[part]
            cam, explained = _batch(model, scores, batch, own, name, outputs[name])
            maps.append(cam)
            found.append(explained)
    return GradCAM(np.concatenate(maps), name, np.concatenate(found), score)


def _outputs(scores, images, names) -> dict[str, _Output]:
    """{name: output} of the calls with a 4-D float output, as they end."""
    calls, found = CallNames(names), {}

    def look(layer, inputs, outputs):
        name = calls.name(layer)
        if len(getattr(outputs, "shape", ())) == 4:
            dtype = keras.backend.standardize_dtype(outputs.dtype)
            if "float" in dtype:
                found[name] = _Output(layer, tuple(outputs.shape), dtype)
        return outputs

    with intercepted(names, look):
        scores(images)
    return found


def _choose(layer, outputs, model) -> str:
    if layer is None:
        with_places = [n for n, output in outputs.items() if output.has_places(model)]
        if not with_places:
            raise ValueError(
                f"Model {model.name!r} has no layer with a 4-D output, (batch, height, "
                "width, channels), of more than one place."
            )
        return with_places[-1]
    if layer in outputs:
        return layer
    start = f"{layer}_"
    begun = [
        name
        for name in outputs
        if name.startswith(start) or name.split("/")[-1].startswith(start)
    ]
    if not begun:
        raise unknown("layer with a 4-D output", layer, outputs)
    return begun[-1]


def _batch(model, scores, images, classes, name, output):
    names = sublayers(model)
    calls = CallNames(names)

    def run(seam):
        def at_layer(layer, inputs, outputs):
            return seam(outputs) if calls.name(layer) == name else outputs

        with intercepted(names, at_layer):
            all_scores = scores(images)
        own = ops.argmax(all_scores, axis=1) if classes is None else classes
        own = ops.cast(own, "int32")
        picked = ops.take_along_axis(all_scores, own[:, None], axis=1)
        return ops.sum(picked), own

    shape = (len(images), *output.shape[1:])
    features, gradient, own = gradient_at(run, shape, output.dtype)
    features = output.channels_last(features, model)
    alpha = output.channels_last(gradient, model).mean(axis=(1, 2), keepdims=True)
    maps = np.maximum((alpha * features).sum(axis=3), 0)
    return maps, ops.convert_to_numpy(own).astype("int64")
