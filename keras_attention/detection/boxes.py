"""Boxes and their deltas, on top of `keras.utils.bounding_boxes`.

Boxes are (…, 4) float32, xyxy in pixels of the image as it is fed: x right and y
down from its top left corner.
"""

import math

from keras import ops
from keras.utils.bounding_boxes import (
    decode_deltas_to_boxes,
    encode_box_to_deltas,
)

# No box grows more than this from its anchor: without it, exp overflows early in
# training. torchvision's and Detectron's value.
MAX_LOG_RATIO = math.log(1000 / 16)
RPN_VARIANCE = (1.0, 1.0, 1.0, 1.0)
HEAD_VARIANCE = (0.1, 0.1, 0.2, 0.2)  # torchvision's weights (10, 10, 5, 5)


def encode(anchors, boxes, variance):
    """Deltas ((x − xₐ) / wₐ, (y − yₐ) / hₐ, ln w / wₐ, ln h / hₐ) / variance.

    Args:
        anchors: (N, 4) or (batch, N, 4).
        boxes: (batch, N, 4).
        variance: four numbers.
    """
    return encode_box_to_deltas(
        anchors, boxes, "xyxy", "xyxy", "center_xywh", variance=variance
    )


def decode(anchors, deltas, variance):
    """The inverse of `encode`, its logarithms held below ln(1000 / 16)."""
    # `decode_deltas_to_boxes` has no such limit.
    limits = ops.convert_to_tensor(
        [MAX_LOG_RATIO / v if i > 1 else float("inf") for i, v in enumerate(variance)]
    )
    deltas = ops.minimum(ops.cast(deltas, "float32"), limits)
    return decode_deltas_to_boxes(
        anchors, deltas, "xyxy", "xyxy", "center_xywh", variance=variance
    )


def clip(boxes, sizes):
    """Boxes cut at the edges of their own images.

    Args:
        boxes: (batch, N, 4).
        sizes: (batch, 2) height and width; Keras' `clip_to_image_size` takes one
            size for a whole batch.
    """
    height, width = ops.split(ops.cast(sizes, boxes.dtype), 2, axis=1)
    limits = ops.concatenate([width, height, width, height], axis=1)[:, None, :]
    return ops.clip(boxes, 0.0, limits)


def large_enough(boxes, least):
    """(…) bool: whether both sides have at least `least` pixels."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return ops.all(sides >= least, axis=-1)


def covered(overlap, boxes, regions, present, share):
    """Whether any region covers more than a share of a box's area.

    Args:
        overlap: (batch, M, N) IoU of regions with boxes.
        boxes: (N, 4) or (batch, N, 4).
        regions: (batch, M, 4), of which `present` (batch, M) bool are there.
        share: float in [0, 1].

    Returns:
        (batch, N) bool.
    """
    areas = area(regions)[:, :, None] + area(boxes)[..., None, :]
    common = overlap * areas / (1.0 + overlap)
    enough = common > share * area(boxes)[..., None, :]
    return ops.any(ops.logical_and(enough, present[:, :, None]), axis=1)


def area(boxes):
    """(…): width × height."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return sides[..., 0] * sides[..., 1]
