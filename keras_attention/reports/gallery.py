"""Images, and what each network looks at in them, side by side."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from keras_attention.data import ImageData
from keras_attention.extras import require
from keras_attention.reports.page import Gallery, Item, Panel, Picture
from keras_attention.training import load_trained
from keras_attention.training.prediction import probabilities
from keras_attention.visualization.explaining import KINDS, Explanation, explain
from keras_attention.visualization.overlays import overlay
from keras_attention.visualization.sublayers import sublayers

__all__ = ["Explained", "Shown", "explain_networks", "gallery", "pick"]

SHOWN = 128  # pixels of an image's longer side, at least, where it has as many
ATTENTION_MAPS = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """Images of a split.

    Args:
        inputs: as a network takes them.
        images: uint8, the same.
        labels: of each.
        class_names: name of each label.
    """

    inputs: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]


def pick(data: ImageData, count: int, split: str = "test") -> Shown:
    """The first image of every class, then the second, …, in storage order.

    Raises:
        ValueError: no such split, or it has no images.
    """
    inputs, labels = _first(data, split, -(-count // data.preprocessing.classes))
    order = _by_turns(labels)[:count]
    preprocessing = data.preprocessing
    mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
    pixels = np.clip(np.round((inputs[order] * std + mean) * 255), 0, 255)
    return Shown(
        inputs[order], pixels.astype("uint8"), labels[order], preprocessing.class_names
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Explained:
    """A network's answers to the shown images, and what explains them."""

    scores: np.ndarray
    explanations: list[Explanation]


def explain_networks(
    networks: Mapping[str, Path], shown: Shown, verbose: int
) -> dict[str, Explained]:
    """Each network's answers, Grad-CAM, occlusion, and attention if it has any.

    Args:
        networks: {name: a run's folder}.
        shown: the images.
        verbose: whether to tell which network is explained.
    """
    found = {}
    for name, folder in networks.items():
        if verbose:
            print(f"{name}: explaining {len(shown.labels)} images")
        found[name] = _explained(load_trained(folder)[0], shown, verbose)
    return found


def gallery(found: Mapping[str, Explained], shown: Shown, note: str) -> Gallery:
    """The images; each opens to every network's maps."""
    items = tuple(
        Item(
            png(shown.images[i]),
            shown.class_names[label],
            tuple(_panel(name, each, shown, i) for name, each in found.items()),
        )
        for i, label in enumerate(shown.labels)
    )
    return Gallery("Images", items, note)


def png(pixels: np.ndarray) -> bytes:
    """An uint8 image `[H, W, 1 or 3]` as a PNG file."""
    image = require("PIL.Image", extra="viz", purpose="A report")
    buffer = io.BytesIO()
    image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(
        buffer, "PNG", optimize=True
    )
    return buffer.getvalue()


def _explained(model: keras.Model, shown: Shown, verbose: int) -> Explained:
    scores = probabilities(model, shown.inputs)
    plain = not any(hasattr(layer, "attention_maps") for layer in sublayers(model))
    kinds = KINDS[1:] if plain else KINDS
    return Explained(scores, explain(model, shown.inputs, kinds=kinds, verbose=verbose))


def _panel(name: str, explained: Explained, shown: Shown, i: int) -> Panel:
    scores, found = explained.scores[i], explained.explanations[i]
    best = int(scores.argmax())
    right = "right" if best == shown.labels[i] else "wrong"
    heading = f"{shown.class_names[best]} {100 * scores[best]:.0f} %, {right}"
    return Panel(
        name,
        heading,
        tuple(
            Picture(_over(shown.images[i], heat), heat.title)
            for heat in _chosen(found.heats)
        ),
    )


def _over(image: np.ndarray, heat) -> bytes:
    times = max(1, math.ceil(SHOWN / max(image.shape[:2])))
    larger = image.repeat(times, 0).repeat(times, 1)
    return png(overlay(larger, heat.values, signed=heat.signed))


def _chosen(heats) -> list:
    """Grad-CAM, occlusion, and attention maps from all depths, a few."""
    others = [heat for heat in heats if heat.kind != "attention"]
    maps = [heat for heat in heats if heat.kind == "attention"]
    places = np.linspace(0, len(maps) - 1, min(ATTENTION_MAPS, len(maps)))
    return others + [maps[round(place)] for place in places]


def _first(data: ImageData, split: str, each: int):
    """Inputs and labels of the first `each` images of every class."""
    inputs, labels = [], []
    left = dict.fromkeys(range(data.preprocessing.classes), each)
    for batch, numbers in data.evaluation(split, batch_size=256):
        for image, label in zip(batch.numpy(), numbers.numpy(), strict=True):
            if left[int(label)]:
                left[int(label)] -= 1
                inputs.append(image)
                labels.append(int(label))
        if not any(left.values()):
            break
    return np.stack(inputs), np.array(labels)


def _by_turns(labels: np.ndarray) -> list[int]:
    rounds = [int((labels[:i] == label).sum()) for i, label in enumerate(labels)]
    return sorted(range(len(labels)), key=lambda i: (rounds[i], labels[i]))
