"""Two hundred epochs in one process: do memory, files and threads stay as they are?

    KERAS_BACKEND=tensorflow python benchmarks/soak.py search --out docs/results/soak
    KERAS_BACKEND=tensorflow python benchmarks/soak.py train --out docs/results/soak
    KERAS_BACKEND=jax python benchmarks/soak.py train --out docs/results/soak

What grows by a little in each epoch ends a run of days. The search, or a training, of
a network of eight layers on a few of the bundled digits, with all that a real epoch
has: progress bar, logs, a row in the history, a checkpoint, and for a training
validation, TensorBoard and the best network so far. After each epoch, and after
Python's garbage collection: resident memory, open file descriptors, threads. From
epoch 10 on memory must not grow by more than 5%, and the other two not at all. Linux
only. A few minutes each.
"""

import argparse
import csv
import gc
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from keras_attention import applications, data, training
from keras_attention.timing import machine
from keras_attention.tuning.search_run import SearchRun
from keras_attention.tuning.searching import search

FIELDS = ("run", "backend", "epoch", "mebibytes", "handles", "threads", "seconds")
LIMIT, BATCH = 64, 16
SETTLED = 10
MOST_GROWTH = 0.05
MEBIBYTE = 2**20


class Watch:
    """What the process takes, epoch by epoch, in a CSV file.

    Args:
        path: of the file.
        run: "search" or "train".
    """

    def __init__(self, path, run):
        self.rows, self.run, self.began = [], run, time.perf_counter()
        self.file = path.open("w", newline="", encoding="utf-8")
        self.writer = csv.DictWriter(self.file, FIELDS)
        self.writer.writeheader()

    def look(self):
        """Measure, after an epoch."""
        gc.collect()
        row = {
            "run": self.run,
            "backend": keras.backend.backend(),
            "epoch": len(self.rows) + 1,
            "mebibytes": round(resident() / MEBIBYTE, 2),
            "handles": len(os.listdir("/proc/self/fd")),
            "threads": len(os.listdir("/proc/self/task")),
            "seconds": round(time.perf_counter() - self.began, 1),
        }
        self.rows.append(row)
        self.writer.writerow(row)
        self.file.flush()


class AfterEpochs(keras.callbacks.Callback):
    """Look when the next epoch begins: all of the one before is done, and saved.

    Args:
        watch: `Watch`.
    """

    def __init__(self, watch):
        super().__init__()
        self.watch = watch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch:
            self.watch.look()


def resident():
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def soak_search(watch, folder, epochs):
    """A search, watched."""
    epoch_of = SearchRun._epoch

    def watched(self, *arguments):
        epoch_of(self, *arguments)
        watch.look()

    SearchRun._epoch = watched
    search(
        out=folder,
        model="cifarresnet-8",
        data="digits",
        limit=LIMIT,
        batch_size=BATCH,
        epochs=epochs,
        augmentation="none",
    )


def soak_train(watch, folder, epochs):
    """A training, watched."""
    images = data.load("digits", limit=LIMIT)
    model = applications.build(
        "cifarresnet-8",
        input_shape=images.preprocessing.input_shape,
        classes=images.preprocessing.classes,
    )
    training.fit(
        model,
        images,
        training.recipe("quick", epochs=epochs, batch_size=BATCH),
        out=folder,
        callbacks=[AfterEpochs(watch)],
        verbose=1,
    )
    watch.look()


RUNS = {"search": soak_search, "train": soak_train}


def growth(rows):
    """Of memory since it settled: the most that it rose above its lowest until then.

    That it falls is no fault; what it rises by afterwards counts in full.
    """
    lowest, most = rows[SETTLED - 1]["mebibytes"], 0.0
    for row in rows[SETTLED:]:
        most = max(most, row["mebibytes"] / lowest - 1)
        lowest = min(lowest, row["mebibytes"])
    return most


def findings(rows):
    """What is not as it was at epoch 10, in words."""
    found, settled = [], rows[SETTLED - 1]
    if growth(rows) > MOST_GROWTH:
        found.append(f"memory grew by {growth(rows):.1%}")
    for name in ("handles", "threads"):
        most = max(row[name] for row in rows[SETTLED:])
        if most > settled[name]:
            found.append(f"{name} grew from {settled[name]} to {most}")
    return found


def summary(rows):
    """One row of a table, as Markdown."""
    settled, last = rows[SETTLED - 1], rows[-1]
    numbers = [f"{each['mebibytes']:.1f}" for each in (settled, last)]
    same = [f"{settled[name]} → {last[name]}" for name in ("handles", "threads")]
    cells = [last["run"], last["backend"], last["epoch"], *numbers]
    cells += [f"{growth(rows):+.2%}", *same, f"{last['seconds']:.0f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def picture(out):
    """Memory since epoch 10 of all runs that have a file in the folder."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    # Okabe and Ito's, which colour-blind people can tell apart.
    for path, colour in zip(
        sorted(out.glob("*_*.csv")), ("#0072b2", "#d55e00", "#009e73"), strict=False
    ):
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        settled = float(rows[SETTLED - 1]["mebibytes"])
        axes.plot(
            [int(row["epoch"]) for row in rows],
            [100 * (float(row["mebibytes"]) / settled - 1) for row in rows],
            color=colour,
            label=f"{rows[0]['run']}, {rows[0]['backend']}: {settled:.0f} MiB",
        )
    for edge in (-MOST_GROWTH, MOST_GROWTH):
        axes.axhline(100 * edge, color="#222222", linewidth=0.8, linestyle=":")
    axes.axvline(SETTLED, color="#222222", linewidth=0.8)
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"resident memory, % of epoch {SETTLED}'s")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(out / "memory.png", dpi=120)
    pyplot.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("runs/soak"))
    arguments = parser.parse_args()
    if arguments.epochs <= SETTLED:
        parser.error(f"--epochs must be more than {SETTLED}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = f"{arguments.run}_{keras.backend.backend()}"
    watch = Watch(arguments.out / f"{name}.csv", arguments.run)
    with tempfile.TemporaryDirectory() as folder:
        RUNS[arguments.run](watch, Path(folder) / "run", arguments.epochs)
    watch.file.close()
    picture(arguments.out)
    print(f"\n{machine()}\n{summary(watch.rows)}")
    if found := findings(watch.rows):
        sys.exit("; ".join(found))


if __name__ == "__main__":
    main()
