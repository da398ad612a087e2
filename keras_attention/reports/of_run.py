"""The page of one training run."""

from __future__ import annotations

from pathlib import Path

from keras_attention.reports.facts import about_data, about_recipe, about_sessions
from keras_attention.reports.looks import looks
from keras_attention.reports.page import Column, Figures, Page, Table
from keras_attention.reports.pictures import picture
from keras_attention.training import Evaluation, evaluate, history, load_trained
from keras_attention.training.run_folder import read_run
from keras_attention.training.runs import load_run_data
from keras_attention.visualization.classes import draw_class_accuracy, draw_confusion
from keras_attention.visualization.curves import draw_curves

__all__ = ["run_page"]

FIELDS = ("data", "preprocessing", "recipe", "sessions")
FIGURES = {"Loss": "loss", "Top-1 error": "top1_error"}


def run_page(folder: Path, *, images: int, data_dir: str | None, verbose: int) -> Page:
    """Errors on the test images, curves, confusion, gates, and a gallery.

    Args, Raises: as `keras_attention.reports.of_comparison.comparison_page`. The test
    images (validation images, where there are none) are evaluated here.
    """
    record = read_run(folder, fields=FIELDS)
    rows = history.read_some(folder / "history.csv")
    model, _ = load_trained(folder)
    data = load_run_data(folder, data_dir=data_dir)
    split = "test" if data.test is not None else "validation"
    if verbose:
        print(f"Evaluating on the {split} images")
    found = evaluate(model, data, split=split)
    sections = [_table(found, len(rows)), _curves(rows), _classes(found)]
    if images:
        sections += looks(
            {model.name: folder}, images, data_dir=data_dir, verbose=verbose
        )
    sections += [about_data(record), about_recipe(record), about_sessions(record)]
    lead = (
        f"{model.name}: {found.top1_error:.2f}% top-1 error on {found.images:,} "
        f"{split} images of {data.name}, after {len(rows)} of "
        f"{record['recipe']['epochs']} epochs. One run: how much another seed would "
        "change is not known.",
    )
    return Page(f"{model.name} on {data.name}", lead, tuple(sections))


def _table(found: Evaluation, epochs: int) -> Table:
    columns = (
        Column("images", digits=0),
        Column("epochs", digits=0),
        Column("top-1 error", "%"),
        Column("top-5 error", "%"),
    )
    row = (found.images, epochs, found.top1_error, found.top5_error)
    return Table(f"Errors on the {found.split} images", columns, (row,))


def _curves(rows: list[dict]) -> Figures:
    figures = []
    for title, metric in FIGURES.items():
        runs = {"training": [rows]}
        if f"val_{metric}" in rows[0]:
            validation = [{metric: row[f"val_{metric}"]} for row in rows]
            runs["validation"] = [validation]
        figures.append(
            picture(title, lambda axes, r=runs, m=metric: draw_curves(axes, r, m))
        )
    return Figures("Over the epochs", tuple(figures))


def _classes(found: Evaluation) -> Figures:
    return Figures(
        "By class",
        (
            picture(
                "Confusion", lambda axes: draw_confusion(axes, [found]), "", (5.6, 4.6)
            ),
            picture(
                "Accuracy by class",
                lambda axes: draw_class_accuracy(axes, {found.split: [found]}),
            ),
        ),
    )
