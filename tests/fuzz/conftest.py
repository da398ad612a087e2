"""Fuzzing: a few inputs in every run of the suite, 10,000 with `make fuzz`.

FUZZ_EXAMPLES  inputs in all
FUZZ_SEED      another seed draws other inputs
FUZZ_SECONDS   of each target: what is not tried by then is left out, and told
FUZZ_REPORT    a JSON file to write the counts to
"""

import os

import keras
import pytest
from fuzzing import SMOKE, Arena, Ledger

ledger = Ledger()


def pytest_collection_modifyitems(items):
    """What strangers' files do does not depend on the backend: one has the smoke."""
    if keras.backend.backend() == "tensorflow" or not SMOKE:
        return
    skip = pytest.mark.skip(reason="the smoke of the fuzz runs on TensorFlow")
    for item in items:
        if "inputs" in item.fixturenames:
            item.add_marker(skip)


@pytest.fixture
def inputs(request, tmp_path, monkeypatch):
    """The arena that a test's inputs are tried in."""
    arena = Arena(request.node.name.removeprefix("test_"), tmp_path)
    monkeypatch.chdir(arena.inside)
    monkeypatch.setattr("tempfile.tempdir", str(arena.scratch))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    yield arena
    ledger.add(arena)


def pytest_terminal_summary(terminalreporter):
    if ledger.targets and os.environ.get("FUZZ_REPORT"):
        ledger.write(os.environ["FUZZ_REPORT"])
        terminalreporter.write_line(f"fuzz: {os.environ['FUZZ_REPORT']}")
