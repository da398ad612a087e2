"""What pictures show, against the numbers that they were given."""

import numpy as np
import pytest

from keras_attention.training import Evaluation
from keras_attention.visualization.classes import draw_class_accuracy, draw_confusion
from keras_attention.visualization.curves import draw_curves, draw_probabilities
from keras_attention.visualization.histograms import draw_histograms
from keras_attention.visualization.overlays import draw_overlay, overlay, upsample
from keras_attention.visualization.style import line_style

matplotlib = pytest.importorskip("matplotlib")
figure = pytest.importorskip("matplotlib.figure")


@pytest.fixture
def axes():
    return figure.Figure().subplots()


def rgb(name, level):
    return np.array(matplotlib.colormaps[name](level)[:3]) * 255


def test_28_lines_differ():
    styles = {tuple(line_style(k).values()) for k in range(28)}
    assert len(styles) == 28


# -- overlays ----------------------------------------------------------------------


def test_upsampling_is_bilinear_between_the_middles_of_pixels():
    found = upsample(np.array([[0.0, 1.0]]), (2, 4))
    np.testing.assert_allclose(found, [[0, 0.25, 0.75, 1]] * 2)


def test_colours_over_a_grey_image(rng):
    image = rng.integers(0, 256, (2, 2, 3), "uint8")
    heat = np.array([[0.0, 10.0], [5.0, 10.0]])
    levels = np.array([[0.0, 1.0], [0.5, 1.0]])
    expected = 0.25 * image.mean(-1, keepdims=True) + 0.75 * np.stack(
        [[rgb("inferno", level) for level in row] for row in levels]
    )
    found = overlay(image, heat, opacity=0.75)
    np.testing.assert_allclose(found, expected, atol=0.51)


def test_limits_and_signed_maps(axes):
    image = np.zeros((1, 2, 1), "uint8")
    heat = np.array([[-1.0, 0.0]])
    low, middle = overlay(image, heat, opacity=1.0, signed=True)[0]
    np.testing.assert_allclose(low, rgb("PuOr_r", 0.0), atol=0.51)
    np.testing.assert_allclose(middle, rgb("PuOr_r", 0.5), atol=0.51)
    (pair,) = overlay(image, heat, opacity=1.0, limits=(-3.0, 1.0))
    np.testing.assert_allclose(pair[0], rgb("inferno", 0.5), atol=0.51)
    np.testing.assert_allclose(pair[1], rgb("inferno", 0.75), atol=0.51)
    drawn = draw_overlay(axes, image, heat, "title", limits=(-3.0, 1.0), opacity=1.0)
    np.testing.assert_array_equal(drawn, heat)
    np.testing.assert_array_equal(axes.images[0].get_array()[0], pair)


def test_a_map_without_differences_has_one_colour():
    image = np.full((2, 2, 1), 100, "uint8")
    flat = np.full((2, 2), 0.7)
    np.testing.assert_allclose(
        overlay(image, flat, opacity=1.0),
        np.full((2, 2, 3), rgb("inferno", 0.0)),
        atol=0.51,
    )


@pytest.mark.parametrize(
    ("image", "heat", "message"),
    [
        (np.zeros((2, 2, 3)), np.zeros((2, 2)), r"uint8.*Received: float64"),
        (np.zeros((2, 2, 2), "uint8"), np.zeros((2, 2)), r"shape \(2, 2, 2\)"),
        (np.zeros((2, 2, 3), "uint8"), np.zeros((1, 2, 2)), r"\[height, width\]"),
        (np.zeros((2, 2, 3), "uint8"), np.full((2, 2), np.nan), "finite"),
    ],
)
def test_what_is_no_image_or_map_is_refused(image, heat, message):
    with pytest.raises(ValueError, match=message):
        overlay(image, heat)


# -- curves ------------------------------------------------------------------------


def history(*errors):
    return [{"epoch": i, "top1_error": e, "loss": 1.0} for i, e in enumerate(errors)]


def test_curves_are_means_with_bands_of_the_interval(axes):
    """Epoch 1 of three seeds: 1, 2, 6, so 3 ± 4.3027 · √(7/3)."""
    runs = {"three": [history(1, 5), history(2, 5, 9), history(6, 5)]}
    runs["one"] = [history(4, 3, 2)]
    found = draw_curves(axes, runs, "top1_error")
    half = 4.30265 * (7 / 3) ** 0.5
    np.testing.assert_allclose(
        found["three"], [[1, 3, 3 - half, 3 + half], [2, 5, 5, 5]], rtol=1e-5
    )
    assert np.isnan(found["one"][:, 2:]).all()
    first, second = axes.lines
    np.testing.assert_array_equal(first.get_xydata(), found["three"][:, :2])
    np.testing.assert_array_equal(second.get_xydata(), [[1, 4], [2, 3], [3, 2]])
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(3 + half)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["three (n = 3)", "one"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "top1 error, %")


