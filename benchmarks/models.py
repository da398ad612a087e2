"""Whole networks with attention against those without: predict, training step, memory.

    python benchmarks/models.py --output runs/benchmarks [--torch PYTHON]

224×224, batch 8, float32, as `compile()` leaves them by default; every case of a
group runs once in each round, in one process. `--torch` names a Python that has
torch; its networks then run in the same rounds, in a process of their own. Peak
memory is that of a process which trains that network alone, above what the process
had before it made it, as Linux counts it. About six minutes.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from interleaved import draw, ratio_row, write
from peer import TorchPeer

from keras_attention import applications
from keras_attention.timing import interleave, machine

BATCH = 8
RESNET, MOBILENET = "ResNet50", "SE-MobileNet"
# By group, whose first is the baseline: {name: its network}.
NETWORKS = {
    RESNET: {
        RESNET: lambda: applications.ResNet50(weights=None),
        # Keras' strides in the first 1×1, which is 6% fewer multiply-adds.
        "ResNet50, stride in 1×1": lambda: applications.ResNet50(
            stride_in_1x1=True, weights=None
        ),
        "keras.applications.ResNet50": lambda: keras.applications.ResNet50(
            weights=None
        ),
        "AW-ResNet50": lambda: applications.ResNet50(attention="aw", weights=None),
        "SE-ResNet50": lambda: applications.ResNet50(attention="se", weights=None),
    },
    MOBILENET: {
        MOBILENET: lambda: applications.MobileNet(attention="se", weights=None),
        "AW-SE-MobileNet": lambda: applications.MobileNet(
            attention="aw_se", weights=None
        ),
        "MobileNet": lambda: applications.MobileNet(weights=None),
    },
}
TORCH = {"torch ResNet50": "resnet50", "torch SE-ResNet50": "se_resnet50"}
ROUNDS = {RESNET: 6, MOBILENET: 13}
# Compared with another network than their group's first.
REFERENCES = {"ResNet50, stride in 1×1": "keras.applications.ResNet50"}
TARGETS = {
    ("ResNet50, stride in 1×1", "predict"): 1.0,
    ("ResNet50, stride in 1×1", "train"): 1.0,
    ("AW-ResNet50", "predict"): 1.08,
    ("AW-ResNet50", "train"): 1.20,
    ("AW-ResNet50", "peak memory"): 1.25,
    ("AW-SE-MobileNet", "predict"): 1.10,
    ("AW-SE-MobileNet", "train"): 1.15,
}


def data():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(BATCH, 224, 224, 3)).astype("float32")
    labels = keras.utils.to_categorical(np.arange(BATCH), 1000)
    return keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(labels)


def compiled(make):
    model = make()
    model.compile(keras.optimizers.SGD(0.01, 0.9), "categorical_crossentropy")
    return model


def passes(model, images, labels):
    """Functions of nothing that run one batch."""

    def predict():
        # The second of a stream of batches: memory is there, caches are its own.
        model.predict_on_batch(images)
        start = perf_counter()
        model.predict_on_batch(images)
        return perf_counter() - start

    def train():
        model.train_on_batch(images, labels)

    return {"predict": predict, "train": train}


def time_group(baseline, peer):
    """Rows of one group of networks."""
    images, labels = data()
    cases = {}
    for name, make in NETWORKS[baseline].items():
        for step, run in passes(compiled(make), images, labels).items():
            cases[name, step] = run
    if peer and baseline == RESNET:
        for name, network in TORCH.items():
            for step in ("predict", "train"):
                again = step == "predict"  # the second of a stream, as ours
                cases[name, step] = peer.case(network, step, again=again)
    rounds = ROUNDS[baseline]

    def progress(number):
        print(f"\r{baseline}: round {number} of {rounds}", end="", file=sys.stderr)

    seconds = interleave(cases, rounds, progress)
    print(file=sys.stderr)
    for name, step in cases:
        reference = REFERENCES.get(name, baseline)
        if name != baseline:
            measured = ratio_row(seconds, (name, step), (reference, step))
            yield row(name, reference, step, measured)


def row(name, baseline, measure, measured):
    return {
        "network": name,
        "baseline": baseline,
        "measure": measure,
        **measured,
        "target": TARGETS.get((name, measure)),
    }


def memory_row(baseline, name):
    """Peak memory of training steps, each network in a process of its own."""
    peaks = []
    for network in (name, baseline):
        print(f"{network}: memory", file=sys.stderr)
        command = [sys.executable, __file__, "--peak-of", baseline, network]
        peaks.append(float(subprocess.check_output(command, text=True).split()[-1]))
    value = round(peaks[0] / peaks[1], 3)
    measured = {"ratio": value, "quartile_1": value, "quartile_3": value, "rounds": 1}
    return row(name, baseline, "peak memory", measured)


def print_peak(baseline, name):
    images, labels = data()
    before = kilobytes("VmRSS")
    train = passes(compiled(NETWORKS[baseline][name]), images, labels)["train"]
    for _ in range(3):
        train()
    print(kilobytes("VmHWM") - before)


def kilobytes(field):
    """This process' memory as Linux counts it: "VmRSS" now, "VmHWM" at its peak."""
    # Not getrusage, whose peak a process takes over from the one that started it.
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def picture(rows, path, note):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    measures = list(dict.fromkeys(row["measure"] for row in rows))
    figure, grid = pyplot.subplots(
        1, len(measures), figsize=(5 * len(measures), 4.2), layout="constrained"
    )
    for axes, measure in zip(grid, measures, strict=True):
        own = [row for row in rows if row["measure"] == measure]
        draw(axes, own, [f"{row['network']}\n/ {row['baseline']}" for row in own])
        axes.set_title(measure)
        axes.set_xlabel("ratio")
    figure.legend(
        *grid[-1].get_legend_handles_labels(), loc="outside lower center", ncols=2
    )
    figure.suptitle(f"224×224, batch {BATCH}; {machine()}{note}", fontsize="medium")
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--torch", help="a Python that has torch")
    parser.add_argument("--peak-of", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak_of:
        return print_peak(*arguments.peak_of)
    peer = (
        TorchPeer(arguments.torch, "torch_peer.py", BATCH) if arguments.torch else None
    )
    note = f", torch {peer.version}" if peer else ", torch: not given"
    rows = [memory_row(RESNET, "AW-ResNet50")]
    for baseline in NETWORKS:
        rows += time_group(baseline, peer)
        keras.utils.clear_session()
    if peer:
        peer.close()
    path = arguments.output / "models.csv"
    write(rows, path)
    picture(rows, path.with_suffix(".svg"), note)
    for line in rows:
        print(*list(line.values())[:4], "target", line["target"])
    print(f"written: {path} and its picture{note}", file=sys.stderr)


if __name__ == "__main__":
    main()
