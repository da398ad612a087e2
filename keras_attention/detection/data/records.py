"""Images with boxes, as they are in their files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from keras_attention.detection.data.decoding import decode, decode_file

__all__ = ["BoxedImage", "BoxedImages"]


@dataclass(frozen=True, eq=False)
class BoxedImage:
    """An image file's size and objects, and where its pixels are.

    The pixels come from `path`, from `pixels` or from `encoded`: exactly one of them,
    or none where only the boxes matter.

    Args:
        id: unique in its set.
        height, width: pixels of the file.
        boxes: float32 (n, 4), xyxy in pixels of the file. They may pass its edges a
            little, as some of COCO's do; every box has an area and touches the image.
        labels: int32 (n,), from 1.
        crowd: bool (n,): a box over many objects, or one too difficult to be counted
            against a detector. None of them by default.
        areas: float64 (n,) square pixels, of the objects rather than their boxes where
            the set knows them; COCO's small, medium and large go by them. The boxes'
            by default.
        path: the image file.
        pixels: uint8 (height, width, 3), RGB.
        encoded: function that gives the contents of an image file.

    Raises:
        ValueError: an array has a wrong shape or value; the message tells the image.
    """

    id: int
    height: int
    width: int
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray | None = None
    areas: np.ndarray | None = None
    path: Path | None = None
    pixels: np.ndarray | None = None
    encoded: Callable[[], bytes] | None = None

    def __post_init__(self):
        self._set("boxes", np.reshape(self.boxes, (-1, 4)), np.float32)
        self._set("labels", self.labels, np.int32)
        crowd = np.zeros(len(self.labels)) if self.crowd is None else self.crowd
        self._set("crowd", crowd, bool)
        x1, y1, x2, y2 = np.float64(self.boxes).T
        areas = (x2 - x1) * (y2 - y1) if self.areas is None else self.areas
        self._set("areas", areas, np.float64)
        self._check()

    def _set(self, name: str, value, dtype) -> None:
        object.__setattr__(self, name, np.asarray(value, dtype))

    def _check(self) -> None:
        if self.height < 1 or self.width < 1:
            self._reject(f"a size of {self.height}×{self.width}")
        count = len(self.boxes)
        for name in ("labels", "crowd", "areas"):
            shape = getattr(self, name).shape
            if shape != (count,):
                self._reject(f"{count} boxes, but `{name}` of shape {shape}")
        if count and self.labels.min() < 1:
            self._reject(f"the label {self.labels.min()}; labels start at 1")
        x1, y1, x2, y2 = self.boxes.T
        inside = (x1 < self.width) & (y1 < self.height) & (x2 > 0) & (y2 > 0)
        right = np.isfinite(self.boxes).all(1) & (x1 < x2) & (y1 < y2) & inside
        if not right.all():
            wrong = self.boxes[np.argmin(right)].tolist()
            self._reject(
                f"the box {wrong}; boxes are [x1, y1, x2, y2] with x1 < x2, y1 < y2, "
                f"and touch the image of {self.height}×{self.width} pixels"
            )
        if sum(v is not None for v in (self.path, self.pixels, self.encoded)) > 1:
            self._reject("more than one of `path`, `pixels` and `encoded`")

    def _reject(self, reason: str) -> None:
        raise ValueError(f"Image {self.id} has {reason}.")

    @property
    def landscape(self) -> bool:
        """Whether it is at least as wide as high."""
        return self.width >= self.height

    def read_pixels(self) -> np.ndarray:
        """uint8 (height, width, 3), RGB.

        Grey-scale, CMYK and palette images are converted. A rotation in a camera's
        EXIF data is not applied: COCO's boxes are for the pixels as they are stored.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no image, or not of this size, or there are no pixels.
        """
        pixels = self._pixels()
        if pixels.shape != (self.height, self.width, 3):
            height, width = pixels.shape[:2]
            raise ValueError(
                f"The {self._source} has {height}×{width} pixels, but its boxes are "
                f"for {self.height}×{self.width}: they would be in wrong places. Was "
                "the file scaled or rotated after it was annotated?"
            )
        return pixels

    def _pixels(self) -> np.ndarray:
        if self.pixels is not None:
            return self.pixels
        if self.encoded is not None:
            return decode(self.encoded(), self._source)
        if self.path is None:
            raise ValueError(f"The {self._source} was made without pixels.")
        return decode_file(self.path)

    @property
    def _source(self) -> str:
        return f"image file {self.path}" if self.path else f"image {self.id}"


@dataclass(frozen=True, eq=False)
class BoxedImages:
    """Images with boxes of the same classes.

    Args:
        images: any number of `BoxedImage`, their ids unique.
        class_names: names of the labels 1, 2…; the background has none.
        category_ids: COCO's id of each class, rising; gaps are allowed. By default
            the labels themselves.
        dropped: boxes of the files that are not here because they have no area.

    Raises:
        ValueError: duplicate ids or names, or a label without a class.
    """

    images: tuple[BoxedImage, ...]
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...] | None = None
    dropped: int = 0

    def __post_init__(self):
        names = tuple(self.class_names)
        ids = self.category_ids
        ids = tuple(range(1, len(names) + 1)) if ids is None else tuple(ids)
        for field, value in (("images", tuple(self.images)), ("class_names", names)):
            object.__setattr__(self, field, value)
        object.__setattr__(self, "category_ids", ids)
        _check_unique("class names", names)
        _check_unique("image ids", [image.id for image in self.images])
        if len(ids) != len(names) or any(a >= b for a, b in pairwise(ids)):
            raise ValueError(
                "`category_ids` must be one rising number for each of the "
                f"{len(names)} class names. Received: {ids}."
            )
        for image in self.images:
            if len(image.labels) and image.labels.max() > len(names):
                raise ValueError(
                    f"Image {image.id} has the label {image.labels.max()}, but there "
                    f"are {len(names)} classes; label i is class_names[i - 1]."
                )

    def __len__(self) -> int:
        return len(self.images)

    def __str__(self) -> str:
        boxes = sum(len(image.boxes) for image in self.images)
        classes = len(self.class_names)
        return f"{len(self):,} images, {boxes:,} boxes, {classes} classes"

    @property
    def num_classes(self) -> int:
        """Classes with the background, as detectors count."""
        return len(self.class_names) + 1

    @property
    def most_boxes(self) -> int:
        """Boxes of the image that has most."""
        return max((len(image.boxes) for image in self.images), default=0)

    def take(self, indices: Iterable[int]) -> BoxedImages:
        """The images at these places, in this order."""
        images = tuple(self.images[index] for index in indices)
        return dataclasses.replace(self, images=images)

    def without(self, paths: Collection[str]) -> BoxedImages:
        """The images but for those of these files, and their boxes.

        Raises:
            ValueError: none would be left.
        """
        left_out = set(paths)
        files = [str(image.path) for image in self.images]
        kept = [place for place, file in enumerate(files) if file not in left_out]
        if not kept:
            raise ValueError(f"All {len(self)} images would be left out: replace some")
        return self.take(kept)

    def by_orientation(self) -> list[BoxedImages]:
        """Landscape images (squares, too) and portrait ones: the sets that have any.

        A pipeline of each has a shape of its own, so that little is padding.
        """
        wide = [image.landscape for image in self.images]
        parts = [
            self.take(i for i, landscape in enumerate(wide) if landscape is wanted)
            for wanted in (True, False)
        ]
        return [part for part in parts if len(part)]


def _check_unique(what: str, values) -> None:
    if len(set(values)) == len(values):
        return
    seen = set()
    twice = next(value for value in values if value in seen or seen.add(value))
    raise ValueError(f"The {what} must be unique. Received twice: {twice!r}.")
