"""Where weights are looked for, and what comes with them."""

import hashlib
import json
import re

import keras
import numpy as np
import pytest
from local_hub import cache_by_hand

from keras_attention import applications
from keras_attention.applications import (
    CNN3,
    MobileNetV2,
    MobileNetV3Small,
    ResNet,
    ResNet18,
)
from keras_attention.weights import ImageFormat, Weights, imagenet, save_weights
from keras_attention.weights.layouts.finding import LAYOUTS
from keras_attention.weights.preprocessing import of_timm

safetensors = pytest.importorskip("safetensors.numpy")

COMMIT = "0123456789" * 4
PRETRAINED = {
    "input_size": [3, 288, 288],
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.4],
    "interpolation": "bicubic",
    "crop_pct": 0.95,
}


def network(**options):
    return ResNet((1, 1), (16, 24), "basic", classes=5, **options)


@pytest.fixture
def file(tmp_path):
    save_weights(network(), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def configured(file, **config):
    file.with_name("config.json").write_text(json.dumps(config))
    return file


def test_preprocessing_of_the_config_beside_a_file(file):
    configured(file, architecture="resnet18", pretrained_cfg=PRETRAINED)
    found = network(weights=file).weights_report.preprocessing
    assert found == ImageFormat(
        (288, 288), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), "bicubic", 0.95
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": None}, "must have input_size, mean"),
        ({"interpolation": "lanczos"}, "'lanczos'. Here is only: bilinear, bicubic"),
    ],
)
def test_preprocessing_that_cannot_be_had_here(change, message):
    with pytest.raises(ValueError, match=message):
        of_timm(PRETRAINED | change)
    with pytest.raises(ValueError, match="must have input_size"):
        of_timm({})


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("tf_mobilenetv3_small_100", "pads as TensorFlow does"),
        ("resnetblur50", "only architectures that are known"),
        ("resnetaa50", "only architectures that are known"),
        ("resnet50d", "only architectures that are known"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_architectures_with_the_same_names_that_compute_otherwise(
    architecture, message, strict, file
):
    configured(file, architecture=architecture)
    with pytest.raises(ValueError, match=message):
        network(weights=Weights(file, strict=strict))


@pytest.mark.parametrize("name", imagenet.TRAININGS)
def test_architectures_of_imagenet_are_known(name):
    """Every name of the table goes through that check."""
    assert any(re.fullmatch(layout.architectures, name) for layout in LAYOUTS)


def test_sha256(file):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    model = network(weights=Weights(file, sha256=digest.upper()))
    assert model.weights_report.sha256 == digest
    with pytest.raises(ValueError, match="has the SHA-256 .* and 0000 was asked for"):
        network(weights=Weights(file, sha256="0000"))
    with pytest.raises(ValueError, match="`sha256` is of a file"):
        network(weights=Weights(model, sha256=digest))


@pytest.mark.parametrize("weights", ["nowhere.safetensors", "nowhere.keras", "imagnet"])
def test_a_file_that_is_not_there(weights, tmp_path):
    with pytest.raises(ValueError, match="'imagenet'.*There is no file.*'"):
        network(weights=weights)
    with pytest.raises(ValueError, match="There is no file"):
        network(weights=tmp_path)


def test_the_home_folder(file, monkeypatch):
    monkeypatch.setenv("HOME", str(file.parent))
    assert network(weights=f"~/{file.name}").weights_report.complete


def test_the_hub_without_a_network_fails_at_once(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for weights, name in (
        ("imagenet", "hf://timm/resnet18.tv_in1k"),
        ("hf://timm/resnet18.a1_in1k", "hf://timm/resnet18.a1_in1k"),
    ):
        with pytest.raises(ConnectionError, match=f"{name} is not in the cache"):
            ResNet18(weights=weights)


def test_imagenet_from_the_hubs_cache(monkeypatch, tmp_path, capsys):
    """Address, file, description and report of `weights="imagenet"`, offline."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    options = {"alpha": 0.5, "input_shape": (32, 32, 3), "classes": 1000}
    published = MobileNetV2(**options)
    save_weights(published, tmp_path / "model.safetensors")
    content = (tmp_path / "model.safetensors").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    config = {"architecture": "mobilenetv2_050", "pretrained_cfg": PRETRAINED}
    files = {
        "model.safetensors": (content, digest),
        "config.json": (json.dumps(config).encode(), "c"),
    }
    cache_by_hand(tmp_path, "timm/mobilenetv2_050.lamb_in1k", COMMIT, files)
    report = MobileNetV2(weights="imagenet", **options).weights_report
    assert report.source == "hf://timm/mobilenetv2_050.lamb_in1k"
    assert report.repository == "timm/mobilenetv2_050.lamb_in1k"
    assert (report.revision, report.sha256) == (COMMIT, digest)
    assert report.complete and report.preprocessing.size == (288, 288)
    # Other classes keep their own classifier, and say so.
    weights = Weights("imagenet", strict=False)
    model = MobileNetV2(weights=weights, **options | {"classes": 3})
    assert "classifier.weight is (1000, 1280)" in capsys.readouterr().out
    stem = np.asarray(published.get_layer("stem_conv").kernel)
    np.testing.assert_array_equal(np.asarray(model.get_layer("stem_conv").kernel), stem)


def shaped(function, *args, **options):
    with keras.StatelessScope(initialize_variables=False):
        return function(*args, **options)


@pytest.mark.parametrize(
    ("attention", "strict", "found"),
    [
        (None, True, "resnet50.tv_in1k"),
        ("se", True, "seresnet50.ra2_in1k"),
        ("cbam", False, "resnet50.tv_in1k"),
        ("aw", False, "resnet50.tv_in1k"),
        ("aw_se", False, "resnet50.tv_in1k"),
        ("se", False, "seresnet50.ra2_in1k"),
        (["se"] + [None] * 15, False, "resnet50.tv_in1k"),
    ],
)
def test_imagenet_by_attention(attention, strict, found):
    model = shaped(applications.ResNet50, attention=attention, name="mine")
    assert imagenet.address(model, strict) == f"hf://timm/{found}"


@pytest.mark.parametrize("attention", ["cbam", "aw", "aw_se", ["se"] + [None] * 15])
def test_imagenet_has_no_such_attention(attention):
    model = shaped(applications.ResNet50, attention=attention)
    with pytest.raises(ValueError, match=r"Weights\('imagenet', strict=False\)"):
        imagenet.address(model)


@pytest.mark.parametrize(
    "model",
    [
        CNN3,
        applications.CifarResNet,
        lambda: MobileNetV2(alpha=0.35),
        lambda: MobileNetV3Small(alpha=0.5),
        lambda: ResNet((1,), (64,)),
    ],
)
def test_imagenet_has_no_such_network(model):
    with pytest.raises(ValueError, match="no published ImageNet weights.*resnet18"):
        imagenet.address(shaped(model))


def test_imagenet_of_headless_networks():
    for options in ({"include_top": False}, {"pyramid": True}):
        model = shaped(applications.MobileNetV3Large, **options)
        found = imagenet.address(model)
        assert found == "hf://timm/mobilenetv3_large_100.ra_in1k"


def test_legacy_files_of_keras_applications(tmp_path, rng):
    """A layer's group holds one of the same name, as in the published files."""
    h5py = pytest.importorskip("h5py")
    theirs = keras.applications.VGG16(
        weights=None, include_top=False, input_shape=(32, 32, 3)
    )
    with h5py.File(tmp_path / "vgg.h5", "w") as file:
        for weight in theirs.weights:
            layer, name = weight.path.split("/")
            value = np.asarray(weight)
            file.create_dataset(f"{layer}/{layer}/{name}:0", data=value)
    model = applications.VGG16(
        include_top=False, input_shape=(32, 32, 3), weights=tmp_path / "vgg.h5"
    )
    assert model.weights_report.layout == "keras.applications' VGG-16"
    assert model.weights_report.complete
    kernel = np.asarray(theirs.get_layer("block1_conv1").kernel)
    found = np.asarray(model.get_layer("stage1_block1_conv").kernel)
    np.testing.assert_array_equal(found, kernel[:, :, ::-1])
