"""Layers whose results are seen, or replaced, while their model runs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator

import keras

__all__ = ["intercepted"]


@contextlib.contextmanager
def intercepted(
    layers: Iterable[keras.layers.Layer], function: Callable
) -> Iterator[None]:
    """While open, what `function` makes of each layer's result is its result.

    Keras looks `layer.call` up at every call, in nested models too, so that no model is
    rebuilt. It does where the model is called, as in `model(images, training=False)`:
    a function compiled before, such as `model.predict` may have, is not changed.

    Args:
        layers: whose `call` is replaced, on the instance.
        function: of (layer, inputs, outputs): the first argument of the call and its
            result. What it returns is what the layer gives.
    """
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_replaced(layer, function))
        yield


@contextlib.contextmanager
def _replaced(layer, function):
    own = layer.call
    before = vars(layer).get("call")  # of an interception around this one

    @functools.wraps(own)
    def call(*args, **kwargs):
        inputs = args[0] if args else next(iter(kwargs.values()), None)
        return function(layer, inputs, own(*args, **kwargs))

    # Keras' own way of setting attributes would track it.
    object.__setattr__(layer, "call", call)
    try:
        yield
    finally:
        if before is None:
            object.__delattr__(layer, "call")
        else:
            object.__setattr__(layer, "call", before)
