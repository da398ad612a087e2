"""What an explanation is of: one class of each image, and its score."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
from keras import ops

from keras_attention.choices import check_choice
from keras_attention.training.compilation import gives_logits
from keras_attention.visualization.intercepting import intercepted

__all__ = ["check_classes", "scoring"]

SCORES = ("softmax", "logits")


@contextlib.contextmanager
def scoring(model: keras.Model, score: str) -> Iterator[tuple[Callable, int]]:
    """A function from images to a score of every class, to call while this is open.

    Args:
        model: a classifier, softmax or logits; its last layer may be in a nested model.
        score: `"softmax"`, the probability, or `"logits"`, what the softmax takes.

    Returns:
        The function, which gives a float32 tensor `[N, classes]` and calls the model,
        and the number of classes.

    Raises:
        ValueError: another score, or a model whose last layer does not tell what it
            gives.
    """
    check_choice("score", score, SCORES)
    classifier = _classifier(model)
    softmax = not gives_logits(classifier)

    def scores(images):
        outputs = ops.cast(model(images, training=False), "float32")
        return outputs if softmax or score == "logits" else ops.softmax(outputs)

    bare = softmax and score == "logits"
    last = classifier.layers[-1]
    with _without_softmax(last) if bare else contextlib.nullcontext():
        yield scores, classifier.output_shape[-1]


def check_classes(
    classes: int | Sequence[int] | None, number: int, images: int
) -> np.ndarray | None:
    """`[images]`, a class of each; None where each has its own most probable one.

    Args:
        classes: None, one for all, or a sequence of one for each.
        number: of the classes that there are.
        images: their number.

    Raises:
        ValueError: no integers, another number of them, or one out of range.
    """
    if classes is None:
        return None
    found = np.asarray(classes)
    integers = np.issubdtype(found.dtype, np.integer)
    if not integers or found.shape not in ((), (images,)):
        raise ValueError(
            f"`classes` must be None, an integer, or one for each of {images} images. "
            f"Received: {classes!r}."
        )
    if (found < 0).any() or (found >= number).any():
        raise ValueError(
            f"`classes` must be in 0 … {number - 1}. Received: {classes!r}."
        )
    return np.broadcast_to(found, (images,)).astype("int64")


def _classifier(model):
    """The nested model whose last layer is the model's own, or the model."""
    while model.layers and isinstance(model.layers[-1], keras.Model):
        model = model.layers[-1]
    if not hasattr(model, "output_shape"):
        raise ValueError(
            f"The last layer of {model.name!r}, of the class {type(model).__name__}, "
            "is not known. Build it with the functional API or as a Sequential."
        )
    last = getattr(model, "operations", model.layers)[-1]
    if last is not model.layers[-1]:
        raise ValueError(
            f"{model.name!r} ends in the operation {last.name!r}. Make it a layer, "
            "such as `keras.layers.Softmax()`."
        )
    return model


@contextlib.contextmanager
def _without_softmax(layer):
    if isinstance(layer, keras.layers.Softmax):
        with intercepted([layer], lambda layer, inputs, outputs: inputs):
            yield
        return
    softmax = layer.activation
    layer.activation = keras.activations.linear
    try:
        yield
    finally:
        layer.activation = softmax
