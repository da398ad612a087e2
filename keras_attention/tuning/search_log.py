"""What a search writes down after each epoch."""

from __future__ import annotations

import csv
from pathlib import Path

import keras
import numpy as np

from keras_attention.tuning.mixed import block_of, mixed_layers, softmax

HISTORY = (
    "epoch",
    "loss",
    "accuracy",
    "alpha_loss",
    "alpha_accuracy",
    "penalty",
    "learning_rate",
    "seconds",
)


def history_row(epoch: int, means: dict, learning_rate: float, seconds: float) -> dict:
    """A row of `history.csv`; empty where an epoch has no such number."""
    row = dict.fromkeys(HISTORY, "")
    own = {"epoch": epoch, "learning_rate": learning_rate, "seconds": round(seconds, 3)}
    return row | means | own


def architecture_rows(epoch: int, model: keras.Model) -> list[dict]:
    """Rows of `alpha.csv`: α, p = softmax(α), its entropy and its margin.

    One for each mixed layer, the block site's first. The entropy is −Σ p·ln p, from
    0 to ln K; the margin is the largest p less the second.
    """
    layers = sorted(mixed_layers(model), key=lambda layer: layer.site != "block")
    most = max(layer.alpha.shape[0] for layer in layers)
    return [_architecture_row(epoch, layer, most) for layer in layers]


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, as text."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _architecture_row(epoch: int, layer, most: int) -> dict:
    alpha = keras.ops.convert_to_numpy(layer.alpha).astype("float64")
    p = softmax(alpha)
    second, first = np.sort(p)[-2:]
    row = {
        "epoch": epoch,
        "site": layer.site,
        "block": block_of(layer),
        "layer": layer.name,
        "entropy": float(-(p * np.log(np.maximum(p, 1e-300))).sum()),
        "margin": float(first - second),
    }
    for name, values in (("alpha", alpha), ("p", p)):
        padded = values.tolist() + [""] * (most - len(values))
        row |= {f"{name}_{i}": value for i, value in enumerate(padded)}
    return row
