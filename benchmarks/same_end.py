"""Whether the folders of two runs say the same: numbers, choices and files.

Files are read as they are, without the package that wrote them.
"""

import csv
import io
import json
import re
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np

# Time is the run's own; the state's logs are of a step, and are in the history.
OWN = ("seconds", "sessions", "versions", "logs")
# Its files are named by time, one for each session.
UNNAMED = ("tensorboard",)
UNREADABLE = (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)
HALF_WRITTEN, REFUSED = ".partial", ".damaged"
# What Keras Tuner keeps as a set, and writes in whatever order it has then.
SETS = ("tried_so_far",)
# Checkpoints before the last one: a run that was asked to stop has one more of them.
OLDER = re.compile(r"-\d+\.keras$")


def compare(folder, reference, tolerance):
    """Hold a run's folder against that of another run.

    Args:
        folder: the run's.
        reference: of a run that nothing stopped.
        tolerance: how far two numbers may be apart.

    Returns:
        The largest difference of two numbers, and a list of what is not alike.
    """
    found, wanted = contents(folder), contents(reference)
    problems = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    problems += [f"{name} is too much" for name in sorted(found.keys() - wanted.keys())]
    largest = 0.0
    for name in sorted(wanted.keys() & found.keys()):
        apart = _apart(found[name], wanted[name])
        if apart is None:
            problems.append(f"{name} differs")
        else:
            largest = max(largest, apart)
            if not apart <= tolerance:  # NaN is no agreement
                problems.append(f"{name} differs by {apart:.2g}")
    return largest, problems


def contents(folder):
    """{name: numbers or text} of all that a run leaves behind."""
    folder, found = Path(folder), {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_dir() or inside.parts[0] in UNNAMED:
            continue
        content, damaged = _read(path)
        found[str(inside)] = "damaged" if damaged else ""
        if OLDER.search(path.name):
            continue  # of whichever step was saved before the last one
        found |= {f"{inside}: {key}": value for key, value in content.items()}
    return found


def damage(folder):
    """What is not whole in a folder, as it stands between two sessions."""
    problems = []
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and HALF_WRITTEN not in path.name:
            _, damaged = _read(path)
            problems += [f"{path.name} is damaged: {damaged}"] if damaged else []
    return problems


def _read(path):
    """What a file holds, and what is wrong with it, or nothing."""
    reader = READERS.get(path.suffix)
    try:
        return dict(reader(path)) if reader else {}, ""
    except UNREADABLE as error:
        return {}, str(error) or type(error).__name__


def half_written(folder):
    """Names of the files that a process was about to write."""
    return [path.name for path in Path(folder).rglob(f".*{HALF_WRITTEN}*")]


def refused(folder):
    """Names of the checkpoints that a session has put aside."""
    return [path.name for path in Path(folder).rglob(f"*{REFUSED}")]


def _apart(found, wanted):
    """How far apart numbers are; None for texts that differ, and other shapes."""
    if isinstance(wanted, str) or isinstance(found, str):
        return 0.0 if str(found) == str(wanted) else None
    if found.shape != wanted.shape:
        return None
    apart = np.abs(found.astype("float64") - wanted.astype("float64"))
    return float(apart.max(initial=0.0))


def _archive(path):
    """Of a checkpoint: network, optimizers, random seeds and progress."""
    with zipfile.ZipFile(path) as archive:
        if (torn := archive.testzip()) is not None:
            raise ValueError(f"its {torn} is torn")
        for member in archive.namelist():
            content = archive.read(member)
            if member.endswith(".h5"):
                yield from _hdf5(io.BytesIO(content))
            elif member.endswith(".npz"):
                yield from np.load(io.BytesIO(content)).items()
            elif member.startswith("keras_attention"):
                yield from _leaves(json.loads(content), member)


def _hdf5(path):
    with h5py.File(path) as file:
        names = []
        file.visititems(
            lambda name, item: (
                names.append(name) if isinstance(item, h5py.Dataset) else None
            )
        )
        for name in names:
            array = file[name][()]
            yield name, str(array) if array.dtype.kind in "SO" else np.asarray(array)


def _json(path):
    yield from _leaves(json.loads(path.read_text(encoding="utf-8")), "content")


def _csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    yield "rows", np.asarray(len(rows))
    for number, row in enumerate(rows):
        # Trials with equal scores may stand in either order.
        yield from _leaves(row, f"row {row.get('trial', number)}")


def _leaves(content, name):
    """Names and values of what JSON holds, numbers in texts as numbers."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key in SETS:
                value = sorted(value)
            if key not in OWN:
                yield from _leaves(value, f"{name}.{key}")
    elif isinstance(content, list):
        yield f"{name}.length", np.asarray(len(content))
        for number, value in enumerate(content):
            yield from _leaves(value, f"{name}[{number}]")
    else:
        yield name, _number(content)


def _number(value):
    try:
        return np.asarray(float(value))
    except (TypeError, ValueError):
        return str(value)


READERS = {
    ".keras": _archive,
    ".h5": _hdf5,
    ".json": _json,
    ".csv": _csv,
}
