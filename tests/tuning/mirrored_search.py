"""Searches on two replicas, whole and interrupted; prints JSON for `test_search.py`.

A program of its own, because devices are divided before anything else runs.
"""

import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)

import csv  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from keras_attention.tuning import search  # noqa: E402

ASKED = {"model": "cifarresnet-8", "data": "digits", "space": "none,se", "limit": 64}
ASKED |= {"augmentation": "none", "epochs": 2, "batch_size": 16, "verbose": 0}
ASKED |= {"alpha_learning_rate": 0.1}


def alphas(folder):
    with (folder / "alpha.csv").open(newline="") as file:
        return [float(row["alpha_0"]) for row in csv.DictReader(file)]


def main(out):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        search(out=out / "whole", **ASKED)
        search(out=out / "twice", stop_after=1, **ASKED)
        search(out=out / "twice", resume=True, verbose=0)
        search(out=out / "null", control="penalty-only", **ASKED)
    print(json.dumps({x: alphas(out / x) for x in ("whole", "twice", "null")}))


main(Path(sys.argv[1]))
