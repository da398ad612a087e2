"""The documentation's Python runs, and importing the package stays light."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import keras_attention
from keras_attention.attention import unregister

ROOT = Path(__file__).parents[1]
OPTIONAL = (
    "tensorflow_datasets",
    "sklearn",
    "keras_tuner",
    "matplotlib",
    "tensorboard",
    "onnx",
)


def python_blocks(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


@pytest.mark.parametrize("block", python_blocks("README.md"))
def test_readme(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})


def test_contributing_adds_an_attention_by_name():
    (block,) = python_blocks("CONTRIBUTING.md")
    exec(compile(block, "CONTRIBUTING.md", "exec"), {"__name__": "my_attention"})
    try:
        model = keras_attention.applications.CifarResNet(8, attention="aw_energy")
        kinds = [type(layer).__name__ for layer in model.layers]
        assert kinds.count("EnergyAttention") == 3
        assert kinds.count("AWConv2D") == 6
    finally:
        unregister("energy")


def test_import_brings_no_optional_package():
    code = f"""
import keras, sys
before = set(sys.modules)
import keras_attention
print([m for m in {OPTIONAL!r} if m in set(sys.modules) - before])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
