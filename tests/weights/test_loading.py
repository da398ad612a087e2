"""What is loaded, what is refused, and that nothing changes where it is."""

import dataclasses

import keras
import numpy as np
import pytest
from references.weights import randomize

from keras_attention.applications import (
    CNN3,
    MobileNetV2,
    MobileNetV3Small,
    ResNet,
    ResNet50,
)
from keras_attention.layers.aw_conv import AW
from keras_attention.layers.cbam import CBAMSpec
from keras_attention.weights import (
    ImageFormat,
    Weights,
    load_weights,
    save_weights,
)
from keras_attention.weights.layouts import layout_of

safetensors = pytest.importorskip("safetensors.numpy")


def network(attention=None, **options):
    options = {"input_shape": (32, 32, 3), "classes": 5, **options}
    return ResNet((1, 2), (16, 24), "bottleneck", attention=attention, **options)


def values(model):
    return {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}


def assert_same(left, right):
    assert left.keys() == right.keys()
    for path, value in left.items():
        np.testing.assert_array_equal(value, right[path], err_msg=path)


@pytest.fixture
def plain(rng):
    model = network()
    randomize(model, rng)
    return model


@pytest.fixture
def file(plain, tmp_path):
    """The plain network's weights as timm has them."""
    save_weights(plain, tmp_path / "plain.safetensors")
    return tmp_path / "plain.safetensors"


def changed(file, name, **changes):
    """A file with other tensors; None takes one out."""
    tensors = safetensors.load_file(file)
    for key, value in changes.items():
        key = key.replace("__", ".")
        tensors.pop(key, None)
        if value is not None:
            tensors[key] = np.asarray(value, "float32")
    safetensors.save_file(tensors, file.with_name(name))
    return file.with_name(name)


def test_the_report_says_what_was_loaded_from_where(file, plain):
    model = network(weights=file)
    assert_same(values(model), values(plain))
    report = model.weights_report
    assert report.source == str(file)
    assert len(report.sha256) == 64 and report.revision is None
    assert set(report.loaded) == {weight.path for weight in model.weights}
    assert report.missing == report.unused == report.mismatched == ()
    assert report.preprocessing == ImageFormat()
    assert str(report) == (
        f"Weights of {file} (timm's and torchvision's ResNet): {len(model.weights)} set"
    )


