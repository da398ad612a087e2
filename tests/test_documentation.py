"""The documentation's Python runs, and importing the package stays light."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
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
    "ai_edge_litert",
    "tf2onnx",
    "huggingface_hub",
    "safetensors",
    "torch",
)


def python_blocks(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


def test_readme_does_what_its_comments_say(tmp_path, monkeypatch, capsys):
    block, *_ = python_blocks("README.md")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    # ResNet50's AW and SE, 1000 classes exchanged for 10.
    assert f"{28_253_232 - 2049 * 990:,}" in capsys.readouterr().out
    assert names["features"].shape == (None, 56, 56, 64)
    model = keras.saving.load_model("model.keras")
    kinds = {layer.name: type(layer).__name__ for layer in model.layers}
    attention = {k: v for k, v in kinds.items() if k.endswith("_attention")}
    assert attention == {
        "stage3_block1_attention": "SqueezeExcitation",
        "stage3_block2_attention": "SqueezeExcitation",
        "stage4_block2_attention": "CBAM",
    }
    weighted = [name for name, kind in kinds.items() if kind == "AWConv2D"]
    assert weighted == ["stage4_block2_conv1", "stage4_block2_conv2"]


def test_the_readmes_attention_changes_nothing_at_first(tmp_path, monkeypatch, capsys):
    _, block, *_ = python_blocks("README.md")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    images = np.random.default_rng(0).normal(size=(2, 96, 96, 3)).astype("float32")
    expected = names["trained"].predict(images, verbose=0)
    for name in ("model", "plain"):
        scores = names[name].predict(images, verbose=0)
        np.testing.assert_allclose(scores, expected, atol=1e-5)
    # MobileNetV2 adds ten times.
    assert capsys.readouterr().out.count(", before 'block_") == 10
    kinds = [type(layer).__name__ for layer in names["plain"].layers]
    assert kinds.count("CBAM") == 10


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="tests/saved_models/test_worker.py has JAX's way to a file",
)
def test_readme_exports_what_the_network_gives(tmp_path, monkeypatch, capsys):
    _, _, block, *_ = python_blocks("README.md")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    expected = names["model"].predict(names["images"], verbose=0)
    np.testing.assert_allclose(names["scores"], expected, atol=1e-6)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith(str(tuple(f"class {i}" for i in range(10))))


def test_readme_sees_what_it_says(capsys):
    *_, block, _ = python_blocks("README.md")
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "stage1_block1_attention channel (2, 32)"
    assert lines[1] == "stage1_block1_attention spatial (2, 32, 32)"
    assert len(lines) == 6
    assert names["cam"].maps.shape == (2, 4, 4)
    assert names["drops"].shape == (2, 32, 32)


def test_the_readmes_detector_gives_what_its_comment_says():
    *_, block = python_blocks("README.md")
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    found = names["found"]
    assert found["boxes"].shape == (1, 100, 4)
    assert found["scores"].shape == found["labels"].shape == (1, 100)
    assert (found["labels"] <= 20).all() and (found["labels"] != 0).all()


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
