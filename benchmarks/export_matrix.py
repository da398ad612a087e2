"""Every attention in every format: exported, run, compared; or why not.

    python benchmarks/export_matrix.py --output runs/export_matrix

Each registered attention, some compositions, an AW with several maps, one with groups,
and a pyramid, in a CIFAR ResNet-8 of 16×16 images with random weights whose batch norms
have the statistics of a random batch: × SavedModel, LiteRT in float32, float16 and int8
(calibrated by 64 random images), ONNX. A cell that cannot be, or that `export` would
refuse for its bounds, says so in words. What is in the CSV already is not done again.
About fifteen minutes.
"""

import argparse
import csv
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
from export_latency import settle

import keras_attention
from keras_attention import applications, spec
from keras_attention.saved_models import BOUNDS, Bounds, export
from keras_attention.training.files import replace_file

SHAPE = (16, 16, 3)
ANY = Bounds(float("inf"), 0.0)
CELLS = {
    ("saved_model", "float32"): "x",
    ("litert", "float32"): "x.tflite",
    ("litert", "float16"): "x.tflite",
    ("litert", "int8"): "x.tflite",
    ("onnx", "float32"): "x.onnx",
}
COLUMNS = ("attention", "format", "precision", "relative_error", "top1_agreement")
COLUMNS += ("megabytes", "slow_operators", "float_layers", "failure")


def networks():
    """{name: function that makes the network}."""

    def resnet(attention, **options):
        return lambda: applications.CifarResNet(
            8, 10, attention=attention, input_shape=SHAPE, **options
        )

    # A stage with fewer channels than heads need would decline "aa".
    few = {"aa": spec("aa", key_depth=8, value_depth=8)}
    names = [None, *keras_attention.names()]
    found = {name or "none": resnet(few.get(name, name)) for name in names}
    composed = ("aw_se", "aw_cbam", "aw_bam", "aw_mvam")
    found |= {name: resnet(name) for name in composed}
    found["aa_se"] = resnet((few["aa"], spec("se")))
    found["aw, four channels a map"] = resnet(spec("aw", channel_sharing=4))
    found["aw in a grouped bottleneck"] = lambda: applications.ResNet(
        (1, 1),
        (32, 64),
        attention="aw",
        groups=8,
        width_per_group=4,
        stem="cifar",
        classes=10,
        input_shape=SHAPE,
    )
    found["se, pyramid"] = resnet("se", pyramid=True)
    return found


def cell(model, format, precision, images, folder):
    """The columns behind the cell's name."""
    path = Path(folder) / CELLS[format, precision]
    try:
        report = export(
            model,
            path,
            format,
            precision,
            representative_data=images if precision == "int8" else None,
            verification_data=images,
            bounds=ANY,  # its numbers are of interest beyond the bounds too
            verbose=False,
        )
    except Exception as error:  # the other cells are to be seen
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        empty = dict.fromkeys(COLUMNS[3:], "")
        return empty | {"failure": kind + " ".join(str(error).split())}
    agreement = report.top1_agreement
    return {
        "relative_error": f"{report.relative_error:.1e}",
        "top1_agreement": "" if agreement is None else f"{100 * agreement:.1f}",
        "megabytes": round(report.bytes / 1e6, 2),
        "slow_operators": " ".join(
            f"{count} {name}" for name, count in (report.slow_operators or {}).items()
        ),
        "float_layers": " ".join(report.float_layers),
        "failure": " and ".join(report.failures(BOUNDS[precision])),
    }


def done(path):
    """{(attention, format, precision): row} of a matrix that was begun."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {tuple(row[c] for c in COLUMNS[:3]): row for row in csv.DictReader(file)}


def save(rows, path):
    def write(aside):
        with aside.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    replace_file(path, write)


def markdown(rows):
    """A row for each attention: relative error, agreement, MB; or what is wrong."""
    notes, lines = [], []
    heads = [f"{format} {precision}" for format, precision in CELLS]
    lines.append(["attention", *heads, "not XNNPACK's: float32", "not XNNPACK's: int8"])
    lines.append(["---"] * len(lines[0]))
    for name in dict.fromkeys(row["attention"] for row in rows.values()):
        cells = {kind: rows[name, *kind] for kind in CELLS}
        texts = [_text(row, notes) for row in cells.values()]
        slow = [
            cells["litert", precision]["slow_operators"] or "none"
            for precision in ("float32", "int8")
        ]
        lines.append([name, *texts, *slow])
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return table + "\n" + "".join(f"{i}. {note}\n" for i, note in enumerate(notes, 1))


def _text(row, notes):
    found = [row["relative_error"]] if row["relative_error"] else []
    if row["top1_agreement"]:
        found.append(f"{row['top1_agreement']} %")
    if row["megabytes"]:
        found.append(f"{row['megabytes']} MB")
    if row["failure"]:
        if row["failure"] not in notes:
            notes.append(row["failure"])
        found.append(f"refused ({notes.index(row['failure']) + 1})")
    return ", ".join(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/export_matrix"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "export_matrix.csv"
    rows, makes, start, made = done(path), networks(), time.monotonic(), 0
    wanted = [(name, *kind) for name in makes for kind in CELLS]
    left = sum(key not in rows for key in wanted)
    for name, make in makes.items():
        missing = [kind for kind in CELLS if (name, *kind) not in rows]
        if not missing:
            continue
        keras.utils.set_random_seed(0)
        model = make()
        images = np.random.default_rng(0).normal(size=(64, *SHAPE)).astype("float32")
        settle(model, images)
        for kind in missing:
            with tempfile.TemporaryDirectory() as folder:
                row = cell(model, *kind, images, folder)
            key = (name, *kind)
            rows[key] = dict(zip(COLUMNS, key, strict=False)) | row
            save(rows.values(), path)
            made, left = made + 1, left - 1
            minutes = (time.monotonic() - start) / made * left / 60
            text = row["failure"] or row["relative_error"]
            print(f"{', '.join(key)}: {text}; {minutes:.0f} min left", flush=True)
        keras.utils.clear_session()
    rows = {key: rows[key] for key in wanted}
    (arguments.output / "table.md").write_text(markdown(rows), encoding="utf-8")
    print(markdown(rows))


if __name__ == "__main__":
    main()
