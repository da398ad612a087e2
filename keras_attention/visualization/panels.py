"""One picture of all that explains an image."""

from __future__ import annotations

import numpy as np

from keras_attention.extras import require
from keras_attention.visualization.explaining import Explanation, Heat
from keras_attention.visualization.histograms import draw_histograms
from keras_attention.visualization.overlays import draw_overlay, limits_of
from keras_attention.visualization.style import as_text

__all__ = ["draw_explanation"]

COLUMNS = 6
PANEL = 2.0  # inches
BELOW = 2.6  # of the histograms
FONT = 8


def draw_explanation(explanation: Explanation, image: np.ndarray, title: str):
    """The image, each of its maps over it, and histograms of gates without a place.

    Args:
        explanation: of the image.
        image: uint8 `[H, W, 3]` or `[H, W, 1]`: what the network saw, in any size.
        title: of the picture, such as the answer.

    Returns:
        A matplotlib figure.

    Raises:
        ImportError: matplotlib is not installed.
    """
    module = require("matplotlib.figure", extra="viz", purpose="Drawing maps")
    count = 1 + len(explanation.heats)
    columns = min(COLUMNS, max(3, count))
    rows = -(-count // columns)
    heights = [1.25 * PANEL] * rows + [BELOW] * bool(explanation.gates)
    figure = module.Figure(
        figsize=(PANEL * columns, sum(heights) + 0.5), layout="constrained"
    )
    figure.suptitle(as_text(title), fontsize=FONT + 2)
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    places = [figure.add_subplot(grid[i // columns, i % columns]) for i in range(count)]
    places[0].imshow(np.repeat(image, 3, -1) if image.shape[-1] == 1 else image)
    places[0].set_title("what the\nnetwork sees", fontsize=FONT)
    places[0].set_axis_off()
    for axes, heat in zip(places[1:], explanation.heats, strict=True):
        _draw_heat(axes, image, heat)
    if explanation.gates:
        draw_histograms(figure.add_subplot(grid[rows, :]), explanation.gates)
    return figure


def _draw_heat(axes, image, heat: Heat) -> None:
    low, high = limits_of(heat.values, heat.signed)
    draw_overlay(axes, image, heat.values, signed=heat.signed)
    axes.set_title(_in_lines(heat.title), fontsize=FONT)
    axes.text(
        *(0.5, -0.04, f"{low:.3g} to {high:.3g}\n{heat.unit}"),
        transform=axes.transAxes,
        ha="center",
        va="top",
        fontsize=FONT - 1,
    )


def _in_lines(title: str) -> str:
    """`"stage1_block1_attention, spatial"` as narrow as a panel."""
    what, _, layer = title.partition(", ")
    return f"{what.removesuffix('_attention')}\n{layer}"
