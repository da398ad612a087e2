"""Lines over epochs: several runs with their spread, and p of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from keras_attention.choices import unknown
from keras_attention.intervals import mean_and_interval
from keras_attention.visualization.style import as_text, line_style

__all__ = ["draw_curves", "draw_probabilities"]

UNITS = {"seconds": "s", "loss": "nats"}


def draw_curves(
    axes, runs: Mapping[str, Sequence[Sequence[Mapping]]], metric: str
) -> dict[str, np.ndarray]:
    """The mean of a metric over the seeds, with bands of its 95% interval.

    Args:
        axes: of matplotlib.
        runs: {name: the histories of its seeds}, each a list of a dict per epoch, as
            `keras_attention.training.fit` gives them.
        metric: `"loss"`, `"val_top1_error"`, … An error has the unit percent.

    Returns:
        {name: `[epochs, 4]`: epoch from 1, mean, lower and upper end of the interval}.
        The ends are NaN where one run is all there is. Epochs that not all seeds have
        come to are left out.

    Raises:
        ValueError: no runs, or a metric that a history does not have.
    """
    found = {name: _series(name, seeds, metric) for name, seeds in runs.items()}
    if not found:
        raise ValueError("There are no runs to draw")
    for k, (name, rows) in enumerate(found.items()):
        style = line_style(k)
        count = len(runs[name])
        label = as_text(name) if count == 1 else f"{as_text(name)} (n = {count})"
        marker = "o" if len(rows) == 1 else None  # a line of one point is none
        axes.plot(rows[:, 0], rows[:, 1], label=label, marker=marker, **style)
        axes.fill_between(
            rows[:, 0], rows[:, 2], rows[:, 3], color=style["color"], alpha=0.15, lw=0
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel(_axis_label(metric))
    axes.set_title(f"{metric.replace('_', ' ')}: mean and 95% interval over the seeds")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return found


def draw_probabilities(axes, p: np.ndarray, symbols: Sequence[str]) -> np.ndarray:
    """p of every operation of a mixed layer over the epochs of a search.

    Args:
        axes: of matplotlib.
        p: `[epochs + 1, operations]`; the first row is the start.
        symbols: of the operations.

    Returns:
        p.

    Raises:
        ValueError: another number of operations than of symbols.
    """
    p = np.asarray(p)
    if p.ndim != 2 or p.shape[1] != len(symbols):
        raise ValueError(
            f"p is [epochs + 1, {len(symbols)} operations]. Received: shape {p.shape}."
        )
    for k, symbol in enumerate(symbols):
        axes.plot(np.arange(len(p)), p[:, k], label=symbol, **line_style(k))
    axes.set_title("p of every operation")
    axes.set_xlabel("epochs")
    axes.set_ylabel("p = softmax(α)")
    axes.legend(frameon=False, fontsize=7)
    axes.set_ylim(0, 1)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    return p


def _series(name: str, seeds, metric: str) -> np.ndarray:
    epochs = min((len(history) for history in seeds), default=0)
    if not epochs:
        raise ValueError(f"{name!r} has no epoch to draw")
    for history in seeds:
        if metric not in history[0]:
            raise unknown(f"metric of {name!r}", metric, history[0])
    rows = []
    for epoch in range(epochs):
        mean, half = mean_and_interval([history[epoch][metric] for history in seeds])
        half = np.nan if half is None else half
        rows.append((epoch + 1, mean, mean - half, mean + half))
    return np.array(rows, "float64")


def _axis_label(metric: str) -> str:
    unit = "%" if "error" in metric else UNITS.get(metric.removeprefix("val_"))
    return metric.replace("_", " ") + (f", {unit}" if unit else "")
