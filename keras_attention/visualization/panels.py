"""One picture of all that explains an image."""

from __future__ import annotations

import numpy as np

from keras_attention.extras import require
from keras_attention.visualization.explaining import Explanation, Heat
from keras_attention.visualization.histograms import draw_histograms
from keras_attention.visualization.overlays import draw_overlay
from keras_attention.visualization.style import HEAT, SIGNED

__all__ = ["draw_explanation"]

COLUMNS = 4
PANEL = 2.6  # inches


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
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    gates = bool(explanation.gates)
    figure = module.Figure(
        figsize=(PANEL * columns, PANEL * (rows + gates) + 0.4), layout="constrained"
    )
    figure.suptitle(title, fontsize=10)
    grid = figure.add_gridspec(rows + gates, columns)
    places = [figure.add_subplot(grid[i // columns, i % columns]) for i in range(count)]
    places[0].imshow(np.repeat(image, 3, -1) if image.shape[-1] == 1 else image)
    places[0].set_title("what the network sees", fontsize=9)
    places[0].set_axis_off()
    for axes, heat in zip(places[1:], explanation.heats, strict=True):
        _draw_heat(figure, axes, image, heat)
    if gates:
        draw_histograms(figure.add_subplot(grid[rows, :]), explanation.gates)
    return figure


def _draw_heat(figure, axes, image, heat: Heat) -> None:
    values = heat.values
    most = float(np.abs(values).max()) or 1.0
    limits = (-most, most) if heat.signed else (float(values.min()), most)
    draw_overlay(axes, image, values, heat.title, limits=limits, signed=heat.signed)
    scale = require("matplotlib.cm", extra="viz", purpose="Drawing maps")
    colors = require("matplotlib.colors", extra="viz", purpose="Drawing maps")
    mappable = scale.ScalarMappable(
        colors.Normalize(*limits), SIGNED if heat.signed else HEAT
    )
    bar = figure.colorbar(mappable, ax=axes, shrink=0.75, label=heat.unit)
    bar.ax.tick_params(labelsize=7)
