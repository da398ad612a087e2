"""Augmentation against NumPy, image by image."""

import numpy as np
import pytest
import tensorflow as tf

from keras_attention.data import Augmentation
from keras_attention.data.augmentation import crop_and_flip, random_resized_crop


def numpy_crop_and_flip(image, top, left, mirrored, padding):
    height, width, _ = image.shape
    padded = np.pad(image, [(padding, padding), (padding, padding), (0, 0)])
    crop = padded[top : top + height, left : left + width]
    return crop[:, ::-1] if mirrored else crop


def test_crop_and_flip_is_numpys(rng):
    images = rng.integers(0, 256, (10, 6, 9, 3), np.uint8)
    top, left = rng.integers(0, 5, (2, 10))
    mirrored = rng.random(10) < 0.5
    assert mirrored.any() and not mirrored.all()
    found = crop_and_flip(tf.constant(images), top, left, mirrored, 2)
    wanted = [
        numpy_crop_and_flip(*each, 2)
        for each in zip(images, top, left, mirrored, strict=True)
    ]
    np.testing.assert_array_equal(found, wanted)


def test_batch_draws_all_places_and_both_sides_about_equally(rng):
    image = rng.integers(1, 256, (5, 5, 1), np.uint8)
    images = np.repeat(image[None], 3600, axis=0)
    found = Augmentation(flip=True, pad_crop=1).batch(tf.constant(images), [3, 4])
    kinds = {
        numpy_crop_and_flip(image, top, left, mirrored, 1).tobytes(): 0
        for top in range(3)
        for left in range(3)
        for mirrored in (False, True)
    }
    assert len(kinds) == 18
    for each in found.numpy():
        kinds[each.tobytes()] += 1  # a KeyError is an image that cannot be
    # 200 of each are expected; six standard deviations are 83.
    assert min(kinds.values()) > 117 and max(kinds.values()) < 283


def test_same_seed_same_images_other_seed_others(rng):
    images = tf.constant(rng.integers(0, 256, (16, 8, 8, 3), np.uint8))
    augmentation = Augmentation(flip=True, pad_crop=4)
    first, again, other = (augmentation.batch(images, [1, s]) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first.numpy() != other.numpy()).any()


def test_nothing_asked_nothing_done(rng):
    images = tf.constant(rng.integers(0, 256, (4, 8, 8, 3), np.uint8))
    np.testing.assert_array_equal(Augmentation().batch(images, [0, 0]), images)


def test_resized_crop_covers_the_area_it_was_given():
    # Values that grow with row and column tell which part was cut out.
    ramp = np.arange(200, dtype=np.uint8)
    image = np.stack([np.tile(ramp[:, None], 200), np.tile(ramp, (200, 1))], -1)
    image = np.concatenate([image, image[..., :1]], -1)
    areas, ratios = [], []
    for seed in range(60):
        crop = random_resized_crop(
            tf.constant(image), (64, 64), (0.2, 0.5), tf.constant([7, seed])
        ).numpy()
        assert crop.shape == (64, 64, 3)
        height = float(np.ptp(crop[:, 32, 0]) + 1)
        width = float(np.ptp(crop[32, :, 1]) + 1)
        areas.append(height * width / 200**2)
        ratios.append(width / height)
    assert 0.17 < min(areas) < 0.27 and 0.43 < max(areas) < 0.53
    assert 0.70 < min(ratios) < 0.85 and 1.15 < max(ratios) < 1.42


@pytest.mark.parametrize(
    "wrong", [{"pad_crop": -1}, {"resized_crop": (0.5, 0.2)}, {"resized_crop": (0, 1)}]
)
def test_wrong_values_are_refused(wrong):
    with pytest.raises(ValueError, match="Received"):
        Augmentation(**wrong)
