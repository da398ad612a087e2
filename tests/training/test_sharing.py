"""Several devices, and several processes, against one device."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_attention.training import history
from keras_attention.training.launch.__main__ import main

HERE = Path(__file__).parent
ON_JAX = keras.backend.backend() == "jax"
PATHS = os.pathsep.join(map(str, [HERE.parents[1], HERE.parent, HERE]))


@pytest.fixture(scope="module")
def two_devices(tmp_path_factory):
    """A folder with the runs of `two_devices.py`, and what it printed."""
    folder = tmp_path_factory.mktemp("devices")
    done = subprocess.run(
        [sys.executable, HERE / "two_devices.py", folder],
        env=os.environ | {"PYTHONPATH": PATHS},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, json.loads(done.stdout.splitlines()[-1])


def assert_same_history(found, wanted):
    rows = [history.read(folder / "history.csv") for folder in (found, wanted)]
    assert len(rows[1]) == 2
    for one, other in zip(*rows, strict=True):
        for name in set(other) - {"seconds"}:
            assert one[name] == pytest.approx(other[name], abs=1e-4), name


def test_two_devices_are_one(two_devices):
    _, printed = two_devices
    assert printed["moved"] > 0.1
    for what, found in printed["differences"].items():
        assert found < 1e-4, what


def test_an_odd_number_of_images_is_measured_as_by_one_device(two_devices):
    folder, _ = two_devices
    assert_same_history(folder / "two", folder / "one")


def test_files_are_every_backends(two_devices):
    _, printed = two_devices
    assert False in printed["saved"]
    assert True not in printed["saved"]


def test_what_cannot_be_says_what_to_do(two_devices):
    _, printed = two_devices
    wanted = {
        "in a scope": "leave `distribute` out",
        "an odd batch": "batch size 15; take 14 or 16",
        "late": "it is 2 since",
        "hosts": "keras_attention.training.launch" if ON_JAX else "KERAS_BACKEND=jax",
    }
    if ON_JAX:
        wanted |= {"per replica": "whole batch"}
    else:
        wanted |= {"float16": "use mixed_bfloat16", "detector": "KERAS_BACKEND=jax"}
    assert set(printed["refusals"]) == set(wanted)
    for what, words in wanted.items():
        assert words in printed["refusals"][what]


@pytest.mark.skipif(not ON_JAX, reason="several processes are for JAX")
def test_two_processes_are_one_device_though_one_is_killed(
    two_devices, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("PYTHONPATH", PATHS)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    out = tmp_path / "run"
    command = [sys.executable, str(HERE / "one_of_two.py"), "--out", str(out)]
    assert main(["--processes", "2", "--restarts", "1", "--", *command]) == 0
    said = capfd.readouterr().err
    assert "process 1 was killed by SIGKILL (signal 9): the machine may have" in said
    assert said.count("start again") == 1
    one = two_devices[0] / "one"
    networks = [
        keras.saving.load_model(folder / "last.keras", compile=False)
        for folder in (out, one)
    ]
    for found, wanted in zip(*(each.get_weights() for each in networks), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert_same_history(out, one)
    record = json.loads((out / "run.json").read_text())
    assert [each["distribute"] for each in record["sessions"]] == ["hosts"] * 2
    files = {path.name for path in one.iterdir()} - {"tensorboard"}
    assert {path.name for path in out.iterdir()} == files


@pytest.mark.skipif(not ON_JAX, reason="several processes are for JAX")
def test_an_error_in_one_process_ends_all(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PYTHONPATH", PATHS)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    command = [sys.executable, str(HERE / "failing.py"), "--out", str(tmp_path)]
    began = time.monotonic()
    assert main(["--processes", "2", "--", *command]) == 2
    assert time.monotonic() - began < 100  # JAX alone would wait for 300 s
    shown = capfd.readouterr()
    lines = [*shown.err.splitlines(), *shown.out.splitlines()]
    differ = "other ValueError: The processes differ in x: "
    differ += '{"step": 3} in process 0, {"step": 40} in process 1. All must'
    for own, written in (
        ("", "write OSError: [Errno 28] No space left on device"),
        ("[1] ", f"write OSError: process 0 cannot write {tmp_path / 'x.keras'}: its"),
    ):
        for wanted in ("signals 1", "same nothing", differ, written):
            assert any(line.startswith(own + wanted) for line in lines), wanted
