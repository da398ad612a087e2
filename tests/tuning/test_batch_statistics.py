"""Second derivatives through Keras' batch norm, against a network written by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from references import bilevel

from keras_attention.layers import CBAM
from keras_attention.tuning.batch_statistics import exact_batch_statistics
from keras_attention.tuning.hypergradient import hypergradient

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the search runs on TensorFlow"
)
RATE = 0.5


@pytest.fixture
def batches(rng):
    keras.config.set_dtype_policy("float64")
    return bilevel.batch(rng), bilevel.batch(rng)


def through_keras(model, training, validation):
    """The second-order hypergradient of a `bilevel.network`."""
    alphas, weights = bilevel.alphas_of(model), bilevel.weights_of(model)

    def loss(images_and_labels):
        def value(weight_values, alpha_values):
            pairs = zip(
                [*weights, *alphas], [*weight_values, *alpha_values], strict=True
            )
            with keras.StatelessScope(list(pairs)):
                scores = model(images_and_labels[0], training=True)
            return bilevel.cross_entropy(scores, images_and_labels[1])

        return value

    return hypergradient(
        loss(training),
        loss(validation),
        bilevel.values(weights),
        bilevel.values(alphas),
        order=2,
        learning_rate=RATE,
    )


def by_hand(model, training, validation):
    _, gradients = bilevel.unrolled(
        training,
        validation,
        bilevel.values(bilevel.weights_of(model)),
        bilevel.values(bilevel.alphas_of(model)),
        rate=RATE,
    )
    return gradients


def test_second_order_is_nested_autodiffs(batches):
    model = bilevel.network()
    with exact_batch_statistics(model):
        found = through_keras(model, *batches)
    assert bilevel.relative_error(found, by_hand(model, *batches)) < 1e-9


def test_without_it_second_order_is_wrong(batches):
    """Keras mends this one day: then `exact_batch_statistics` can go."""
    model = bilevel.network()
    found = through_keras(model, *batches)
    assert bilevel.relative_error(found, by_hand(model, *batches)) > 1e-2


def test_synchronized_layers_are_right_as_they_are(batches):
    model = bilevel.network(synchronized=True)
    with exact_batch_statistics(model):
        assert not any("_moments" in vars(layer) for layer in model.layers)
        found = through_keras(model, *batches)
    assert bilevel.relative_error(found, by_hand(model, *batches)) < 1e-9


@pytest.mark.parametrize("policy", ["float64", "mixed_bfloat16"])
def test_values_and_first_derivatives_stay(policy, rng):
    keras.config.set_dtype_policy(policy)
    model = bilevel.network()
    images, labels = bilevel.batch(rng)

    def run():
        with tf.GradientTape() as tape:
            scores = model(images, training=True)
            loss = bilevel.cross_entropy(tf.cast(scores, "float64"), labels)
        moving = bilevel.values(model.non_trainable_variables)
        return [scores, *tape.gradient(loss, model.trainable_variables), *moving]

    start = model.get_weights()
    plain = run()
    model.set_weights(start)
    with exact_batch_statistics(model):
        exact = run()
    for found, wanted in zip(exact, plain, strict=True):
        assert found.dtype == wanted.dtype
        tolerance = 1e-9 if policy == "float64" else 0.05
        np.testing.assert_allclose(
            tf.cast(found, "float64"),
            tf.cast(wanted, "float64"),
            rtol=tolerance,
            atol=tolerance,
        )


def test_masked_statistics_stay(rng):
    layer = keras.layers.BatchNormalization()
    inputs = rng.normal(size=(4, 5, 3)).astype("float32")
    mask = rng.random(size=(4, 5)) < 0.7
    wanted = layer(inputs, training=True, mask=mask)
    with exact_batch_statistics(layer):
        found = layer(inputs, training=True, mask=mask)
    np.testing.assert_array_equal(found, wanted)


def test_nested_layers_are_found_and_put_back():
    inner = keras.Sequential([keras.Input((8, 8, 4)), CBAM(reduction_ratio=2)])
    model = keras.Sequential([inner, keras.layers.BatchNormalization()])
    model.build((None, 8, 8, 4))
    norms = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert len(norms) == 2
    failing = pytest.raises(RuntimeError, match="in the middle")
    with failing, exact_batch_statistics(model):
        assert all("_moments" in vars(layer) for layer in norms)
        raise RuntimeError("in the middle")
    assert not any("_moments" in vars(layer) for layer in norms)


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.GroupNormalization(groups=2, name="grouped"),
        keras.layers.LayerNormalization(name="grouped"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_that_cannot_be_mended_is_refused(layer):
    model = keras.Sequential([keras.Input((4, 4, 4)), layer])
    refused = pytest.raises(ValueError, match=r"'grouped' is wrong.*order 1")
    with refused, exact_batch_statistics(model):
        pass
