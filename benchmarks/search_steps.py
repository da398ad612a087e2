"""What an epoch of a search takes, against an ordinary epoch on the same images.

    python benchmarks/search_steps.py --output runs/benchmarks

The plain network takes every image in a step of its weights (Keras' own training
step, the same optimizer and loss). The supernet of the space "sscbam" takes half of
them in steps of its weights, and half in as many steps of its architecture, of first
or second order. 32×32 images, float32, no XLA; every case runs once in each round, in
one process. About eight minutes on two cores.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from interleaved import draw, ratio_row, write

from keras_attention import applications
from keras_attention.timing import interleave, machine
from keras_attention.training.optimizer import SGDL2
from keras_attention.tuning import (
    BilevelSteps,
    architecture_variables,
    cost_penalty,
    operation_costs,
    search_space,
)

MODELS = {"cifarresnet-20": 64, "resnet18": 32}  # and their batch sizes
TARGETS = {1: 1.2, 2: 2.6}
STEPS = 4  # of the plain network, in a case
CLASSES = 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    rows = [
        row
        for name, batch in MODELS.items()
        for row in _measured(name, batch, arguments.rounds)
    ]
    write(rows, arguments.output / "search_steps.csv")
    _draw(rows, arguments.output / "search_steps.svg")


def _measured(name, batch, rounds):
    cases = {"plain": _plain(name, batch)}
    cases |= {order: _searching(name, batch, order) for order in TARGETS}
    print(f"{name}, batch {batch}: {rounds} rounds", flush=True)
    seconds = interleave(
        cases, rounds, lambda done: print(f"  {done}/{rounds}", end="\r", flush=True)
    )
    found = []
    for order, target in TARGETS.items():
        row = {"model": name, "batch": batch, "order": order, "target": target}
        found.append(row | ratio_row(seconds, order, "plain"))
        print(f"  order {order}: {found[-1]['ratio']} of an ordinary epoch")
    return found


def _plain(name, batch):
    model = _network(name, None)
    model.compile(
        _optimizer(global_clipnorm=5.0),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    images, labels = _batch(batch)

    def run():
        for _ in range(STEPS):
            model.train_on_batch(images, labels)

    return run


def _searching(name, batch, order):
    space = search_space("sscbam")
    model = _network(name, space.spec())
    steps = BilevelSteps(
        model,
        _optimizer(),
        keras.optimizers.Adam(3e-4, beta_1=0.5, beta_2=0.999),
        architecture=architecture_variables(model),
        loss="sparse_categorical_crossentropy",
        penalty=cost_penalty(operation_costs(model, space)),
        order=order,
        clip_norm=5.0,
    )
    training, validation = _batch(batch), _batch(batch)

    def run():
        for _ in range(STEPS // 2):
            steps.architecture_step(*training, *validation)
            found = steps.weight_step(*training)
        float(found["loss"])  # until it is done

    return run


def _network(name, attention):
    options = {"input_shape": (32, 32, 3), "classes": CLASSES, "weights": None}
    if name == "resnet18":
        options["stem"] = "cifar"
    return applications.build(name, attention=attention, **options)


def _optimizer(**options):
    return SGDL2(0.025, 0.9, l2=3e-4, **options)


def _batch(size):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(size, 32, 32, 3)).astype("float32")
    return tf.constant(images), tf.constant(rng.integers(CLASSES, size=size))


def _draw(rows, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    draw(axes, rows, [f"{row['model']}, order {row['order']}" for row in rows])
    axes.set_xlabel("an epoch of searching, in ordinary epochs")
    axes.set_title(machine(), fontsize=7)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
