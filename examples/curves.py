"""Draw the learning curves of several runs in one picture.

    python examples/curves.py --out curves.png runs/none runs/se runs/cbam runs/aw_se

Needs matplotlib: pip install 'keras_attention[viz]'.
"""

import argparse
from pathlib import Path

from keras_attention.extras import require
from keras_attention.training import history, read_run

# Okabe and Ito's colours, which the colour-blind can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
PANELS = {
    "loss": "Training loss (cross-entropy)",
    "top1_error": "Training top-1 error (%), augmented images",
    "val_top1_error": "Validation top-1 error (%)",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    parser.add_argument("--out", required=True, type=Path, help="picture to write")
    arguments = parser.parse_args()
    if len(arguments.runs) > len(COLOURS):
        parser.error(f"at most {len(COLOURS)} runs, got {len(arguments.runs)}")
    pyplot = require("matplotlib.pyplot", extra="viz", purpose="A picture")
    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(12, 3.6), sharex=True)
    for run, colour in zip(arguments.runs, COLOURS, strict=False):
        rows = history.read(run / "history.csv")
        epochs = [row["epoch"] + 1 for row in rows]
        for axis, column in zip(axes, PANELS, strict=True):
            values = [row[column] for row in rows]
            axis.plot(epochs, values, "o-", color=colour, label=_label(run))
    for axis, title in zip(axes, PANELS.values(), strict=True):
        axis.set(title=title, xlabel="epoch", ylim=(0, None))
        axis.title.set_fontsize(10)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0].legend(title="attention", frameon=False)
    figure.tight_layout()
    figure.savefig(arguments.out, dpi=150)


def _label(run):
    attention = read_run(run)["model"]["attention"]
    return (
        f"{run.name} (by block)" if isinstance(attention, list) else attention or "none"
    )


if __name__ == "__main__":
    main()
