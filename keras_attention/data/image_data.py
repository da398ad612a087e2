"""A data set ready for training: splits, preprocessing and where it came from."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_attention.choices import check_choice
from keras_attention.data.augmentation import Augmentation, random_resized_crop
from keras_attention.data.order import WHOLE, Order, Part, draw_seed
from keras_attention.data.padding import Padding
from keras_attention.data.preprocessing import Preprocessing
from keras_attention.data.splits import ArraySplit, FileSplit, Split

SPLITS = ("train", "validation", "test")
BATCH_DRAWS, IMAGE_DRAWS = 1, 2


@dataclass(frozen=True, eq=False)
class ImageData:
    """Labelled images in up to three splits.

    Args:
        name: what it is called: `"cifar10"`.
        preprocessing: how an image becomes a network's input.
        train: the images to learn from.
        validation: the images to choose by, or None.
        test: the images to report on, or None.
        source: JSON types: all that is needed to load it again with
            `keras_attention.data.load(**source)`, or None if it came from arrays.
        fingerprint: changes when the images or their splits do, so that a run can
            tell whether it is still the same data.
    """

    name: str
    preprocessing: Preprocessing
    train: Split
    validation: Split | None = None
    test: Split | None = None
    source: dict | None = None
    fingerprint: str | None = None

    def __str__(self) -> str:
        counts = ", ".join(
            f"{name} {len(split):,}" for name, split in self.splits.items()
        )
        height, width, channels = self.preprocessing.input_shape
        classes = self.preprocessing.classes
        return f"{self.name}: {counts}; {height}×{width}×{channels}; {classes} classes"

    @property
    def splits(self) -> dict[str, Split]:
        """The splits there are, by name."""
        found = {name: getattr(self, name) for name in SPLITS}
        return {name: split for name, split in found.items() if split is not None}

    def split(self, name: str) -> Split:
        """A split by name.

        Raises:
            ValueError: there is no such split; the message names those there are.
        """
        return self.splits[check_choice(f"split of {self.name}", name, self.splits)]

    def to_dict(self) -> dict:
        """What tells this data from other data, in JSON types."""
        return {
            "name": self.name,
            "source": self.source,
            "fingerprint": self.fingerprint,
            "images": {name: len(split) for name, split in self.splits.items()},
        }

    def with_preprocessing(self, preprocessing: Preprocessing) -> ImageData:
        """The same images, prepared for another network.

        Raises:
            ValueError: the classes or channels are others than this data's.
        """
        if preprocessing.class_names != self.preprocessing.class_names:
            raise ValueError(
                f"The network knows the classes {_short(preprocessing.class_names)}, "
                f"but {self.name} has {_short(self.preprocessing.class_names)}"
            )
        if preprocessing.channels != self.preprocessing.channels:
            raise ValueError(
                f"The network takes {preprocessing.channels} channels, but the images "
                f"of {self.name} have {self.preprocessing.channels}"
            )
        return dataclasses.replace(self, preprocessing=preprocessing)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Batches in an epoch of training; what fills none is left out.

        Raises:
            ValueError: there is less than one batch.
        """
        return Order(len(self.train), batch_size, 0, 0, 1).steps

    def training(
        self,
        augmentation: Augmentation,
        *,
        batch_size: int,
        seed: int = 0,
        first_epoch: int = 0,
        epochs: int = 1,
        first_step: int = 0,
        part: Part = WHOLE,
    ) -> tf.data.Dataset:
        """Batches of the training split for epochs `first_epoch` … `epochs − 1`.

        The batches are a function of (seed, epoch, step) alone. An epoch has
        `len(train) // batch_size` of them: the rest is left out, another rest
        each epoch. Pass that number to `fit` as `steps_per_epoch`.

        Args:
            augmentation: what to do to the images.
            batch_size: images per batch, at least 1.
            seed: 0 to 2³¹ − 1.
            first_epoch: first epoch to deliver, from 0.
            epochs: epoch to stop before.
            first_step: batches of the first epoch to leave out.
            part: what to deliver of every batch, where several processes share it.
                Together they deliver what one would.

        Returns:
            Dataset of `(float32 [batch, height, width, channels], int64 [batch])`
            with known cardinality.

        Raises:
            ValueError: the split has less than one batch, or an argument is out
                of range.
        """
        order = Order(
            len(self.train), batch_size, seed, first_epoch, epochs, first_step, part
        )

        def finish(step, images_and_labels):
            images, labels = images_and_labels
            draws = draw_seed(seed, BATCH_DRAWS, step)
            images = augmentation.batch(images, draws, part)
            return self.preprocessing.normalize(images), labels

        return (
            self._training_batches(order, augmentation)
            .enumerate(start=order.begin)
            .map(finish, num_parallel_calls=tf.data.AUTOTUNE)
            .apply(tf.data.experimental.assert_cardinality(order.total_steps))
            .prefetch(tf.data.AUTOTUNE)
        )

    def evaluation(
        self, split: str, *, batch_size: int, devices: int = 1, part: Part = WHOLE
    ) -> tf.data.Dataset:
        """Every image of a split once, in storage order, not augmented.

        The last batch may be smaller than `batch_size`.

        Args:
            split: its name.
            batch_size: images in a batch.
            devices: that share a batch. Several get empty images in the last batch
                where they do not divide it, and all images get weights (`Padding`).
            part: what to deliver of every batch, where several processes share it.

        Returns:
            Dataset of `(float32 [batch, height, width, channels], int64 [batch])`,
            for several devices with float32 weights `[batch]` as third, with known
            cardinality.

        Raises:
            ValueError: there is no such split, it is empty, or the devices do not
                divide the batch.
        """
        images = self.split(split)
        if not len(images):
            raise ValueError(f"The split {split!r} of {self.name} is empty")

        def fit_size(image, label):
            image = self.preprocessing.fit_size(image)
            return tf.ensure_shape(image, self.preprocessing.input_shape), label

        def normalize(batch, *labels):
            return self.preprocessing.normalize(batch), *labels

        def batched(samples):
            samples = samples.map(fit_size, num_parallel_calls=tf.data.AUTOTUNE)
            return (
                samples.batch(batch_size) if devices == 1 else padding.batches(samples)
            )

        padding = Padding(len(images), batch_size, devices, part)
        places = None if devices == 1 else padding.places()
        return (
            batched(images.ordered(places))
            .map(normalize, num_parallel_calls=tf.data.AUTOTUNE)
            .prefetch(tf.data.AUTOTUNE)
        )

    def without(self, paths: Collection[str]) -> ImageData:
        """The same splits, but for these files.

        Nothing else changes its split, and the fingerprint tells what was left out.

        Args:
            paths: as the splits have them; those that none has are passed over.

        Raises:
            ValueError: a split would be empty, or a class without training images.
        """
        splits, checksum, count = {}, 0, 0
        for name, split in self.splits.items():
            if isinstance(split, FileSplit):
                places = split.places_of(paths)
                splits[name] = split.take(np.delete(np.arange(len(split)), places))
                checksum = zlib.crc32(name.encode() + places.tobytes(), checksum)
                count += len(places)
        if not count:
            return self
        self._check_rest(splits)
        fingerprint = f"{self.fingerprint} without {count}:{checksum:08x}"
        return dataclasses.replace(self, **splits, fingerprint=fingerprint)

    def _check_rest(self, splits: dict[str, FileSplit]) -> None:
        for name, split in splits.items():
            if not len(split):
                raise ValueError(
                    f"All {len(self.split(name))} images of the split {name!r} of "
                    f"{self.name} would be left out: replace some of them"
                )
        lost = set(self.train.labels) - set(splits["train"].labels)
        if lost:
            names = [self.preprocessing.class_names[label] for label in sorted(lost)]
            raise ValueError(
                f"All training images of {_short(tuple(names))} in {self.name} would "
                "be left out: replace some of them, or remove the class"
            )

    def _training_batches(
        self, order: Order, augmentation: Augmentation
    ) -> tf.data.Dataset:
        """Batches of uint8 images of the network's size."""
        if augmentation.resized_crop is None and isinstance(self.train, ArraySplit):
            batches = self.train.batches(order).map(
                lambda images, labels: (self.preprocessing.fit_size(images), labels),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
        else:
            batches = self._crops(order, augmentation).batch(
                order.part_size, drop_remainder=True
            )
        shape = (order.part_size, *self.preprocessing.input_shape)
        return batches.map(
            lambda images, labels: (tf.ensure_shape(images, shape), labels)
        )

    def _crops(self, order: Order, augmentation: Augmentation) -> tf.data.Dataset:
        """Single uint8 images of the network's size, out of images of any size."""

        def crop(number, image_and_label):
            image, label = image_and_label
            if augmentation.resized_crop is None:
                return self.preprocessing.fit_size(image), label
            number = order.part.global_number(number, order.batch_size)
            seed = draw_seed(order.seed, IMAGE_DRAWS, number)
            size = self.preprocessing.size
            area = augmentation.resized_crop
            return random_resized_crop(image, size, area, seed), label

        first = order.begin * order.part_size
        return (
            self.train.samples(order)
            .enumerate(start=first)
            .map(crop, num_parallel_calls=tf.data.AUTOTUNE)
        )


def _short(names: tuple[str, ...], most: int = 5) -> str:
    listed = ", ".join(names[:most])
    return f"{listed}, … ({len(names)})" if len(names) > most else listed
