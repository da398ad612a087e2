"""What `benchmarks/chaos.py` judges by sees a run that does not end as it should."""

import importlib.util
import io
import json
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "same_end.py"
WEIGHTS = np.linspace(0, 1, 6, dtype="float32").reshape(2, 3)


@pytest.fixture(scope="module")
def same_end():
    """The judge, as a module."""
    spec = importlib.util.spec_from_file_location("same_end", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checkpoint(path, *, weights=WEIGHTS, rate=0.1, seed=7, step=12):
    """A file as Keras and `training.checkpoint` write it."""
    arrays = io.BytesIO()
    with h5py.File(arrays, "w") as file:
        file["layers/conv/vars/0"] = weights
        file["optimizer/vars/0"] = rate
    state = {"epoch": 2, "step": step, "random": [[seed, 0]], "seconds": 1.5}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", arrays.getvalue())
        archive.writestr("keras_attention_state.json", json.dumps(state))


@pytest.fixture
def folders(tmp_path):
    """Two runs that ended alike."""
    reference = tmp_path / "reference"
    reference.mkdir()
    checkpoint(reference / "last.keras")
    (reference / "history.csv").write_text("epoch,loss,seconds\n0,2.5,9\n1,2.25,8\n")
    (reference / "genotype.json").write_text('{"blocks": [["CA", "SA"]]}')
    folder = tmp_path / "folder"
    shutil.copytree(reference, folder)
    (folder / "history.csv").write_text("epoch,loss,seconds\n0,2.5,7\n1,2.25,99\n")
    return folder, reference


def test_two_runs_that_ended_alike(same_end, folders):
    assert same_end.compare(*folders, 1e-6) == (0.0, [])
    assert same_end.damage(folders[0]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"weights": WEIGHTS + np.float32(1e-3)},
        {"weights": np.where(WEIGHTS > 0.9, np.nan, WEIGHTS)},
        {"weights": WEIGHTS.T},
        {"rate": 0.2},
        {"seed": 8},
        {"step": 11},
    ],
    ids=["weights", "not a number", "shape", "optimizer", "seed", "progress"],
)
def test_another_checkpoint(same_end, folders, change):
    checkpoint(folders[0] / "last.keras", **change)
    _, problems = same_end.compare(*folders, 1e-6)
    assert len(problems) == 1 and problems[0].startswith("last.keras: ")


def test_the_tolerance_is_the_line(same_end, folders):
    checkpoint(folders[0] / "last.keras", rate=0.1 + 1e-5)
    largest, problems = same_end.compare(*folders, 1e-6)
    assert largest == pytest.approx(1e-5) and len(problems) == 1
    assert same_end.compare(*folders, 1e-4) == (largest, [])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("history.csv", "epoch,loss,seconds\n0,2.5,9\n1,2.26,8\n"),
        ("history.csv", "epoch,loss,seconds\n0,2.5,9\n"),
        ("history.csv", "epoch,loss,seconds\n0,2.5,9\n1,2.25,8\n1,2.25,8\n"),
        ("genotype.json", '{"blocks": [["CA", "CA"]]}'),
        ("search.keras.damaged", ""),
        (".last.partial.keras", ""),
    ],
    ids=["loss", "row missing", "row twice", "genotype", "refused", "half-written"],
)
def test_another_file(same_end, folders, name, text):
    (folders[0] / name).write_text(text)
    _, problems = same_end.compare(*folders, 1e-6)
    assert problems and all(name in each for each in problems)


def test_a_file_that_is_missing(same_end, folders):
    (folders[0] / "last.keras").unlink()
    _, problems = same_end.compare(*folders, 1e-6)
    assert "last.keras is missing" in problems


def test_half_a_file_is_damage_unless_it_is_marked(same_end, folders):
    folder, _ = folders
    whole = (folder / "last.keras").read_bytes()
    (folder / ".last.partial.keras").write_bytes(whole[:100])
    assert same_end.damage(folder) == []
    assert same_end.half_written(folder) == [".last.partial.keras"]
    (folder / "last.keras").write_bytes(whole[:100])
    (folder / "genotype.json").write_text('{"blocks"')
    assert len(same_end.damage(folder)) == 2
