"""Checkpoints from which a search goes on exactly, at any step."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from keras_attention.training.checkpoint import (
    random_variables,
    read_member,
    reading,
)
from keras_attention.training.files import replace_file
from keras_attention.training.norms import unsynchronized
from keras_attention.training.run_folder import versions
from keras_attention.weights.checking import check_total, check_zip
from keras_attention.weights.whole_networks import most_bytes

PROGRESS_MEMBER = "keras_attention_search.json"
ARRAYS_MEMBER = "keras_attention_search.npz"
# Of an array's place and name in a file of arrays, and far more.
HEADER_BYTES = 2**12
VERSIONS_MEMBER = "keras_attention_versions.json"


@dataclass
class Progress:
    """How far a search is, and what its epoch has brought so far.

    Args:
        step: steps of the weights done.
        seconds: spent on the epoch so far.
        sums: {metric: [sum, count]} over the epoch so far.
    """

    step: int = 0
    seconds: float = 0.0
    sums: dict = field(default_factory=dict)

    def add(self, metrics: dict) -> None:
        """Count a step and its metrics."""
        self.step += 1
        for name, value in metrics.items():
            total, count = self.sums.get(name, (0.0, 0))
            # Stays a tensor: a float would wait for the device at each step.
            self.sums[name] = (total + value, count + 1)

    def means(self) -> dict[str, float]:
        """The metrics' means over the epoch so far."""
        return {name: float(sum_) / n for name, (sum_, n) in self.sums.items()}

    def begin_epoch(self) -> None:
        """Forget the epoch that ended."""
        self.seconds, self.sums = 0.0, {}

    def to_dict(self) -> dict:
        """JSON types."""
        sums = {name: [float(sum_), n] for name, (sum_, n) in self.sums.items()}
        return dataclasses.asdict(self) | {"sums": sums}


def save(
    path: Path,
    model: keras.Model,
    optimizers: Sequence[keras.optimizers.Optimizer],
    progress: Progress,
    *,
    older: int | None = None,
) -> None:
    """Write an ordinary Keras file that also holds what Keras leaves out.

    That is the optimizers' variables, the states of random seeds, the progress and the
    versions of packages, in one file, so that a crash cannot leave those of different
    steps.

    Args:
        path: the file.
        model: the supernet, whose variables α are.
        optimizers: built; of the weights and of α.
        progress: what `restore` returns.
        older: as for `replace_file`.
    """

    def write(aside):
        with unsynchronized(model):
            model.save(aside)
        arrays = io.BytesIO()
        np.savez(arrays, **_named(_values(model, optimizers)))
        with zipfile.ZipFile(aside, "a") as archive:
            archive.writestr(ARRAYS_MEMBER, arrays.getvalue())
            archive.writestr(PROGRESS_MEMBER, json.dumps(progress.to_dict()))
            archive.writestr(VERSIONS_MEMBER, json.dumps(versions()))

    replace_file(path, write, older=older)


def restore(
    path: Path,
    model: keras.Model,
    optimizers: Sequence[keras.optimizers.Optimizer],
) -> Progress:
    """Put a supernet and its built optimizers into the state that `save` wrote.

    Raises:
        ValueError: the file is damaged, no checkpoint of a search, or of another
            supernet.
    """
    variables = _named(_variables(model, optimizers))
    with reading(path):
        with zipfile.ZipFile(path) as archive:
            progress = Progress(**json.loads(read_member(archive, PROGRESS_MEMBER)))
            _check_progress(progress)
            arrays = _arrays(archive, variables.values())
        check_zip(path, most_bytes(path), stored=False)
        found = {name: arrays[name].shape for name in arrays.files}
        wanted = {name: tuple(v.shape) for name, v in variables.items()}
        if found != wanted:
            raise ValueError(
                f"it is of another search, with {len(found)} variables of optimizers "
                f"and random seeds where this one has {len(wanted)}, or other shapes"
            )
        model.load_weights(path)
        for name, variable in variables.items():
            variable.assign(arrays[name])
    return progress


def _check_progress(progress: Progress) -> None:
    """Raise ValueError unless values are what a search that goes on counts with."""
    step, seconds = progress.step, progress.seconds
    if type(step) is not int or not 0 <= step < 2**53:
        raise ValueError(f"its step is no count: {step!r}")
    pairs = [(seconds, 1), *progress.sums.values()]
    for total, count in pairs:
        if type(total) not in (int, float) or type(count) is not int or count < 1:
            raise ValueError(f"its sums are no numbers: {pairs}")


def _arrays(archive: zipfile.ZipFile, variables) -> np.lib.npyio.NpzFile:
    """The checkpoint's arrays, which are not larger than the variables.

    Raises:
        ValueError: they claim to be.
    """
    numbers = sum(math.prod(variable.shape) for variable in variables)
    most = 8 * numbers + HEADER_BYTES * (1 + len(variables))
    content = io.BytesIO(read_member(archive, ARRAYS_MEMBER, most))
    with zipfile.ZipFile(content) as members:
        check_total((member.file_size for member in members.infolist()), most)
    return np.load(content, allow_pickle=False)


def _variables(model, optimizers) -> list:
    of_optimizers = [v for optimizer in optimizers for v in optimizer.variables]
    return [*random_variables(model), *of_optimizers]


def _values(model, optimizers) -> list:
    variables = _variables(model, optimizers)
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def _named(items: list) -> dict:
    return {f"variable{i}": item for i, item in enumerate(items)}
