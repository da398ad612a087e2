"""The page of a comparison, such as the ablation study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keras_attention.attention import as_specs
from keras_attention.intervals import mean_and_interval
from keras_attention.reports.comparison_data import Variant, read_variants
from keras_attention.reports.facts import about_data, about_recipe, about_sessions
from keras_attention.reports.looks import looks
from keras_attention.reports.page import Column, Figures, Interval, Page, Table, Text
from keras_attention.reports.pictures import picture
from keras_attention.training.run_folder import read_run
from keras_attention.tuning.comparison import KIND
from keras_attention.visualization.classes import draw_class_accuracy, draw_confusion
from keras_attention.visualization.curves import draw_curves

__all__ = ["comparison_page"]

FIELDS = ("data", "preprocessing", "recipe")  # of a run's record
MEBIBYTE = 2**20
METRICS = {
    "val_top1_error": "validation top-1 error",
    "top1_error": "training top-1 error",
    "val_loss": "validation loss",
    "loss": "training loss",
}
COLUMNS = (
    Column("network", numeric=False),
    Column("attention", numeric=False),
    Column("runs", digits=0),
    Column("top-1 error", "%"),
    Column("top-5 error", "%"),
    Column("top-1 less the plain network's", "points"),
    Column("trainable parameters", digits=0),
    Column("weights", "MiB"),
    Column("activations of an image", "MiB"),
    Column("time of an epoch", "s", digits=1),
)


def comparison_page(
    folder: Path, *, images: int, data_dir: str | None, verbose: int
) -> Page:
    """Errors with intervals, curves, confusion, gates, and a gallery.

    Args:
        folder: of the comparison.
        images: in the gallery; 0 for none.
        data_dir: where the data is now, if it moved.
        verbose: whether to tell what is done.

    Raises:
        FileNotFoundError, ValueError: a file is not there or damaged; the message
            names it.
    """
    variants = read_variants(folder)
    record = read_run(folder, KIND, ("sessions",))
    run = read_run(variants[0].folders[0], fields=FIELDS)
    sections = [_errors(variants), _findings(variants)]
    for model, group in _by_model(variants).items():
        sections += [_curves(model, group), _classes(model, group)]
    sections.append(_confusions(variants))
    if images:
        networks = {variant.name: variant.folders[0] for variant in variants}
        sections += looks(networks, images, data_dir=data_dir, verbose=verbose)
    sections += [about_data(run), about_recipe(run), about_sessions(record)]
    models = " and ".join(_by_model(variants))
    return Page(f"Attention in {models}", _lead(variants, run), tuple(sections))


def _lead(variants: Sequence[Variant], run: dict) -> tuple[str, ...]:
    counts = run["data"]["images"]
    epochs = _span([int(row["epochs"]) for v in variants for row in v.rows], "epoch")
    runs = _span([len(variant.rows) for variant in variants], "run")
    recipes = [
        read_run(f, fields=FIELDS)["recipe"] for v in variants for f in v.folders
    ]
    same = all(recipe == run["recipe"] for recipe in recipes)
    alike = "All had the same recipe." if same else "Their recipes differ."
    return (
        f"{len(variants)} networks, {runs} of each, over {epochs} on "
        f"{counts['train']:,} images of {run['data']['name']}; tested on "
        f"{counts['test']:,}. {alike} The best epoch of a run was chosen on validation "
        "images; the test images were looked at once, at the end.",
        "± is the half-width of the mean's 95% interval over the seeds, by Student's "
        "t. Runs of one seed see the same images in the same order, so differences are "
        "taken seed by seed.",
    )


def _span(counts: Sequence[int], what: str) -> str:
    """`"3 runs"`, or `"1 to 3 runs"` where they differ."""
    low, high = min(counts), max(counts)
    said = str(high) if low == high else f"{low} to {high}"
    return f"{said} {what}{'' if high == 1 else 's'}"


def _errors(variants: Sequence[Variant]) -> Table:
    return Table(
        "Errors on the test images, memory and time",
        COLUMNS,
        tuple(_row(variant, _plain_of(variant, variants)) for variant in variants),
        "Memory: all weights, and the outputs of all layers for one image. Time: the "
        "median of a run's epochs but the first, validation included, on a machine "
        "that may have had other work.",
    )


def _row(variant: Variant, plain: Variant | None) -> tuple:
    count = variant.complexity
    difference = None if plain is None else variant.difference(plain)
    top5 = variant.values("test_top5_error")
    return (
        variant.name,
        _attention(variant.attention),
        len(variant.rows),
        Interval(*mean_and_interval(variant.values("test_top1_error"))),
        Interval(*mean_and_interval(top5)) if top5 else None,
        None if difference is None else Interval(*difference),
        count.trainable_parameters,
        count.parameter_bytes / MEBIBYTE,
        count.activation_bytes / MEBIBYTE,
        Interval(*mean_and_interval(variant.epoch_seconds())),
    )


def _attention(attention) -> str:
    if isinstance(attention, list):
        return "by block"
    return " + ".join(map(str, as_specs(attention))) or "none"


def _plain_of(variant: Variant, variants: Sequence[Variant]) -> Variant | None:
    """The network of the same model without attention, if that is another one."""
    plain = [v for v in variants if v.model == variant.model and v.attention is None]
    return plain[0] if plain and plain[0] is not variant else None


def _findings(variants: Sequence[Variant]) -> Text:
    pairs = [(variant, _plain_of(variant, variants)) for variant in variants]
    said = [
        _finding(variant, plain, *difference)
        for variant, plain in pairs
        if plain is not None and (difference := variant.difference(plain))
    ]
    if not said:
        said = ["There is no plain network here to compare with."]
    elif len(said) > 1:
        said.append(
            f"These are {len(said)} comparisons: of 95% intervals one in twenty misses "
            "by chance, and none is corrected for that here."
        )
    return Text("What that says", tuple(said))


def _finding(variant, plain, mean: float, half: float | None) -> str:
    if half is None:
        return (
            f"{variant.name} against {plain.name}: {mean:+.2f} points of top-1 error "
            "in one run each, which says nothing about the spread."
        )
    between = f"{mean - half:+.2f} to {mean + half:+.2f} points of top-1 error"
    if abs(mean) <= half:
        return f"{variant.name} is not told apart from {plain.name}: {between}."
    return (
        f"{variant.name} errs {'less' if mean < 0 else 'more'} than {plain.name}: "
        f"{between}."
    )


def _by_model(variants: Sequence[Variant]) -> dict[str, list[Variant]]:
    models = dict.fromkeys(variant.model for variant in variants)
    return {model: [v for v in variants if v.model == model] for model in models}


def _curves(model: str, group: Sequence[Variant]) -> Figures:
    runs = {variant.name: variant.histories for variant in group}
    known = group[0].histories[0][0]
    return Figures(
        f"{model}: loss and error over the epochs",
        tuple(
            picture(
                f"{model}, {said}", lambda axes, m=metric: draw_curves(axes, runs, m)
            )
            for metric, said in METRICS.items()
            if metric in known
        ),
    )


def _classes(model: str, group: Sequence[Variant]) -> Figures:
    evaluations = {variant.name: variant.evaluations for variant in group}
    figure = picture(
        f"{model}, accuracy by class",
        lambda axes: draw_class_accuracy(axes, evaluations),
        "Mean and 95% interval over the seeds.",
        (9.0, 4.0),
    )
    return Figures(f"{model}: accuracy by class", (figure,))


def _confusions(variants: Sequence[Variant]) -> Figures:
    return Figures(
        "Confusion matrices",
        tuple(
            picture(
                f"{variant.name}, confusion",
                lambda axes, v=variant: draw_confusion(axes, v.evaluations),
                f"{len(variant.rows)} runs together.",
                (5.6, 4.6),
            )
            for variant in variants
        ),
    )
