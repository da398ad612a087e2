"""Image files explained: what is drawn, and every way to get it wrong."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from references.backend import need_channels_first

from keras_attention import applications
from keras_attention.data import load
from keras_attention.data.preprocessing import Preprocessing
from keras_attention.training import fit, recipe
from keras_attention.training.prediction import read_input
from keras_attention.visualization import (
    attention_maps,
    grad_cam,
    occlusion_sensitivity,
)
from keras_attention.visualization.explaining import explain
from keras_attention.visualization.explaining_files import _shown, explain_run
from keras_attention.visualization.panels import draw_explanation

pytest.importorskip("matplotlib")


def small(attention, **options):
    shape = {"input_shape": (8, 8, 1), "classes": 10}
    return applications.CNN3(attention=attention, units=16, **shape, **options)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of runs of one epoch: with CBAM, with AW, and plain."""
    out = tmp_path_factory.mktemp("runs")
    data = load("digits", limit=64)
    settings = recipe("quick", epochs=1, batch_size=32)
    for name in ("cbam", "aw", None):
        fit(small(name), data, settings, out=out / str(name), verbose=0)
    return out


@pytest.fixture
def files(tmp_path, rng):
    """A grey and a coloured image, of other sizes than the network's."""
    found = []
    for name, shape in (("grey.png", (20, 30, 1)), ("colour.jpg", (33, 17, 3))):
        pixels = rng.integers(0, 256, shape, "uint8")
        encode = tf.io.encode_png if name.endswith("png") else tf.io.encode_jpeg
        found.append(tmp_path / name)
        found[-1].write_bytes(encode(pixels).numpy())
    return found


def test_an_explanation_is_its_parts(rng):
    """Patch and stride are an eighth and a sixteenth of the side: 1 and 1 of 8."""
    model = small("cbam")
    images = rng.normal(size=(2, 8, 8, 1)).astype("float32")
    found = explain(model, images, layers=["stage2"], verbose=0)
    cam = grad_cam(model, images, layer="stage2")
    drops = occlusion_sensitivity(model, images, patch=1, stride=1, verbose=0)
    gates = {(m.layer, m.kind): m for m in attention_maps(model, images)}
    for i, each in enumerate(found):
        assert each.explained == cam.classes[i]
        first, second, *others = each.heats
        np.testing.assert_array_equal(first.values, cam.maps[i])
        assert (first.kind, first.signed) == ("grad-cam", False)
        np.testing.assert_allclose(second.values, drops.maps[i], atol=1e-6)
        assert (second.kind, second.signed) == ("occlusion", True)
        assert [heat.title for heat in others] == [
            f"stage{s}_block1_attention, spatial" for s in (1, 2, 3)
        ]
        for heat in others:
            layer, kind = heat.title.split(", ")
            np.testing.assert_array_equal(heat.values, gates[layer, kind].values[i])
        assert list(each.gates) == [
            f"stage{s}_block1_attention, channel" for s in (1, 2, 3)
        ]


def test_kinds_are_chosen_and_checked(rng):
    images = rng.normal(size=(1, 8, 8, 1)).astype("float32")
    (found,) = explain(small(None), images, kinds=["grad-cam"], verbose=0)
    assert [heat.kind for heat in found.heats] == ["grad-cam"] and not found.gates
    with pytest.raises(ValueError, match="kind of map.*'gradcam'.*'grad-cam'"):
        explain(small(None), images, kinds=["gradcam"])


def test_a_picture_has_every_map_and_the_gates(rng):
    images = rng.normal(size=(1, 8, 8, 1)).astype("float32")
    (found,) = explain(small("aw_cbam"), images, verbose=0)
    figure = draw_explanation(found, np.zeros((16, 16, 1), "uint8"), "a title")
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    spatial = [f"stage{s}_block1\nspatial" for s in (1, 2, 3)]
    # At 8×8 the last pool leaves one place, so that the layer before is shown.
    cam = "Grad-CAM\nstage3_block1_attention"
    first = ["what the\nnetwork sees", cam, "occlusion\n"]
    assert titles == [*first, *spatial, "gates"]
    # A kernel map and a channel gate in each stage.
    assert len(figure.axes[-1].patches) == len(found.gates) == 6
    assert figure.get_suptitle() == "a title"


def test_files_get_a_picture_each(runs, files):
    found = explain_run(runs / "cbam" / "best.keras", files, verbose=0)
    folder = runs / "cbam" / "explain"
    assert found == [folder / f"{name}.explained.png" for name in ("grey", "colour")]
    shapes = [tf.io.decode_png(path.read_bytes()).shape for path in found]
    assert all(shape[1] > 1000 for shape in shapes)


