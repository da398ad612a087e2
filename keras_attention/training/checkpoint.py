"""Checkpoints from which a run goes on exactly."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import keras
import numpy as np

from keras_attention.training.averaging import averaged
from keras_attention.training.files import replace_file, write_json

STATE_MEMBER = "keras_attention_state.json"
FRESH = {"epoch": 0, "best": None, "best_epoch": None}


class Checkpoint(keras.callbacks.Callback):
    """After each epoch, write `last.keras`, and `best.keras` if it is the best.

    `last.keras` is an ordinary Keras file that also holds what Keras leaves out:
    the states of random seeds, and the run's progress. One file, so that a crash
    cannot leave a network of one epoch with the state of another. `state.json`
    shows the progress to people and tools; nothing reads it back. Where the optimizer
    averages weights (EMA), `best.keras` has the averaged ones.

    Args:
        folder: where to write.
        monitor: name of the metric that the best network has least of. An epoch
            without it is not the best.
        state: progress so far, from `restore` or `FRESH`.
        highest: whether the best network has most of it instead.

    Raises:
        FloatingPointError: at the end of an epoch with a loss that is not finite;
            the last checkpoint stays as it was.
    """

    def __init__(
        self, folder: Path, monitor: str, state: dict, *, highest: bool = False
    ):
        super().__init__()
        self.folder = folder
        self.monitor = monitor
        self.state = dict(state)
        self.highest = highest

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise FloatingPointError(
                f"The loss is {logs['loss']} after epoch {epoch + 1}: try a lower "
                "learning rate. The checkpoints of earlier epochs are untouched"
            )
        self.state["epoch"] = epoch + 1
        value = logs.get(self.monitor)
        if value is not None and self._is_better(float(value)):
            self.state |= {"best": float(value), "best_epoch": epoch + 1}
            with averaged(self.model):
                replace_file(self.folder / "best.keras", self.model.save)
        save_state(self.model, self.folder / "last.keras", self.state)
        shown = self.state | {"monitor": self.monitor}
        write_json(self.folder / "state.json", shown)

    def _is_better(self, value: float) -> bool:
        best = self.state["best"]
        return best is None or (value > best if self.highest else value < best)


def save_state(model: keras.Model, path: Path, state: dict) -> None:
    """Write all that `restore` brings back, whole or not at all.

    Args:
        model: compiled.
        path: the file, `….keras`.
        state: the progress, as `restore` returns it.
    """

    def write(aside: Path) -> None:
        model.save(aside)
        extra = state | {"random": _random_states(model)}
        with zipfile.ZipFile(aside, "a") as archive:
            archive.writestr(STATE_MEMBER, json.dumps(extra))

    replace_file(path, write)


def restore(model: keras.Model, path: Path) -> dict:
    """Put a compiled model into the state that a `last.keras` holds.

    Restores weights, moving statistics, the optimizer's variables and step, and
    random seeds.

    Args:
        model: compiled, of the same architecture.
        path: the file.

    Returns:
        The progress: `epoch` (epochs done), `best`, `best_epoch`.

    Raises:
        ValueError: the file is damaged, no checkpoint of `Checkpoint`'s, or of
            another architecture.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            state = json.loads(archive.read(STATE_MEMBER))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ValueError(f"{path} holds no run to go on with: {error}") from error
    model.optimizer.build(model.trainable_variables)
    model.load_weights(path)
    seeds = random_variables(model)
    saved = state.pop("random")
    if len(seeds) != len(saved):
        raise ValueError(
            f"{path} has {len(saved)} random seeds, the model has {len(seeds)}: it is "
            "of another architecture"
        )
    for variable, value in zip(seeds, saved, strict=True):
        variable.assign(np.array(value, variable.dtype))
    return state


def random_variables(model: keras.Model) -> list:
    """Seed states: what `variables` has and `weights`, which Keras saves, has not."""
    saved = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in saved]


def _random_states(model: keras.Model) -> list[list[int]]:
    return [
        keras.ops.convert_to_numpy(variable).tolist()
        for variable in random_variables(model)
    ]
