"""The penalty's value, its gradient by the formula, and where it ends without data."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.tuning.penalty import (
    Penalty,
    cost_penalty,
    paper_penalty,
    released_penalty,
)


def gradients(penalty, alphas):
    """dP/dα by the backend, one array per block."""
    alphas = [np.asarray(alpha, "float32") for alpha in alphas]
    if keras.backend.backend() == "jax":
        import jax

        return [np.array(g) for g in jax.grad(penalty)(alphas)]
    import tensorflow as tf

    tensors = [tf.constant(alpha) for alpha in alphas]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = penalty(tensors)
    return [g.numpy() for g in tape.gradient(value, tensors)]


def softmax(alpha):
    exponentials = np.exp(alpha - alpha.max())
    return exponentials / exponentials.sum()


def by_formula(rows, alphas, weight, exponent):
    """P and dP/dα_j = w·m·p_j·(r_j·p_j^(m−1) − Σ_i r_i·p_i^m), in NumPy."""
    value, gradients = 0, []
    for row, alpha in zip(rows, alphas, strict=True):
        p, row = softmax(np.asarray(alpha, "float64")), np.asarray(row)
        priced = row * p**exponent
        value += weight * priced.sum()
        slope = p * (row * p ** (exponent - 1) - priced.sum())
        gradients.append(weight * exponent * slope)
    return value, gradients


CASES = {
    "paper": (paper_penalty(), [[4, 1, 1, 2, 2]] * 3, 0.1, 1.1),
    "released": (released_penalty(3), [[3, 1, 1, 2, 2]] * 3, 0.1 / 3, 1.1),
    "costs": (
        cost_penalty([[0, 5, 5, 4, 1], [0, 0, 0, 0, 0], [0, 30, 20, 10, 5]]),
        [[0, 2, 2, 1.6, 0.4], [0, 0, 0, 0, 0], [0, 2, 4 / 3, 2 / 3, 1 / 3]],
        0.02,
        1.1,
    ),
    "by block": (
        Penalty(np.array([[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [0, 1, 0, 1, 0]]), 0.3, 2),
        [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [0, 1, 0, 1, 0]],
        0.3,
        2,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_by_the_formula(name, rng):
    penalty, rows, weight, exponent = CASES[name]
    alphas = [rng.normal(size=5).astype("float32") for _ in rows]
    value, wanted = by_formula(rows, alphas, weight, exponent)
    np.testing.assert_allclose(ops.convert_to_numpy(penalty(alphas)), value, rtol=1e-5)
    for found, expected in zip(gradients(penalty, alphas), wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_blocks_may_differ_in_their_operations(rng):
    rows = [[0, 2, 2, 1, 1], [0, 1]]
    alphas = [rng.normal(size=5).astype("float32"), rng.normal(size=2)]
    value, _ = by_formula(rows, alphas, 0.5, 1.1)
    found = Penalty(rows, 0.5)([ops.convert_to_tensor(a, "float32") for a in alphas])
    np.testing.assert_allclose(ops.convert_to_numpy(found), value, rtol=1e-5)


def ends_at(penalty, steps=400):
    """p of one block from α = 0, after gradient descent on the penalty alone."""
    alpha = np.zeros(5, "float32")
    first, second = np.zeros(5), np.zeros(5)
    for step in range(1, steps + 1):  # Adam
        (gradient,) = gradients(penalty, [alpha])
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        scale = np.sqrt(second / (1 - 0.99**step)) + 1e-8
        alpha = alpha - np.float32(0.05) * (first / (1 - 0.9**step) / scale)
    return softmax(alpha)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="slow: not compiled")
def test_without_data_the_papers_ends_at_both_in_turn():
    np.testing.assert_allclose(ends_at(paper_penalty()), [0, 0.5, 0.5, 0, 0], atol=0.01)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="slow: not compiled")
def test_without_data_the_default_ends_at_identity():
    costs = cost_penalty([[0, 900, 900, 800, 100]])
    np.testing.assert_allclose(ends_at(costs), [1, 0, 0, 0, 0], atol=0.02)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Penalty([1, -1], 0.1), "`costs` .* at least 0. Received: -1"),
        (lambda: Penalty([1, float("nan")], 0.1), "Received: nan"),
        (lambda: Penalty([1, "2"], 0.1), "Received: '2'"),
        (lambda: Penalty([1, [2]], 0.1), r"Received: \[2\]"),
        (lambda: Penalty([], 0.1), r"list of numbers.*Received: \[\]"),
        (lambda: Penalty([[1], []], 0.1), "row without operations"),
        (lambda: Penalty("41122", 0.1), "Received: '41122'"),
        (lambda: Penalty([1, 2], -0.1), "`weight` .* Received: -0.1"),
        (lambda: Penalty([1, 2], 0.1, 0.9), "`exponent` .* at least 1. Received: 0.9"),
        (lambda: Penalty([1, True], 0.1), "Received: True"),
        (lambda: released_penalty(0), "`blocks` .* Received: 0"),
        (lambda: cost_penalty([0, 2, 1]), r"one row: \[0, 2, 1\]"),
    ],
)
def test_what_is_out_of_range_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_wrong_number_of_blocks_or_operations_is_refused():
    with pytest.raises(
        ValueError, match=r"\[5\] operations. Received alphas with \[4\]"
    ):
        paper_penalty()([np.zeros(4, "float32")])
    with pytest.raises(
        ValueError, match=r"\[2, 2\] operations. Received alphas with \[2\]"
    ):
        cost_penalty([[0, 1], [0, 1]])([np.zeros(2, "float32")])


def test_equal_penalties_are_equal():
    assert Penalty([4, 1, 1, 2, 2], 0.1) == paper_penalty()
    assert hash(Penalty([[0, 1]], 0.1)) == hash(Penalty(np.array([[0.0, 1.0]]), 0.1))
