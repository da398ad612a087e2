"""How long exported files take, side by side."""

from __future__ import annotations

import copy
import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_attention.extras import require
from keras_attention.layers.checks import positive_integer
from keras_attention.saved_models.runtime import Artifact, load
from keras_attention.timing import (
    Quartiles,
    draw_bars,
    interleave,
    machine,
    quartiles,
    ratio,
)
from keras_attention.training.files import write_text

TABLE, PICTURE = "benchmark.csv", "benchmark.svg"
_RUNTIMES = {
    "saved_model": "tensorflow",
    "litert": "ai-edge-litert",
    "onnx": "onnxruntime",
}
_COLUMNS = ("file", "format", "precision", "input", "threads")
_NUMBERS = ("MB", "ms per call", "quartiles", "ratio", "quartiles")


@dataclass(frozen=True)
class Latency:
    """Of one file. Times are per call, of as many images as `input_shape` says.

    Args:
        name: of the file.
        format, precision: of the file.
        input_shape: `(images, height, width, channels)` of a call.
        megabytes: size of the file, in 10⁶ bytes.
        milliseconds: median of the calls.
        quartile_1, quartile_3: of the calls, in milliseconds.
        ratio: median, over the rounds, of the time by that of the first file in the
            same round.
        ratio_quartile_1, ratio_quartile_3: of these ratios.
        runs: calls that were timed.
        threads: of the runtime; None where that chose itself.
        machine: processor, cores, versions of the runtimes.
        note: what was not as asked for; empty where all was.
    """

    name: str
    format: str
    precision: str
    input_shape: tuple[int, ...]
    megabytes: float
    milliseconds: float
    quartile_1: float
    quartile_3: float
    ratio: float
    ratio_quartile_1: float
    ratio_quartile_3: float
    runs: int
    threads: int | None
    machine: str
    note: str = ""


@dataclass(frozen=True)
class Benchmark:
    """Latencies of files that ran side by side; prints as a table.

    Args:
        rows: one for each file; ratios are to the first.
    """

    rows: tuple[Latency, ...]

    def __str__(self) -> str:
        first = self.rows[0]
        return "\n".join(
            [
                *_aligned([(*_COLUMNS, *_NUMBERS), *map(_cells, self.rows)]),
                f"{first.runs} calls of each file, one in every round; ratios to "
                f"{first.name} in the same round",
                *(f"{row.name}: {row.note}" for row in self.rows if row.note),
                first.machine,
            ]
        )

    def to_dict(self) -> dict:
        """A dictionary of JSON types."""
        return {"rows": [dataclasses.asdict(row) for row in self.rows]}

    def draw(self, axes) -> None:
        """Draw a bar of milliseconds for each file, with quartiles.

        Args:
            axes: of matplotlib.
        """
        measured = [
            Quartiles(row.quartile_1, row.milliseconds, row.quartile_3)
            for row in self.rows
        ]
        places = draw_bars(axes, measured, [_label(row) for row in self.rows])
        for row, place in zip(self.rows, places, strict=True):
            axes.annotate(
                f"{row.milliseconds:.3f} ms, {row.ratio:.2f}×",
                (row.quartile_3, place),
                (6, 0),  # points to the right of the whisker
                textcoords="offset points",
                va="center",
                fontsize="small",
            )
        # Room for the words beside the longest bar.
        axes.set_xlim(0, 1.5 * max(row.quartile_3 for row in self.rows))
        axes.tick_params("y", labelsize="small")
        axes.set_xlabel("ms per call: median and quartiles; ratio to the first")
        axes.set_title(f"Latency, {self.rows[0].runs} calls of each file side by side")

    def save(self, folder: str | Path) -> list[Path]:
        """Write `benchmark.csv` and `benchmark.svg`, each whole or not at all.

        Args:
            folder: made where there is none.

        Returns:
            The files.

        Raises:
            ImportError: matplotlib is not installed; nothing is written.
            OSError: the folder cannot be written to.
        """
        contents = {TABLE: self._csv(), PICTURE: self._svg()}
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            write_text(folder / name, text)
        return [folder / name for name in contents]

    def _csv(self) -> str:
        text = io.StringIO()
        rows = [_flat(row) for row in self.rows]
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def _svg(self) -> str:
        module = require(
            "matplotlib.figure", extra="viz", purpose="Drawing the benchmark"
        )
        size = (9, 1.5 + 0.5 * len(self.rows))
        figure = module.Figure(figsize=size, layout="constrained")
        self.draw(figure.subplots())
        figure.supxlabel(self.rows[0].machine, fontsize="small")
        text = io.StringIO()
        figure.savefig(text, format="svg")
        return text.getvalue()


