"""Size, middle and normalisation."""

import json

import numpy as np
import pytest
import tensorflow as tf

from keras_attention.data import Preprocessing
from keras_attention.weights import ImageFormat

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


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_interpolation_is_pillows(interpolation, rng):
    """torchvision and timm resize by Pillow, whose filters widen as ours do."""
    pillow = pytest.importorskip("PIL.Image")
    image = rng.integers(0, 256, (40, 60, 3), np.uint8)
    how = preprocessing((20, 30), interpolation=interpolation)
    expected = pillow.fromarray(image).resize(
        (30, 20), getattr(pillow.Resampling, interpolation.upper())
    )
    # Pillow rounds between rows and columns too.
    difference = how.fit_size(tf.constant(image)).numpy() - np.asarray(
        expected, "int16"
    )
    assert np.abs(difference).max() <= 1


def test_interpolations_differ(rng):
    image = tf.constant(rng.integers(0, 256, (40, 60, 3), np.uint8))
    bilinear, bicubic = (
        preprocessing((20, 30), interpolation=kind).fit_size(image).numpy()
        for kind in ("bilinear", "bicubic")
    )
    assert (bilinear != bicubic).any()


def test_what_weights_expect_becomes_preprocessing():
    expected = ImageFormat((288, 288), (0.5,) * 3, (0.25,) * 3, "bicubic", 0.95)
    found = Preprocessing.of_weights(expected, ["a", "b"])
    assert (found.size, found.channels, found.class_names) == (
        (288, 288),
        3,
        ("a", "b"),
    )
    assert (found.mean, found.std) == ((0.5,) * 3, (0.25,) * 3)
    assert (found.interpolation, found.crop_fraction) == ("bicubic", 0.95)
    assert Preprocessing.of_weights(expected, ("a", "b"), (64, 96)).size == (64, 96)


def test_records_from_before_there_was_a_choice_are_bilinear():
    record = preprocessing((4, 5)).to_dict()
    assert "interpolation" not in record
    assert Preprocessing.from_dict(record).interpolation == "bilinear"
    bicubic = preprocessing((4, 5), interpolation="bicubic")
    assert Preprocessing.from_dict(bicubic.to_dict()) == bicubic


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
        {"interpolation": "nearest"},
    ],
)
def test_wrong_values_are_refused(wrong):
    with pytest.raises(ValueError, match="[Rr]eceived"):
        preprocessing(**({"size": (4, 4)} | wrong))
