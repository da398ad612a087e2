"""MobileNet on CIFAR-10, trained, exported in three precisions, and measured again.

    python benchmarks/export_cifar10.py --data-dir DIR --output runs/export_cifar10

For each attention: training (48×48 images, five epochs, one seed; a run that is there
already is taken, one that was interrupted goes on), export to LiteRT in float32,
float16 and int8 (calibrated on 500 training images), accuracy on the 10,000 test images
in Keras and in LiteRT, agreement of the two on the first 1,000, size, and latency of
one image on one thread. Two hours on two cores, nearly all of it training.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np
from interleaved import write

from keras_attention import training
from keras_attention.saved_models import Bounds, benchmark, load
from keras_attention.saved_models.from_run import export_run
from keras_attention.training.runs import load_run_data

ATTENTIONS = (None, "se", "aw_se", "cbam_spatial")
PRECISIONS = ("float32", "float16", "int8")
EPOCHS = 5
RUNS = 200
# Everything is reported, whatever it is; the goals are in the table.
ALL = Bounds(np.inf, 0.0)


def trained(folder, attention, data_dir):
    """The folder of a finished run."""
    out = folder / (attention or "none")
    asked = {
        "model": "mobilenet-0.5",
        "attention": attention,
        "data": "cifar10",
        "data_dir": data_dir,
        "image_size": (48, 48),
        "recipe": "cifar-cosine",
        "epochs": EPOCHS,
    }
    training.train(out=out, resume=(out / "run.json").exists(), **asked)
    return out


def accuracy(scores, labels):
    return 100 * float((scores.argmax(axis=-1) == labels).mean())


def rows(run, attention):
    """One row for each precision."""
    model, _ = training.load_trained(run)
    data = load_run_data(run)
    batches = [
        (x.numpy(), y.numpy()) for x, y in data.evaluation("test", batch_size=250)
    ]
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    keras_accuracy = accuracy(model.predict(images, verbose=0), labels)
    for precision in PRECISIONS:
        out = run / f"best.{precision}.tflite"
        report = export_run(
            run, "litert", precision, out=out, bounds=ALL, overwrite=True, verbose=False
        )
        found = accuracy(load(out).predict(images), labels)
        print(f"{attention}, {precision}: {found:.2f} %", flush=True)
        yield {
            "attention": attention or "none",
            "precision": precision,
            "keras_accuracy": round(keras_accuracy, 2),
            "litert_accuracy": round(found, 2),
            "relative_error": f"{report.relative_error:.2e}",
            "top1_agreement": round(100 * report.top1_agreement, 2),
            "megabytes": round(report.bytes / 1e6, 3),
            "float_layers": " ".join(report.float_layers),
            "file": out,
        }


def with_latency(found):
    """The rows with latency; ratios to the network without attention."""
    for precision in PRECISIONS:
        own = [row for row in found if row["precision"] == precision]
        timed = benchmark([row["file"] for row in own], runs=RUNS, verbose=False)
        for row, latency in zip(own, timed.rows, strict=True):
            row["milliseconds"] = round(latency.milliseconds, 3)
            row["ratio"] = round(latency.ratio, 3)
            row["quartiles"] = (
                f"{latency.ratio_quartile_1:.3f} {latency.ratio_quartile_3:.3f}"
            )
    return [{k: v for k, v in row.items() if k != "file"} for row in found]


def markdown(found):
    """The rows as a table."""
    heads = {
        "attention": "attention",
        "precision": "precision",
        "keras_accuracy": "Keras, %",
        "litert_accuracy": "LiteRT, %",
        "relative_error": "relative error",
        "top1_agreement": "agreement, %",
        "megabytes": "MB",
        "milliseconds": "ms",
        "ratio": "ratio",
    }
    table = [heads.values(), ["---"] * len(heads)]
    table += [[row[column] for column in heads] for row in found]
    return "".join(f"| {' | '.join(map(str, row))} |\n" for row in table)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True, help="of TensorFlow Datasets")
    parser.add_argument("--output", type=Path, default=Path("runs/export_cifar10"))
    arguments = parser.parse_args()
    found = []
    for attention in ATTENTIONS:
        run = trained(arguments.output, attention, arguments.data_dir)
        found += rows(run, attention)
    found = with_latency(found)
    write(found, arguments.output / "results.csv")
    (arguments.output / "table.md").write_text(markdown(found), encoding="utf-8")
    print(markdown(found))


if __name__ == "__main__":
    main()
