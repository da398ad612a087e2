"""Weights and images for the detectors as functions of a name or a seed, NumPy only.

A random network is the reference of torchvision's detectors: nothing of it has to be
stored, since both sides make each parameter from its PyTorch name and shape.
"""

import math
import zlib

import numpy as np

# standard deviation × √fan_in of a kernel whose name begins so; √2 for the others
GAINS = {
    "backbone.features.0.": 0.02,  # pixels of ±120 come in
    "backbone.fpn.": 0.5,
    "rpn.head.cls_logits.": 2.0,
    "rpn.head.bbox_pred.": 0.4,
    "roi_heads.box_predictor.cls_score.": 2.0,
    "roi_heads.box_predictor.bbox_pred.": 1.0,
    "head.classification_head.": 1.5,
    "head.regression_head.": 1.0,
}
# classes, and what is added to the background's bias: few boxes pass a threshold
BACKGROUNDS = {
    "roi_heads.box_predictor.cls_score.": (91, 14.3),
    "head.classification_head.": (21, 11.0),
}


def weight(name, shape):
    """The parameter or buffer of that PyTorch name, float32, in PyTorch's layout."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    owner, _, kind = name.rpartition(".")
    if kind == "running_var":
        return rng.uniform(0.5, 1.5, shape).astype("float32")
    if kind == "scale_weight":  # of SSD's L2 normalisation
        return rng.uniform(15, 25, shape).astype("float32")
    if kind == "weight" and len(shape) == 1:  # of a batch norm
        low, high = (0.1, 0.3) if owner.endswith("bn3") else (0.5, 1.5)
        return rng.uniform(low, high, shape).astype("float32")
    normal = rng.standard_normal(shape, dtype="float32")
    if kind in ("bias", "running_mean"):
        values = normal * np.float32(0.1)
        classes, offset = _of_prefix(BACKGROUNDS, name, (1, 0.0))
        values[::classes] += np.float32(offset)
        return values
    gain = _of_prefix(GAINS, name, math.sqrt(2))
    return normal * np.float32(gain / math.sqrt(math.prod(shape[1:])))


def _of_prefix(table, name, default):
    return next((v for p, v in table.items() if name.startswith(p)), default)


def image(seed, height, width):
    """Waves and twelve rectangles: whole numbers in 0..255, float32, (h, w, 3)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    y, x = np.mgrid[:height, :width][..., None]
    pixels = np.full((height, width, 3), 128.0)
    for _ in range(8):
        fy, fx = rng.uniform(-0.3, 0.3, (2, 3))
        phase, amplitude = rng.uniform(0, 2 * np.pi, 3), rng.uniform(5, 25, 3)
        pixels += amplitude * np.sin(fy * y + fx * x + phase)
    for _ in range(12):
        top, left = rng.uniform(0, 0.8) * height, rng.uniform(0, 0.8) * width
        bottom = top + rng.uniform(0.1, 0.5) * height
        right = left + rng.uniform(0.1, 0.5) * width
        inside = (y >= top) & (y < bottom) & (x >= left) & (x < right)
        pixels += inside * rng.uniform(-80, 80, 3)
    return np.rint(pixels.clip(0, 255)).astype("float32")
