"""Export from another backend: the network goes through a file to TensorFlow.

    python -m keras_attention.saved_models.worker FOLDER

The folder holds `model.keras`, `request.json` and, for int8, `images.npy`. An error of
the user's goes into `error.json`, for the process that waits to raise it.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from keras_attention.saved_models.description import Description
from keras_attention.weights.whole_networks import load_network

_ERRORS = {"ValueError": ValueError, "ImportError": ImportError, "OSError": OSError}
_OWN = ("keras", "keras_attention")  # packages that every process imports


def write_elsewhere(path: Path, model, description: Description, images) -> None:
    """As `writing.write`, by a process with the TensorFlow backend.

    Raises:
        ValueError: a layer is defined where another process cannot import it.
        RuntimeError: the process died; its last words are told.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model.save(folder / "model.keras")
        if images is not None:
            np.save(folder / "images.npy", images)
        request = {
            "path": str(path.absolute()),
            "description": description.to_json(),
            "modules": _modules(model),
        }
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        environment = {
            **os.environ,
            "KERAS_BACKEND": "tensorflow",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        done = subprocess.run(
            [sys.executable, "-m", __name__, name],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
        )
        _raise(done, folder / "error.json")


def _raise(done, error_file: Path) -> None:
    if error_file.exists():
        error = json.loads(error_file.read_text(encoding="utf-8"))
        raise _ERRORS[error["type"]](error["message"])
    if done.returncode:
        raise RuntimeError(
            "The TensorFlow process that writes the file died with status "
            f"{done.returncode}: {done.stderr.strip()[-2000:]}"
        )


def _modules(model) -> list[str]:
    """Modules of the model's own layer classes, which register themselves there."""
    kinds = {type(layer) for layer in model._flatten_layers()}
    modules = {
        kind.__module__
        for kind in kinds
        if kind.__module__.partition(".")[0] not in _OWN
    }
    if "__main__" in modules:
        names = sorted(k.__name__ for k in kinds if k.__module__ == "__main__")
        raise ValueError(
            f"The layers {', '.join(names)} are defined in the script that runs, where "
            "the TensorFlow process that writes the file cannot import them. Define "
            "them in a module, or run with KERAS_BACKEND=tensorflow."
        )
    return sorted(modules)


def main(folder: Path) -> None:
    """Do what a folder asks for."""
    from keras_attention.saved_models.writing import write

    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    for module in request["modules"]:
        importlib.import_module(module)
    model = load_network(folder / "model.keras")
    images = folder / "images.npy"
    try:
        write(
            Path(request["path"]),
            model,
            Description.from_json(request["description"], folder),
            np.load(images, allow_pickle=False) if images.exists() else None,
        )
    except tuple(_ERRORS.values()) as error:
        kind = next(name for name, k in _ERRORS.items() if isinstance(error, k))
        content = {"type": kind, "message": str(error)}
        (folder / "error.json").write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
