"""What happens beside a detector's training: progress, measurement, log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras

from keras_attention.detection.coco_metrics import METRICS, evaluate_detections
from keras_attention.detection.data.records import BoxedImages
from keras_attention.detection.data.resizing import Sizing
from keras_attention.detection.prediction import find, shown
from keras_attention.detection.stepping import Stepper
from keras_attention.timing import duration
from keras_attention.training import history
from keras_attention.training.distribution import replicas

SHOWN = ("AP", "AP50", "AP75")


class ProgressBar(keras.callbacks.Callback):
    """A bar for each epoch, under the time that is left of the run.

    Args:
        path: of the history, which tells how long an epoch takes.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    def on_epoch_begin(self, epoch, logs=None):
        epochs, steps = self.params["epochs"], self.params["steps"]
        rows, left = history.read(self.path), ""
        if rows:
            left = f", {duration(rows[-1]['seconds'] * (epochs - epoch))} left"
        print(f"Epoch {epoch + 1}/{epochs}{left}", flush=True)
        self.bar = keras.utils.Progbar(steps, stateful_metrics=())

    def on_train_batch_end(self, batch, logs=None):
        self.bar.stateful_metrics |= set(logs)  # which are means already
        self.bar.update(batch + 1, list(logs.items()))


class Evaluator(keras.callbacks.Callback):
    """Adds COCO's numbers to the logs of every so many epochs, and of the last.

    Args:
        stepper: of the model.
        images: to measure on.
        sizing: how large they are fed.
        every: epochs from one measurement to the next.
        epochs: of the whole run.
        verbose: whether to show a bar and the result.
        between: called after each batch.
    """

    def __init__(
        self,
        stepper: Stepper,
        images: BoxedImages,
        sizing: Sizing,
        every: int,
        epochs: int,
        verbose: bool,
        between: Callable[[], None],
    ):
        super().__init__()
        self.stepper = stepper
        self.images = images
        self.sizing = sizing
        self.every = every
        self.epochs = epochs
        self.verbose = verbose
        self.between = between

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every and epoch + 1 < self.epochs:
            return
        detections = find(
            self.stepper,
            self.images,
            self.sizing,
            replicas(),
            self.verbose,
            self.between,
        )
        found = evaluate_detections(self.images, detections)
        logs |= {name: found[name] for name in METRICS}
        if self.verbose:
            numbers = (f"{name} {shown(found[name])}" for name in SHOWN)
            print(", ".join(numbers), flush=True)


class HistoryLog(keras.callbacks.Callback):
    """Adds each epoch to the history; cells are empty where nothing was measured.

    Args:
        path: of the history.
        measures: whether COCO's numbers have columns.
    """

    def __init__(self, path: Path, measures: bool):
        super().__init__()
        self.path = path
        self.measures = measures

    def on_epoch_end(self, epoch, logs=None):
        measured = METRICS if self.measures else ()
        last = ("learning_rate", "seconds")
        losses = sorted(set(logs) - set(METRICS) - {*last, "loss"})
        columns = ("loss", *losses, *measured, *last)
        row = {"epoch": epoch} | {name: logs.get(name, "") for name in columns}
        history.append_rows(self.path, [row])
