"""Images with boxes of TensorFlow Datasets, prepared on disk: COCO, VOC and their like.

A split is read through once, for its boxes; an image's pixels are read from its record
when they are needed, so that a set may be larger than memory.
"""

from __future__ import annotations

import functools
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_attention.choices import check_choice
from keras_attention.data.tfds import builder_of, root_of
from keras_attention.detection.data.decoding import decode
from keras_attention.detection.data.records import BoxedImage, BoxedImages
from keras_attention.detection.data.records_file import examples, read_feature
from keras_attention.extras import require

__all__ = ["read_tfds_boxes"]

# Ids that COCO has left out; TensorFlow Datasets numbers its classes without gaps.
COCO_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_IDS = tuple(number for number in range(1, 91) if number not in COCO_GAPS)


def read_tfds_boxes(
    name: str,
    split: str,
    *,
    data_dir: str | Path | None = None,
    download: bool = False,
) -> BoxedImages:
    """A split of a set with `image` and `objects` (`bbox`, `label`).

    `is_crowd` (COCO) and `is_difficult` (VOC) both become `crowd`: such boxes are not
    learned, nor is what they cover as background, and in evaluation they count neither
    for nor against a detector. (VOC's own code asks for an IoU of 0.5 to pass over a
    detection of a difficult object; COCO's for most of the detection to lie in it.)
    VOC's boxes stay as in its files, whose first pixel is 1.

    Args:
        name: `"coco/2017"`, `"voc/2007"`, `"voc/2012:5.0.0"`…
        split: `"train"`, `"validation"`, `"test"`, or a part: `"train[:10%]"`.
        data_dir: where the sets are, by default `$TFDS_DATA_DIR` or
            `~/tensorflow_datasets`.
        download: let TensorFlow Datasets download a set that is not there.

    Returns:
        Images in the order of the records. Their ids are `image/id`, or else their
        places in the split, from 1. COCO's category ids are the official ones.

    Raises:
        ImportError: TensorFlow Datasets is not installed.
        FileNotFoundError: the set is not prepared on disk.
        ValueError: an unknown name or split, a set without boxes or in another format
            than TFRecord, or a damaged record.
    """
    library = require(
        "tensorflow_datasets", extra="data", purpose=f"The data set {name!r}"
    )
    place = None if data_dir is None else str(data_dir)
    builder = builder_of(library, name, root_of(place), download)
    label = _label(library, name, builder.info.features)
    _check_format(name, builder)
    check_choice(f"split of {name}", split.partition("[")[0], builder.info.splits)
    images, dropped = [], 0
    for where, features in _records(builder, split):
        image, degenerate = _image(where, features, number=len(images) + 1)
        images.append(image)
        dropped += degenerate
    if dropped:
        warnings.warn(
            f"{name}: {dropped} boxes without width or height are left out.",
            stacklevel=2,
        )
    ids = COCO_IDS if builder.name == "coco" and len(label.names) == 80 else None
    return BoxedImages(tuple(images), tuple(label.names), ids, dropped)


def _label(library, name: str, features):
    """The feature of an object's label."""
    kinds = library.features
    objects = getattr(dict(features.items()).get("objects"), "feature", None)
    fields = dict(objects.items()) if isinstance(objects, kinds.FeaturesDict) else {}
    boxed = isinstance(fields.get("bbox"), kinds.BBoxFeature)
    if boxed and isinstance(fields.get("label"), kinds.ClassLabel):
        return fields["label"]
    raise ValueError(
        f"{name!r} is no set for detection: it needs the features 'image' and "
        f"'objects' with 'bbox' and 'label'. It has: {', '.join(sorted(features))}"
    )


def _check_format(name: str, builder) -> None:
    suffix = builder.info.file_format.file_suffix
    if suffix != "tfrecord":
        raise ValueError(
            f"{name!r} is prepared as {suffix}; only TFRecord can be read. Prepare it "
            "with download_and_prepare(file_format='tfrecord')."
        )


def _records(builder, split: str):
    for part in builder.info.splits[split].file_instructions:
        take = part.examples_in_shard - part.skip if part.take == -1 else part.take
        yield from examples(Path(part.filename), part.skip, take)


def _image(where: tuple, features: dict, number: int) -> tuple[BoxedImage, int]:
    """An image, and how many of its boxes have no area."""
    height, width = _size(features["image"][0], f"image {number} of {where[0]}")
    relative = np.array(features.get("objects/bbox", ()), np.float64).reshape(-1, 4)
    y1, x1, y2, x2 = relative.T
    boxes = np.float32(np.stack([x1 * width, y1 * height, x2 * width, y2 * height], 1))
    kept = ~((boxes[:, 0] == boxes[:, 2]) | (boxes[:, 1] == boxes[:, 3]))

    def objects(field: str) -> np.ndarray | None:
        values = features.get(f"objects/{field}")
        return None if values is None else np.array(values)[kept]

    none = np.zeros(kept.sum(), bool)
    labels, crowd, difficult = map(objects, ("label", "is_crowd", "is_difficult"))
    image = BoxedImage(
        id=features["image/id"][0] if "image/id" in features else number,
        height=height,
        width=width,
        boxes=boxes[kept],
        labels=none if labels is None else labels + 1,
        crowd=none | _flags(crowd, none) | _flags(difficult, none),
        areas=objects("area"),
        encoded=functools.partial(read_feature, *where, "image"),
    )
    return image, int((~kept).sum())


def _flags(values: np.ndarray | None, none: np.ndarray) -> np.ndarray:
    return none if values is None else values.astype(bool)


def _size(contents: bytes, source: str) -> tuple[int, int]:
    """Height and width of an image file, JPEGs without decoding."""
    if contents[:3] == b"\xff\xd8\xff":
        height, width, _ = tf.io.extract_jpeg_shape(contents).numpy().tolist()
        return height, width
    return decode(contents, source).shape[:2]
