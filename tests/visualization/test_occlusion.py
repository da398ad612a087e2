"""Occlusion in closed form: a linear model loses what the patch covers."""

import keras
import numpy as np
import pytest
from references.numpy_nn import softmax

from keras_attention.applications import CifarResNet
from keras_attention.visualization import occlusion_sensitivity

SIZE = (7, 8, 2)
CLASSES = 3


def linear(rng, activation=None, data_format="channels_last"):
    """Logits are sums of the image's numbers, each with its own weight."""
    weights = rng.normal(size=(*SIZE, CLASSES)).astype("float32")
    last = data_format == "channels_last"
    ordered = weights if last else weights.transpose(2, 0, 1, 3)
    model = keras.Sequential(
        [
            keras.Input(ordered.shape[:3]),
            keras.layers.Activation("linear"),
            # Pooling windows of one pixel: a layer that has a data format.
            keras.layers.MaxPooling2D(1, data_format=data_format),
            keras.layers.Reshape((-1,)),
            keras.layers.Dense(CLASSES, activation=activation, use_bias=False),
        ]
    )
    model.layers[-1].set_weights([ordered.reshape(-1, CLASSES)])
    return model, weights.astype("float64")


def images_of(rng, count=3):
    return rng.normal(size=(count, *SIZE)).astype("float32")


def reference(images, weights, patch, rows, columns, colours, classes, score):
    """Drops and maps, patch by patch and pixel by pixel."""

    def scores(image):
        logits = np.einsum("hwc,hwck->k", image, weights)
        return softmax(logits) if score == "softmax" else logits

    drops = np.zeros((len(images), len(rows), len(columns)))
    maps = np.zeros((len(images), *SIZE[:2]))
    for n, image in enumerate(images.astype("float64")):
        covering = np.zeros(SIZE[:2])
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                filled = image.copy()
                filled[row : row + patch[0], column : column + patch[1]] = colours[n]
                drop = scores(image)[classes[n]] - scores(filled)[classes[n]]
                drops[n, i, j] = drop
                maps[n, row : row + patch[0], column : column + patch[1]] += drop
                covering[row : row + patch[0], column : column + patch[1]] += 1
        assert (covering > 0).all()
        maps[n] /= covering
    return drops, maps


CASES = {
    # patch, stride, rows, columns: by hand, the last one at the border.
    "even": (2, 1, range(6), range(7)),
    "uneven": (3, 2, (0, 2, 4), (0, 2, 4, 5)),
    "pairs": ((2, 4), (2, 3), (0, 2, 4, 5), (0, 3, 4)),
    "whole": ((7, 8), 4, (0,), (0,)),
}


@pytest.mark.parametrize("activation", [None, "softmax"])
@pytest.mark.parametrize("score", ["softmax", "logits"])
@pytest.mark.parametrize("case", CASES)
def test_a_linear_model(case, score, activation, rng):
    patch, stride, rows, columns = CASES[case]
    model, weights = linear(rng, activation)
    images = images_of(rng)
    found = occlusion_sensitivity(
        model, images, patch=patch, stride=stride, score=score, verbose=0
    )
    own = np.einsum("nhwc,hwck->nk", images, weights).argmax(axis=1)
    np.testing.assert_array_equal(found.classes, own)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.columns, columns)
    sides = patch if isinstance(patch, tuple) else (patch, patch)
    drops, maps = reference(
        images, weights, sides, rows, columns, np.zeros((3, 2)), own, score
    )
    assert found.drops.dtype == found.maps.dtype == np.float32
    np.testing.assert_allclose(found.drops, drops, atol=1e-4)
    np.testing.assert_allclose(found.maps, maps, atol=1e-4)
    assert found.score == score
    # The model's own answers are the same as before.
    logits = np.einsum("nhwc,hwck->nk", images, weights)
    expected = softmax(logits) if activation else logits
    np.testing.assert_allclose(model.predict_on_batch(images), expected, atol=1e-4)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("fill", [0.5, (0.25, -1.0), "mean"])
def test_fills_classes_and_layouts(fill, data_format, rng):
    model, weights = linear(rng, data_format=data_format)
    images = images_of(rng)
    classes = [2, 0, 1]
    ordered = images
    if data_format == "channels_first":
        ordered = images.transpose(0, 3, 1, 2)
    found = occlusion_sensitivity(
        model, ordered, patch=3, stride=3, fill=fill, classes=classes,
        score="logits", batch_size=10, verbose=0,
    )  # fmt: skip
    colours = np.broadcast_to(0 if fill == "mean" else fill, (3, 2))
    if fill == "mean":
        colours = images.astype("float64").reshape(3, -1, 2).mean(axis=1)
    drops, maps = reference(
        images, weights, (3, 3), (0, 3, 4), (0, 3, 5), colours, classes, "logits"
    )
    np.testing.assert_array_equal(found.classes, classes)
    np.testing.assert_allclose(found.drops, drops, atol=1e-4)
    np.testing.assert_allclose(found.maps, maps, atol=1e-4)


def test_every_batch_has_one_shape(rng):
    """Three images, then more than one batch of them covered."""
    shapes = []

    class Look(keras.layers.Layer):
        def call(self, inputs):
            shapes.append(tuple(inputs.shape))  # once for each compilation
            return inputs

    model, _ = linear(rng)
    looking = keras.Sequential([keras.Input(SIZE), Look(), *model.layers])
    images = images_of(rng)
    shapes.clear()
    found = occlusion_sensitivity(looking, images, patch=2, stride=2, batch_size=16)
    # 3 + 3·16 in four batches of 13.
    assert shapes == [(13, *SIZE)]
    whole = occlusion_sensitivity(model, images, patch=2, stride=2, verbose=0)
    np.testing.assert_allclose(found.drops, whole.drops, atol=1e-5)


def test_after_and_before_predict(rng):
    """A function that `predict` has compiled is neither taken nor left behind."""
    model = CifarResNet(8, input_shape=(8, 8, 3))
    images = rng.normal(size=(2, 8, 8, 3)).astype("float32")
    before = model.predict_on_batch(images)
    found = occlusion_sensitivity(
        model, images, patch=4, classes=3, score="logits", verbose=0
    )
    filled = images.copy()
    filled[:, 4:, :4] = 0
    logits = keras.Model(model.input, model.layers[-1].input).predict_on_batch
    kernel, _ = model.layers[-1].get_weights()
    drop = (logits(images) - logits(filled)) @ kernel[:, 3]
    np.testing.assert_allclose(found.drops[:, 1, 0], drop, atol=1e-4)
    np.testing.assert_array_equal(model.predict_on_batch(images), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": 8}, r"fit into the image, \(7, 8\). Received: 8"),
        ({"patch": 2, "stride": 3}, r"stride=\(3, 3\) with patch"),
        ({"patch": 0}, "patch.*Received: 0"),
        ({"patch": (2, 2, 2)}, "pair"),
        ({"fill": (1.0, 2.0, 3.0)}, "a finite number, 2 of them, or 'mean'"),
        ({"fill": "grey"}, "'mean'. Received: 'grey'"),
        ({"classes": 3}, "0 … 2"),
        ({"score": "loss"}, "score"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_wrong_arguments(options, message, rng):
    model, _ = linear(rng)
    options = {"patch": 4, "stride": 2, "verbose": 0, **options}
    with pytest.raises(ValueError, match=message):
        occlusion_sensitivity(model, images_of(rng), **options)
