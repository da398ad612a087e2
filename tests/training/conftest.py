"""A small data set and a small network with everything a checkpoint must hold."""

import keras
import numpy as np
import pytest

from keras_attention.data import load


@pytest.fixture(scope="session")
def digits():
    return load("digits", limit=160, seed=1)


@pytest.fixture
def make_model():
    """A function that makes a network with batch norm and dropout, drawn anew."""

    def make(activation="softmax", classes=10):
        return keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Conv2D(8, 3, use_bias=False),
                keras.layers.BatchNormalization(),
                keras.layers.ReLU(),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dropout(0.3),
                keras.layers.Dense(classes, activation=activation),
            ]
        )

    return make


@pytest.fixture
def twins(make_model):
    """Two networks with equal weights and equal random seeds."""
    keras.utils.set_random_seed(7)
    first = make_model()
    keras.utils.set_random_seed(7)
    second = make_model()
    for a, b in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(values(a), values(b))
    return first, second


def values(variable):
    return keras.ops.convert_to_numpy(variable)