def benchmark(
    artifacts: Sequence[Artifact | str | Path],
    *,
    threads: int | None = 1,
    runs: int = 50,
    warm_up: int = 5,
    batch_size: int = 1,
    names: Sequence[str] | None = None,
    verbose: bool = True,
) -> Benchmark:
    """Time exported files side by side.

    Every round runs every file once, in a random order of its own, on random images
    of the file's input shape. What the machine does at the time falls on all files
    alike, so that ratios within a round hold where times do not.

    Args:
        artifacts: what `load` gives, or paths of it; the first is the baseline of
            the ratios.
        threads: for the runtime of every file, whatever an artifact was loaded with;
            None leaves the choice to it. SavedModels run on TensorFlow's own threads,
            which the result says.
        runs: rounds, which is timed calls of each file.
        warm_up: calls of each file before, which are not timed; 0 or more.
        batch_size: images in a call, where the file leaves it open. Other files run
            at the size they were made for, which the result says.
        names: one for each file; by default the files' own.
        verbose: whether to show a progress bar with the time that is left.

    Returns:
        Medians, quartiles and ratios.

    Raises:
        ValueError: no file, one file twice, a number that does not fit, or other
            names than one for each file.
        FileNotFoundError, ImportError: as `load` does.

    Example:

    >>> result = benchmark(["plain.tflite", "se.tflite"])  # doctest: +SKIP
    >>> result.save("runs/benchmark")  # doctest: +SKIP
    """
    _check_numbers(threads, runs, warm_up, batch_size)
    artifacts = _listed(artifacts)
    names = _names(names, _paths(artifacts))
    opened = dict(zip(names, (_opened(a, threads) for a in artifacts), strict=True))
    cases = {name: _case(artifact, batch_size) for name, artifact in opened.items()}
    if verbose:
        print(f"{len(cases)} files: {warm_up} calls of each to warm up, then {runs}")
    seconds = interleave(cases, runs, _progress(runs, verbose), warm_up)
    formats = dict.fromkeys(a.description.format for a in opened.values())
    shared = {"runs": runs, "machine": machine([_RUNTIMES[f] for f in formats])}
    return Benchmark(
        tuple(
            Latency(
                name=name,
                **_about(artifact, threads, batch_size),
                **_measured(seconds, name, names[0]),
                **shared,
            )
            for name, artifact in opened.items()
        )
    )


def _check_numbers(threads, runs, warm_up, batch_size) -> None:
    if threads is not None:
        positive_integer("threads", threads)
    positive_integer("runs", runs)
    positive_integer("batch_size", batch_size)
    if isinstance(warm_up, bool) or not isinstance(warm_up, int) or warm_up < 0:
        raise ValueError(
            f"`warm_up` must be an integer of at least 0. Received: {warm_up!r}."
        )


def _listed(artifacts) -> list:
    alone = isinstance(artifacts, str | Path | Artifact)
    listed = [] if alone else list(artifacts)
    if not listed:
        raise ValueError(
            f"`artifacts` is a list of one or more files. Received: {artifacts!r}."
        )
    return listed


def _paths(artifacts) -> list[Path]:
    paths = [a.path if isinstance(a, Artifact) else Path(a) for a in artifacts]
    counts = Counter(path.resolve() for path in paths)
    twice = [str(path) for path in paths if counts[path.resolve()] > 1]
    if twice:
        raise ValueError(
            "Every file is timed once in a round. Received one file twice: "
            f"{', '.join(twice)}."
        )
    return paths


