"""Searches on two replicas, whole and interrupted; prints JSON for `test_search.py`.

A program of its own, because devices are divided before anything else runs.
"""

import csv
import json
import sys
from pathlib import Path

from keras_attention.tuning import search

ASKED = {"model": "cifarresnet-8", "data": "digits", "space": "none,se", "limit": 64}
ASKED |= {"augmentation": "none", "epochs": 2, "batch_size": 16, "verbose": 0}
ASKED |= {"alpha_learning_rate": 0.1}
TWO = {"distribute": "cpu:2"}


def alphas(folder):
    with (folder / "alpha.csv").open(newline="") as file:
        return [float(row["alpha_0"]) for row in csv.DictReader(file)]


def hosts_refused(out):
    try:
        search(out=out, distribute="hosts", **ASKED)
    except ValueError as error:
        return str(error)
    return ""


def main(out):
    search(out=out / "whole", **TWO, **ASKED)
    search(out=out / "twice", stop_after=1, **TWO, **ASKED)
    # Which takes the devices of the session before.
    search(out=out / "twice", resume=True, verbose=0)
    search(out=out / "null", control="penalty-only", **TWO, **ASKED)
    search(out=out / "alone", **ASKED)
    names = ("whole", "twice", "null", "alone")
    record = json.loads((out / "twice/run.json").read_text())
    print(
        json.dumps(
            {name: alphas(out / name) for name in names}
            | {
                "devices": [each["distribute"] for each in record["sessions"]],
                "hosts": hosts_refused(out / "hosts"),
            }
        )
    )


main(Path(sys.argv[1]))
