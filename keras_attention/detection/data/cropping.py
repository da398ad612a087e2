"""SSD's zooming out and random crops (Liu et al., 2016, sections 2.2 and 3.6).

Steps and numbers are those of the authors' code, as torchvision has them, too.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_attention.detection.data.examples import Example

__all__ = ["random_crop", "zoom_out"]

ZOOM_PROBABILITY = 0.5
MOST_ZOOM = 4.0  # of each side
FILL = (123, 117, 104)  # ImageNet's mean, as the authors round it
# A crop overlaps some object by at least this IoU; 0 is any crop, 1 the whole image.
LEAST_OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
TRIALS = 50
SMALLEST_SIDE = 0.3  # of the image's, as in the code; the paper has 0.1 of its size
LEAST_ASPECT, MOST_ASPECT = 0.5, 2.0


def zoom_out(example: Example, rng: np.random.Generator) -> Example:
    """In half of all cases, put the image somewhere on a canvas of the mean colour.

    The canvas has 1 to 4 times its height and width.
    """
    if rng.random() >= ZOOM_PROBABILITY:
        return example
    zoom = rng.uniform(1, MOST_ZOOM)
    size = np.array(example.size)
    canvas = (size * zoom).astype(int)
    top, left = (rng.random(2) * (canvas - size)).astype(int)
    pixels = np.empty((*canvas, 3), np.uint8)
    pixels[:] = FILL
    pixels[top : top + size[0], left : left + size[1]] = example.pixels
    boxes = example.boxes + np.float32([left, top, left, top])
    return dataclasses.replace(example, pixels=pixels, boxes=boxes)


def random_crop(example: Example, rng: np.random.Generator) -> Example:
    """Cut out a part that overlaps an object by a randomly chosen IoU.

    Sides are 0.3 to 1 of the image's, the aspect ratio 0.5 to 2. Objects whose centre
    is in the part stay, cut at its edges; there is at least one, and one of them has
    the IoU with the part. Crowd boxes do not count for that, and stay where they
    overlap the part, because what lies in them must not be learned as background. An
    image without other boxes stays whole.
    """
    if example.crowd.all():
        return example
    while True:
        least = rng.choice(LEAST_OVERLAPS)
        if least == 1:
            return example
        for _ in range(TRIALS):
            part = _random_part(example.size, rng)
            if part is not None and _suits(example, part, least):
                return _cut(example, part)


def _random_part(size, rng: np.random.Generator) -> np.ndarray | None:
    """(x1, y1, x2, y2) in whole pixels, or None if its aspect ratio is too extreme."""
    sides = (np.array(size) * rng.uniform(SMALLEST_SIDE, 1, 2)).astype(int)
    height, width = np.maximum(sides, 1)
    top, left = (rng.random(2) * (np.array(size) - (height, width))).astype(int)
    if not LEAST_ASPECT <= width / height <= MOST_ASPECT:
        return None
    return np.array([left, top, left + width, top + height])


def _suits(example: Example, part: np.ndarray, least: float) -> bool:
    inside = _centred_in(example.boxes, part) & ~example.crowd
    return bool(inside.any() and _iou(example.boxes[inside], part).max() >= least)


def _cut(example: Example, part: np.ndarray) -> Example:
    x1, y1, x2, y2 = part
    shown = _common(example.boxes, part) > 0
    kept = np.where(example.crowd, shown, _centred_in(example.boxes, part))
    cut = example.select(kept)
    corner, limits = np.float32([x1, y1, x1, y1]), np.float32(part[[2, 3, 2, 3]])
    boxes = np.clip(cut.boxes, corner, limits) - corner
    return dataclasses.replace(cut, pixels=cut.pixels[y1:y2, x1:x2], boxes=boxes)


def _centred_in(boxes: np.ndarray, part: np.ndarray) -> np.ndarray:
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return ((part[:2] < centres) & (centres < part[2:])).all(1)


def _common(boxes: np.ndarray, part: np.ndarray) -> np.ndarray:
    """(n,) square pixels that boxes share with the part."""
    sides = np.minimum(boxes[:, 2:], part[2:]) - np.maximum(boxes[:, :2], part[:2])
    return np.prod(np.maximum(sides, 0), axis=1)


def _iou(boxes: np.ndarray, part: np.ndarray) -> np.ndarray:
    common = _common(boxes, part)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return common / (areas + np.prod(part[2:] - part[:2]) - common)
