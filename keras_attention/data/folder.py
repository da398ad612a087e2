"""Image files in a folder per class."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np

from keras_attention.data.image_data import ImageData
from keras_attention.data.partition import divide
from keras_attention.data.preprocessing import Preprocessing
from keras_attention.data.splits import FileSplit

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
SPLIT_FOLDERS = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}
# Photographs are taken to be like ImageNet's.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
IMAGENET_SIZE = (224, 224)


def from_folder(
    folder: str | Path,
    *,
    validation: float = 0.1,
    test: float = 0.0,
    image_size: tuple[int, int] | None = None,
    seed: int = 0,
    limit: int | None = None,
    source: dict | None = None,
) -> ImageData:
    """Data from `folder/<class>/*.jpg`, or `folder/<split>/<class>/*.jpg`.

    Files are decoded as they are needed, to three channels. Splits are folders
    named train, validation (or val) and test; without a train folder, the whole
    is divided by fractions. Names that start with a dot are passed over, and links
    are followed, but there is no looking into folders of a class folder.

    A file's contents tell how it is decoded, not its name. CMYK, palettes and grey
    values become RGB; of 16 bits the upper 8 are taken, of transparency only the
    colours, of an animation its first frame. A rotation in a camera's EXIF data is
    not applied: turn such images before. Which files cannot be used at all,
    `keras_attention.data.inspect_files` tells.

    Args:
        folder: the folder.
        validation: fraction to hold out where there is no such folder.
        test: the same for the test split.
        image_size: `(height, width)` of the network's input, 224×224 by default.
        seed: of the division and of `limit`.
        limit: most images in any split, drawn at random.
        source: as in `from_arrays`.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: there are fewer than two classes, an empty class, something else
            than a file, a file that is no JPEG, PNG, BMP or GIF by its name, a name
            that is no UTF-8, or the splits' classes differ.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}")
    roots = _split_roots(folder)
    names = _class_names(roots["train"])
    whole = {split: _files(root, names) for split, root in roots.items()}
    splits = divide(whole, validation=validation, test=test, seed=seed, limit=limit)
    preprocessing = Preprocessing(
        size=tuple(image_size or IMAGENET_SIZE),
        channels=3,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        class_names=tuple(names),
    )
    return ImageData(
        folder.name,
        preprocessing,
        **splits,
        source=source or {"name": "folder", "data_dir": str(folder.resolve())},
        fingerprint=_fingerprint(folder, splits),
    )


def _split_roots(folder: Path) -> dict[str, Path]:
    if not (folder / "train").is_dir():
        return {"train": folder}
    roots = {}
    for entry in _visible(folder):
        if entry.name not in SPLIT_FOLDERS or SPLIT_FOLDERS[entry.name] in roots:
            raise ValueError(
                f"{folder} has a folder 'train', so only train, validation (or val) "
                f"and test may stand beside it, once each. Found: {entry.name}"
            )
        roots[SPLIT_FOLDERS[entry.name]] = Path(entry.path)
    return roots


def _class_names(root: Path) -> list[str]:
    entries = _visible(root)
    # Not `entry.is_dir()`, which raises where a link leads to itself.
    stray = [entry for entry in entries if not os.path.isdir(entry.path)]
    if stray:
        kind = "link that leads to no folder" if stray[0].is_symlink() else "file"
        raise ValueError(
            f"{root} must hold one folder per class and nothing else. "
            f"Found the {kind} {stray[0].name}"
        )
    names = [entry.name for entry in entries]
    if len(names) < 2:
        raise ValueError(
            f"{root} must hold a folder for each of at least two classes. "
            f"Found: {names or 'nothing'}"
        )
    return names


def _files(root: Path, names: list[str]) -> FileSplit:
    found = _class_names(root)
    if found != names:
        odd = sorted(set(found) ^ set(names))
        raise ValueError(
            f"The splits must have the same classes. {root} differs from the "
            f"training split in: {', '.join(odd)}"
        )
    paths, labels = [], []
    for label, name in enumerate(names):
        images = _images(root / name)
        paths += images
        labels += [label] * len(images)
    return FileSplit(paths, np.array(labels, np.int64))


def _images(folder: Path) -> list[str]:
    """Paths of a class; whether they are images indeed, `inspection` tells."""
    entries = _visible(folder)
    if not entries:
        raise ValueError(
            f"The class folder {folder} is empty: put images into it, or remove it"
        )
    for entry in entries:
        if not (entry.is_file(follow_symlinks=False) or entry.is_symlink()):
            kind = "folder" if entry.is_dir() else "device or pipe"
            raise ValueError(
                f"The class folder {folder} must hold image files and nothing else. "
                f"Found the {kind} {entry.name}"
            )
        if not entry.name.lower().endswith(SUFFIXES):
            raise ValueError(
                f"{entry.path} is no image by its name: expected {', '.join(SUFFIXES)}"
            )
    return [entry.path for entry in entries]


def _visible(folder: Path) -> list[os.DirEntry]:
    """What is in a folder by name, without what is hidden."""
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in found:
        _check_name(entry)
    return sorted(found, key=lambda entry: entry.name)


def _check_name(entry: os.DirEntry) -> None:
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"The name of {entry.path!r} is no UTF-8, which records of a run are "
            "written in: rename it"
        ) from None


def _fingerprint(folder: Path, splits: dict[str, FileSplit]) -> str:
    checksum = 0
    for split in splits.values():
        for path in split.paths:
            name = path.removeprefix(f"{folder}{os.sep}")
            checksum = zlib.crc32(name.encode(), checksum)
    return f"crc32 of names:{checksum:08x}"
