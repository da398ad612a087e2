"""The anchors of a pyramid's region proposal network."""

import functools
import math

import numpy as np


def pyramid_anchors(map_sizes, strides, sizes, aspect_ratios):
    """Anchors of every place of every level, torchvision's in its order.

    At place (y, x) of a level of stride s there is, centred at (x·s, y·s), for each
    aspect ratio a = h / w a box of area size², its corners rounded to whole pixels.

    Args:
        map_sizes: ((H, W), …) of the levels.
        strides: ints, one per level.
        sizes: numbers, one per level, in pixels.
        aspect_ratios: numbers above 0.

    Returns:
        list of (H · W · ratios, 4) float32, xyxy, by y, then x, then ratio.
    """
    return [
        _level_anchors(tuple(map_size), stride, size, tuple(aspect_ratios))
        for map_size, stride, size in zip(map_sizes, strides, sizes, strict=True)
    ]


@functools.lru_cache(maxsize=64)
def _level_anchors(map_size, stride, size, aspect_ratios):
    halves = [(size / math.sqrt(a) / 2, size * math.sqrt(a) / 2) for a in aspect_ratios]
    shapes = np.round([(-w, -h, w, h) for w, h in halves])  # halves to even
    y, x = np.mgrid[: map_size[0], : map_size[1]] * stride
    places = np.stack([x, y, x, y], axis=-1)[:, :, None, :]
    return (places + shapes).reshape(-1, 4).astype("float32")
