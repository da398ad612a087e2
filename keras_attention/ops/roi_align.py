"""ROIAlign over one feature map or a pyramid of them (He et al., arXiv:1703.06870)."""

import itertools

import numpy as np
from keras import ops


def roi_levels(boxes, count, lowest=2, canonical_level=4, canonical_size=224):
    """The index of the pyramid level that each box is read from.

    ⌊4 + log₂(√(w·h) / 224)⌋ of P2 to P5, clipped (Lin et al., arXiv:1612.03144,
    equation 1; the 10⁻⁶ is torchvision's, against 223.99…).

    Args:
        boxes: (…, 4) float, xyxy in pixels of the image.
        count: number of levels; `lowest` is the first one's.

    Returns:
        (…) int32 in [0, count).
    """
    width = boxes[..., 2] - boxes[..., 0]
    height = boxes[..., 3] - boxes[..., 1]
    size = ops.sqrt(ops.maximum(width * height, 1e-12))
    level = ops.floor(canonical_level + ops.log2(size / canonical_size) + 1e-6)
    return ops.cast(ops.clip(level - lowest, 0, count - 1), "int32")


def roi_align(features, boxes, strides, output_size=7, sampling_ratio=2):
    """Boxes of an image, cut out of its feature maps at one size.

    A box is divided into output_size² bins, each the mean of sampling_ratio²
    bilinear samples at regular places; a sample more than a pixel outside of the map
    is 0. torchvision's `roi_align(aligned=False)`: a box is at least one feature
    pixel wide and high, and pixel (0, 0) of the map is at coordinate 0.

    Args:
        features: list of (batch, H, W, C), from the finest; H and W known.
        boxes: (batch, R, 4) float, xyxy in pixels of the image. With several maps,
            `roi_levels` tells the one that a box is read from.
        strides: list of ints, pixels of the image per pixel of each map; the first
            is 2ⁿ of level n.
        output_size, sampling_ratio: ints ≥ 1.

    Returns:
        (batch, R, output_size, output_size, C), of the dtype of `features`.
        Differentiable in `features`; gradients do not go to `boxes`.
    """
    boxes = ops.stop_gradient(ops.cast(boxes, "float32"))
    sizes = np.array([f.shape[1:3] for f in features], "int32")
    pixels = sizes.prod(axis=1)
    if len(features) == 1:
        level = ops.zeros(ops.shape(boxes)[:-1], "int32")
    else:
        level = roi_levels(boxes, len(features), int(np.log2(strides[0])))

    def of_level(values, dtype):  # (batch, R, 1)
        table = ops.convert_to_tensor(np.asarray(values, dtype))
        return ops.take(table, level, axis=0)[..., None]

    # One table of all pixels of all maps: one gather per corner serves every level.
    channels = features[0].shape[-1]
    flat = [
        ops.reshape(f, (-1, n, channels)) for f, n in zip(features, pixels, strict=True)
    ]
    table = ops.reshape(ops.concatenate(flat, axis=1), (-1, channels))
    image = ops.arange(ops.shape(boxes)[0], dtype="int32")[:, None, None]
    first = image * int(pixels.sum()) + of_level(np.cumsum(pixels) - pixels, "int32")

    scaled = boxes / of_level(strides, "float32")
    widths = of_level(sizes[:, 1], "int32")
    ys, xs = (
        _samples(scaled[..., i::2], limit, output_size, sampling_ratio)
        for i, limit in ((1, of_level(sizes[:, 0], "int32")), (0, widths))
    )
    total = 0.0
    for (row, weight_y), (column, weight_x) in itertools.product(ys, xs):
        places = first[..., None] + (row * widths)[..., None] + column[..., None, :]
        weights = weight_y[..., None] * weight_x[..., None, :]
        values = ops.take(table, places, axis=0)  # (batch, R, out, out, C)
        total += values * ops.cast(weights, values.dtype)[..., None]
    return total


def _samples(span, limit, output_size, sampling_ratio):
    """Places along one axis and their weights in the mean.

    Args:
        span: (batch, R, 2) float, the box's start and end in pixels of the map.
        limit: (batch, R, 1) int32, pixels of the map.

    Returns:
        list of (place int32, weight float32), each (batch, R, output_size): two
        neighbours for each of the sampling_ratio samples.
    """
    start = span[..., :1]
    length = ops.maximum(span[..., 1:] - start, 1.0)
    bins = np.arange(output_size, dtype="float32")
    end = ops.cast(limit, "float32")
    found = []
    for s in range(sampling_ratio):
        offsets = (bins + (s + 0.5) / sampling_ratio) / output_size
        at = start + length * offsets
        inside = ops.logical_and(at >= -1.0, at <= end)
        at = ops.clip(at, 0.0, end - 1.0)
        low = ops.floor(at)
        share = ops.cast(inside, "float32") / sampling_ratio
        low_place = ops.cast(low, "int32")
        found.append((low_place, share * (1.0 - (at - low))))
        high_place = ops.minimum(low_place + 1, limit - 1)
        found.append((high_place, share * (at - low)))
    return found
