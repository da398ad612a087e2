"""Size, middle and normalisation."""

import json

import numpy as np
import pytest
import tensorflow as tf

from keras_attention.data import Preprocessing

COMMON = {"mean": (0.2, 0.4, 0.6), "std": (0.1, 0.2, 0.3), "class_names": ("a", "b")}


def preprocessing(size, **changes):
    return Preprocessing(**({"size": size, "channels": 3, **COMMON} | changes))


def test_normalize_is_the_formula(rng):
    images = rng.integers(0, 256, (2, 4, 5, 3), np.uint8)
    found = preprocessing((4, 5)).normalize(tf.constant(images))
    wanted = (images / 255 - np.array(COMMON["mean"])) / np.array(COMMON["std"])
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_images_of_the_right_size_are_left_alone(rng):
    images = tf.constant(rng.integers(0, 256, (2, 4, 5, 3), np.uint8))
    assert preprocessing((4, 5)).fit_size(images) is images


def test_the_middle_is_cut_out(rng):
    # Fraction 1/2 of 6×6 for 3×3: nothing is scaled, the middle remains.
    image = rng.integers(0, 256, (6, 6, 3), np.uint8)
    found = preprocessing((3, 3), crop_fraction=0.5).fit_size(tf.constant(image))
    np.testing.assert_array_equal(found, image[1:4, 1:4])


def test_proportions_are_kept():
    # 20 columns of 4 for 10×10: scaled by 1/2 at most, so 10×20, middle columns.
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, 10:30] = 200
    found = preprocessing((10, 10)).fit_size(tf.constant(image)).numpy()
    assert found.shape == (10, 10, 3)
    assert (found[:, 1:-1] == 200).all()


@pytest.mark.parametrize("shape", [(7, 31), (31, 7), (224, 223), (1, 1)])
@pytest.mark.parametrize("fraction", [1.0, 0.875])
def test_every_size_becomes_the_networks(shape, fraction):
    image = tf.zeros((*shape, 3), tf.uint8)
    prepared = preprocessing((13, 17), crop_fraction=fraction).fit_size(image)
    assert prepared.shape == (13, 17, 3)


def test_json_round_trip():
    one = preprocessing((4, 5), crop_fraction=0.875)
    assert Preprocessing.from_dict(json.loads(json.dumps(one.to_dict()))) == one


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": 4},
        {"size": (0, 3)},
        {"mean": (0.5,)},
        {"std": (0.1, 0.0, 0.1)},
        {"crop_fraction": 1.5},
        {"class_names": ("a",)},
    ],
)
def test_wrong_values_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        preprocessing(**({"size": (4, 4)} | wrong))
