"""Sections about what networks look at: a gallery, and how open their gates are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_attention.reports.gallery import Explained, explain_networks, gallery, pick
from keras_attention.reports.page import Figures, Section
from keras_attention.reports.pictures import picture
from keras_attention.training.runs import load_run_data
from keras_attention.visualization.histograms import draw_histograms

__all__ = ["looks"]

NOTE = (
    "Images of the {split} split, one of every class in turn, in storage order: they "
    "were not chosen by what came out. Click on one for what each network (of its "
    "first run) answers and looks at: Grad-CAM of its answer at its last layer, "
    "bright where it speaks for the answer; occlusion, orange where covering lowers "
    "the answer's probability and violet where it raises it; attention maps, bright "
    "where the gate is open, of self-attention where more is attended to. Each map "
    "has its own scale."
)


def looks(
    networks: Mapping[str, Path], images: int, *, data_dir: str | None, verbose: int
) -> list[Section]:
    """The sections.

    Args:
        networks: {name: a run's folder}, of one data set.
        images: in the gallery.
        data_dir: where the data is now, if it moved.
        verbose: whether to tell what is done.

    Raises:
        FileNotFoundError, ValueError: the data is not there or changed, or as
            `explain_networks` does.
    """
    folder = next(iter(networks.values()))
    data = load_run_data(folder, data_dir=data_dir)
    split = "test" if data.test is not None else "validation"
    shown = pick(data, images, split)
    found = explain_networks(networks, shown, verbose)
    return [*_gates(found), gallery(found, shown, NOTE.format(split=split))]


def _gates(found: Mapping[str, Explained]) -> list[Section]:
    gates = {name: _together(each) for name, each in found.items()}
    figures = tuple(
        picture(
            f"{name}, gates",
            lambda axes, values=values: draw_histograms(axes, values),
            "Over the gallery's images. A line within one bin is a gate that does "
            "nothing but scale.",
        )
        for name, values in gates.items()
        if values
    )
    return (
        [Figures("How open channel gates and AW maps are", figures)] if figures else []
    )


def _together(explained: Explained) -> dict[str, np.ndarray]:
    """The gates of each layer over all images."""
    every = [each.gates for each in explained.explanations]
    return {name: np.stack([gates[name] for gates in every]) for name in every[0]}
