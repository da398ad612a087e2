"""The page of a search."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_attention.reports.facts import about_data, about_sessions
from keras_attention.reports.page import Column, Facts, Figure, Figures, Page, Table
from keras_attention.reports.pictures import picture
from keras_attention.training import history
from keras_attention.training.run_folder import read_run
from keras_attention.tuning.genotype import Genotype
from keras_attention.tuning.pictures import (
    Trajectory,
    draw_heat_map,
    read_trajectories,
)
from keras_attention.tuning.search_run import GENOTYPE, KIND
from keras_attention.visualization.curves import draw_curves, draw_probabilities

__all__ = ["search_page"]

FIELDS = ("search", "operations", "data", "preprocessing", "sessions")
SITES = {"block": "attention", "conv": "convolutions"}
SIZE = (4.2, 2.6)


def search_page(folder: Path) -> Page:
    """What was chosen, p over the epochs for every mixed layer, and the losses.

    Raises:
        FileNotFoundError: no search, or it has not finished an epoch.
        ValueError: a file is damaged; the message names it.
    """
    record = read_run(folder, KIND, FIELDS)
    genotype = Genotype.load(folder / GENOTYPE)
    trajectories = read_trajectories(folder)
    rows = history.read_some(folder / history.FILE)
    asked = record["search"]
    sections = [_chosen(genotype, trajectories)]
    sections += [_map(each) for each in trajectories]
    sections += [_probabilities(each) for each in trajectories]
    sections += [_losses(rows), _settings(asked), about_data(record)]
    lead = (
        f"A search over {asked['space']} in {asked['model']} on {asked['data']}, "
        f"{len(rows)} of {asked['epochs']} epochs"
        + (f", as the control {asked['control']}." if asked["control"] else "."),
        "A p that never leaves 1/K has not decided anything; what was chosen there is "
        "an accident. Compare it with controls over seeds before it is believed: "
        "keras-attention compare.",
    )
    title = f"Search in {asked['model']}"
    return Page(title, lead, (*sections, about_sessions(record)))


def _chosen(genotype: Genotype, trajectories: list[Trajectory]) -> Table:
    ends = {
        label: np.sort(trajectory.p[-1, i])
        for trajectory in trajectories
        if trajectory.site == "block"
        for i, label in enumerate(trajectory.labels)
    }
    rows = tuple(
        (block, operation, *_largest(ends.get(block)))
        for block, operation in zip(genotype.blocks, genotype.operations, strict=True)
    )
    columns = (
        Column("block", numeric=False),
        Column("chosen", numeric=False),
        Column("largest p"),
        Column("margin to the second"),
    )
    return Table("What it chose", columns, rows)


def _largest(p) -> tuple:
    return (None, None) if p is None else (float(p[-1]), float(p[-1] - p[-2]))


def _map(trajectory: Trajectory) -> Figure:
    said = SITES[trajectory.site]
    rows, columns = trajectory.p.shape[1:]
    return picture(
        f"p of the {said} at the end",
        lambda axes: draw_heat_map(axes, trajectory),
        size=(1.1 * columns + 2.6, 0.42 * rows + 1.2),
    )


def _probabilities(trajectory: Trajectory) -> Figures:
    said = SITES[trajectory.site]
    figures = [
        _probability(f"{label}, {said}", trajectory, i)
        for i, label in enumerate(trajectory.labels)
    ]
    return Figures(f"p of the {said} over the epochs", tuple(figures))


def _probability(title: str, trajectory: Trajectory, i: int) -> Figure:
    p = trajectory.p[:, i]
    return picture(
        title, lambda axes: draw_probabilities(axes, p, trajectory.symbols), size=SIZE
    )


def losses_of(rows: list[dict]) -> dict[str, list]:
    """What `draw_curves` draws of a search's history; a warm-up's α has a gap."""
    both = {"weights": "loss", "α": "alpha_loss"}
    known = {name: key for name, key in both.items() if any(key in row for row in rows)}
    return {
        name: [[{"loss": row.get(key, np.nan)} for row in rows]]
        for name, key in known.items()
    }


def _losses(rows: list[dict]) -> Figures:
    runs = losses_of(rows)
    if not runs:  # the penalty alone: no image was seen
        return Figures("Losses", ())
    figure = picture("Loss", lambda axes: draw_curves(axes, runs, "loss"), size=SIZE)
    return Figures("Losses", (figure,))


def _settings(asked: dict) -> Facts:
    return Facts("Settings", {k: str(v) for k, v in asked.items() if v is not None})
