"""Greedy suppression and ROIAlign as loops in NumPy, float64."""

import itertools
import math

import numpy as np


def iou(a, b):
    """Of one box with one box."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    common = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / union if union > 0 else 0.0


def greedy_keep(boxes, scores, threshold):
    """(N,) bool by the definition: highest first, out with what overlaps it."""
    keep = np.zeros(len(boxes), bool)
    left = [i for i in np.argsort(-scores, kind="stable") if scores[i] > -np.inf]
    while left:
        best, *rest = left
        keep[best] = True
        left = [i for i in rest if iou(boxes[best], boxes[i]) <= threshold]
    return keep


def detections(boxes, scores, threshold, count):
    """The first `count` (score, class, index) of greedy suppression by class."""
    kept = []
    for c, (class_boxes, class_scores) in enumerate(zip(boxes, scores, strict=True)):
        for i in np.flatnonzero(greedy_keep(class_boxes, class_scores, threshold)):
            kept.append((class_scores[i], c, i))
    return sorted(kept, reverse=True)[:count]


def roi_align(features, box, stride, size, ratio, cotangent=None):
    """One box from one (H, W, C) map: (size, size, C), or the gradient by the map."""
    height, width, channels = features.shape
    x1, y1, x2, y2 = (c / stride for c in box)
    step_y, step_x = max(y2 - y1, 1.0) / size, max(x2 - x1, 1.0) / size
    output = np.zeros((size, size, channels))
    gradient = np.zeros_like(features)
    for i, j, m, n in itertools.product(*map(range, (size, size, ratio, ratio))):
        y = y1 + (i + (m + 0.5) / ratio) * step_y
        x = x1 + (j + (n + 0.5) / ratio) * step_x
        if y < -1 or y > height or x < -1 or x > width:
            continue
        for (row, wy), (column, wx) in itertools.product(
            _neighbours(y, height), _neighbours(x, width)
        ):
            weight = wy * wx / ratio**2
            output[i, j] += weight * features[row, column]
            if cotangent is not None:
                gradient[row, column] += weight * cotangent[i, j]
    return output if cotangent is None else gradient


def _neighbours(at, limit):
    at = min(max(at, 0.0), limit - 1.0)
    low = math.floor(at)
    return (low, 1 - (at - low)), (min(low + 1, limit - 1), at - low)


def level_of(box):
    """The pyramid level of a box, 2 to 5."""
    side = math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
    return min(max(math.floor(4 + math.log2(side / 224) + 1e-6), 2), 5)
