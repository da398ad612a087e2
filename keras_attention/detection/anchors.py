"""The anchors of a pyramid's region proposal network."""

import functools
import math

import numpy as np


def pyramid_anchors(image_size, map_sizes, sizes, aspect_ratios):
    """Anchors of every place of every level, torchvision's in its order.

    At place (y, x) of a level, centred at (x·sₓ, y·s_y), there is for each aspect
    ratio a = h / w a box of area size², its corners rounded to whole pixels. The
    strides are ⌊image / map⌋, as torchvision's: where P5 has an odd size, that of P6
    is a little below 64, and its anchors lie beside the pixels that they belong to.

    Args:
        image_size: (height, width), padding included.
        map_sizes: ((H, W), …) of the levels.
        sizes: numbers, one per level, in pixels.
        aspect_ratios: numbers above 0.

    Returns:
        list of (H · W · ratios, 4) float32, xyxy, by y, then x, then ratio.
    """
    return [
        _level_anchors(tuple(image_size), tuple(map_size), size, tuple(aspect_ratios))
        for map_size, size in zip(map_sizes, sizes, strict=True)
    ]


@functools.lru_cache(maxsize=64)
def _level_anchors(image_size, map_size, size, aspect_ratios):
    halves = [(size / math.sqrt(a) / 2, size * math.sqrt(a) / 2) for a in aspect_ratios]
    shapes = np.round([(-w, -h, w, h) for w, h in halves])  # halves to even
    (height, width), (rows, columns) = image_size, map_size
    y, x = np.mgrid[:rows, :columns]
    y, x = y * (height // rows), x * (width // columns)
    places = np.stack([x, y, x, y], axis=-1)[:, :, None, :]
    return (places + shapes).reshape(-1, 4).astype("float32")
