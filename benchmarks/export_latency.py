"""Latency of attention in a LiteRT file: one thread, ratios to the plain network.

    python benchmarks/export_latency.py --output runs/export_latency

Networks of 224×224 at batch 1 against plain MobileNet, and AW-convolutions 3×3 against
plain ones, in float32 and int8. Weights are random; the batch norms' statistics are
those of a random batch and their γ and β are drawn, since a fresh norm (β = 0, μ = 0)
vanishes in the file. About ten minutes, most of it conversion.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
from interleaved import write

from keras_attention import applications
from keras_attention.layers import AWConv2D
from keras_attention.saved_models import Bounds, benchmark, export

RUNS = {"networks": 60, "convolutions": 100}
PRECISIONS = ("float32", "int8")
BASELINE = "MobileNet"
NETWORKS = {
    BASELINE: lambda: applications.MobileNet(),
    "SE-MobileNet": lambda: applications.MobileNet(attention="se"),
    "AW-MobileNet": lambda: applications.MobileNet(attention="aw"),
    "AW-SE-MobileNet": lambda: applications.MobileNet(attention="aw_se"),
    "CBAM(Spatial)-MobileNet": lambda: applications.MobileNet(attention="cbam_spatial"),
    "MobileNetV2": lambda: applications.MobileNetV2(),
    "SE-MobileNetV2": lambda: applications.MobileNetV2(attention="se"),
    "MobileNetV3Large": lambda: applications.MobileNetV3Large(),
    "MobileNetV3Small": lambda: applications.MobileNetV3Small(),
}
SHAPES = {"64 at 56²": (56, 64), "128 at 28²": (28, 128)}
SHAPES |= {"256 at 14²": (14, 256), "512 at 7²": (7, 512)}
TARGETS = {
    ("SE-MobileNet", "float32"): 1.15,
    ("SE-MobileNet", "int8"): 1.35,
    ("AW-SE-MobileNet", "float32"): 1.20,
    ("AW-SE-MobileNet", "int8"): 1.45,
    ("AW 3×3", "float32"): 1.20,
    ("AW 3×3", "int8"): 2.5,
}
# Pooled noise hardly varies, so that the norms behind it enlarge every rounding. For
# trained networks see `export_cifar10.py`.
LOOSE = {"int8": Bounds(10.0, 0.0), "float32": Bounds(0.1, 0.0)}


def settle(model, images):
    """Batch norms as after training: statistics of these images, drawn γ and β."""
    rng = np.random.default_rng(0)
    norms = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.gamma.assign(rng.uniform(0.5, 1.5, norm.gamma.shape))
        norm.beta.assign(rng.normal(0, 0.3, norm.beta.shape))
    model(images, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model


def files(folder, models, precision):
    """{name: path} of the models' LiteRT files."""
    paths = {}
    for name, make in models.items():
        keras.utils.set_random_seed(0)
        model = make()
        images = np.random.default_rng(0).normal(size=(32, *model.input_shape[1:]))
        images = images.astype("float32")
        settle(model, images[:8])
        paths[name] = Path(folder) / f"{len(paths)}.tflite"
        report = export(
            model,
            paths[name],
            "litert",
            precision,
            representative_data=images if precision == "int8" else None,
            verification_data=images[:8],
            bounds=LOOSE[precision],
            verbose=False,
        )
        print(
            f"{name}, {precision}: not XNNPACK's: {report.slow_operators}", flush=True
        )
        keras.utils.clear_session()
    return paths


def single(layer, size, channels):
    """A function that makes a network of one layer."""

    def make():
        image = keras.Input((size, size, channels))
        return keras.Model(image, layer(channels, 3, padding="same")(image))

    return make


def rows(models, precision, runs, target):
    """The benchmark of some models, the first of which is the baseline."""
    with tempfile.TemporaryDirectory() as folder:
        paths = files(folder, models, precision)
        found = benchmark(list(paths.values()), runs=runs, names=list(paths))
    baseline = found.rows[0].name
    for row in found.rows:
        yield {
            "file": row.name,
            "baseline": baseline,
            "precision": precision,
            "megabytes": round(row.megabytes, 2),
            "milliseconds": round(row.milliseconds, 2),
            "ratio": round(row.ratio, 3),
            "quartile_1": round(row.ratio_quartile_1, 3),
            "quartile_3": round(row.ratio_quartile_3, 3),
            "runs": row.runs,
            "target": target(row.name),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/export_latency"))
    parser.add_argument("--only", choices=RUNS, help="one of the two parts")
    arguments = parser.parse_args()
    found = []
    for precision in PRECISIONS:
        if arguments.only != "networks":
            for name, (size, channels) in SHAPES.items():
                pair = {
                    f"3×3, {name}": single(keras.layers.Conv2D, size, channels),
                    f"AW 3×3, {name}": single(AWConv2D, size, channels),
                }
                goal = TARGETS["AW 3×3", precision]
                found += rows(
                    pair,
                    precision,
                    RUNS["convolutions"],
                    lambda row, goal=goal: goal if row.startswith("AW") else None,
                )
        if arguments.only != "convolutions":
            found += rows(
                NETWORKS,
                precision,
                RUNS["networks"],
                lambda row, p=precision: TARGETS.get((row, p)),
            )
    path = arguments.output / "export_latency.csv"
    write(found, path)
    for row in found:
        print(*list(row.values())[:-1], "target", row["target"])
    print(f"written: {path}")


if __name__ == "__main__":
    main()
