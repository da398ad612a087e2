"""Image files in a folder per class."""

from __future__ import annotations

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
    is divided by fractions. Names that start with a dot are passed over.

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
        ValueError: there are fewer than two classes, an empty class, a file that
            is no JPEG, PNG, BMP or GIF by its name, or the splits' classes differ.
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
    for path in _visible(folder):
        if path.name not in SPLIT_FOLDERS or SPLIT_FOLDERS[path.name] in roots:
            raise ValueError(
                f"{folder} has a folder 'train', so only train, validation (or val) "
                f"and test may stand beside it, once each. Found: {path.name}"
            )
        roots[SPLIT_FOLDERS[path.name]] = path
    return roots


def _class_names(root: Path) -> list[str]:
    stray = [path for path in _visible(root) if not path.is_dir()]
    if stray:
        raise ValueError(
            f"{root} must hold one folder per class and nothing else. "
            f"Found the file {stray[0].name}"
        )
    names = [path.name for path in _visible(root)]
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
        images = [str(path) for path in _visible(root / name)]
        _check_images(root / name, images)
        paths += images
        labels += [label] * len(images)
    return FileSplit(paths, np.array(labels, np.int64))


def _check_images(folder: Path, paths: list[str]) -> None:
    if not paths:
        raise ValueError(f"The class folder {folder} is empty")
    for path in paths:
        if not path.lower().endswith(SUFFIXES):
            raise ValueError(
                f"{path} is no image by its name: expected {', '.join(SUFFIXES)}"
            )


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _fingerprint(folder: Path, splits: dict[str, FileSplit]) -> str:
    checksum = 0
    for split in splits.values():
        for path in split.paths:
            name = str(Path(path).relative_to(folder))
            checksum = zlib.crc32(name.encode(), checksum)
    return f"crc32 of names:{checksum:08x}"
