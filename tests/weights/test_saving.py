"""Weights written in PyTorch's layouts."""

import keras
import numpy as np
import pytest
from references.numpy_nn import batch_norm
from references.weights import randomize

from keras_attention.applications import CNN3, MobileNet, MobileNetV3Small, ResNet
from keras_attention.attaching import attach, fold
from keras_attention.layers.squeeze_excitation import SE
from keras_attention.weights import save_weights

safetensors = pytest.importorskip("safetensors.numpy")


def network(attention=None, **options):
    return ResNet((1, 1), (16, 24), "basic", attention=attention, classes=5, **options)


@pytest.mark.parametrize(
    ("attention", "layer"),
    [
        ("aw", "AWConv2D"),
        ("mvam", "MVAM"),
        ("bam", "BAM"),
        ("cbam_parallel", "order='parallel'"),
        ("aw_se", "AWConv2D"),
    ],
)
def test_attentions_that_timm_lacks_are_named(attention, layer, tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(ValueError, match=layer):
        save_weights(network(attention), path)
    assert not path.exists()


def test_an_attention_at_the_identity_has_no_place(tmp_path):
    with pytest.raises(ValueError, match=r"stage1_block1_attention \(SqueezeExc"):
        save_weights(network(SE(identity_start=True)), tmp_path / "x.safetensors")


def test_what_was_attached_and_folded_is_written_as_the_blocks_own(tmp_path, rng):
    attached = attach(network(input_shape=(32, 32, 3)), "se")
    randomize(attached, rng)
    path = tmp_path / "x.safetensors"
    with pytest.raises(
        ValueError, match=r"_add_se \(Squeeze[^\0]*`keras_attention.*fold`"
    ):
        save_weights(attached, path)
    folded = fold(attached)
    save_weights(folded, path)
    own = network("se", weights=path, input_shape=(32, 32, 3))
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    found, wanted = (m.predict(images, verbose=0) for m in (own, folded))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        lambda: fold(attach(network(), "se", "after_add")),  # of the same names
        lambda: fold(attach(network("se"), "se")),
        lambda: fold(attach(attach(network(), "se"), "eca")),
        lambda: fold(attach(network(), "mvam")),  # not timm's
    ],
    ids=["behind the addition", "beside an own one", "two", "of another kind"],
)
def test_what_was_attached_elsewhere_has_no_place(model, tmp_path):
    with pytest.raises(ValueError, match="no place for stage1_block1_add_"):
        save_weights(model(), tmp_path / "x.safetensors")


def test_torchvision_has_no_attention(tmp_path):
    with pytest.raises(ValueError, match="SqueezeExcitation"):
        save_weights(network("se"), tmp_path / "x.safetensors", "torchvision")
    save_weights(network(), tmp_path / "x.safetensors", "torchvision")


def test_arguments(tmp_path):
    with pytest.raises(ValueError, match=r"'\.safetensors'. Received"):
        save_weights(network(), tmp_path / "x.pth")
    with pytest.raises(ValueError, match="layout.*'timm'"):
        save_weights(network(), tmp_path / "x.safetensors", "tim")
    for model in (CNN3(), keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])):
        with pytest.raises(ValueError, match="timm has no layout"):
            save_weights(model, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="torchvision has no layout"):
        save_weights(
            MobileNet(alpha=0.1, input_shape=(32, 32, 3)),
            tmp_path / "x.safetensors",
            "torchvision",
        )


@pytest.mark.parametrize("layout", ["timm", "torchvision"])
def test_the_variance_makes_up_for_another_epsilon(layout, tmp_path, rng):
    """timm's MobileNetV3 has ε = 1e-5, torchvision's and ours 1e-3."""
    model = MobileNetV3Small(alpha=0.25, input_shape=(32, 32, 3), classes=3)
    randomize(model, rng)
    save_weights(model, tmp_path / "x.safetensors", layout)
    tensors = safetensors.load_file(tmp_path / "x.safetensors")
    name = "bn1" if layout == "timm" else "features.0.1"
    theirs = {
        "gamma": tensors[f"{name}.weight"],
        "beta": tensors[f"{name}.bias"],
        "moving_mean": tensors[f"{name}.running_mean"],
        "moving_variance": tensors[f"{name}.running_var"],
    }
    norm = model.get_layer("stem_norm")
    images = rng.normal(size=(1, 2, 2, len(theirs["gamma"]))).astype("float32")
    expected = keras.ops.convert_to_numpy(norm(images, training=False))
    epsilon = 1e-5 if layout == "timm" else 1e-3
    found = batch_norm(images, theirs, epsilon=epsilon)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    own = keras.ops.convert_to_numpy(norm.moving_variance)
    assert (theirs["moving_variance"] == own).all() == (layout == "torchvision")
