"""What a classifier takes for what: confusion matrix and accuracy by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from keras_attention.intervals import mean_and_interval
from keras_attention.training.evaluation import Evaluation
from keras_attention.visualization.style import MATRIX, as_text, line_style

__all__ = ["draw_class_accuracy", "draw_confusion"]

WRITTEN = 12  # classes up to which every field has its number
NAMED = 40  # and every class its name
BRIGHT = 46.5  # percent from which the colour asks for black text


def draw_confusion(axes, evaluations: Sequence[Evaluation]) -> np.ndarray:
    """Percent of each true class (row) that is taken for each class (column).

    Args:
        axes: of matplotlib.
        evaluations: of one network's seeds, which are summed; at least one.

    Returns:
        `[classes, classes]`, rows of 100; NaN where a class has no images.

    Raises:
        ValueError: none, or evaluations of other classes.
    """
    names = _class_names(evaluations)
    counts = sum(each.confusion for each in evaluations)
    with np.errstate(invalid="ignore"):
        percent = 100 * counts / counts.sum(axis=1, keepdims=True)
    image = axes.imshow(percent, vmin=0, vmax=100, cmap=MATRIX)
    axes.figure.colorbar(image, ax=axes, label="% of the true class")
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    axes.set_title("confusion matrix")
    _name_ticks(names, axes.set_xticks, rotation=45, ha="right")
    _name_ticks(names, axes.set_yticks)
    if len(names) <= WRITTEN:
        for i, k in np.ndindex(percent.shape):
            if np.isfinite(percent[i, k]):
                colour = "black" if percent[i, k] > BRIGHT else "white"
                axes.text(
                    k,
                    i,
                    f"{percent[i, k]:.0f}",
                    color=colour,
                    ha="center",
                    va="center",
                    fontsize=7,
                )
    return percent


def draw_class_accuracy(
    axes, evaluations: Mapping[str, Sequence[Evaluation]]
) -> dict[str, np.ndarray]:
    """Percent of right answers in each class, mean and 95% interval over the seeds.

    Args:
        axes: of matplotlib.
        evaluations: {name: those of its seeds}.

    Returns:
        {name: `[classes, 2]`: mean and half-width, NaN for one seed or no images}.

    Raises:
        ValueError: none, or evaluations of other classes.
    """
    names = _class_names([e for seeds in evaluations.values() for e in seeds])
    found = {}
    step = 0.8 / max(1, len(evaluations))
    for k, (name, seeds) in enumerate(evaluations.items()):
        rows = [_mean([e.class_accuracy[c] for e in seeds]) for c in names]
        found[name] = np.array(rows, "float64")
        places = np.arange(len(names)) + (k - (len(evaluations) - 1) / 2) * step
        axes.errorbar(
            places,
            found[name][:, 0],
            yerr=found[name][:, 1],
            fmt="o",
            markersize=3.5,
            capsize=2,
            lw=1,
            label=as_text(name),
            color=line_style(k)["color"],
        )
    _name_ticks(names, axes.set_xticks, rotation=45, ha="right")
    axes.set_xlabel("class")
    axes.set_ylabel("accuracy, %")
    axes.set_title("accuracy by class: mean and 95% interval over the seeds")
    axes.spines[["top", "right"]].set_visible(False)
    if len(found) > 1:
        axes.legend(frameon=False, fontsize=8)
    return found


def _class_names(evaluations: Sequence[Evaluation]) -> tuple[str, ...]:
    kinds = {each.class_names for each in evaluations}
    if len(kinds) != 1:
        raise ValueError(
            "Evaluations with the same classes are needed, at least one. Received "
            f"{len(evaluations)} with {len(kinds)} lists of classes."
        )
    return kinds.pop()


def _mean(values) -> tuple[float, float]:
    known = [value for value in values if value is not None]
    if not known:
        return np.nan, np.nan
    mean, half = mean_and_interval(known)
    return mean, np.nan if half is None else half


def _name_ticks(names, set_ticks, **options) -> None:
    if len(names) <= NAMED:
        texts = [as_text(name) for name in names]
        set_ticks(range(len(names)), texts, fontsize=8, **options)
