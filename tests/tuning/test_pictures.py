"""Pictures show what the folder says."""

import json
import sys

import numpy as np
import pytest

from keras_attention.training.history import append_rows
from keras_attention.tuning import pictures
from keras_attention.tuning.controls import uniform_genotype
from keras_attention.tuning.searching import _draw
from keras_attention.tuning.space import search_space

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib.image")

BLOCKS = [f"stage1_block{i}" for i in range(1, 6)]
EPOCHS = 4
SPACE = search_space("sscbam", aw=True)


def shares(rng, *shape):
    p = rng.random(shape)
    return p / p.sum(axis=-1, keepdims=True)


@pytest.fixture
def folder(tmp_path, rng):
    """A search's folder written by hand, and p of both sites."""
    p = shares(rng, EPOCHS, 5, 5)
    q = shares(rng, EPOCHS, 10, 2)
    for epoch in range(EPOCHS):
        rows = [
            row(epoch, "block", block, f"{block}_attention", p[epoch, i])
            for i, block in enumerate(BLOCKS)
        ]
        rows += [
            row(epoch, "conv", block, f"{block}_conv{i}", q[epoch, 2 * b + i])
            for b, block in enumerate(BLOCKS)
            for i in range(2)
        ]
        append_rows(tmp_path / "alpha.csv", rows)
    operations = {"block": SPACE.symbols, "conv": SPACE.conv_symbols}
    record = {"format": 1, "kind": "search", "operations": operations}
    record["search"] = {"model": "resnet18", "data": "digits", "space": "sscbam"}
    record["search"] |= {"penalty": "paper", "order": 2, "seed": 7}
    record["search"]["control"] = "penalty-only"
    (tmp_path / "run.json").write_text(json.dumps(record))
    uniform_genotype(SPACE, BLOCKS, "SA").save(tmp_path / "genotype.json")
    return tmp_path, p, q


def row(epoch, site, block, layer, p):
    numbers = {f"p_{i}": p[i] if i < len(p) else "" for i in range(5)}
    return {"epoch": epoch, "site": site, "block": block, "layer": layer} | numbers


def test_curves_are_p_over_the_epochs(folder):
    path, p, q = folder
    block, conv = pictures.read_trajectories(path)
    for trajectory, wanted, labels in (
        (block, p, BLOCKS),
        (conv, q, [f"{block}_conv{i}" for block in BLOCKS for i in range(2)]),
    ):
        figure = pictures.curves(trajectory)
        panels = [panel for panel in figure.axes if panel.get_visible()]
        assert [panel.get_title() for panel in panels] == labels
        for i, panel in enumerate(panels):
            for k, line in enumerate(panel.lines):
                np.testing.assert_array_equal(line.get_xdata(), range(EPOCHS + 1))
                start, *rest = line.get_ydata()
                assert start == 1 / wanted.shape[-1], "softmax of 0 at the start"
                np.testing.assert_allclose(rest, wanted[:, i, k], rtol=1e-9)
                assert line.get_label() == trajectory.symbols[k]
            looks = {(line.get_color(), line.get_linestyle()) for line in panel.lines}
            assert len(looks) == len(trajectory.symbols)


def test_the_heat_map_is_the_last_p_with_the_choice(folder):
    path, p, _ = folder
    block, _ = pictures.read_trajectories(path)
    figure = pictures.heat_map(block, dict.fromkeys(BLOCKS, "SA"))
    panel = figure.axes[0]
    np.testing.assert_allclose(panel.images[0].get_array(), p[-1], rtol=1e-9)
    assert panel.images[0].get_clim() == (0, 1)
    assert [label.get_text() for label in panel.get_xticklabels()] == [*SPACE.symbols]
    assert [label.get_text() for label in panel.get_yticklabels()] == [
        f"{block} → SA" for block in BLOCKS
    ]
    written = [float(text.get_text()) for text in panel.texts]
    np.testing.assert_allclose(written, p[-1].ravel(), atol=0.0051)


def test_the_text_of_a_field_can_be_read(folder):
    """Contrast of 4.5 : 1 or more (WCAG 2.1, AA), whatever p."""
    values = np.linspace(0, 1, 101).reshape(1, -1, 1)
    grid = pictures.Trajectory(
        "block", ("A",), tuple(map(str, range(101))), values.reshape(1, 101, 1)
    )
    panel = pictures.heat_map(grid, {}).axes[0]
    colours = panel.images[0].to_rgba(values.reshape(101, 1))[:, 0, :3]
    for text, back in zip(panel.texts, colours, strict=True):
        front = matplotlib.colors.to_rgb(text.get_color())
        light, dark = sorted((luminance(front), luminance(back)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.5, text.get_text()


def luminance(colour):
    linear = [
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour
    ]
    return np.dot(linear, [0.2126, 0.7152, 0.0722])


def test_files(folder):
    path, _, _ = folder
    files = pictures.draw(path)
    names = {
        f"{name}{suffix}.{form}"
        for name in ("probabilities", "heat_map")
        for suffix in ("", "_conv")
        for form in ("svg", "png")
    }
    assert {file.name for file in files} == names
    for file in files:
        content = file.read_bytes()
        if file.suffix == ".svg":
            assert b"</svg>" in content
            assert b"resnet18 on digits, sscbam, penalty paper, order 2" in content
            assert b"seed 7, penalty-only" in content
        else:
            image = matplotlib.image.imread(file)
            assert min(image.shape[:2]) > 100 and np.ptp(image[..., :3]) > 0.9


def test_a_missing_matplotlib_is_told(folder, capsys, monkeypatch):
    path, _, _ = folder
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    _draw(path)
    said = capsys.readouterr().out
    assert "Pictures are off" in said
    assert "pip install 'keras_attention[viz]'" in said
    assert not list(path.glob("*.png"))
