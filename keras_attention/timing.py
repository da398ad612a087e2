"""Timing side by side: every round runs every case once, in an order of its own.

What a machine does at the time falls on all cases alike, so ratios within a round
hold where times do not.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

__all__ = [
    "Quartiles",
    "draw_bars",
    "duration",
    "interleave",
    "machine",
    "quartiles",
    "ratio",
]

# Paul Tol's blue, beside whose red colour-blind people can tell it.
COLOUR = "#4477aa"


class Quartiles(NamedTuple):
    """The middle of many measurements, and where half of them lie."""

    low: float
    median: float
    high: float


def interleave(
    cases: dict[object, Callable],
    rounds: int,
    on_round: Callable[[int], None] | None = None,
    warm_up: int = 1,
) -> dict[object, np.ndarray]:
    """Seconds of each case in each round.

    Args:
        cases: {name: function of nothing that returns when the work is done, or that
            returns the seconds itself, as a float}.
        rounds: int.
        on_round: called after each round with its number, for progress.
        warm_up: runs of each case before the first round, which are not counted.

    Returns:
        {name: array of `rounds` seconds}.
    """
    order = np.random.default_rng(0)
    names = list(cases)
    seconds = {name: [] for name in names}
    for case in cases.values():
        for _ in range(warm_up):
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


def quartiles(values) -> Quartiles:
    """Median and quartiles of numbers."""
    return Quartiles(*map(float, np.percentile(values, [25, 50, 75])))


def ratio(seconds: dict[object, np.ndarray], name, baseline) -> Quartiles:
    """Median and quartiles of the ratio of two cases within a round.

    Args:
        seconds: what `interleave` gives.
        name, baseline: of the two cases.
    """
    return quartiles(seconds[name] / seconds[baseline])


def duration(seconds: float) -> str:
    """Seconds for a person: `"45 s"`, `"12 min"`, `"2 h 05 min"`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def machine(packages: Sequence[str] = ("tensorflow", "jax", "keras")) -> str:
    """The processor, its cores, and the versions that ran on it.

    Args:
        packages: whose versions to tell, where they are installed.
    """
    versions = []
    for package in packages:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join([_processor(), f"{_cores()} cores", *versions])


def draw_bars(axes, measured: Sequence[Quartiles], labels: Sequence[str]) -> np.ndarray:
    """Bars of medians with quartiles, the first on top.

    Args:
        axes: of matplotlib.
        measured: one for each bar.
        labels: one for each bar.

    Returns:
        The height at which each bar is.
    """
    places = np.arange(len(measured))[::-1]
    low, median, high = np.array(measured).T
    axes.barh(places, median, height=0.7, color=COLOUR)
    axes.errorbar(
        median,
        places,
        xerr=[median - low, high - median],
        fmt="none",
        ecolor="#222222",
        capsize=2,
        label="quartiles",
    )
    axes.set_yticks(places, labels)
    axes.set_ylim(-1, len(measured))
    axes.spines[["top", "right"]].set_visible(False)
    return places


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # which only Linux has
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":")[1].strip() for line in lines if "model name" in line
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
