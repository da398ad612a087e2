"""The log of a run: `history.csv`, one row per epoch."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path

import keras

from keras_attention.training.files import naming, write_text

FILE = "history.csv"


class EpochFacts(keras.callbacks.Callback):
    """Add the learning rate and the seconds of each epoch to the logs.

    The learning rate is that of the epoch's last step. Seconds include the
    validation, and what an interrupted epoch took before. Must stand before the
    callbacks that write logs.

    Args:
        state: the run's progress, whose `seconds` are kept up to date.
    """

    def __init__(self, state: dict):
        super().__init__()
        self.state = state

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter() - self.state["seconds"]

    def on_train_batch_end(self, batch, logs=None):
        self.state["seconds"] = time.perf_counter() - self.began

    def on_epoch_end(self, epoch, logs=None):
        optimizer = self.model.optimizer
        # Under mixed_float16 Keras wraps it, to scale the loss.
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        # `learning_rate` is the next step's by now.
        last_step = int(keras.ops.convert_to_numpy(optimizer.iterations)) - 1
        # Keras keeps a schedule in `_learning_rate` and shows its value only.
        rate = optimizer._learning_rate(last_step)
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(rate))
        logs["seconds"] = round(time.perf_counter() - self.began, 3)


class HistoryLog(keras.callbacks.Callback):
    """Add each epoch's logs to a history, whole or not at all.

    `keras.callbacks.CSVLogger` keeps its file open, and a full disk leaves half a row.

    Args:
        path: of the history.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        append_rows(self.path, [{"epoch": epoch} | dict(sorted(logs.items()))])


def read(path: Path) -> list[dict[str, float]]:
    """The rows of a history, numbers as floats; "NA" and the like are left out."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file, naming(path):
        return [_numbers(row) for row in csv.DictReader(file)]


def read_some(path: Path) -> list[dict[str, float]]:
    """As `read`, of a history that has an epoch at least.

    Raises:
        FileNotFoundError: it has none, or is not there.
    """
    rows = read(path)
    if not rows:
        raise FileNotFoundError(f"There is no finished epoch in {path}")
    return rows


def append_rows(path: Path, rows: list[dict]) -> None:
    """Add rows to a CSV file, whole or not at all.

    Raises:
        ValueError: the file has other columns.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    if path.exists():
        text.write(path.read_text(encoding="utf-8"))
        heads = text.getvalue().partition("\n")[0].strip()
        if heads != ",".join(rows[0]):
            raise ValueError(
                f"{path} has the columns {heads}, and is not added to: another version "
                "wrote it. Start anew in another folder"
            )
    else:
        writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def forget_after(path: Path, epoch: int) -> None:
    """Drop the rows of epochs from `epoch` (counted from 0) on.

    A run that dies between its log and its checkpoint has logged an epoch that
    it will train again.

    Raises:
        ValueError: it is damaged; the message names the file.
    """
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file, naming(path):
        reader = csv.DictReader(file)
        rows = [row for row in reader if int(row["epoch"]) < epoch]
        fields = reader.fieldnames
    if not rows:
        path.unlink()
        return
    text = io.StringIO()
    with naming(path):
        writer = csv.DictWriter(text, fields)
        writer.writeheader()
        writer.writerows(rows)
    write_text(path, text.getvalue())


def _numbers(row: dict[str, str]) -> dict[str, float]:
    numbers = {}
    for key, value in row.items():
        try:
            numbers[key] = float(value)
        except ValueError:
            continue
    return numbers
