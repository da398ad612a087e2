"""Sets that are streamed from TFRecord shards."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from keras_attention.data import (
    Augmentation,
    ImageData,
    Preprocessing,
    RecordSplit,
    naming_corrupt_files,
)
from keras_attention.data.corruption import check_label


@pytest.fixture
def split(tmp_path):
    """40 images, number n all of value n and of label n % 4, in 5 shards."""
    files = []
    for shard in range(5):
        files.append(str(tmp_path / f"{shard}.tfrecord"))
        with tf.io.TFRecordWriter(files[-1]) as writer:
            for number in range(shard * 10, shard * 10 + 10):
                writer.write(bytes([number]))

    def parse(record):
        number = tf.io.decode_raw(record, tf.uint8)[0]
        image = tf.fill([6, 6, 1], number)
        return image, tf.cast(number, tf.int64) % 4

    return RecordSplit(files, [0, 0, 0, 0, 5], [10, 10, 10, 5, 5], parse)


@pytest.fixture
def data(split):
    names = tuple("abcd")
    return ImageData("s", Preprocessing((6, 6), 1, (0.0,), (1.0,), names), split, split)


def numbers(batches):
    return np.array(
        [np.rint(255 * images.numpy()[:, 0, 0, 0]) for images, _ in batches]
    ).astype(int)


STORED = [*range(35), *range(45, 50)]


def test_an_epoch_visits_each_record_once(data):
    assert len(data.train) == 40
    batches = numbers(data.training(Augmentation(), batch_size=8, epochs=3))
    epochs = batches.reshape(3, 40)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), STORED)
    assert (epochs[0] != epochs[1]).mean() > 0.7
    assert (epochs[0] != STORED).mean() > 0.7


def test_epochs_are_cut_at_whole_batches(data):
    batches = data.training(Augmentation(), batch_size=12, epochs=2)
    assert int(batches.cardinality()) == 6
    epochs = numbers(batches).reshape(2, 36)
    assert all(len(set(epoch)) == 36 for epoch in epochs)


def test_streaming_goes_on_as_it_would_have(data):
    options = {"batch_size": 8, "epochs": 3, "seed": 2}
    whole = numbers(data.training(Augmentation(), **options))
    rest = numbers(data.training(Augmentation(), first_epoch=1, **options))
    np.testing.assert_array_equal(rest, whole[5:])


def test_evaluation_is_in_storage_order(data):
    batches = list(data.evaluation("validation", batch_size=40))
    np.testing.assert_array_equal(numbers(batches)[0], STORED)
    np.testing.assert_array_equal(batches[0][1], np.array(STORED) % 4)


@pytest.mark.parametrize("wrong", [-1, 4])
def test_a_label_without_a_class_is_named(data, wrong):
    def parse(record):
        image, label = data.train.parse(record)
        return image, check_label(
            tf.where(label == 2, tf.constant(wrong, tf.int64), label), "abcd"
        )

    harmed = dataclasses.replace(
        data, train=dataclasses.replace(data.train, parse=parse)
    )
    message = f"label of a record must be from 0 to 3, for 4 classes. Received: {wrong}"
    with pytest.raises(ValueError, match=message), naming_corrupt_files(harmed):
        list(harmed.training(Augmentation(), batch_size=8))
