"""Write a network's weights in another library's layout."""

from __future__ import annotations

import os
from pathlib import Path

import keras
import numpy as np

from keras_attention.layers.identity_start import IdentityStart
from keras_attention.weights import safetensors_files
from keras_attention.weights.layouts import exporting

_SHOWN = 5


def save_weights(
    model: keras.Model, path: str | os.PathLike, layout: str = "timm"
) -> None:
    """Write a network's weights as a `.safetensors` file that PyTorch's networks load.

    `load_state_dict(…, strict=True)` of the same network takes the file. Where a batch
    norm's ε is not the other network's, its variance makes up for it. What was attached
    before the additions of a ResNet's blocks, and folded, is written as their own.

    Args:
        model: a network of `keras_attention.applications`.
        path: of a `.safetensors` file, which is replaced.
        layout: whose names and shapes: `"timm"` or `"torchvision"`.

    Raises:
        ValueError: another suffix or layout, or the layout has no place for a weight,
            such as that of an attention which timm does not have.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(
            f"PyTorch's layouts are written as '.safetensors'. Received: {path}. For a "
            "Keras file use `model.save`."
        )
    chosen = exporting(model, layout)
    entries, reasons = chosen.entries(model)
    reasons += filter(None, (check(model) for check in chosen.checks))
    homeless = dict.fromkeys(
        f"{entry.layer.name} ({type(entry.layer).__name__})"
        for entry in entries
        if entry.name is None
    )
    if any(entry.name is None and _has_scale(entry.layer) for entry in entries):
        reasons.append(
            "Attentions that start as the identity have a scale; "
            "`keras_attention.attaching.fold` makes plain ones of them"
        )
    if homeless or reasons:
        raise ValueError(_failure(model, chosen.title, list(homeless), reasons))
    tensors = {
        entry.name: np.ascontiguousarray(
            entry.conversion.to_theirs(keras.ops.convert_to_numpy(entry.variable))
        )
        for entry in entries
    }
    safetensors_files.write_safetensors(tensors, path, {"format": "pt"})


def _has_scale(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, IdentityStart) and layer.identity_start


def _failure(model: keras.Model, title: str, homeless: list[str], reasons) -> str:
    lines = [f"{model.name!r} cannot be written as {title}."]
    if homeless:
        shown = ", ".join(homeless[:_SHOWN])
        more = len(homeless) - _SHOWN
        lines.append(
            f"It has no place for {shown}{f' and {more} more' if more > 0 else ''}."
        )
    lines += [f"{reason}." for reason in reasons]
    return "\n  ".join([*lines, "Use `model.save`."])
