"""Data sets of TensorFlow Datasets, prepared on disk."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_attention.choices import nearest_first
from keras_attention.data.arrays import from_arrays
from keras_attention.data.corruption import check_label
from keras_attention.data.folder import IMAGENET_MEAN, IMAGENET_SIZE, IMAGENET_STD
from keras_attention.data.image_data import ImageData
from keras_attention.data.partition import check_limit, held_out
from keras_attention.data.preprocessing import Preprocessing
from keras_attention.data.splits import RecordSplit
from keras_attention.extras import require

# Above this many bytes of decoded images, a set is streamed from disk.
MEMORY_LIMIT = 2 * 1024**3
MOST_SUGGESTIONS = 4


def from_tfds(
    name: str,
    *,
    data_dir: str | None,
    download: bool,
    validation: float,
    test: float,
    image_size: tuple[int, int] | None,
    seed: int,
    limit: int | None,
    memory_limit: int = MEMORY_LIMIT,
    source: dict,
) -> ImageData:
    """A data set by its TFDS name; arguments as in `keras_attention.data.load`.

    Raises:
        ImportError: TensorFlow Datasets is not installed.
        FileNotFoundError: the set is not prepared on disk.
        ValueError: an unknown name, or a set without images and labels.
    """
    library = require(
        "tensorflow_datasets", extra="data", purpose=f"The data set {name!r}"
    )
    builder = builder_of(library, name, root_of(data_dir), download)
    names = _class_names(library, name, builder.info.features)
    roles = _roles(name, builder)
    shape = builder.info.features["image"].shape
    common = {"image_size": image_size, "seed": seed, "limit": limit, "source": source}
    if _bytes(builder, roles, shape) <= memory_limit:
        return from_arrays(
            _arrays(builder, roles["train"]),
            class_names=names,
            validation=_or_fraction(builder, roles, "validation", validation),
            test=_or_fraction(builder, roles, "test", test),
            name=name,
            **common,
        )
    return _stream(name, builder, roles, names, validation, test, **common)


def root_of(data_dir: str | None) -> Path:
    """Where TensorFlow Datasets are: `data_dir`, $TFDS_DATA_DIR or their default."""
    default = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    return Path(data_dir or default).expanduser()


def builder_of(library, name: str, root: Path, download: bool):
    """The builder of a prepared set, found by its files.

    `tfds.builder` asks the network about sets that are not prepared, and without
    one hangs for minutes; a folder needs nothing but itself.
    """
    prepared = _prepared(name, root)
    if prepared:
        return library.builder_from_directory(str(prepared))
    _check_known(library, name)
    if not download:
        raise FileNotFoundError(
            f"The data set {name!r} is not prepared in {root}. Give the folder that "
            "holds it (--data-dir), or allow the download (--download)"
        )
    builder = library.builder(name, data_dir=str(root))
    builder.download_and_prepare()
    return builder


def _prepared(name: str, root: Path) -> Path | None:
    """`root/name[/config]/version` with the highest version, or the one named."""
    path, _, version = name.partition(":")
    infos = sorted((root / path).glob(f"**/{version or '*'}/dataset_info.json"))
    configs = {info.parent.parent for info in infos}
    if len(configs) > 1:
        choices = sorted(str(config.relative_to(root)) for config in configs)
        raise ValueError(
            f"{name!r} has several configurations in {root}; name one of: "
            f"{', '.join(choices)}"
        )
    return max((info.parent for info in infos), key=_version, default=None)


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.name.split(".") if part.isdigit())


def _check_known(library, name: str) -> None:
    known = library.list_builders(with_community_datasets=False)
    if name.partition(":")[0].partition("/")[0] not in known:
        # TFDS knows over a thousand: only the nearest help.
        near = nearest_first(name, ["digits", "folder", *known])[:MOST_SUGGESTIONS]
        raise ValueError(
            f"Unknown data set {name!r}. Nearest: {', '.join(near)}. A folder of "
            "class folders is the data set 'folder'"
        )


def _class_names(library, name: str, features) -> list[str]:
    image, label = (dict(features.items()).get(key) for key in ("image", "label"))
    if not isinstance(image, library.features.Image) or not isinstance(
        label, library.features.ClassLabel
    ):
        raise ValueError(
            f"{name!r} is no set for classification: it needs the features 'image' "
            f"and 'label'. It has: {', '.join(sorted(features))}"
        )
    return list(label.names)


def _roles(name: str, builder) -> dict[str, str]:
    """Which of its splits is used for what."""
    splits = builder.info.splits
    if "train" not in splits:
        raise ValueError(f"{name!r} has no split 'train'. It has: {', '.join(splits)}")
    roles = {"train": "train"}
    labelled_test = "test" in splits and _labelled(builder, "test")
    if labelled_test:
        roles["test"] = "test"
    if "validation" in splits:
        # ImageNet's test labels are secret: its validation images are the test.
        roles["validation" if labelled_test else "test"] = "validation"
    return roles


def _labelled(builder, split: str) -> bool:
    first = next(iter(builder.as_dataset(split=f"{split}[:1]").as_numpy_iterator()))
    return int(first["label"]) >= 0


def _bytes(builder, roles: dict, shape: tuple) -> float:
    """Size of the decoded images; infinite where they differ in size."""
    if None in shape:
        return float("inf")
    images = sum(builder.info.splits[split].num_examples for split in roles.values())
    return images * float(np.prod(shape))


def _arrays(builder, split: str) -> tuple[np.ndarray, np.ndarray]:
    whole = builder.as_dataset(split=split, batch_size=-1)
    return whole["image"].numpy(), whole["label"].numpy()


def _or_fraction(builder, roles: dict, role: str, fraction: float):
    return _arrays(builder, roles[role]) if role in roles else fraction


def _stream(
    name, builder, roles, names, validation, test, *, image_size, seed, limit, source
) -> ImageData:
    check_limit(limit)
    spans = _spans(builder, roles, {"validation": validation, "test": test}, seed)
    parse = _parser(builder.info.features, names)
    splits = {
        role: _records(builder, _first(pieces, limit), parse)
        for role, pieces in spans.items()
    }
    shape = builder.info.features["image"].shape
    own_size = None if None in shape[:2] else shape[:2]
    channels = shape[-1]
    preprocessing = Preprocessing(
        size=tuple(image_size or own_size or IMAGENET_SIZE),
        channels=channels,
        mean=IMAGENET_MEAN if channels == 3 else (0.5,),
        std=IMAGENET_STD if channels == 3 else (0.25,),
        class_names=tuple(names),
    )
    version = f"tfds:{builder.info.full_name}"
    return ImageData(name, preprocessing, **splits, source=source, fingerprint=version)


def _spans(builder, roles: dict, fractions: dict, seed: int) -> dict[str, list]:
    """`(split, start, stop)` of each role.

    Held-out images are one span of the training records, from a place drawn with
    the seed: TFDS wrote the records in random order, and a span can be left out
    without reading it.
    """
    count = builder.info.splits["train"].num_examples
    start = int(np.random.default_rng(seed).integers(count))
    spans = {}
    for role, fraction in fractions.items():
        if role in roles:
            size = builder.info.splits[roles[role]].num_examples
            spans[role] = [(roles[role], 0, size)]
        elif fraction:
            stop = start + held_out(count, fraction, role)
            spans[role] = _wrapped(start, stop, count)
            start = stop
    used = sum(b - a for role in spans if role not in roles for _, a, b in spans[role])
    return {"train": _wrapped(start, start + count - used, count), **spans}


def _wrapped(start: int, stop: int, count: int) -> list[tuple[str, int, int]]:
    """The span of a ring of training records as spans of a line."""
    start, length = start % count, stop - start
    parts = [(start, min(start + length, count)), (0, start + length - count)]
    return [("train", first, last) for first, last in parts if last > first]


def _first(pieces: list, limit: int | None) -> list:
    """The pieces' first `limit` records."""
    left = float("inf") if limit is None else limit
    kept = []
    for split, start, stop in pieces:
        stop = int(min(stop, start + left))
        if stop > start:
            kept.append((split, start, stop))
            left -= stop - start
    return kept


def _records(builder, pieces: list, parse) -> RecordSplit:
    instructions = [
        instruction
        for split, start, stop in pieces
        for instruction in builder.info.splits[
            f"{split}[{start}:{stop}]"
        ].file_instructions
    ]
    return RecordSplit(
        [str(each.filename) for each in instructions],
        [each.skip for each in instructions],
        [each.take for each in instructions],
        parse,
    )


def _parser(features, names):
    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = features.deserialize_example(record)
        return example["image"], check_label(example["label"], names)

    return parse
