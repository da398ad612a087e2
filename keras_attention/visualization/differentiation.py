"""Gradients with respect to what flows inside a network."""

from __future__ import annotations

from collections.abc import Callable

import keras

__all__ = ["gradient_at"]


def gradient_at(run: Callable, shape: tuple[int, ...], dtype: str):
    """A tensor inside a computation, and the gradient of its result there.

    Args:
        run: the computation, a function of `seam`; it replaces the tensor x by seam(x),
            once, and returns a scalar and another tensor.
        shape, dtype: of x.

    Returns:
        x, d scalar / d x through what comes after the seam, and the other tensor.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _tensorflow(run)
    if backend == "jax":
        return _jax(run, shape, dtype)
    raise NotImplementedError(
        f"Gradients are for TensorFlow and JAX. Received: KERAS_BACKEND={backend}."
    )


def _tensorflow(run):
    import tensorflow as tf

    kept = []
    with tf.GradientTape(watch_accessed_variables=False) as tape:

        def seam(x):
            # A tensor of its own: a layer may give its input, which others use too.
            kept.append(tf.identity(x))
            tape.watch(kept[0])
            return kept[0]

        scalar, other = run(seam)
    zero = tf.UnconnectedGradients.ZERO
    return kept[0], tape.gradient(scalar, kept[0], unconnected_gradients=zero), other


def _jax(run, shape, dtype):
    import jax

    def with_added(zero):
        kept = []

        def seam(x):
            kept.append(x)
            return x + zero

        scalar, other = run(seam)
        return scalar, (kept[0], other)

    gradient = jax.grad(with_added, has_aux=True)
    by_x, (x, other) = gradient(jax.numpy.zeros(shape, dtype))
    return x, by_x, other
