"""What one of several processes gets of each batch, and where a run goes on."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from keras_attention.data import Augmentation, ImageData, Preprocessing, RecordSplit
from keras_attention.data.mixing import mixed, one_hot
from keras_attention.data.order import Order, Part
from keras_attention.data.splits import ArraySplit, FileSplit

COUNT, BATCH, EPOCHS = 26, 6, 3
STEPS = COUNT // BATCH
AUGMENTATIONS = {
    "shifted": Augmentation(flip=True, pad_crop=2),
    "cropped": Augmentation(flip=True, resized_crop=(0.3, 1.0)),
}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 1), np.uint8)


@pytest.fixture(params=["arrays", "files", "records"])
def data(request, images, tmp_path):
    labels = np.arange(COUNT) % 4
    if request.param == "arrays":
        split = ArraySplit(images, labels)
    elif request.param == "files":
        paths = [str(tmp_path / f"{number}.png") for number in range(COUNT)]
        for path, image in zip(paths, images, strict=True):
            tf.io.write_file(path, tf.io.encode_png(image))
        split = FileSplit(paths, labels, channels=1)
    else:
        split = records(images, tmp_path)
    how = Preprocessing((8, 8), 1, (0.0,), (1.0,), tuple("abcd"))
    return ImageData("data", how, split)


def records(images, folder):
    files = []
    for shard in range(2):
        files.append(str(folder / f"{shard}.tfrecord"))
        with tf.io.TFRecordWriter(files[-1]) as writer:
            for image in images[shard * 13 : shard * 13 + 13]:
                writer.write(image.tobytes())

    def parse(record):
        pixels = tf.reshape(tf.io.decode_raw(record, tf.uint8), [8, 8, 1])
        return pixels, tf.cast(pixels[0, 0, 0], tf.int64) % 4

    return RecordSplit(files, [0, 0], [13, 13], parse)


def batches(data, augmentation, **options):
    delivered = data.training(
        augmentation, batch_size=BATCH, seed=3, epochs=EPOCHS, **options
    )
    found = list(delivered.as_numpy_iterator())
    assert len(found) == int(delivered.cardinality())
    return [np.stack(arrays) for arrays in zip(*found, strict=True)]


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_parts_together_are_the_whole(data, augmentation):
    augmentation = AUGMENTATIONS[augmentation]
    whole = batches(data, augmentation)
    parts = [batches(data, augmentation, part=Part(n, 3)) for n in range(3)]
    for expected, *found in zip(whole, *parts, strict=True):
        assert found[0].shape[:2] == (EPOCHS * STEPS, BATCH // 3)
        np.testing.assert_array_equal(np.concatenate(found, axis=1), expected)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_an_interrupted_epoch_goes_on_where_it_was(data, augmentation):
    augmentation = AUGMENTATIONS[augmentation]
    for part in (Part(), Part(1, 2)):
        whole = batches(data, augmentation, part=part)
        rest = batches(data, augmentation, part=part, first_epoch=1, first_step=2)
        for expected, found in zip(whole, rest, strict=True):
            np.testing.assert_array_equal(found, expected[STEPS + 2 :])


def test_parts_mix_within_themselves_by_draws_of_their_own(images):
    labels = np.zeros(COUNT, np.int64)
    split = ArraySplit(np.broadcast_to(images[:1], images.shape), labels)
    how = Preprocessing((8, 8), 1, (0.0,), (1.0,), tuple("ab"))
    plain = ImageData("data", how, split).training(Augmentation(), batch_size=24)
    other = dataclasses.replace(how, mean=(0.5,))
    plain = tf.data.Dataset.zip(
        plain, ImageData("data", other, split).training(Augmentation(), batch_size=24)
    ).map(lambda a, b: (tf.concat([a[0][:12], b[0][:12]], 0), a[1]))
    options = {"alpha": 1.0, "seed": 1, "first_step": 0}

    def shares(part):
        found = mixed(one_hot(plain, 2), part=part, **options)
        return next(found.as_numpy_iterator())[0][:, 0, 0, 0]

    first, second = shares(Part(0, 2)), shares(Part(1, 2))
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_array_equal(first, shares(Part(0, 2)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Part(2, 2), "0 to 1"),
        (lambda: Order(20, 5, 0, 0, 1, part=Part(0, 2)), "divide the batch.*5"),
        (lambda: Order(20, 5, 0, 0, 1, first_step=4), "0 to 3.*4"),
        (lambda: Order(20, 5, 0, 0, 1, first_step=-1), "0 to 3.*-1"),
    ],
)
def test_wrong_parts_and_steps_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
