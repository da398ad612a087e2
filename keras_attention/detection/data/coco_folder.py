"""Images with boxes in COCO's JSON."""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from pathlib import Path, PurePosixPath

import numpy as np

from keras_attention.choices import nearest_first
from keras_attention.detection.data.records import BoxedImage, BoxedImages
from keras_attention.files import read_json
from keras_attention.training.files import UNEXPECTED

__all__ = ["read_coco", "read_coco_folder"]

MOST_NAMED = 3  # examples in an error
# COCO's own largest file of boxes has 448 MB.
MOST_BYTES = 2**31


def read_coco_folder(folder: str | Path, split: str) -> BoxedImages:
    """A split of COCO as it is unpacked.

    Args:
        folder: holds `annotations/instances_{split}.json` and the images in `{split}/`.
        split: `"train2017"`, `"val2017"`…

    Returns:
        Images in the file's order; labels in the order of the category ids.

    Raises:
        FileNotFoundError: there is no such file or folder, or images are missing.
        ValueError: as `read_coco`.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}")
    path = folder / "annotations" / f"instances_{split}.json"
    if not path.is_file():
        found = path.parent.glob("instances_*.json")
        splits = [other.stem.removeprefix("instances_") for other in found]
        listed = ", ".join(nearest_first(split, splits)) or "none"
        raise FileNotFoundError(f"There is no {path}. Splits in {folder}: {listed}")
    return read_coco(path, folder / split)


def read_coco(annotations: str | Path, image_folder: str | Path) -> BoxedImages:
    """Images and boxes of a JSON file in COCO's format.

    Boxes of no width or no height, of which COCO itself has some, are left out with a
    warning and counted in `dropped`. Masks and key points are passed over.

    Args:
        annotations: the file: `images` with id, file_name, height and width,
            `categories` with id and name, `annotations` with image_id, category_id and
            bbox `[x, y, width, height]` and perhaps area and iscrowd.
        image_folder: what the file names are in.

    Returns:
        Images in the file's order; labels in the order of the category ids.

    Raises:
        FileNotFoundError: there is no such file or folder, or images are missing.
        ValueError: the file is no whole JSON, lacks a part, or contradicts itself: an
            unknown image or category, an id given twice, a box with a negative or
            infinite side or outside its image, a file name out of the folder.
    """
    path, folder = Path(annotations).expanduser(), Path(image_folder).expanduser()
    content = _read(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder of images {folder}")
    try:
        names, ids = _categories(content["categories"])
        infos = _images(content["images"], folder)
        boxes, dropped = _boxes(content["annotations"], infos, ids)
        made = tuple(_image(info, boxes[key]) for key, info in infos.items())
        images = BoxedImages(made, names, ids, dropped)
    except UNEXPECTED as error:
        said = error if isinstance(error, ValueError) else _missing(error)
        raise ValueError(f"{path}: {said}") from error
    _check_files(images)
    if dropped:
        warnings.warn(
            f"{path}: {dropped} boxes without width or height are left out.",
            stacklevel=2,
        )
    return images


def _read(path: Path) -> dict:
    try:
        content = read_json(path, most_bytes=MOST_BYTES)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no file of annotations {path}") from error
    except ValueError as error:
        raise ValueError(f"{error}. Was it downloaded to its end?") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not COCO's: it is a {type(content).__name__}.")
    return content


def _missing(error: Exception) -> str:
    parts = "`images`, `categories` and `annotations` with COCO's fields"
    return f"it needs {parts}. {type(error).__name__}: {error}"


def _categories(entries: list) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and ids in the order of the ids."""
    by_id = _by_id("category", entries)
    ids = tuple(sorted(by_id))
    return tuple(str(by_id[key]["name"]) for key in ids), ids


def _images(entries: list, folder: Path) -> dict[int, dict]:
    """id → `{id, height, width, path}`."""
    return {
        key: {
            "id": key,
            "height": int(entry["height"]),
            "width": int(entry["width"]),
            "path": _inside(folder, entry["file_name"]),
        }
        for key, entry in _by_id("image", entries).items()
    }


def _by_id(what: str, entries: list) -> dict[int, dict]:
    found = {}
    for entry in entries:
        key = entry["id"]
        if isinstance(key, bool) or not isinstance(key, int):
            raise ValueError(f"the {what} id {key!r} is no integer.")
        if key in found:
            raise ValueError(f"the {what} id {key} is given twice.")
        found[key] = entry
    return found


def _inside(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise ValueError(
            f"the file name {name!r} leaves the folder of images; names are relative "
            "to it."
        )
    return folder / parts


def _boxes(entries: list, infos: dict, ids: tuple) -> tuple[dict, int]:
    """Image id → list of (xyxy, label, crowd, area); how many have no area."""
    labels = {key: number for number, key in enumerate(ids, start=1)}
    boxes, dropped = defaultdict(list), 0
    for entry in entries:
        where = f"annotation {entry.get('id', '(no id)')}"
        info = _known(where, "image", entry["image_id"], infos)
        label = _known(where, "category", entry["category_id"], labels)
        xyxy = _xyxy(where, entry["bbox"])
        if xyxy[0] == xyxy[2] or xyxy[1] == xyxy[3]:
            dropped += 1
            continue
        _check_place(where, xyxy, info)
        width, height = entry["bbox"][2:]
        area = float(entry.get("area", width * height))
        crowd = bool(entry.get("iscrowd", 0))
        boxes[info["id"]].append((xyxy, label, crowd, area))
    return boxes, dropped


def _known(where: str, what: str, key, known: dict):
    if key not in known:
        raise ValueError(f"{where} is of the unknown {what} {key!r}.")
    return known[key]


def _xyxy(where: str, box: list) -> np.ndarray:
    """float32 (4,), in NumPy: `convert_format` makes a tensor, too slow box by box."""
    sides = [float(side) for side in box]
    if len(sides) != 4 or not all(map(math.isfinite, sides)) or min(sides[2:]) < 0:
        raise ValueError(
            f"{where}: a box is [x, y, width, height], finite, with width and height "
            f"of at least 0. Received: {box!r}."
        )
    x, y, width, height = sides
    return np.array([x, y, x + width, y + height], np.float32)


def _check_place(where: str, xyxy: np.ndarray, info: dict) -> None:
    x1, y1, x2, y2 = xyxy.tolist()
    if x1 >= info["width"] or y1 >= info["height"] or x2 <= 0 or y2 <= 0:
        raise ValueError(
            f"{where}: the box from ({x1:g}, {y1:g}) to ({x2:g}, {y2:g}) lies outside "
            f"image {info['id']} of {info['height']}×{info['width']} pixels. Boxes are "
            "[x, y, width, height] in pixels."
        )


def _image(info: dict, boxes: list) -> BoxedImage:
    xyxy, labels, crowd, areas = zip(*boxes, strict=True) if boxes else ([],) * 4
    return BoxedImage(
        **info, boxes=np.array(xyxy), labels=labels, crowd=crowd, areas=areas
    )


def _check_files(images: BoxedImages) -> None:
    missing = [image.path for image in images.images if not image.path.is_file()]
    if missing:
        first = ", ".join(str(path) for path in missing[:MOST_NAMED])
        more = ", …" if len(missing) > MOST_NAMED else ""
        raise FileNotFoundError(
            f"{len(missing)} of {len(images)} image files are missing: {first}{more}"
        )
