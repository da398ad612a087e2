"""Checkpoints from which a run goes on exactly, at any step."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import keras
import numpy as np
import tensorflow as tf

from keras_attention.files import generations
from keras_attention.training.averaging import averaged
from keras_attention.training.distribution import is_chief
from keras_attention.training.files import replace_file, write_json
from keras_attention.training.interruption import Interrupted, StopRequest
from keras_attention.training.norms import unsynchronized
from keras_attention.training.processes import any_process, failing_together
from keras_attention.training.run_folder import Remembered, versions
from keras_attention.weights import whole_networks
from keras_attention.weights.checking import check_zip

STATE_MEMBER = "keras_attention_state.json"
# Far more than any progress: a file that claims more is none of ours.
MOST_STATE_BYTES = 2**26
FRESH = {"epoch": 0, "step": 0, "seconds": 0.0, "best": None, "best_epoch": None}
LAST, BEST = "last.keras", "best.keras"
STEPS_BETWEEN, KEPT = 500, 2
DAMAGED = ".damaged"
UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError),
    *(ArithmeticError, tf.errors.OpError),
    *(
        UserWarning,
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
        NotImplementedError,
    ),
)

Found = TypeVar("Found")


class Checkpoint(keras.callbacks.Callback):
    """Write `last.keras` every so many steps, and `best.keras` after a best epoch.

    `last.keras` is an ordinary Keras file that also holds what Keras leaves out: the
    states of random seeds and of metrics, and the run's progress. One file, so that a
    crash cannot leave a network of one step with the state of another. There is one
    before the first step, too, and one at the end of each epoch. The one before is
    kept as `last-1.keras`, and so on. `state.json` shows the progress to people and
    tools; nothing reads it back. Where the optimizer averages weights (EMA),
    `best.keras` has the averaged ones.

    Must be the last callback: an epoch counts when all have seen it. Of several
    processes each needs its own, and the first one's writes.

    Args:
        folder: where to write.
        monitor: name of the metric that the best network has least of. An epoch
            without it is not the best.
        state: progress so far, from `resume_state`; it is kept up to date.
        steps: of an epoch.
        stop: whether the run has been asked to stop.
        remembered: of the folder, which is made anew if it is deleted meanwhile.
        every: steps between two checkpoints.
        kept: checkpoints to keep, at least 1.
        highest: whether the best network has most of `monitor` instead.

    Raises:
        Interrupted: after a step, when the run has been asked to stop and the state is
            saved.
        FloatingPointError: after a step with a loss that is not finite, or before a
            network with such weights would be saved; the checkpoints stay as they were.
        OSError: a checkpoint cannot be written; those before are whole.
    """

    def __init__(
        self,
        folder: Path,
        monitor: str,
        state: dict,
        *,
        steps: int,
        stop: StopRequest,
        remembered: Remembered,
        every: int = STEPS_BETWEEN,
        kept: int = KEPT,
        highest: bool = False,
    ):
        super().__init__()
        self.folder = folder
        self.monitor = monitor
        self.state = state
        self.steps = steps
        self.stop = stop
        self.remembered = remembered
        self.every = every
        self.kept = kept
        self.highest = highest

    def on_train_begin(self, logs=None):
        # Asked of all: the first process has perhaps written it when another looks.
        if any_process(not generations(self.folder / LAST)):
            self.model.optimizer.build(self.model.trainable_variables)
            self._save()

    def on_epoch_begin(self, epoch, logs=None):
        self._first = self.state["step"]
        if self._first:
            assign(self.model.metrics_variables, self.state["metrics"])

    def on_train_batch_end(self, batch, logs=None):
        self.stop.agree()
        step = self.state["step"] = self._first + batch + 1
        if not math.isfinite(logs["loss"]):
            raise FloatingPointError(f"The loss is {logs['loss']} {self._place()}")
        if step == self.steps or self.stop or step % self.every == 0:
            _sync(self.model)
            self.state["metrics"] = values(self.model.metrics_variables)
            self.state["logs"] = dict(logs)
        self.stop_if_asked()
        if step % self.every == 0 and step < self.steps:
            self._save()

    def on_test_batch_end(self, batch, logs=None):
        self.stop.agree()
        if self.stop:
            _sync(self.model)
            with averaged(self.model):  # which are the model's while it is measured
                self.stop_if_asked()

    def stop_if_asked(self) -> None:
        """Between two steps, or while it is measured: save and stop, if that is asked.

        Raises:
            Interrupted: it was, and the state is saved.
        """
        if self.stop:
            self._save()
            raise Interrupted(self._stopped())

    def on_epoch_end(self, epoch, logs=None):
        self.stop.agree()
        self.remembered.look()
        self.state |= {"epoch": epoch + 1, "step": 0, "seconds": 0.0}
        value = logs.get(self.monitor)
        is_best = value is not None and self._is_better(float(value))
        if is_best:
            self.state |= {"best": float(value), "best_epoch": epoch + 1}
        self._save(best=is_best)
        if self.stop:
            raise Interrupted(self._stopped())

    def _is_better(self, value: float) -> bool:
        best = self.state["best"]
        return best is None or (value > best if self.highest else value < best)

    def keep_folder(self) -> None:
        """Make the folder anew if it was deleted; the best network in it is lost."""
        with failing_together("make the folder anew"):
            deleted = is_chief() and self.remembered.make_anew()
        if any_process(deleted):
            self.state |= {"best": None, "best_epoch": None}

    def _save(self, best: bool = False) -> None:
        self._check_finite()
        self.keep_folder()
        try:
            self._write(best)
        except OSError as error:
            raise unwritten(self.folder / LAST, self._place(), error) from error

    def _write(self, best: bool) -> None:
        if best:
            with averaged(self.model):
                save_network(self.model, self.folder / BEST)
        save_state(self.model, self.folder / LAST, self.state, older=self.kept - 1)
        shown = {key: self.state[key] for key in FRESH} | {"monitor": self.monitor}
        with failing_together("write state.json"):
            if is_chief():
                write_json(self.folder / "state.json", shown)

    def _check_finite(self) -> None:
        wrong = not_finite(self.model)
        if wrong:
            raise FloatingPointError(
                f"The weights of {wrong[0]} are not finite {self._place()}"
            )

    def _stopped(self) -> str:
        return f"Stopped by {self.stop.by}. {self.folder} has the state {self._place()}"

    def _place(self) -> str:
        epoch, step = self.state["epoch"], self.state["step"]
        if not step:
            return f"after epoch {epoch}" if epoch else "before the first step"
        return f"after step {step} of {self.steps} of epoch {epoch + 1}"


class FolderKeeper(keras.callbacks.Callback):
    """Sees to it, before an epoch's logs are written, that there is a folder for them.

    Must be the first callback.

    Args:
        checkpoint: the last one.
    """

    def __init__(self, checkpoint: Checkpoint):
        super().__init__()
        self.checkpoint = checkpoint

    def on_epoch_end(self, epoch, logs=None):
        self.checkpoint.keep_folder()


def not_finite(model: keras.Model) -> list[str]:
    """Paths of the weights that hold a NaN or an infinity, in the model's order."""
    return [
        weight.path for weight in model.weights if not np.isfinite(_array(weight)).all()
    ]


