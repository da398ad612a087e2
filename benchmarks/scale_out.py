"""What a second device or process gains, and what feeds them.

    python benchmarks/scale_out.py --output runs/scale-out

A CIFAR-ResNet-20 is trained by Keras' `fit` on 32×32 images, 64 a step: by one device,
by two devices in one process (TensorFlow and JAX), and by two processes on loopback
(JAX). All cases of a program run once in each round, in an order that is the same in
all processes; ratios are within a round. Beside it the input pipeline alone, whole and
a half of each batch: where it delivers fewer images a second than are trained, it is
the bottleneck.

On a CPU one device may use all cores already: a ratio of 1 then says that sharing
costs nothing. What it gains, accelerators must show.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

TWO, HOSTS = "cpu:2", "hosts"
PROGRAMS = {"tensorflow": TWO, "jax": TWO, HOSTS: HOSTS}
NAMES = {TWO: "two devices", HOSTS: "two processes"}
BATCH, STEPS, IMAGES = 64, 8, 4096


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--program", choices=PROGRAMS, help="one alone, for itself")
    asked = parser.parse_args()
    if asked.program:
        _measure(asked.program, asked.rounds, asked.output)
        return
    asked.output.mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        print(f"{program}: {asked.rounds} rounds", flush=True)
        _start(program, asked.rounds, asked.output)
    _report(asked.output)


def _start(program, rounds, output):
    """In a program of its own, because devices are divided before anything else."""
    command = [sys.executable, __file__, "--program", program]
    command += ["--output", str(output), "--rounds", str(rounds)]
    if program == HOSTS:
        launch = ["-m", "keras_attention.training.launch", "--processes", "2", "--"]
        command = [sys.executable, *launch, *command]
    backend = "tensorflow" if program == "tensorflow" else "jax"
    subprocess.run(command, check=True, env=os.environ | {"KERAS_BACKEND": backend})


def _measure(program, rounds, output):
    from keras_attention.timing import interleave, machine, quartiles, ratio
    from keras_attention.training.distribution import (
        distributed,
        is_chief,
        part,
        replicas,
    )

    if PROGRAMS[program] == TWO:
        from keras_attention.training.logical_devices import divide_cpu

        divide_cpu(2)
    data = _data()
    with distributed(PROGRAMS[program]):
        own, number = part(), replicas()
        several = _training(data, own)
        chief = is_chief()

    def shared():
        with distributed(PROGRAMS[program]):
            several()

    cases = {"several": shared, "half": _reading(data, own)}
    if chief:  # the others wait for it in the next step that they share
        cases |= {"one": _training(data), "whole": _reading(data)}
    else:
        cases |= {"one": _nothing, "whole": _nothing}
    seconds = interleave(dict(sorted(cases.items())), rounds)
    if not chief:
        return
    images = BATCH * STEPS
    found = {
        "case": NAMES[PROGRAMS[program]],
        "devices": number,
        "backend": "jax" if program == HOSTS else program,
        "throughput_ratio": list(ratio(seconds, "one", "several")),
        "images_per_second": {
            name: list(quartiles(images / each)) for name, each in seconds.items()
        },
        "rounds": rounds,
        "machine": machine(),
    }
    (output / f"{program}.json").write_text(json.dumps(found, indent=2) + "\n")


def _data():
    import numpy as np

    from keras_attention.data import from_arrays

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, 32, 32, 3), "uint8")
    return from_arrays(
        (images, rng.integers(0, 10, IMAGES)), class_names=[*"0123456789"]
    )


def _batches(data, own):
    from keras_attention.data import Augmentation

    augmentation = Augmentation(flip=True, pad_crop=4)
    return data.training(augmentation, batch_size=BATCH, epochs=10_000, part=own)


def _training(data, own=None):
    """A function that trains some steps, in the scope in which this is called."""
    from keras_attention import applications, training
    from keras_attention.data.order import WHOLE

    model = applications.build("cifarresnet-20", input_shape=(32, 32, 3), classes=10)
    recipe = training.recipe("cifar", epochs=1, batch_size=BATCH)
    training.compile(model, recipe, STEPS)
    batches = _batches(data, own or WHOLE)

    def train():
        model.fit(batches, steps_per_epoch=STEPS, epochs=1, verbose=0)

    return train


def _reading(data, own=None):
    """A function that reads as many batches, and gives the seconds of all but one."""
    from time import perf_counter

    from keras_attention.data.order import WHOLE

    batches = _batches(data, own or WHOLE)

    def read():
        rest = iter(batches)
        next(rest)  # which starts the threads
        start = perf_counter()
        for _ in range(10 * STEPS):
            next(rest)
        return (perf_counter() - start) / 10

    return read


def _nothing():
    return 0.0


def _report(output):
    rows = [
        json.loads((output / f"{program}.json").read_text()) for program in PROGRAMS
    ]
    lines = [
        "| backend | case | throughput, × one device | images/s | input pipeline, "
        "images/s (its part) | bottleneck |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, middle, high = row["throughput_ratio"]
        speed = {name: each[1] for name, each in row["images_per_second"].items()}
        slower = "training" if speed["several"] < speed["half"] else "input pipeline"
        lines.append(
            f"| {row['backend']} | {row['case']} | {middle:.2f} ({low:.2f} to "
            f"{high:.2f}) | {speed['several']:,.0f} | {speed['half']:,.0f} | {slower} |"
        )
    (output / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