def _names(names, paths) -> list[str]:
    if names is None:
        short = [path.name for path in paths]
        # Files of one name in several folders are called by their paths.
        return short if len(set(short)) == len(paths) else list(map(str, paths))
    wrong = isinstance(names, str) or len(set(names)) < len(names)
    if wrong or len(names) != len(paths):
        raise ValueError(
            f"`names` needs a different name for each of {len(paths)} files. "
            f"Received: {names!r}."
        )
    return list(names)


def _opened(artifact, threads) -> Artifact:
    if not isinstance(artifact, Artifact):
        artifact = load(artifact)
    artifact = copy.copy(artifact)  # the caller's keeps its threads
    artifact.threads = None if _own_threads(artifact) else threads
    return artifact


def _own_threads(artifact) -> bool:
    return artifact.description.format == "saved_model"


def _case(artifact, batch_size):
    """A function of nothing that runs the file once."""
    shape = _shape(artifact, batch_size)
    images = np.random.default_rng(0).normal(size=shape).astype("float32")
    run = artifact.runner(shape[0])

    def case():
        run(images)

    return case


def _shape(artifact, batch_size) -> tuple[int, ...]:
    own, *image = artifact.description.input_shape
    return (own or batch_size, *image)


def _progress(runs, verbose):
    return keras.utils.Progbar(runs, unit_name="round").update if verbose else None


def _about(artifact, threads, batch_size) -> dict:
    """Fields of a `Latency` that were not measured."""
    shape = _shape(artifact, batch_size)
    notes = []
    if threads is not None and _own_threads(artifact):
        notes.append(
            f"ran on TensorFlow's own threads, not on {threads}; `tf.config.threading` "
            "sets them"
        )
    if shape[0] != batch_size:
        notes.append(f"made for {shape[0]} images in a call, not {batch_size}")
    return {
        "format": artifact.description.format,
        "precision": artifact.description.precision,
        "input_shape": shape,
        "megabytes": artifact.bytes / 1e6,
        "threads": artifact.threads,
        "note": "; ".join(notes),
    }


def _measured(seconds, name, baseline) -> dict:
    """Fields of a `Latency` that were measured."""
    times = quartiles(1e3 * seconds[name])
    ratios = ratio(seconds, name, baseline)
    return {
        "milliseconds": times.median,
        "quartile_1": times.low,
        "quartile_3": times.high,
        "ratio": ratios.median,
        "ratio_quartile_1": ratios.low,
        "ratio_quartile_3": ratios.high,
    }


def _cells(row: Latency) -> tuple[str, ...]:
    return (
        row.name,
        row.format,
        row.precision,
        _times(row.input_shape),
        _threads(row),
        f"{row.megabytes:.2f}",
        f"{row.milliseconds:.3f}",
        f"{row.quartile_1:.3f}–{row.quartile_3:.3f}",
        f"{row.ratio:.3f}",
        f"{row.ratio_quartile_1:.3f}–{row.ratio_quartile_3:.3f}",
    )


def _aligned(lines):
    """Words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    words = len(_COLUMNS)
    for line in lines:
        padded = [
            f"{cell:<{width}}" if i < words else f"{cell:>{width}}"
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield "  ".join(padded)


def _label(row: Latency) -> str:
    about = f"{row.precision}, {_times(row.input_shape)}, threads: {_threads(row)}"
    return f"{row.name}\n{about}"


def _threads(row: Latency) -> str:
    return "runtime's" if row.threads is None else str(row.threads)


def _times(shape) -> str:
    return "×".join(map(str, shape))


def _flat(row: Latency) -> dict:
    """A row of the CSV file; numbers to four digits."""
    rounded = {
        key: float(f"{value:.4g}") if isinstance(value, float) else value
        for key, value in dataclasses.asdict(row).items()
    }
    return rounded | {"input_shape": _times(row.input_shape)}