WRONG = {
    "a tensor too few": (
        {"layer1__0__bn1__bias": None},
        ["in the model and not in the file: stage1_block1_norm1/beta"],
    ),
    "a tensor too many": (
        {"layer9__0__bn1__bias": [1]},
        ["in the file and not in the model: layer9.0.bn1.bias"],
    ),
    "another shape": (
        {"layer1__0__conv2__weight": np.ones((16, 16, 5, 5))},
        ["layer1.0.conv2.weight is (16, 16, 5, 5) and (16, 16, 3, 3) is wanted"],
    ),
    "another number of dimensions": (
        {"layer1__0__conv2__weight": np.ones((16, 16))},
        ["layer1.0.conv2.weight is (16, 16) and (16, 16, 3, 3) is wanted"],
    ),
    "other classes": (
        {"fc__weight": np.ones((1000, 96)), "fc__bias": np.ones(1000)},
        [
            "fc.weight is (1000, 96) and (5, 96) is wanted",
            "Weights(source, strict=False) keeps the model's own new classifier",
        ],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(case, file):
    changes, messages = WRONG[case]
    model = network()
    before = values(model)
    with pytest.raises(ValueError) as caught:
        load_weights(model, changed(file, "wrong.safetensors", **changes))
    for message in (*messages, "Nothing was loaded"):
        assert message in str(caught.value)
    assert_same(values(model), before)
    assert not hasattr(model, "weights_report")


def test_long_lists_are_cut(file):
    with pytest.raises(ValueError, match=r"expand/kernel.* and 7 more\n"):
        network("se", weights=file)


def test_a_files_attention_is_not_taken_for_a_head(tmp_path):
    save_weights(network("se"), tmp_path / "se.safetensors")
    with pytest.raises(ValueError, match="not in the model: layer1.0.se.fc1.bias"):
        network(weights=tmp_path / "se.safetensors")


def test_not_strict_loads_what_fits_and_says_the_rest(file, plain, capsys):
    wrong = changed(file, "x.safetensors", fc__bias=[1], extra__bias=[1])
    model = network("se", weights=Weights(wrong, strict=False))
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3 and all(line.startswith(str(wrong)) for line in printed)
    assert "in the model and not in the file: stage1_block1_attention" in printed[0]
    assert "in the file and not in the model: extra.bias" in printed[1]
    assert "of another shape: fc.bias is (1,) and (5,) is wanted" in printed[2]
    report = model.weights_report
    (mismatch,) = report.mismatched
    assert (mismatch.name, mismatch.shape, mismatch.wanted) == ("fc.bias", (1,), (5,))
    assert report.unused == ("extra.bias",)
    found, expected = values(model), values(plain)
    for path in report.loaded:
        np.testing.assert_array_equal(found[path], expected[path])
    assert {*report.loaded, *report.missing, mismatch.path} == found.keys()


def test_an_error_where_nothing_fits(file):
    with pytest.raises(ValueError, match="No weight fits"):
        load_weights(
            ResNet((1,), (20,), "bottleneck", stem_width=8, classes=3),
            changed(
                file,
                "few.safetensors",
                **{
                    key.replace(".", "__"): None
                    for key in safetensors.load_file(file)
                    if not key.startswith(("conv1", "bn1.weight", "layer1.0.conv1"))
                },
            ),
            strict=False,
        )


@pytest.mark.parametrize(
    "options", [{"include_top": False}, {"pyramid": True}, {"pooling": "avg"}]
)
def test_a_head_that_the_model_lacks_is_left_out(options, file, plain):
    options = {"include_top": False, **options}
    model = network(weights=file, **options)
    assert model.weights_report.complete
    expected = values(plain)
    assert_same(values(model), {k: expected[k] for k in values(model)})


def test_a_pyramid_lacks_the_last_convolution_too(tmp_path):
    whole = MobileNetV2(alpha=0.1, input_shape=(32, 32, 3))
    save_weights(whole, tmp_path / "v2.safetensors")
    model = MobileNetV2(
        alpha=0.1,
        input_shape=(32, 32, 3),
        pyramid=True,
        weights=tmp_path / "v2.safetensors",
    )
    assert model.weights_report.complete


def test_counters_of_batches_are_passed_over(file):
    tensors = safetensors.load_file(file)
    tensors["bn1.num_batches_tracked"] = np.array(3)
    safetensors.save_file(tensors, file)
    assert network(weights=file).weights_report.complete


def test_strides_that_shapes_do_not_show(file, capsys):
    with pytest.raises(ValueError, match="Build it with stride_in_1x1=False"):
        network(stride_in_1x1=True, weights=file)
    network(stride_in_1x1=True, weights=Weights(file, strict=False))
    assert "stride_in_1x1=False" in capsys.readouterr().out


def test_attentions_that_compute_something_else_are_not_loaded(tmp_path, capsys):
    path = tmp_path / "cbam.safetensors"
    save_weights(network(CBAMSpec(use_bias=False)), path)
    reverse = CBAMSpec(use_bias=False, order="spatial_channel")
    with pytest.raises(ValueError, match="order='spatial_channel'; such weights"):
        network(reverse, weights=path)
    model = network(reverse, weights=Weights(path, strict=False))
    assert not any("attention" in path for path in model.weights_report.loaded)
    assert "order='spatial_channel'" in capsys.readouterr().out


def test_the_authors_bam_multiplies(tmp_path, capsys):
    model = network("bam")
    tensors = {"conv1.weight": np.ones((64, 3, 7, 7), "float32")}
    name = "bam1.channel_att.gate_c.gate_c_fc_0.weight"
    tensors[name] = np.ones((4, 64), "float32")
    safetensors.save_file(tensors, tmp_path / "bam.safetensors")
    with pytest.raises(ValueError, match="multiplies BAM's two branches"):
        load_weights(model, tmp_path / "bam.safetensors")
    report = load_weights(model, tmp_path / "bam.safetensors", strict=False)
    assert "stage1_attention/channel_reduce/kernel" in report.loaded
    assert "multiplies BAM's two branches" in capsys.readouterr().out


def test_a_convolution_with_attention_takes_the_plain_kernel(file, plain, rng):
    """So that one that starts at the identity computes what the plain network does."""
    weights = Weights(file, strict=False)
    model = network(AW(identity_start=True), weights=weights)
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(
        model.predict_on_batch(images), plain.predict_on_batch(images), atol=1e-5
    )


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", "model"])
def test_keras_files_and_models_of_the_same_network(suffix, tmp_path, rng):
    model = network("aw_cbam_bam")
    randomize(model, rng)
    source = model if suffix == "model" else tmp_path / f"own{suffix}"
    if suffix == ".keras":
        model.save(source)
    elif suffix == ".weights.h5":
        model.save_weights(source)
    copy = network("aw_cbam_bam", weights=source)
    assert_same(values(copy), values(model))
    assert copy.weights_report.layout == "this network itself"
    assert set(copy.weights_report.loaded) == values(copy).keys()


def test_a_keras_file_of_other_classes(tmp_path, plain):
    plain.save(tmp_path / "own.keras")
    model = network(classes=3, weights=Weights(tmp_path / "own.keras", strict=False))
    assert [m.path for m in model.weights_report.mismatched] == [
        "predictions/kernel",
        "predictions/bias",
    ]
    plain.save_weights(tmp_path / "own.weights.h5")
    with pytest.raises(ValueError, match="Save the network as a .keras file"):
        network(weights=Weights(tmp_path / "own.weights.h5", strict=False))


@pytest.mark.parametrize("source", ["file", "model"])
def test_epsilon_comes_with_weights_also_of_our_own(source, tmp_path, rng):
    first = MobileNetV3Small(alpha=0.25, input_shape=(32, 32, 3), classes=3)
    randomize(first, rng)
    for layer in first.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = 0.03
    first.save(tmp_path / "own.keras")
    model = MobileNetV3Small(alpha=0.25, input_shape=(32, 32, 3), classes=3)
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    # Traced with the old ε.
    model.predict(images, verbose=0)
    load_weights(model, first if source == "model" else tmp_path / "own.keras")
    np.testing.assert_allclose(
        model.predict(images, verbose=0),
        first.predict_on_batch(images),
        rtol=1e-5,
        atol=1e-6,
    )
    reloaded = keras.models.clone_model(model)
    assert reloaded.get_layer("stem_norm").epsilon == 0.03


def test_files_of_other_families_and_none(file, tmp_path):
    with pytest.raises(ValueError, match="a network of the family 'mobilenetv2'"):
        MobileNetV2(alpha=0.1, input_shape=(32, 32, 3), weights=file)
    with pytest.raises(ValueError, match="of no such family"):
        CNN3(weights=file)
    path = tmp_path / "other.safetensors"
    safetensors.save_file({"encoder.0.weight": np.ones(2, "float32")}, path)
    with pytest.raises(ValueError, match=r"such as 'encoder.0.weight'.*no layout"):
        network(weights=path)


REFUSED = {
    "MobileNet": "pads at stride 2 after the image first",
    "MobileNetV2": "pads at stride 2 after the image first",
    "MobileNetV3Small": "pads at stride 2 after the image first",
    "ResNet50V2": "norms at other places",
}


@pytest.mark.parametrize("name", REFUSED)
def test_keras_applications_that_compute_something_else(name):
    with keras.StatelessScope(initialize_variables=False):
        theirs = getattr(keras.applications, name)(weights=None, include_top=False)
    tensors = {w.path: np.broadcast_to(0, w.shape) for w in theirs.weights}
    with pytest.raises(ValueError, match=REFUSED[name]):
        layout_of(network(), tensors)


def test_options_are_values():
    assert Weights("x") == Weights("x", strict=True, sha256=None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Weights("x").strict = False
    with pytest.raises(ValueError, match="`strict` must be True or False"):
        network(weights=Weights("x", strict="no"))
    with pytest.raises(ValueError, match="Received: 3"):
        ResNet50(weights=3)
    with pytest.raises(ValueError, match="Call it once first"):
        load_weights(keras.Sequential([keras.layers.Dense(2)]), "x.safetensors")
