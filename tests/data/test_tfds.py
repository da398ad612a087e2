"""TensorFlow Datasets, from sets prepared on disk."""

from pathlib import Path

import numpy as np
import pytest

from keras_attention.data import (
    Augmentation,
    RecordSplit,
    load,
    naming_corrupt_files,
    tfds,
)
from keras_attention.data.tfds import from_tfds

pytest.importorskip("tensorflow_datasets")
PREPARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "tfds"
needs_cifar = pytest.mark.skipif(
    not (PREPARED / "cifar10").is_dir(), reason=f"no CIFAR-10 prepared in {PREPARED}"
)


def streamed(**changes):
    options = {
        "data_dir": str(PREPARED),
        "download": False,
        "validation": 0.1,
        "test": 0.2,
        "image_size": None,
        "seed": 0,
        "limit": None,
        "memory_limit": 0,
        "source": {},
    }
    return from_tfds("cifar10", **(options | changes))


@needs_cifar
def test_cifar10_in_memory():
    data = load("cifar10", data_dir=PREPARED, limit=2000)
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 2000,
        "validation": 2000,
        "test": 2000,
    }
    assert data.preprocessing.class_names[:2] == ("airplane", "automobile")
    # Published statistics of the training images.
    np.testing.assert_allclose(
        data.preprocessing.mean, (0.491, 0.482, 0.447), atol=0.01
    )
    np.testing.assert_allclose(data.preprocessing.std, (0.247, 0.243, 0.262), atol=0.01)
    # All ten classes in about equal numbers: 200 ± 6 standard deviations.
    counts = np.bincount(data.train.labels, minlength=10)
    assert counts.min() > 120 and counts.max() < 280


@needs_cifar
def test_cifar10_streamed_is_the_same_set():
    data = streamed()
    assert isinstance(data.train, RecordSplit)
    sizes = {name: len(split) for name, split in data.splits.items()}
    assert sizes == {"train": 45000, "validation": 5000, "test": 10000}
    images, labels = next(iter(data.training(Augmentation(True, 4), batch_size=32)))
    assert images.shape == (32, 32, 32, 3) and labels.shape == (32,)


@needs_cifar
def test_held_out_records_are_not_trained_on():
    spans = {}
    data = streamed(seed=3)
    for name in ("train", "validation"):
        split = getattr(data, name)
        spans[name] = {
            number
            for skip, take in zip(split.skips, split.takes, strict=True)
            for number in range(skip, skip + take)
        }
    assert not spans["train"] & spans["validation"]
    assert spans["train"] | spans["validation"] == set(range(50000))
    assert streamed(seed=4).validation.skips != data.validation.skips


@needs_cifar
def test_limit_of_a_stream():
    data = streamed(limit=100)
    assert [len(split) for split in data.splits.values()] == [100, 100, 100]


@needs_cifar
def test_a_label_without_a_class_is_named(monkeypatch):
    monkeypatch.setattr(tfds, "_class_names", lambda *_: list("abcdefghi"))
    data = streamed(limit=500)
    with (
        pytest.raises(ValueError, match=r"for 9 classes\. Received: 9"),
        naming_corrupt_files(data),
    ):
        list(data.evaluation("test", batch_size=100))


def test_an_unknown_name_tells_the_nearest(tmp_path):
    with pytest.raises(ValueError, match=r"'cifar1o'\. Nearest: cifar10"):
        load("cifar1o", data_dir=tmp_path)


def test_an_unprepared_set_is_not_waited_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cifar100.*--data-dir.*--download"):
        load("cifar100", data_dir=tmp_path)