def save_network(model: keras.Model, path: Path) -> None:
    """Write a Keras file that every backend can read, whole or not at all."""
    with unsynchronized(model):
        _write_together(path, model.save)


def _write_together(
    path: Path, write: Callable[[Path], None], *, older: int | None = None
) -> None:
    """Write a file in all processes, of which the first keeps it.

    Keras computes the learning rate while it saves, and what is computed of variables
    that processes share is computed in all of them, or none goes on.
    """
    with failing_together(f"write {path}"):
        if is_chief():
            replace_file(path, write, older=older)
            return
        with tempfile.TemporaryDirectory() as aside:
            write(Path(aside) / path.name)


def save_state(
    model: keras.Model, path: Path, state: dict, *, older: int | None = None
) -> None:
    """Write all that `restore` brings back, whole or not at all.

    Args:
        model: compiled.
        path: the file, `….keras`.
        state: the progress, as `restore` returns it.
        older: as for `replace_file`.
    """

    def write(aside: Path) -> None:
        with unsynchronized(model):
            model.save(aside)
        seeds = values(random_variables(model))
        extra = state | {"random": seeds, "versions": versions()}
        with zipfile.ZipFile(aside, "a") as archive:
            archive.writestr(STATE_MEMBER, json.dumps(extra))

    _write_together(path, write, older=older)


def unwritten(path: Path, place: str, error: OSError) -> OSError:
    """What to say where a checkpoint cannot be written, and what is left."""
    whole = generations(path)
    kept = f"{whole[0]} is whole" if whole else "there is no checkpoint yet"
    return OSError(
        f"The state {place} cannot be written to {path.parent}: "
        f"{error.strerror or error}. Make room there, or let it be written to; then go "
        f"on: {kept}"
    )


