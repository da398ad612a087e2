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


def shared(data, batch_size, devices, processes):
    """For each evaluation batch the images, labels and weights of all processes."""
    delivered = [
        data.evaluation(
            "validation",
            batch_size=batch_size,
            devices=devices,
            part=Part(number, processes),
        )
        for number in range(processes)
    ]
    assert len({int(batches.cardinality()) for batches in delivered}) == 1
    iterators = [batches.as_numpy_iterator() for batches in delivered]
    for parts in zip(*iterators, strict=True):
        assert len({len(part[0]) for part in parts}) == 1
        yield [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


# 26 images: the last batch has 2, 10, 1 and 26, in the last case fewer than parts need.
@pytest.mark.parametrize(
    "batch_size, devices, processes",
    [(6, 2, 1), (16, 4, 2), (25, 5, 5), (32, 4, 4), (24, 8, 4)],
)
def test_evaluation_batches_are_filled_up_for_several_devices(
    data, batch_size, devices, processes
):
    data = dataclasses.replace(data, validation=data.train)
    wanted = data.evaluation("validation", batch_size=batch_size)
    found = list(shared(data, batch_size, devices, processes))
    assert len(found) == int(wanted.cardinality())
    for (images, labels, weights), (true_images, true_labels) in zip(
        found, wanted.as_numpy_iterator(), strict=True
    ):
        count = len(true_labels)
        assert len(images) % devices == 0
        np.testing.assert_array_equal(images[:count], true_images)
        np.testing.assert_array_equal(labels[:count], true_labels)
        np.testing.assert_array_equal(weights > 0, np.arange(len(images)) < count)
    # Keras averages over batches by the number of their images, empty ones included.
    losses = np.random.default_rng(1).uniform(size=COUNT)
    sizes = [len(weights) for _, _, weights in found]
    means = [
        (weights[weights > 0] * losses[start : start + batch_size]).sum() / len(weights)
        for (_, _, weights), start in zip(
            found, range(0, COUNT, batch_size), strict=True
        )
    ]
    assert np.average(means, weights=sizes) == pytest.approx(losses.mean(), rel=1e-6)


def test_devices_must_divide_evaluation_batches(data):
    data = dataclasses.replace(data, validation=data.train)
    with pytest.raises(ValueError, match="4 devices must divide .* Received: 6"):
        data.evaluation("validation", batch_size=6, devices=4)
