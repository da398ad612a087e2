"""Data from arrays and scikit-learn's digits."""

import numpy as np
import pytest

from keras_attention.data import Augmentation, from_arrays, load
from keras_attention.data.arrays import channel_statistics
from keras_attention.data.partition import partition


@pytest.fixture
def pair(rng):
    return rng.integers(0, 256, (50, 6, 6, 3), np.uint8), np.arange(50) % 5


def images_data(pair, **options):
    return from_arrays(pair, class_names=list("abcde"), **options)


def test_splits_share_no_image_and_lose_none(pair):
    images = np.zeros_like(pair[0])
    images[:, 0, 0, 0] = np.arange(50)
    data = images_data((images, pair[1]), validation=0.2, test=0.1, seed=4)
    numbers = [split.images[:, 0, 0, 0] for split in data.splits.values()]
    assert [len(each) for each in numbers] == [35, 10, 5]
    np.testing.assert_array_equal(np.sort(np.concatenate(numbers)), np.arange(50))
    for split in data.splits.values():
        np.testing.assert_array_equal(split.labels, split.images[:, 0, 0, 0] % 5)


def test_the_division_is_the_seeds():
    fractions = {"validation": 0.2}
    first, again, other = (
        partition(50, fractions, seed)["train"] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_statistics_are_numpys(rng):
    images = rng.integers(0, 256, (20, 5, 7, 3), np.uint8)
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)), atol=5.1e-5)
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)), atol=5.1e-5)


def test_training_delivers_the_images_of_its_order(pair):
    data = images_data(pair, validation=0.0)
    batches = list(data.training(Augmentation(), batch_size=8, epochs=3, seed=1))
    assert len(batches) == 18 == data.steps_per_epoch(8) * 3
    assert int(data.training(Augmentation(), batch_size=8).cardinality()) == 6
    known = data.preprocessing.normalize(pair[0]).numpy()
    for images, labels in batches:
        for image, label in zip(images.numpy(), labels.numpy(), strict=True):
            (index,) = np.flatnonzero((known == image).all((1, 2, 3)))
            assert pair[1][index] == label


def test_training_goes_on_as_it_would_have(pair):
    data = images_data(pair)
    options = {"batch_size": 8, "epochs": 4, "seed": 1}
    for augmentation in (
        Augmentation(flip=True, pad_crop=2),
        Augmentation(flip=True, resized_crop=(0.3, 1.0)),
    ):
        whole = list(data.training(augmentation, **options))
        rest = list(data.training(augmentation, first_epoch=2, **options))
        assert len(rest) == len(whole) // 2
        for (images, labels), (images2, labels2) in zip(
            whole[len(rest) :], rest, strict=True
        ):
            np.testing.assert_array_equal(images, images2)
            np.testing.assert_array_equal(labels, labels2)
        assert (whole[0][0].numpy() != rest[0][0].numpy()).any()


def test_evaluation_is_every_image_once_in_order(pair):
    data = images_data(pair, validation=pair)
    batches = list(data.evaluation("validation", batch_size=16))
    assert [len(labels) for _, labels in batches] == [16, 16, 16, 2]
    assert int(data.evaluation("validation", batch_size=16).cardinality()) == 4
    labels = np.concatenate([labels for _, labels in batches])
    np.testing.assert_array_equal(labels, pair[1])


def test_another_size_is_scaled_in_both_pipelines(pair):
    data = images_data(pair, image_size=(12, 10))
    for batches in (
        data.training(Augmentation(flip=True), batch_size=4),
        data.evaluation("validation", batch_size=4),
    ):
        assert next(iter(batches))[0].shape == (4, 12, 10, 3)


def test_limit_is_for_each_split(pair):
    data = images_data(pair, validation=0.5, limit=7)
    assert [len(split) for split in data.splits.values()] == [7, 7]


def test_digits():
    data = load("digits", seed=1)
    assert str(data).startswith("digits: train 1,258, validation 180, test 359; 8×8×1")
    assert data.train.images.max() == 255
    assert data.source["seed"] == 1
    assert load(**data.source).fingerprint == data.fingerprint
    assert load("digits", seed=2).fingerprint != data.fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x / 255, y), "must be uint8"),
        (lambda x, y: (x[..., 0], y), "1 or 3 channels"),
        (lambda x, y: (x, y[:-1]), "one label for each of 50"),
        (lambda x, y: (x, y.astype(float)), "must be integers"),
        (lambda x, y: (x, y + 1), "from 0 to 4 .*Received: 1 to 5"),
        (lambda x, y: (x, y - 1), "Received: -1 to 3"),
    ],
)
def test_wrong_arrays_are_refused(pair, change, message):
    with pytest.raises(ValueError, match=message):
        images_data(change(*pair))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 1.5}, "fraction of the images"),
        ({"validation": 0.001}, "is 0"),
        ({"limit": 0}, "at least 1 image"),
        ({"validation": 0.6, "test": 0.6}, "leaves none"),
    ],
)
def test_wrong_options_are_refused(pair, options, message):
    with pytest.raises(ValueError, match=message):
        images_data(pair, **options)


def test_splits_of_other_shape_are_refused(pair):
    other = (pair[0][:, :5], pair[1])
    with pytest.raises(ValueError, match="differ in shape"):
        images_data(pair, validation=other)


def test_an_unknown_split_is_refused(pair):
    with pytest.raises(ValueError, match=r"'validatoin'\. Choose from: 'validation'"):
        images_data(pair).split("validatoin")
