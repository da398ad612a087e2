"""Interleaved timing in one process: medians, spread, and ratios to a baseline."""

import csv
import os
import platform
import resource
import statistics
import time
from pathlib import Path


def interleaved(functions, repeats, warm_up=2):
    """Times each function `repeats` times, in turn: A B C A B C …

    A machine whose speed drifts slows all of them alike, so ratios hold where
    absolute times do not.

    Args:
        functions: dict of name → callable that returns when its result is there.
        repeats: counted rounds.
        warm_up: rounds before, which trace, compile and fill caches.

    Returns:
        dict of name → list of seconds.
    """
    for _ in range(warm_up):
        for function in functions.values():
            function()
    seconds = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            begin = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def summarize(seconds, baseline):
    """Per name: the median and quartiles of its ratio to `baseline`, round by round."""
    rows = {}
    for name, values in seconds.items():
        ratios = sorted(a / b for a, b in zip(values, seconds[baseline], strict=True))
        low, median, high = statistics.quantiles(ratios, n=4)
        rows[name] = {
            "ratio": round(median, 3),
            "ratio_low": round(low, 3),
            "ratio_high": round(high, 3),
            "median_ms": round(1000 * statistics.median(values), 3),
        }
    return rows


def machine():
    """What ran it: processor, cores, versions."""
    import keras

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    backend = keras.backend.backend()
    version = __import__(backend).__version__
    software = f"{backend} {version}, keras {keras.__version__}"
    return f"{model}, {os.cpu_count()} cores; {software}"


def peak_megabytes():
    """The process' largest resident size so far, in MB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_csv(path, rows):
    """Rows of one form as a CSV file."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
