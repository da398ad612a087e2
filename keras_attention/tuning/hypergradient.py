"""How the validation loss changes with the architecture, through a step of the weights.

Functions of lists of TensorFlow tensors; they know no network.
"""

from __future__ import annotations

import numbers

import tensorflow as tf
from keras import ops


def hypergradient(
    training_loss,
    validation_loss,
    weights,
    alphas,
    *,
    order,
    learning_rate=None,
    momentum=0.0,
    nesterov=False,
    velocities=None,
    l2=0.0,
    average=None,
):
    """d Lval(w'(α), α) / dα, with w' = w + μ·v − ξ·(∇_w Ltr(w, α) + λ·w).

    First order takes w' = w, and leaves the training loss alone. Second order is
    exact: the step is differentiated as it stands (backpropagation through
    backpropagation), without DARTS' finite difference, which kinks (ReLU, maxima)
    spoil.

    Args:
        training_loss: Ltr, function of (weights, alphas) that gives a scalar tensor.
        validation_loss: Lval, likewise; called last, on w'.
        weights: w, list of float tensors.
        alphas: α, list of float tensors.
        order: 1 or 2.
        learning_rate: ξ, a number or scalar tensor; needed for order 2.
        momentum, nesterov, velocities, l2: as for `sgd_step`.
        average: function of the list of training gradients to what takes their
            place in the step, differentiable; for a mean over replicas.

    Returns:
        The gradients, a tensor for each of `alphas`; zeros where the loss does not
        depend on one.

    Raises:
        ValueError: another order, order 2 without `learning_rate`, and what
            `sgd_step` raises.

    Source: Liu et al., arXiv:1806.09055 (DARTS), eq. 6 and 7; momentum as in the
    authors' code, which keeps it outside the derivative as well.
    """
    check_order(order)
    if order == 2 and learning_rate is None:
        raise ValueError(
            "Order 2 needs `learning_rate`, that of the weights' step. Received: None."
        )
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(alphas)
        stepped = weights
        if order == 2:
            gradients = _gradients(training_loss, weights, alphas)
            stepped = sgd_step(
                weights,
                average(gradients) if average else gradients,
                learning_rate=learning_rate,
                momentum=momentum,
                nesterov=nesterov,
                velocities=velocities,
                l2=l2,
            )
        loss = validation_loss(stepped, alphas)
    return tape.gradient(loss, alphas, unconnected_gradients="zero")


def sgd_step(
    weights,
    gradients,
    *,
    learning_rate,
    momentum=0.0,
    nesterov=False,
    velocities=None,
    l2=0.0,
):
    """One step of Keras' SGD: v' = μ·v − ξ·(g + λ·w), w' = w + v'.

    With Nesterov's momentum w' = w + μ·v' − ξ·(g + λ·w). Keras stores v with the
    learning rate in it, of the opposite sign to PyTorch's.

    Args:
        weights: w, list of float tensors.
        gradients: g, list of tensors of their shapes.
        learning_rate: ξ, a number or scalar tensor.
        momentum: μ, number in [0, 1].
        nesterov: bool.
        velocities: v, list of tensors of the weights' shapes; needed if μ > 0.
        l2: λ ≥ 0 of the coupled decay, or a list with one for each weight.

    Returns:
        w', list of tensors.

    Raises:
        ValueError: a momentum without velocities, or lists of different lengths.
    """
    if momentum and velocities is None:
        raise ValueError(
            f"A step with momentum {momentum} needs `velocities`, one per weight "
            "(zeros before the first step). Received: None."
        )
    velocities = velocities if momentum else [None] * len(weights)
    decays = [l2] * len(weights) if isinstance(l2, numbers.Real) else l2
    lengths = [len(weights), len(gradients), len(velocities), len(decays)]
    if len(set(lengths)) > 1:
        raise ValueError(
            "`weights`, `gradients`, `velocities` and `l2` must be as many. Received: "
            f"{lengths}."
        )
    stepped = []
    columns = zip(weights, gradients, velocities, decays, strict=True)
    for weight, gradient, velocity, decay in columns:
        rate = ops.convert_to_tensor(learning_rate, dtype=weight.dtype)
        change = -rate * (gradient + decay * weight)
        if momentum:
            moved = momentum * velocity + change
            change = momentum * moved + change if nesterov else moved
        stepped.append(weight + change)
    return stepped


def _gradients(loss, weights, alphas):
    """∇_w loss, in operations that an outer tape can differentiate."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(weights)
        value = loss(weights, alphas)
    return tape.gradient(value, weights, unconnected_gradients="zero")


def check_order(order):
    """Raise ValueError unless `order` is 1 or 2."""
    if isinstance(order, bool) or order not in (1, 2):
        raise ValueError(f"`order` must be 1 or 2. Received: {order!r}.")
