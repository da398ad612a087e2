"""What the benchmarks write: ratios within interleaved rounds, beside their targets.

The timing itself is `keras_attention.timing`. Only ratios are written.
"""

import csv
from pathlib import Path

from keras_attention.timing import Quartiles, draw_bars, machine, ratio


def ratio_row(seconds, name, baseline):
    """Columns for the ratio of two cases within a round."""
    low, median, high = ratio(seconds, name, baseline)
    return {
        "ratio": round(median, 3),
        "quartile_1": round(low, 3),
        "quartile_3": round(high, 3),
        "rounds": len(seconds[name]),
    }


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
    measured = [
        Quartiles(row["quartile_1"], row["ratio"], row["quartile_3"]) for row in rows
    ]
    places = draw_bars(axes, measured, labels)
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
