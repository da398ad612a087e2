"""The folder of a run: what was asked for, and what came out."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import keras

from keras_attention.data.preprocessing import Preprocessing
from keras_attention.files import remove_partial
from keras_attention.training.distribution import is_chief
from keras_attention.training.files import naming, read_json, write_json, write_text
from keras_attention.training.processes import wait_for_all
from keras_attention.version import __version__

RECORD = "run.json"
FORMAT = 1
# Data may move; its fingerprint tells whether it is still the same.
PLACE = "data_dir"
PACKAGES = ("keras", "tensorflow", "jax", "numpy")
TRAINING = "training"


def open_run(
    folder: Path,
    fixed: dict,
    *,
    command: str | None,
    resume: bool,
    kind: str = TRAINING,
    options: Mapping | None = None,
) -> dict:
    """Start a run's folder, or check that a session belongs to it.

    What a session that was killed left half-written is removed. Of several processes
    the first writes, when all have checked.

    Args:
        folder: made if it is not there.
        fixed: what must not change between the sessions of one run, JSON types.
        command: the command line, to be recorded.
        resume: whether the run goes on.
        kind: as for `read_run`.
        options: of the session alone, JSON types.

    Returns:
        The record, as it stands in the folder.

    Raises:
        FileExistsError: there is a run and `resume` is False.
        FileNotFoundError: there is none and `resume` is True.
        ValueError: another process goes on with it, it is of another kind, or was
            started with other values, which the message names.
    """
    if resume:
        record = read_run(folder, kind, ("sessions",))
        refuse_differences(folder, {key: record.get(key) for key in fixed}, fixed)
        sessions = record["sessions"]
        if is_chief():
            with alone_in(folder):  # before anything in it is touched
                pass
    else:
        refuse_existing(folder)
        sessions = []
    sessions.append(_session(command) | dict(options or {}))
    record = {"format": FORMAT, "kind": kind, **fixed, "sessions": sessions}
    wait_for_all("the run is checked")
    if is_chief():
        folder.mkdir(parents=True, exist_ok=True)
        remove_partial(folder)
        write_json(folder / RECORD, record)
    return record


class Remembered:
    """What is known of a run's folder, in case that it is deleted meanwhile.

    Args:
        folder: the run's.
        record: as `open_run` gives it.
        logs: names of text files to remember.
    """

    def __init__(self, folder: Path, record: dict, logs: Sequence[str]):
        self.folder = folder
        self.record = record
        self.logs = dict.fromkeys(logs, "")
        self.look()

    def look(self) -> None:
        """Remember the logs as they are now; what is not there any more, as it was."""
        for name in self.logs:
            path = self.folder / name
            if path.exists():
                self.logs[name] = path.read_text(encoding="utf-8")

    def make_anew(self) -> bool:
        """If the folder was deleted, make it, with the record and the logs.

        To be called before anything is written there.

        Returns:
            Whether it was. Standard error says so.
        """
        if (self.folder / RECORD).exists():
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / RECORD, self.record)
        for name, text in self.logs.items():
            if text:
                write_text(self.folder / name, text)
        print(
            f"\n{self.folder} was deleted while the run went on. It is made anew, with "
            f"its record and {', '.join(self.logs)}; what else it had is lost. The run "
            "goes on, and its next checkpoint will be there",
            file=sys.stderr,
        )
        return True


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Within the block no other session may use the folder of a run.

    The system forgets it when the process ends, however that is.

    Raises:
        ValueError: another one does.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ValueError(
            f"Another process goes on with the run in {folder}: wait for its end, or "
            "stop it (SIGTERM, which saves its state)"
        ) from None
    except OSError as error:  # a file system without locks
        print(
            f"{folder} cannot be locked ({error.strerror}): see to it that no other "
            "session uses it",
            file=sys.stderr,
        )
    try:
        yield
    finally:
        os.close(handle)


def refuse_existing(folder: Path) -> None:
    """Raise FileExistsError if the folder holds a run."""
    if (folder / RECORD).exists():
        raise FileExistsError(
            f"{folder} already holds a run: go on with it (--resume), or choose "
            "another folder (--out)"
        )


def read_run(folder: Path, kind: str = TRAINING, fields: Sequence[str] = ()) -> dict:
    """The record of a run.

    Args:
        folder: the run's.
        kind: what was run: `"training"`, or what `open_run` was told.
        fields: that are needed.

    Raises:
        FileNotFoundError: the folder holds no run.
        ValueError: the record is damaged, lacks a field, or is of another format or
            kind.
    """
    path = folder / RECORD
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no run: there is no {path}")
    record = read_json(path)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"{path} is no record of format {FORMAT}")
    found = record.get("kind", TRAINING)
    if found != kind:
        raise ValueError(
            f"{folder} holds a run of the kind {found!r}, and {kind!r} is needed here"
        )
    missing = [name for name in fields if name not in record]
    if missing:
        raise ValueError(f"{path} is damaged: it has no {', '.join(missing)}")
    sessions = record.get("sessions", [{}])
    if not isinstance(sessions, list) or not sessions:
        raise ValueError(f"{path} is damaged: its sessions are {sessions!r}")
    if not all(isinstance(session, dict) for session in sessions):
        raise ValueError(f"{path} is damaged: a session is no dict in {sessions!r}")
    return record


def read_preprocessing(folder: Path) -> Preprocessing:
    """What the run's network expects of an image."""
    record = read_run(folder, fields=("preprocessing",))
    with naming(folder / RECORD):
        return Preprocessing.from_dict(record["preprocessing"])


def refuse_differences(folder: Path, old: dict, new: dict) -> None:
    """Raise ValueError that names every field in which two records differ.

    `old` comes from a JSON file; `new` is made like that (tuples become lists).
    """
    found = list(_differences(old, json.loads(json.dumps(new))))
    if found:
        listed = "; ".join(
            f"{name}: {was!r} then, {now!r} now" for name, was, now in found
        )
        raise ValueError(
            f"The run in {folder} was started with other settings: {listed}. "
            "Leave them out to go on with it, or start a new run elsewhere"
        )


def _differences(old, new, name: str = ""):
    """`(dotted name, old value, new value)` of every leaf that differs."""
    if name.rpartition(".")[2] == PLACE:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            inner = f"{name}.{key}" if name else key
            yield from _differences(old.get(key), new.get(key), inner)
    elif old != new:
        yield name, old, new


def _session(command: str | None) -> dict:
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": command,
        "backend": keras.backend.backend(),
        "versions": versions(),
    }


def versions() -> dict[str, str | None]:
    """Of Python and the packages that results depend on; None where one is missing."""
    return {
        "keras_attention": __version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
