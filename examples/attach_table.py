"""Attention attached to every family of `keras.applications`: what works, and what not.

    python examples/attach_table.py --output docs/results/attach

Each row is one network of random weights at the smallest image that it takes, and one
attention: where it stands, how far the output is from the network's without it before
training, whether one step of SGD keeps everything finite and moves the attention's
scales, and how far a saved and loaded copy is. Rows that are in `table.json` are kept,
so that a run that was stopped goes on; `table.md` is made of them. About an hour on two
cores for all 84; `--networks` and `--attentions` choose.
"""

import argparse
import json
import os
import tempfile
from collections import Counter
from pathlib import Path
from time import perf_counter

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_attention.attaching import attach, placements
from keras_attention.timing import machine

ATTENTIONS = ("se", "eca", "cbam", "mvam", "bam_block", "aw")
# The smallest images that they take.
NETWORKS = {
    "ResNet50": 32,
    "ResNet50V2": 32,
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "InceptionV3": 75,
    "InceptionResNetV2": 75,
    "Xception": 71,
    "NASNetMobile": 32,
    "VGG16": 32,
    "ConvNeXtTiny": 32,
}
BATCH = 4
COLUMNS = ("network", "size", "attention", "places", "parameters")
COLUMNS += ("start", "step", "file", "seconds")
START_LIMIT = 1e-5


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    parser.add_argument(
        "--attentions", nargs="+", choices=ATTENTIONS, default=[*ATTENTIONS]
    )
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / "table.json"
    rows = json.loads(file.read_text()) if file.exists() else []
    for name in options.networks:
        done = {row["attention"] for row in rows if row["network"] == name}
        wanted = [a for a in options.attentions if a not in done]
        if not wanted:
            continue
        model = network(name)
        for attention in wanted:
            rows.append(row := measure(model, name, attention))
            print(_line(row), flush=True)
            file.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
            (options.output / "table.md").write_text(as_markdown(rows))
    return rows


def network(name):
    """One member of a family, of random weights."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    size = NETWORKS[name]
    return getattr(keras.applications, name)(
        weights=None, include_top=False, pooling="avg", input_shape=(size, size, 3)
    )


def measure(model, name, attention):
    """One row as a dict; `"reason"` in it where attaching raises."""
    start = perf_counter()
    row = {"network": name, "size": NETWORKS[name], "attention": attention}
    try:
        attached = attach(model, attention)
    except ValueError as error:
        return {**row, "reason": str(error).partition("\n")[0]}
    kinds = Counter(one.place.partition(" '")[0] for one in placements(attached))
    row["places"] = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    row["skipped"] = placements(attached).skipped
    row["parameters"] = attached.count_params() - model.count_params()
    images = np.random.default_rng(0).uniform(0, 255, (BATCH, *model.input_shape[1:]))
    images = images.astype("float32")
    row["start"] = _difference(model, attached, images)
    row["step"] = _step(attached, images)
    row["file"] = _through_file(attached, images)
    row["seconds"] = round(perf_counter() - start, 1)
    return row


def works(row):
    """Whether nothing changes at first, all stays finite and scales move."""
    if "reason" in row:
        return False
    moved = row["step"].partition("/")[0]
    stays = max(row["start"], row["file"]) <= START_LIMIT
    return stays and moved.isdigit() and int(moved) > 0


def _step(model, images):
    """How many of the scales one step moved, as "16/16"; what is not finite instead."""
    # Eagerly, as compiling takes longer than the step.
    eager = keras.backend.backend() == "tensorflow"
    model.compile(keras.optimizers.SGD(1e-3), "mse", run_eagerly=eager)
    loss = model.train_on_batch(images, np.ones((BATCH, model.output_shape[-1])))
    if not np.isfinite(loss):
        return "loss not finite"
    for weight in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            return f"{weight.path} not finite"
    scales = [float(w) for w in model.trainable_weights if w.name == "scale"]
    return f"{sum(scale != 0 for scale in scales)}/{len(scales)}"


def _through_file(model, images):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.keras")
        model.save(file)
        return _difference(model, keras.saving.load_model(file), images)


def _difference(model, other, images):
    """The largest difference of outputs, relative to the largest output."""
    wanted, found = (
        keras.ops.convert_to_numpy(one(images, training=False)).astype("float64")
        for one in (model, other)
    )
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def as_markdown(rows):
    """The table, and the reasons below it."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    reasons = []
    order = list(NETWORKS)
    for row in sorted(rows, key=lambda row: order.index(row["network"])):
        if "reason" in row:
            reasons.append(f"- {row['network']}, {row['attention']}: {row['reason']}")
        cells = [_cell(row.get(column, "–")) for column in COLUMNS]
        lines.append(f"| {' | '.join(cells)} |")
    text = "\n".join(lines)
    if reasons:
        text += "\n\nWhere `attach` raises, and what it says:\n\n" + "\n".join(reasons)
    return f"{text}\n\n{machine()}\n"


def _cell(value):
    return f"{value:.0e}" if isinstance(value, float) and 0 < value < 1 else str(value)


def _line(row):
    shown = {key: row[key] for key in (*COLUMNS, "reason") if key in row}
    return "  ".join(f"{key}={_cell(value)}" for key, value in shown.items())


if __name__ == "__main__":
    main()
