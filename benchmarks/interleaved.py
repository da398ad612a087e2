"""Timing side by side: every round runs every case once, in an order of its own.

What a machine does at the time falls on all cases alike, so ratios within a round
hold where times do not. Only ratios are written.
"""

import csv
import os
import platform
from importlib import metadata
from pathlib import Path
from time import perf_counter

import numpy as np


def interleave(cases, rounds, on_round=None):
    """Seconds of each case in each round, after one run that is not counted.

    Args:
        cases: {name: function of nothing that returns when the work is done, or that
            returns the seconds itself}.
        rounds: int.
        on_round: called after each round with its number, for progress.

    Returns:
        {name: array of `rounds` seconds}.
    """
    order = np.random.default_rng(0)
    names = list(cases)
    seconds = {name: [] for name in names}
    for case in cases.values():
        case()
    for number in range(rounds):
        # A case is slower after one that left little of it in the caches.
        for index in order.permutation(len(names)):
            name = names[index]
            start = perf_counter()
            own = cases[name]()
            seconds[name].append(perf_counter() - start if own is None else own)
        if on_round:
            on_round(number + 1)
    return {name: np.array(values) for name, values in seconds.items()}


def ratio(seconds, name, baseline):
    """Median and quartiles of the ratio of two cases within a round."""
    ratios = seconds[name] / seconds[baseline]
    low, median, high = np.percentile(ratios, [25, 50, 75])
    return {
        "ratio": round(float(median), 3),
        "quartile_1": round(float(low), 3),
        "quartile_3": round(float(high), 3),
        "rounds": len(ratios),
    }


def machine():
    """The processor, its cores, and the versions that ran on it."""
    versions = []
    for package in ("tensorflow", "jax", "keras"):
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0))
    return f"{_processor()}, {cores} cores, {', '.join(versions)}"


def write(rows, path):
    """`rows` as CSV, each with the machine's name."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{**row, "machine": machine()} for row in rows]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def draw(axes, rows, labels):
    """Bars of ratios with quartiles, the target as a mark, and 1 as a line."""
    places = np.arange(len(rows))[::-1]
    ratios = np.array([row["ratio"] for row in rows])
    quartiles = np.array([[row["quartile_1"], row["quartile_3"]] for row in rows])
    axes.barh(places, ratios, height=0.7, color="#4477aa")
    axes.errorbar(
        ratios,
        places,
        xerr=np.abs(quartiles.T - ratios),
        fmt="none",
        ecolor="#222222",
        capsize=2,
        label="quartiles",
    )
    with_target = [i for i, row in enumerate(rows) if row["target"]]
    axes.plot(
        [rows[i]["target"] for i in with_target],
        places[with_target],
        "|",
        color="#cc3311",
        markersize=14,
        markeredgewidth=2.5,
        label="target",
    )
    axes.axvline(1, color="#222222", linewidth=0.8)
    axes.set_yticks(places, labels)
    axes.set_ylim(-1, len(rows))
    axes.spines[["top", "right"]].set_visible(False)


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":")[1].strip() for line in lines if "model name" in line
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
