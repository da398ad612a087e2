"""The planted data are what they are said to be, and the search finds what is in them.

The decoders here know the construction and are written apart from it, in NumPy. The
whole table, ten seeds of each data set and penalty, is that of
`benchmarks/planted_search.py`; here is one seed.
"""

import importlib.util
import pathlib

import keras
import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "planted_search.py"
COUNT = 1500
CHANCE = 1 / 3

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the search runs on TensorFlow"
)


@pytest.fixture(scope="module")
def planted():
    """The benchmark, as a module."""
    spec = importlib.util.spec_from_file_location("planted_search", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def share_right(found, labels):
    return np.mean(found == labels)


# -- the data ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["spatial", "channel", "nothing"])
def test_data_are_a_function_of_the_seed(planted, name):
    make = planted.DATA[name]
    images, labels = make(COUNT, 7)
    again, labels_again = make(COUNT, 7)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, labels_again)
    others, other_labels = make(COUNT, 8)
    assert (labels != other_labels).any() and (images != others).all()
    assert images.shape == (COUNT, 8, 16, 4) and images.dtype == np.float32
    assert np.bincount(labels).tolist() == [COUNT / 3] * 3


def test_spatial_is_told_by_the_marker_and_by_no_average(planted):
    images, labels = planted.spatial(COUNT, 0)
    places = images[..., 3].reshape(COUNT, -1).argmax(axis=1)
    rows, columns = np.divmod(places, 16)
    # Five columns to the left of the marker.
    by_marker = images[np.arange(COUNT), rows, columns - 5, :3].argmax(axis=1)
    assert share_right(by_marker, labels) > 0.999
    by_average = images[..., :3].mean(axis=(1, 2)).argmax(axis=1)
    by_maximum = images[..., :3].max(axis=(1, 2)).argmax(axis=1)
    for pooled in (by_average, by_maximum):
        assert share_right(pooled, labels) == pytest.approx(CHANCE, abs=0.05)


def test_spatial_hides_the_marker_from_convolutions(planted):
    images, _ = planted.spatial(COUNT, 0)
    lit = images > 1.5
    assert (lit[..., :3].sum(axis=(1, 2)) == 1).all()
    columns = lit.any(axis=1).argmax(axis=1)
    # The same column for the three spots, and 5 > 4 from there to the marker.
    np.testing.assert_array_equal(columns[:, :3], np.repeat(columns[:, :1], 3, axis=1))
    np.testing.assert_array_equal(columns[:, 3] - columns[:, 0], 5)


def textures_shown(images):
    """[count, 3]: which texture each of channels 0 to 2 shows, by correlation."""
    rows, columns = np.mgrid[:8, :7]
    references = [(-1.0) ** rows, (-1.0) ** columns, (-1.0) ** (rows + columns)]
    left = images[:, :, :7, :3]
    scores = [np.abs(np.einsum("nhwc,hw->nc", left, r)) for r in references]
    return np.argmax(scores, axis=0)


def test_channel_is_told_by_the_bar_and_by_no_texture(planted):
    images, labels = planted.channel(COUNT, 0)
    shown = textures_shown(images)
    told = images[:, :, 14:, :3].mean(axis=(1, 2)).argmax(axis=1)
    assert share_right(shown[np.arange(COUNT), told], labels) > 0.999
    for step in (1, 2):
        others = shown[np.arange(COUNT), (told + step) % 3]
        assert share_right(others, labels) < 0.001
    for number in range(3):
        assert share_right(shown[:, number], labels) == pytest.approx(CHANCE, abs=0.05)
    # No channel is the stronger one, so loudness does not tell.
    loudest = images[:, :, :7, :3].var(axis=(1, 2)).argmax(axis=1)
    assert share_right(loudest, told) == pytest.approx(CHANCE, abs=0.05)


def test_nothing_is_told_by_the_average(planted):
    images, labels = planted.nothing(COUNT, 0)
    assert share_right(images.mean(axis=(1, 2)).argmax(axis=1), labels) > 0.995
    # No place says more than others.
    by_place = (images.argmax(axis=3) == labels[:, None, None]).mean(axis=0)
    assert np.ptp(by_place) < 0.12


# -- the search --------------------------------------------------------------------


@tensorflow_only
def test_the_search_finds_what_is_planted_and_nothing_elsewhere(planted):
    # Seeds that the benchmark's table does not have.
    search = planted.Search("cost", epochs=6, warmup_epochs=4)
    found = search.run("channel", 20)
    assert found["found"] == "CA" and found["accuracy"] > 0.8
    # The same steps, on data that need no attention.
    assert search.run("nothing", 20)["found"] == "Identity"
