"""Compile a network for a recipe."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from keras_attention.training.metrics import error_metrics
from keras_attention.training.optimizer import SGDL2
from keras_attention.training.recipes import Recipe
from keras_attention.training.schedules import learning_rate_schedule


def compile(
    model: keras.Model,
    recipe: Recipe,
    steps_per_epoch: int,
    *,
    optimizer: keras.optimizers.Optimizer | None = None,
    learning_rate_factors: Mapping[str, float] | None = None,
) -> None:
    """Give a classifier the recipe's optimizer, the loss and the error metrics.

    Args:
        model: a classifier with one output `[batch, classes]`, softmax or logits.
        recipe: what to train with.
        steps_per_epoch: batches in an epoch; the schedule counts in steps.
        optimizer: in place of the recipe's.
        learning_rate_factors: as for `SGDL2`, of the recipe's optimizer.

    Raises:
        ValueError: the output is not of that kind.
    """
    sgd = optimizer or _sgd(recipe, steps_per_epoch, learning_rate_factors)
    model.compile(
        optimizer=sgd,
        loss=_loss(recipe, gives_logits(model)),
        # By the weights of images, which empty ones of `data.padding` have, too.
        weighted_metrics=error_metrics(model.output_shape[-1]),
        # By device: Keras leaves XLA out on a CPU with TensorFlow, where a training
        # step takes several times as long with it.
        jit_compile="auto",
    )


def _loss(recipe: Recipe, from_logits: bool) -> keras.losses.Loss:
    if not recipe.soft_labels:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    return keras.losses.CategoricalCrossentropy(
        from_logits=from_logits, label_smoothing=recipe.label_smoothing
    )


def _sgd(recipe: Recipe, steps_per_epoch: int, factors: Mapping | None) -> SGDL2:
    return SGDL2(
        learning_rate=learning_rate_schedule(recipe, steps_per_epoch),
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        l2=recipe.weight_decay,
        l2_exclude=recipe.decay_exclude,
        learning_rate_factors=factors,
        use_ema=recipe.ema > 0,
        ema_momentum=recipe.ema,
    )


def gives_logits(model: keras.Model) -> bool:
    """Whether a classifier's output is logits (True) or a softmax (False).

    Raises:
        ValueError: it is neither, as far as the last layer tells.
    """
    shape = model.output_shape
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(
            "A classifier with one output [batch, classes] is needed. "
            f"Received outputs of shape {shape}"
        )
    last = model.layers[-1]
    if isinstance(last, keras.layers.Softmax):
        return False
    activation = getattr(last, "activation", None)
    if activation is keras.activations.softmax:
        return False
    if activation is keras.activations.linear:
        return True
    raise ValueError(
        "The last layer must end in a softmax or in nothing (logits). "
        f"Received: {last.name} with activation {activation}"
    )
