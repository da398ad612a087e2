"""Labelled images, each kind of storage behind the same three methods."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow as tf

from keras_attention.data.order import Order, shuffled

# Records shuffled in memory, as they are on disk: half a gigabyte of ImageNet.
SHUFFLE_BLOCK = 4096
# More than an epoch can have: keeps the draws of one epoch from the next's.
BLOCKS_PER_EPOCH = 2**32
PARALLEL_SHARDS = 16


class Split(Protocol):
    """A number of images with labels.

    `samples` and `ordered` deliver `(uint8 [height, width, channels], int64)`
    pairs; the sizes may differ from image to image.
    """

    def __len__(self) -> int: ...

    def samples(self, order: Order) -> tf.data.Dataset:
        """Training images one by one, in the order's order."""

    def ordered(self, places: np.ndarray | None = None) -> tf.data.Dataset:
        """Every image once, or those at rising places, in storage order."""


@dataclass(frozen=True, eq=False)
class ArraySplit:
    """Images in memory: uint8 `[n, height, width, channels]`, int64 `[n]`."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, order: Order) -> tf.data.Dataset:
        """Training images in batches, several times faster than one by one."""
        # Constants outside the map are captured, not copied into each graph.
        images, labels = tf.constant(self.images), tf.constant(self.labels)

        def gather(indices):
            return tf.gather(images, indices), tf.gather(labels, indices)

        return order.batches().map(gather, num_parallel_calls=tf.data.AUTOTUNE)

    def samples(self, order: Order) -> tf.data.Dataset:
        return self.batches(order).unbatch()

    def ordered(self, places: np.ndarray | None = None) -> tf.data.Dataset:
        own = self if places is None else self.take(places)
        return tf.data.Dataset.from_tensor_slices((own.images, own.labels))

    def take(self, indices: np.ndarray) -> ArraySplit:
        """The images at these indices."""
        return ArraySplit(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False)
class FileSplit:
    """Image files, decoded as they are needed."""

    paths: Sequence[str]
    labels: np.ndarray
    channels: int = 3

    def __len__(self) -> int:
        return len(self.paths)

    def samples(self, order: Order) -> tf.data.Dataset:
        return self._read(order.samples())

    def ordered(self, places: np.ndarray | None = None) -> tf.data.Dataset:
        own = self if places is None else self.take(places)
        return own._read(tf.data.Dataset.range(len(own)))

    def take(self, indices: np.ndarray) -> FileSplit:
        """The files at these indices."""
        paths = [self.paths[index] for index in indices]
        return FileSplit(paths, self.labels[indices], self.channels)

    def places_of(self, paths: Collection[str]) -> np.ndarray:
        """Where these files are among the split's, rising; others are passed over."""
        wanted = set(paths)
        return np.flatnonzero([path in wanted for path in self.paths])

    def _read(self, indices: tf.data.Dataset) -> tf.data.Dataset:
        paths, labels = tf.constant(list(self.paths)), tf.constant(self.labels)

        def load(index):
            return decode(tf.io.read_file(paths[index]), self.channels), labels[index]

        return indices.map(load, num_parallel_calls=tf.data.AUTOTUNE)


@dataclass(frozen=True, eq=False)
class RecordSplit:
    """TFRecord shards, streamed: for sets that do not fit into memory.

    An epoch visits the shards in an order of its own, `PARALLEL_SHARDS` at a
    time, and shuffles the records within blocks. (`tf.data`'s `shuffle` would mix
    TensorFlow's global seed into its draws; this order is the seed's alone.)

    Args:
        files: paths, one per piece.
        skips: records to skip in each.
        takes: records to read after that.
        parse: function from a serialised record to `(image, label)`.
    """

    files: Sequence[str]
    skips: Sequence[int]
    takes: Sequence[int]
    parse: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

    def __len__(self) -> int:
        return int(sum(self.takes))

    def samples(self, order: Order) -> tf.data.Dataset:
        def one_epoch(epoch):
            pieces = tf.data.Dataset.range(len(self.files)).map(
                lambda piece: shuffled(piece, len(self.files), order.seed, epoch)
            )
            records = pieces.interleave(
                self._records,
                cycle_length=min(PARALLEL_SHARDS, len(self.files)),
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )

            def mix(number, block):
                count = tf.shape(block, out_type=tf.int64)[0]
                draw = epoch * BLOCKS_PER_EPOCH + number
                places = shuffled(tf.range(count), count, order.seed, draw)
                return tf.gather(block, places)

            blocks = records.batch(SHUFFLE_BLOCK).enumerate()
            images = blocks.map(mix).unbatch().take(order.images_per_epoch)
            return images.skip(tf.where(epoch == order.first_epoch, had, 0))

        had = tf.constant(order.first_step * order.batch_size, tf.int64)

        epochs = tf.data.Dataset.range(order.first_epoch, order.epochs)
        records = self._part(epochs.flat_map(one_epoch), order)
        return records.map(self.parse, num_parallel_calls=tf.data.AUTOTUNE)

    def ordered(self, places: np.ndarray | None = None) -> tf.data.Dataset:
        records = tf.data.Dataset.range(len(self.files)).flat_map(self._records)
        if places is not None:
            records = self._at(places, records)
        count = len(self) if places is None else len(places)
        return records.map(self.parse, num_parallel_calls=tf.data.AUTOTUNE).apply(
            tf.data.experimental.assert_cardinality(count)
        )

    def _at(self, places: np.ndarray, records: tf.data.Dataset) -> tf.data.Dataset:
        """Records at places: all are read, these alone decoded."""
        wanted = tf.constant(np.isin(np.arange(len(self)), places))
        numbered = records.enumerate().filter(lambda number, record: wanted[number])
        return numbered.map(lambda number, record: record)

    def _part(self, records: tf.data.Dataset, order: Order) -> tf.data.Dataset:
        """The part's records: each process reads all, and decodes its own."""
        if order.part.of == 1:
            return records

        def own(number, record):
            return order.part.holds(number, order.batch_size)

        return records.enumerate().filter(own).map(lambda number, record: record)

    def _records(self, piece: tf.Tensor) -> tf.data.Dataset:
        files = tf.constant(list(self.files))
        skips = tf.constant(list(self.skips), tf.int64)
        takes = tf.constant(list(self.takes), tf.int64)
        records = tf.data.TFRecordDataset(files[piece])
        return records.skip(skips[piece]).take(takes[piece])


def decode(contents: tf.Tensor, channels: int) -> tf.Tensor:
    """Decode JPEG, PNG, BMP or GIF (its first frame) to uint8 `[h, w, channels]`."""
    image = tf.io.decode_image(contents, channels=channels, expand_animations=False)
    image.set_shape([None, None, channels])
    return image