def test_curves_refuse_what_is_not_there(axes):
    with pytest.raises(ValueError, match="metric of 'a'.*'top2_error'.*'top1_error'"):
        draw_curves(axes, {"a": [history(1)]}, "top2_error")
    with pytest.raises(ValueError, match="'a' has no epoch"):
        draw_curves(axes, {"a": [history(1), []]}, "loss")
    with pytest.raises(ValueError, match="no runs"):
        draw_curves(axes, {}, "loss")


def test_a_single_epoch_is_a_point(axes):
    draw_curves(axes, {"a": [history(7)]}, "top1_error")
    assert axes.lines[0].get_marker() == "o"


def test_probabilities_are_lines_of_the_operations(axes, rng):
    p = rng.random((4, 2))
    np.testing.assert_array_equal(draw_probabilities(axes, p, ["a", "b"]), p)
    for k, line in enumerate(axes.lines):
        np.testing.assert_array_equal(line.get_ydata(), p[:, k])
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["a", "b"]


def test_probabilities_of_other_operations_are_refused(axes):
    with pytest.raises(ValueError, match=r"2 operations.*shape \(4, 3\)"):
        draw_probabilities(axes, np.ones((4, 3)), ["a", "b"])


# -- classes -----------------------------------------------------------------------


def evaluation(confusion, names=("a", "b", "c")):
    return Evaluation("test", names, np.array(confusion))


FIRST = evaluation([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
SECOND = evaluation([[1, 3, 0], [2, 2, 0], [0, 0, 0]])


def test_confusion_is_in_percent_of_the_true_class(axes):
    found = draw_confusion(axes, [FIRST, SECOND])
    nan = np.nan
    np.testing.assert_allclose(found, [[50, 50, 0], [25, 75, 0], [nan, nan, nan]])
    np.testing.assert_array_equal(axes.images[0].get_array().filled(nan), found)
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written[1, 0] == "50" and written[0, 1] == "25" and len(written) == 6
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b", "c"]


def test_accuracy_by_class_with_intervals(axes):
    """Class a: 75 and 25, so 50 ± 12.706 · √(1250/2); class c has no images."""
    found = draw_class_accuracy(axes, {"two": [FIRST, SECOND], "one": [FIRST]})
    half = 12.7062 * (1250 / 2) ** 0.5
    np.testing.assert_allclose(found["two"][:2], [[50, half], [75, half]], rtol=1e-4)
    assert np.isnan(found["two"][2]).all()
    np.testing.assert_allclose(found["one"][:, 0], [75, 100, np.nan])
    assert np.isnan(found["one"][:, 1]).all()


def test_other_classes_are_refused(axes):
    other = evaluation([[1, 0], [0, 1]], ("a", "b"))
    for draw in (draw_confusion, lambda ax, e: draw_class_accuracy(ax, {"x": e})):
        with pytest.raises(ValueError, match="2 with 2 lists of classes"):
            draw(axes, [FIRST, other])
        with pytest.raises(ValueError, match="0 with 0"):
            draw(axes, [])


def test_names_are_no_mathematics(axes):
    """Matplotlib would refuse the one, and typeset the other."""
    names = (r"a$\frac$", "US$ and CA$")
    draw_confusion(axes, [evaluation([[1, 0], [0, 1]], names)])
    draw_class_accuracy(axes, {"$x$": [evaluation([[1, 0], [0, 1]], names)]})
    axes.figure.canvas.draw()
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert labels == [r"a\$\frac\$", r"US\$ and CA\$"]  # the signs themselves


def test_many_classes_are_not_named(axes):
    names = tuple(map(str, range(100)))
    draw_class_accuracy(axes, {"x": [evaluation(np.eye(100, dtype=int), names)]})
    assert len(axes.get_xticklabels()) < 20


# -- gates -------------------------------------------------------------------------


def test_histograms_are_percents_of_the_values(axes):
    gates = {"first": np.array([[0.0, 0.1], [0.6, 1.0]]), "second": np.full(3, 0.3)}
    found = draw_histograms(axes, gates, bins=4)
    np.testing.assert_allclose(found["first"], [50, 0, 25, 25])
    np.testing.assert_allclose(found["second"], [0, 100, 0, 0])
    values, edges, _ = axes.patches[0].get_data()
    np.testing.assert_allclose(values, found["first"])
    np.testing.assert_allclose(edges, [0, 0.25, 0.5, 0.75, 1])


def test_gates_beyond_0_and_1_widen_the_bins(axes):
    """A user's own may be a tanh."""
    found = draw_histograms(axes, {"tanh": np.array([-1.0, -0.9, 0.5, 1.0])}, bins=4)
    np.testing.assert_allclose(found["tanh"], [50, 0, 0, 50])
    assert axes.get_xlim() == (-1, 1)


def test_what_is_no_gate_is_refused(axes):
    with pytest.raises(ValueError, match="Received 2 of 'a', 1 of them finite"):
        draw_histograms(axes, {"a": np.array([np.nan, 1.0])})
    with pytest.raises(ValueError, match="Received 0 of 'a'"):
        draw_histograms(axes, {"a": np.zeros(0)})
    with pytest.raises(ValueError, match="no gates"):
        draw_histograms(axes, {})