def resume_state(model: keras.Model, folder: Path) -> dict:
    """Put a compiled model into the state of a run's last whole checkpoint.

    Returns:
        The progress; `FRESH` where there is no checkpoint yet.

    Raises:
        ValueError: none of the checkpoints is whole.
    """
    state = newest_whole(folder / LAST, lambda path: restore(model, path))
    return dict(FRESH) if state is None else state


def newest_whole(path: Path, read: Callable[[Path], Found]) -> Found | None:
    """What `read` gives of the newest of `generations(path)` that it does not refuse.

    What is refused is named on standard error, and put aside as `….damaged`.

    Args:
        path: of the newest.
        read: raises ValueError for a file that is damaged, or another run's.

    Returns:
        None, if there is no file at all.

    Raises:
        ValueError: all are refused.
    """
    refused = {}
    for candidate in generations(path):
        try:
            found = read(candidate)
        except ValueError as error:
            refused[candidate] = error
            continue
        for damaged, error in refused.items() if is_chief() else ():
            print(f"Refused: {error}. Going on from {candidate}", file=sys.stderr)
            os.replace(damaged, damaged.with_name(damaged.name + DAMAGED))
        return found
    if refused:
        said = "; ".join(map(str, refused.values()))
        raise ValueError(f"No checkpoint is left to go on from. {said}")
    return None


def restore(model: keras.Model, path: Path) -> dict:
    """Put a compiled model into the state that a `last.keras` holds.

    Restores weights, moving statistics, the optimizer's variables and step, and
    random seeds.

    Args:
        model: compiled, of the same architecture.
        path: the file.

    Returns:
        The progress: `epoch` (epochs done), `step` (of the next epoch, done),
        `seconds` (which that took), `metrics` and `logs` (after it), `best`,
        `best_epoch`.

    Raises:
        ValueError: the file is damaged, no checkpoint of `Checkpoint`'s, or of
            another architecture.
    """
    model.optimizer.build(model.trainable_variables)
    with reading(path):
        with zipfile.ZipFile(path) as archive:
            state = json.loads(read_member(archive, STATE_MEMBER))
            check_zip(path, whole_networks.most_bytes(path), stored=False)
        _check_progress(FRESH | state)
        saved, seeds = state.pop("random"), random_variables(model)
        if len(seeds) != len(saved):
            raise ValueError(
                f"it has {len(saved)} random seeds, the model has {len(seeds)}: it is "
                "of another architecture"
            )
        with warnings.catch_warnings():
            # What Keras only warns of: the state of another optimizer.
            warnings.filterwarnings("error", "Skipping variable loading")
            model.load_weights(path)
        assign(seeds, saved)
        return FRESH | state


def _check_progress(state: dict) -> None:
    """Raise ValueError unless values are what a run that goes on counts with."""
    whole, numbers = [state["epoch"], state["step"]], [state["seconds"]]
    if state["best"] is not None:
        whole.append(state["best_epoch"])
        numbers.append(state["best"])
    if state["step"]:
        numbers += state["logs"].values()
        whole.append(len(state["metrics"]))
    if not all(type(n) is int and 0 <= n < 2**53 for n in whole):
        raise ValueError(f"its epochs and steps are no counts: {whole}")
    if not all(type(n) in (int, float) for n in numbers):
        raise ValueError(f"its seconds and measures are no numbers: {numbers}")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Tell which checkpoint is damaged.

    Raises:
        ValueError: in place of whatever a file raises that is not whole, or holds
            something else; the message names the file.
    """
    try:
        yield
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the machine's fault: the file may be whole
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} holds no run to go on with: {said}") from error


def read_member(
    archive: zipfile.ZipFile, name: str, most_bytes: int = MOST_STATE_BYTES
) -> bytes:
    """A member of a checkpoint that is ours.

    Raises:
        ValueError: it claims to be larger than any such member.
    """
    size = archive.getinfo(name).file_size
    if size > most_bytes:
        raise ValueError(f"{name} has {size:,} bytes, over {most_bytes:,}")
    return archive.read(name)


def random_variables(model: keras.Model) -> list:
    """Seed states: what `variables` has and `weights`, which Keras saves, has not."""
    saved = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in saved]


def values(variables) -> list:
    """The variables' values as JSON types, which hold them exactly."""
    return [_array(variable).tolist() for variable in variables]


def assign(variables, saved: list) -> None:
    """Give variables what `values` gave."""
    for variable, value in zip(variables, saved, strict=True):
        variable.assign(np.array(value, variable.dtype))


def _array(variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable)


def _sync(model: keras.Model) -> None:
    """On JAX, `fit` keeps the values of variables to itself until it is asked."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()