def test_no_image_is_written_over(runs, files):
    """Also where the pictures are put beside the images."""
    before = files[0].read_bytes()
    (picture,) = explain_run(
        runs / "None", files[:1], out=files[0].parent, kinds=["grad-cam"], verbose=0
    )
    assert picture.parent == files[0].parent and files[0].read_bytes() == before


def test_what_is_shown_is_the_networks_input_in_more_pixels(files):
    """Shrunk to the network's size it is the input, but for rounding."""
    preprocessing = Preprocessing((8, 8), 1, (0.0,), (1.0,), ("a", "b"))
    large = _shown(str(files[1]), preprocessing)
    assert large.shape == (256, 256, 1)
    small_image = read_input(str(files[1]), preprocessing) * 255
    means = large.reshape(8, 32, 8, 32).mean((1, 3))
    assert np.corrcoef(means.ravel(), small_image.ravel())[0, 1] > 0.95


def test_all_maps_are_about_one_class(rng, monkeypatch):
    """Where classes tie, Grad-CAM's answer holds for occlusion too."""
    asked = []
    module = "keras_attention.visualization.explaining"
    original = occlusion_sensitivity
    monkeypatch.setattr(
        f"{module}.occlusion_sensitivity",
        lambda *args, **options: asked.append(options) or original(*args, **options),
    )
    images = rng.normal(size=(2, 8, 8, 1)).astype("float32")
    found = explain(small(None), images, kinds=["grad-cam", "occlusion"], verbose=0)
    assert asked[0]["classes"].tolist() == [each.explained for each in found]


def test_channels_first_has_the_same_patch(rng):
    need_channels_first()
    keras.config.set_image_data_format("channels_first")
    model = applications.CNN3(input_shape=(3, 32, 32), units=16)
    images = rng.normal(size=(1, 3, 32, 32)).astype("float32")
    (found,) = explain(model, images, kinds=["occlusion"], verbose=0)
    drops = occlusion_sensitivity(model, images, patch=4, stride=2, verbose=0)
    np.testing.assert_allclose(found.heats[0].values, drops.maps[0], atol=1e-6)


def test_images_of_one_name_do_not_replace_each_other(runs, files, tmp_path):
    other = tmp_path / "other" / "grey.png"
    other.parent.mkdir()
    other.write_bytes(files[0].read_bytes())
    out = tmp_path / "out"
    found = explain_run(
        runs / "aw", [files[0], other], out=out, kinds=["attention"], verbose=0
    )
    names = [path.name for path in found]
    assert names == ["grey.explained.png", "grey-2.explained.png"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("None", {}, r"None: Model .* has no attention"),
        ("cbam", {"about": "10"}, "Unknown class: received '10'"),
        ("cbam", {"layers": ["stage9"]}, "stage9"),
        ("cbam", {"kinds": ["maps"]}, "kind of map"),
        ("cbam", {"patch": 9}, "patch"),
    ],
)
def test_what_cannot_be_explained_is_refused(runs, files, name, options, message):
    with pytest.raises(ValueError, match=message):
        explain_run(runs / name, files, out=runs / "refused", verbose=0, **options)
    assert not (runs / "refused").exists()


def test_a_plain_network_has_the_other_maps(runs, files):
    found = explain_run(
        runs / "None", files[:1], kinds=["grad-cam", "occlusion"], verbose=0
    )
    assert found[0].exists()


def test_what_is_no_image_or_no_run_is_named(runs, files, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no image")
    with pytest.raises(ValueError, match=r"text\.png cannot be decoded"):
        explain_run(runs / "cbam", [files[0], text], verbose=0)
    with pytest.raises(FileNotFoundError, match=r"missing\.png"):
        explain_run(runs / "cbam", [tmp_path / "missing.png"], verbose=0)
    with pytest.raises(FileNotFoundError, match="holds no run"):
        explain_run(tmp_path, files, verbose=0)


def test_mixed_precision_is_drawn(rng):
    keras.config.set_dtype_policy("mixed_bfloat16")
    images = rng.normal(size=(1, 8, 8, 1)).astype("float32")
    (found,) = explain(small("cbam_sum"), images, verbose=0)
    assert {heat.values.dtype for heat in found.heats} == {np.dtype("float32")}
    assert [heat.title.split(", ")[1] for heat in found.heats[2:]] == ["volume"] * 3
