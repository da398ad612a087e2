"""Pictures of a search: p over its epochs, and where it ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_attention.extras import require
from keras_attention.training.files import naming
from keras_attention.training.run_folder import read_run
from keras_attention.tuning.genotype import Genotype
from keras_attention.tuning.search_log import read_rows
from keras_attention.tuning.search_run import ALPHA_FILE, GENOTYPE, KIND
from keras_attention.visualization.curves import draw_probabilities
from keras_attention.visualization.style import MATRIX

__all__ = ["Trajectory", "curves", "draw", "heat_map", "read_trajectories"]

FORMATS = ("svg", "png")
COLUMNS = 4
# Where the colours of the map become light enough for black text.
BRIGHT = 0.465


@dataclass(frozen=True, eq=False)
class Trajectory:
    """p of one site of a supernet over the epochs of its search.

    Args:
        site: `"block"` or `"conv"`.
        symbols: of the operations.
        labels: one for each mixed layer.
        p: `[epochs + 1, layers, operations]`; the first is the start, p = 1/K.
    """

    site: str
    symbols: tuple[str, ...]
    labels: tuple[str, ...]
    p: np.ndarray


def draw(folder: str | Path) -> list[Path]:
    """Draw a search: `probabilities….svg` and `heat_map….svg`, and as `.png`.

    Returns:
        The files.

    Raises:
        ImportError: matplotlib is not installed.
        FileNotFoundError: there is no search, or it has not finished an epoch.
    """
    folder = Path(folder)
    files = []
    genotype, title = Genotype.load(folder / GENOTYPE), _title(folder)
    for trajectory in read_trajectories(folder):
        suffix = "" if trajectory.site == "block" else f"_{trajectory.site}"
        chosen = dict(zip(genotype.blocks, genotype.operations, strict=True))
        pictures = {
            "probabilities": curves(trajectory),
            "heat_map": heat_map(trajectory, chosen),
        }
        for name, figure in pictures.items():
            figure.suptitle(title, fontsize=9)
            for form in FORMATS:
                files.append(folder / f"{name}{suffix}.{form}")
                figure.savefig(files[-1], dpi=120)
    return files


def read_trajectories(folder: Path) -> list[Trajectory]:
    """What a search's `alpha.csv` says, for each site."""
    operations = read_run(folder, KIND, ("operations",))["operations"]
    path = folder / ALPHA_FILE
    rows = read_rows(path)
    with naming(path):
        return [
            _trajectory(site, symbols, [row for row in rows if row["site"] == site])
            for site, symbols in operations.items()
            if symbols
        ]


def curves(trajectory: Trajectory):
    """A panel for each mixed layer: p of every operation over the epochs."""
    layers = len(trajectory.labels)
    columns = min(COLUMNS, layers)
    rows = -(-layers // columns)
    figure = _figure(figsize=(2.6 * columns + 1.4, 2.1 * rows + 0.6))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for panel in panels.flat[layers:]:
        panel.set_visible(False)
    for i, (panel, label) in enumerate(
        zip(panels.flat, trajectory.labels, strict=False)
    ):
        draw_probabilities(panel, trajectory.p[:, i], trajectory.symbols)
        panel.set_title(label, fontsize=9)
        panel.set(xlabel="", ylabel="")  # the figure has them, and the legend
        panel.get_legend().remove()
    # The panels above hidden ones, too.
    for panel in panels.flat[max(0, layers - columns) : layers]:
        panel.tick_params(labelbottom=True)
        panel.xaxis.get_major_locator().set_params(integer=True)
    figure.supxlabel("epochs")
    figure.supylabel("p = softmax(α)")
    lines, symbols = panels.flat[0].get_legend_handles_labels()
    figure.legend(lines, symbols, loc="outside right upper", frameon=False)
    return figure


def heat_map(trajectory: Trajectory, chosen: dict[str, str]):
    """A figure of `draw_heat_map`.

    Args:
        trajectory: of one site.
        chosen: {label: the operation chosen there}, shown beside the label.
    """
    rows, columns = trajectory.p.shape[1:]
    figure = _figure(figsize=(1.1 * columns + 3.2, 0.42 * rows + 1.4))
    draw_heat_map(figure.subplots(), trajectory, chosen)
    return figure


def draw_heat_map(
    axes, trajectory: Trajectory, chosen: dict[str, str] | None = None
) -> np.ndarray:
    """Mixed layers × operations at the end, p written in each field.

    Args:
        axes: of matplotlib.
        trajectory, chosen: as for `heat_map`.

    Returns:
        p, `[layers, operations]`.
    """
    p, chosen = trajectory.p[-1], chosen or {}
    image = axes.imshow(p, vmin=0, vmax=1, cmap=MATRIX, aspect="auto")
    axes.set_xticks(range(p.shape[1]), trajectory.symbols)
    labels = [
        f"{label} → {chosen[label]}" if label in chosen else label
        for label in trajectory.labels
    ]
    axes.set_yticks(range(p.shape[0]), labels)
    for i, k in np.ndindex(p.shape):
        colour = "black" if p[i, k] > BRIGHT else "white"
        axes.text(k, i, f"{p[i, k]:.2f}", color=colour, ha="center", va="center")
    axes.figure.colorbar(image, ax=axes, label="p = softmax(α)")
    return p


def _title(folder: Path) -> str:
    asked = read_run(folder, KIND)["search"]
    said = [f"{asked['model']} on {asked['data']}", asked["space"]]
    said += [f"{name} {asked[name]}" for name in ("penalty", "order", "seed")]
    return ", ".join(said + ([asked["control"]] if asked["control"] else []))


def _figure(**options):
    module = require(
        "matplotlib.figure", extra="viz", purpose="Drawing the search's pictures"
    )
    return module.Figure(layout="constrained", **options)


def _trajectory(site: str, symbols: list, rows: list[dict]) -> Trajectory:
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    blocks = {row["layer"]: row["block"] for row in rows}
    # A layer is called by its block where it is the only one there.
    names = list(blocks.values())
    labels = [blocks[x] if names.count(blocks[x]) == 1 else x for x in layers]
    p = [[float(row[f"p_{i}"]) for i in range(len(symbols))] for row in rows]
    by_epoch = np.array(p).reshape(-1, len(layers), len(symbols))
    start = np.full((1, *by_epoch.shape[1:]), 1 / len(symbols))
    return Trajectory(
        site, tuple(symbols), tuple(labels), np.concatenate([start, by_epoch])
    )
