"""Coupled weight decay against PyTorch's convention, in NumPy."""

import keras
import numpy as np
import pytest

from keras_attention.training import SGDL2


def torch_sgd(weight, gradients, rate, momentum, decay, nesterov=False):
    velocity = np.zeros_like(weight)
    for gradient in gradients:
        gradient = gradient + decay * weight
        velocity = momentum * velocity + gradient
        step = gradient + momentum * velocity if nesterov else velocity
        weight = weight - rate * step
    return weight


def after(optimizer, start, gradients, name="kernel"):
    variable = keras.Variable(start, name=name)
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    return keras.ops.convert_to_numpy(variable)


@pytest.fixture
def start(rng):
    return rng.normal(size=(3, 4)).astype("float32")


@pytest.fixture
def gradients(rng):
    return rng.normal(size=(6, 3, 4)).astype("float32")


@pytest.mark.parametrize("nesterov", [False, True])
def test_steps_are_torchs(start, gradients, nesterov):
    found = after(SGDL2(0.1, 0.9, nesterov, l2=0.05), start, gradients)
    wanted = torch_sgd(start, gradients, 0.1, 0.9, 0.05, nesterov)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_it_is_not_keras_decoupled_decay(start, gradients):
    coupled = after(SGDL2(0.1, 0.9, l2=0.05), start, gradients)
    keras_sgd = keras.optimizers.SGD(0.1, 0.9, weight_decay=0.05)
    assert np.abs(coupled - after(keras_sgd, start, gradients)).max() > 1e-2


def test_without_momentum_it_is(start, gradients):
    coupled = after(SGDL2(0.1, l2=0.05), start, gradients)
    decoupled = after(keras.optimizers.SGD(0.1, weight_decay=0.05), start, gradients)
    np.testing.assert_allclose(coupled, decoupled, rtol=1e-5, atol=1e-6)


def test_decay_is_as_much_stronger_as_documented(start):
    # No gradients, small decay, many steps: shrinkage per step is rate·λ/(1 − μ).
    still = np.zeros((400, 3, 4), "float32")
    ratio = after(SGDL2(0.1, 0.9, l2=1e-3), start, still) / start
    np.testing.assert_allclose(ratio, np.exp(-400 * 0.1 * 1e-3 / 0.1), rtol=0.02)


@pytest.mark.parametrize("name", ["gamma", "beta", "bias"])
def test_excluded_names_do_not_decay(start, gradients, name):
    optimizer = SGDL2(0.1, 0.9, l2=0.05, l2_exclude=("gamma", "beta", "bias"))
    found = after(optimizer, start, gradients, name)
    wanted = torch_sgd(start, gradients, 0.1, 0.9, 0.0)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_training_step_decays_by_name(make_model):
    """In `fit`, where TensorFlow passes variables without paths."""
    moved = {}
    for l2 in (0.0, 1.0):
        keras.utils.set_random_seed(3)
        model = make_model()
        optimizer = SGDL2(0.1, l2=l2, l2_exclude=("gamma", "beta", "bias"))
        loss = "sparse_categorical_crossentropy"
        model.compile(optimizer, loss)
        start = [value.copy() for value in model.get_weights()]
        images = np.ones((4, 8, 8, 1), "float32")
        model.train_on_batch(images, np.zeros(4, "int64"))
        moved[l2] = {
            variable.path.rsplit("/", 1)[-1] + str(index): value
            for index, (variable, value) in enumerate(
                zip(model.weights, model.get_weights(), strict=True)
            )
        }
    for index, name in enumerate(moved[0.0]):
        difference = moved[1.0][name] - moved[0.0][name]
        wanted = -0.1 * start[index] if name.startswith("kernel") else 0
        np.testing.assert_allclose(difference, wanted + 0 * difference, atol=1e-6)


def test_config_round_trip():
    one = SGDL2(0.1, 0.9, l2=0.05, l2_exclude=("bias",))
    found = SGDL2.from_config(one.get_config())
    assert (found.l2, found.l2_exclude, found.momentum) == (0.05, ("bias",), 0.9)
    with pytest.raises(ValueError, match="`l2` in place"):
        SGDL2(weight_decay=0.1)
    with pytest.raises(ValueError, match="l2=-1"):
        SGDL2(l2=-1)
