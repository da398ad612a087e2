"""Grad-CAM and occlusion find what was planted, in a network trained on it."""

import keras
import numpy as np
import pytest

from keras_attention.layers import SpatialAttention
from keras_attention.visualization import grad_cam, occlusion_sensitivity

SIDE, PATCH = 16, 4
ROWS, COLUMNS = np.mgrid[:PATCH, :PATCH]
# Equally fine, so that a network looks for each. A coarser one it tells by the absence
# of the others, and of two patterns both: then noise everywhere speaks for a class.
PATTERNS = (-1.0) ** np.array([ROWS, COLUMNS, ROWS + COLUMNS])


def planted(count, rng):
    """Noise with a pattern inside one quadrant; the class is which pattern.

    Returns:
        Images, classes, and `[count, 16, 16]`, True in that quadrant.
    """
    images = rng.normal(0, 0.3, (count, SIDE, SIDE, 1))
    classes = rng.integers(0, len(PATTERNS), count)
    quadrants = np.zeros((count, SIDE, SIDE), bool)
    half = SIDE // 2
    for n in range(count):
        row, column = rng.integers(0, 2, 2) * half
        quadrants[n, row : row + half, column : column + half] = True
        row, column = np.array([row, column]) + rng.integers(1, half - PATCH, 2)
        window = slice(row, row + PATCH), slice(column, column + PATCH)
        images[(n, *window, 0)] += 2 * PATTERNS[classes[n]]
    return images.astype("float32"), classes, quadrants


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            SpatialAttention(3, use_norm=False),
            keras.layers.Conv2D(16, 3, 2, padding="same", activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(len(PATTERNS), activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(5e-3),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile="auto",
    )
    images, classes, _ = planted(2000, np.random.default_rng(1))
    model.fit(images, classes, batch_size=50, epochs=6, verbose=0)
    return model


@pytest.fixture(scope="module")
def shown(trained):
    """Test images that the network gets right, which are nearly all."""
    images, classes, quadrants = planted(128, np.random.default_rng(2))
    right = trained.predict(images, verbose=0).argmax(axis=1) == classes
    assert right.mean() > 0.97
    return images[right], quadrants[right]


def mean_share_inside(maps, quadrants):
    """Of the positive mass, the mean share in the quadrant; chance is a quarter."""
    positive = np.maximum(maps, 0)
    inside = (positive * quadrants).sum(axis=(1, 2))
    return (inside / positive.sum(axis=(1, 2))).mean()


def test_grad_cam_is_where_the_pattern_is(trained, shown):
    images, quadrants = shown
    found = grad_cam(trained, images)
    assert found.maps.shape == (len(images), 8, 8)
    share = mean_share_inside(found.maps, quadrants[:, ::2, ::2])
    assert share >= 0.8


def test_occlusion_is_where_the_pattern_is(trained, shown):
    images, quadrants = shown
    found = occlusion_sensitivity(trained, images, patch=4, stride=2, verbose=0)
    share = mean_share_inside(found.maps, quadrants)
    assert share >= 0.8
