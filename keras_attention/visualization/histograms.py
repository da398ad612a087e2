"""How open gates are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from keras_attention.extras import require

__all__ = ["draw_histograms"]

BINS = 40
NAMED = 10
DEPTH = "viridis"  # from blue to green: seen on light and on dark ground


def draw_histograms(
    axes, gates: Mapping[str, np.ndarray], bins: int = BINS
) -> dict[str, np.ndarray]:
    """Histograms of gate values, one line for each layer.

    A channel attention whose values all lie in one bin does nothing but scale.

    Args:
        axes: of matplotlib.
        gates: {layer: values of any shape}, such as `AttentionMap.values`, in the
            network's order.
        bins: of equal width, from 0 to 1, or as far as the values go beyond.

    Returns:
        {layer: percent of its values in each bin}.

    Raises:
        ValueError: no gates, a layer without values, or one that is not finite.
    """
    if not gates:
        raise ValueError("There are no gates to draw")
    flat = {name: _flat(name, values) for name, values in gates.items()}
    every = np.concatenate(list(flat.values()))
    edges = np.linspace(min(0, every.min()), max(1, every.max()), bins + 1)
    found = {
        name: 100 * np.histogram(values, edges)[0] / len(values)
        for name, values in flat.items()
    }
    colours = _colours(len(found))
    for colour, (name, percent) in zip(colours, found.items(), strict=True):
        axes.stairs(percent, edges, label=name, color=colour, lw=1.5)
    axes.set_title("gates")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel("gate")
    axes.set_ylabel(f"% of the values, in bins of {edges[1] - edges[0]:.3g}")
    axes.spines[["top", "right"]].set_visible(False)
    _name_layers(axes, list(found))
    return found


def _name_layers(axes, names: list[str]) -> None:
    """All of a few layers; the first and the last of many, which the colours order."""
    lines, _ = axes.get_legend_handles_labels()
    if len(names) > NAMED:
        lines = [lines[0], lines[-1]]
        names = [f"first: {names[0]}", f"last of {len(names)}: {names[-1]}"]
    axes.legend(lines, names, frameon=False, fontsize=7)


def _flat(name: str, values) -> np.ndarray:
    values = np.asarray(values, "float64").ravel()
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(
            f"Finite gates are needed. Received {len(values)} of {name!r}, "
            f"{np.isfinite(values).sum()} of them finite."
        )
    return values


def _colours(count: int) -> np.ndarray:
    maps = require("matplotlib", extra="viz", purpose="A histogram").colormaps
    return maps[DEPTH](np.linspace(0.25, 0.8, count))
