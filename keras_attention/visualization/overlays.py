"""Heat maps over the images that they are about."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_attention.extras import require
from keras_attention.visualization.style import HEAT, SIGNED

__all__ = ["draw_overlay", "overlay"]


def overlay(
    image: np.ndarray,
    heat: np.ndarray,
    *,
    opacity: float = 0.55,
    limits: tuple[float, float] | None = None,
    signed: bool = False,
) -> np.ndarray:
    """A heat map, scaled to an image, laid over it in colours.

    Args:
        image: uint8 `[H, W, 3]` or `[H, W, 1]`. It is shown in grey under the colours.
        heat: `[h, w]`, of any size; it is scaled bilinearly.
        opacity: of the colours, 0 to 1.
        limits: values of the first and last colour; by default as `limits_of`.
        signed: whether zero is the middle: orange above, violet below.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        ValueError: shapes or types that do not fit.
        ImportError: matplotlib is not installed.
    """
    image = _check_image(image)
    levels = _levels(upsample(heat, image.shape[:2]), heat, limits, signed)
    maps = require("matplotlib", extra="viz", purpose="A heat map").colormaps
    colours = maps[SIGNED if signed else HEAT](levels)[..., :3] * 255
    grey = image.astype("float32").mean(-1, keepdims=True)
    mixed = (1 - opacity) * grey + opacity * colours
    return np.clip(np.round(mixed), 0, 255).astype("uint8")


def draw_overlay(axes, image: np.ndarray, heat: np.ndarray, title="", **options):
    """Draw `overlay(image, heat, **options)`.

    Args:
        axes: of matplotlib.
        image, heat, **options: see `overlay`.
        title: of the axes.

    Returns:
        The heat map at the image's size, float32 `[H, W]`.
    """
    axes.imshow(overlay(image, heat, **options))
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()
    return upsample(heat, np.shape(image)[:2])


def limits_of(heat: np.ndarray, signed: bool) -> tuple[float, float]:
    """Least and largest value, or ± the largest magnitude where zero is the middle."""
    most = float(np.abs(heat).max())
    return (-most, most) if signed else (float(np.min(heat)), float(np.max(heat)))


def upsample(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map `[h, w]` scaled bilinearly to `[*size]`."""
    heat = np.asarray(heat, "float32")
    if heat.ndim != 2 or not np.isfinite(heat).all():
        raise ValueError(
            "A heat map is [height, width] of finite numbers. Received an array of "
            f"shape {heat.shape}."
        )
    return tf.image.resize(heat[..., None], size).numpy()[..., 0]


def _check_image(image) -> np.ndarray:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise ValueError(
            "An image to draw on is uint8, [height, width, 1 or 3]. Received: "
            f"{image.dtype} of shape {image.shape}."
        )
    return image


def _levels(scaled, heat, limits, signed) -> np.ndarray:
    """From 0, the first colour, to 1."""
    low, high = limits or limits_of(heat, signed)
    if high <= low:  # a map without any difference is all middle, or all low
        return np.full(scaled.shape, 0.5 if signed else 0.0)
    return np.clip((scaled - low) / (high - low), 0, 1)
