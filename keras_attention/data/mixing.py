"""Mixup of batches, as a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from keras_attention.data.order import WHOLE, Part, draw_seed

MIXING_DRAWS = 3


def one_hot(batches: tf.data.Dataset, classes: int) -> tf.data.Dataset:
    """Batches with labels as float32 `[batch, classes]`, and weights as they are."""
    return batches.map(
        lambda images, labels, *weights: (
            images,
            tf.one_hot(labels, classes),
            *weights,
        ),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def mixed(
    batches: tf.data.Dataset,
    *,
    alpha: float,
    seed: int,
    first_step: int,
    part: Part = WHOLE,
) -> tf.data.Dataset:
    """Batches in which each image is mixed with another one (Zhang et al., 2018).

    `x ← λ·x + (1 − λ)·x′`, labels likewise, with `λ ~ Beta(α, α)`. As in
    `keras.layers.MixUp`, which mixes here, every image has a λ of its own (the
    paper draws one for a batch), and x′ is the image in its place in a permutation
    of the batch.

    Args:
        batches: `(float32 [batch, height, width, channels], one-hot labels)`.
        alpha: α, above 0.
        seed: 0 to 2³¹ − 1.
        first_step: global step of the first batch.
        part: of the batches that these are. Images mix within their part, each part
            by draws of its own.
    """
    mix = mixing(alpha)

    def finish(step, images_and_labels):
        draw = step * part.of + part.number
        return mix(*images_and_labels, draw_seed(seed, MIXING_DRAWS, draw))

    return batches.enumerate(start=first_step).map(
        finish, num_parallel_calls=tf.data.AUTOTUNE
    )


def mixing(alpha: float) -> Callable:
    """A function of (images, one-hot labels, stateless seed) that mixes a batch.

    The layer's own draws come from a counter, which a run that goes on would have
    lost; so they are drawn here, and only the mixing is the layer's.
    """
    layer = keras.layers.MixUp(
        alpha, data_format="channels_last", seed=0, dtype="float32"
    )
    # As the layer does itself where it is called in a `tf.data` pipeline.
    layer.backend.set_backend("tensorflow")

    def mix(images, labels, seed):
        draws = draw(tf.shape(images)[0], alpha, seed)
        return (
            layer.transform_images(images, draws),
            layer.transform_labels(labels, draws),
        )

    return mix


def draw(count, alpha: float, seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """A batch's λ and permutation, by the names of `keras.layers.MixUp`."""
    seeds = [tf.random.experimental.stateless_fold_in(seed, i) for i in range(2)]
    # Of a small α's draws most are too small for float32.
    x, y = tf.unstack(
        tf.random.stateless_gamma([2, count], seeds[0], alpha, dtype=tf.float64)
    )
    order = tf.argsort(tf.random.stateless_uniform([count], seeds[1]))
    return {
        "mix_weight": tf.cast(tf.math.divide_no_nan(x, x + y), tf.float32),
        "permutation_order": order,
    }
