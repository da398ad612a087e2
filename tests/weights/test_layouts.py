"""Other libraries' weights through the public importer, against their outputs."""

import functools
import gzip
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from references import pytorch_networks as pytorch
from references import torch_names

from keras_attention import applications
from keras_attention.applications import (
    VGG16,
    MobileNet,
    MobileNetV2,
    MobileNetV3Small,
    ResNet,
)
from keras_attention.layers.cbam import CBAMSpec
from keras_attention.layers.squeeze_excitation import SE
from keras_attention.weights import imagenet, load_weights, save_weights
from keras_attention.weights.layouts import conversions, layout_of

safetensors = pytest.importorskip("safetensors.numpy")
NAMES = Path(pytorch.__file__).with_name("pytorch_names.json.gz")


def golden(name, folder):
    """(path of the golden's weights alone, its images, its logits)."""
    path = torch_names.GOLDEN / f"{name}.safetensors"
    if not path.exists():
        pytest.skip(f"no golden file {path.resolve()}")
    tensors = safetensors.load_file(path)
    images, logits = tensors.pop("__input__"), tensors.pop("__output__")
    safetensors.save_file(tensors, folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors", np.moveaxis(images, 1, -1), logits


@pytest.mark.parametrize(
    ("name", "attention"), [("resnet_timm", None), ("seresnet_timm", "se")]
)
def test_pytorchs_logits_from_pytorchs_file(name, attention, tmp_path):
    path, images, logits = golden(name, tmp_path)
    depths, widths = torch_names.resnet_shape(safetensors.load_file(path))
    model = ResNet(
        depths,
        widths,
        classes=10,
        input_shape=(64, 64, 3),
        classifier_activation=None,
        attention=attention,
        weights=path,
    )
    outputs = model.predict_on_batch(images)
    np.testing.assert_allclose(outputs, logits, atol=1e-4, rtol=0)
    assert np.ptp(logits) > 0.1
    report = model.weights_report
    assert report.complete and len(report.loaded) == len(model.weights)
    assert report.source == str(path) and "timm" in report.layout


DEPTHS, WIDTHS = (2, 1), (24, 32)
basic = functools.partial(
    pytorch.resnet, depths=DEPTHS, widths=WIDTHS, bottleneck=False
)
bottleneck = functools.partial(
    pytorch.resnet, depths=DEPTHS, widths=WIDTHS, bottleneck=True
)
ours_basic = functools.partial(ResNet, DEPTHS, WIDTHS, "basic")
ours_bottleneck = functools.partial(ResNet, DEPTHS, WIDTHS, "bottleneck")


def cbam(function, suffix):
    return lambda r, x, name: function(r, x, f"{name}.{suffix}", x.shape[-1] // 16)


@pytest.mark.parametrize("as_kernel", [False, True])
def test_the_first_dense_layer_sees_the_map_channels_first(as_kernel, rng):
    maps, side = rng.normal(size=(2, 3, 3, 4)), (4, 3, 3)
    theirs = rng.normal(size=(5, *side))
    conversion = conversions.of_flattened_map(4, as_kernel=as_kernel)
    kernel = conversion.to_ours(theirs if as_kernel else theirs.reshape(5, -1))
    expected = np.einsum("nhwc,uchw->nu", maps, theirs)
    np.testing.assert_allclose(maps.reshape(2, -1) @ kernel, expected)
    back = conversion.to_theirs(kernel)
    np.testing.assert_array_equal(back.reshape(theirs.shape), theirs)
    assert back.ndim == (4 if as_kernel else 2)


def test_depthwise_kernels_come_back_with_any_multiplier(rng):
    theirs = rng.normal(size=(6, 1, 3, 5))
    conversion = conversions.depthwise(2)
    ours = conversion.to_ours(theirs)
    # Output channel 2·c + m of PyTorch's grouped convolution is channel c's m-th.
    np.testing.assert_array_equal(ours[:, :, 2, 1], theirs[5, 0])
    np.testing.assert_array_equal(conversion.to_theirs(ours), theirs)


V1_STAGES = (
    ((16, 1),),
    ((32, 2), (32, 1)),
    ((64, 2), (64, 1)),
    ((128, 2), *5 * ((128, 1),)),
    ((256, 2), (256, 1)),
)
# name: (PyTorch's network, ours, ε of PyTorch's norms, pixels)
CASES = {
    "basic": (basic, ours_basic, 1e-5, 32),
    "grouped": (
        functools.partial(bottleneck, groups=4, width_per_group=8),
        functools.partial(ours_bottleneck, groups=4, width_per_group=8),
        1e-5,
        32,
    ),
    "basic with timm's SE": (
        functools.partial(
            basic, attend=lambda r, x, name: pytorch.se(r, x, f"{name}.se", 8)
        ),
        functools.partial(ours_basic, attention=SE(hidden_divisor=8)),
        1e-5,
        32,
    ),
    "bottleneck with timm's ECA": (
        functools.partial(
            bottleneck, attend=lambda r, x, name: pytorch.eca(r, x, f"{name}.se")
        ),
        functools.partial(ours_bottleneck, attention="eca"),
        1e-5,
        32,
    ),
    "bottleneck with timm's CBAM": (
        functools.partial(bottleneck, attend=cbam(pytorch.cbam_timm, "se")),
        functools.partial(ours_bottleneck, attention=CBAMSpec(use_bias=False)),
        1e-5,
        32,
    ),
    "basic with timm's CBAM, the mean first": (
        functools.partial(basic, attend=cbam(pytorch.cbam_timm, "se")),
        functools.partial(
            ours_basic,
            attention=CBAMSpec(use_bias=False, spatial_pooling=("avg", "max")),
        ),
        1e-5,
        32,
    ),
    "basic with the authors' CBAM": (
        functools.partial(basic, attend=cbam(pytorch.cbam_authors, "cbam")),
        functools.partial(ours_basic, attention="cbam"),
        1e-5,
        32,
    ),
    "timm's MobileNet": (
        functools.partial(pytorch.timm_mobilenet_v1, stages=V1_STAGES),
        functools.partial(MobileNet, alpha=0.25),
        1e-5,
        32,
    ),
    "timm's MobileNetV2": (
        pytorch.timm_mobilenet_v2,
        functools.partial(MobileNetV2, alpha=0.35),
        1e-5,
        32,
    ),
    "torchvision's MobileNetV2": (
        pytorch.torchvision_mobilenet_v2,
        functools.partial(MobileNetV2, alpha=0.35),
        1e-5,
        32,
    ),
    "timm's MobileNetV3": (pytorch.timm_mobilenet_v3, MobileNetV3Small, 1e-5, 32),
    "torchvision's MobileNetV3": (
        pytorch.torchvision_mobilenet_v3,
        MobileNetV3Small,
        1e-3,
        32,
    ),
    "torchvision's VGG-16": (
        functools.partial(pytorch.vgg16, units=12, timm=False),
        functools.partial(VGG16, units=12),
        None,
        32,
    ),
    "timm's VGG-16": (
        functools.partial(pytorch.vgg16, units=12, timm=True),
        functools.partial(VGG16, units=12),
        None,
        64,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_pytorchs_and_weights_come_back_as_they_were(case, rng, tmp_path):
    theirs, ours, epsilon, side = CASES[case]
    reference = pytorch.Reference(rng, epsilon)
    images = rng.normal(size=(2, side, side, 3))
    expected = theirs(reference, images)
    path = tmp_path / "theirs.safetensors"
    safetensors.save_file(reference.tensors, path)
    model = ours(
        input_shape=(side, side, 3),
        classes=5,
        classifier_activation=None,
        weights=path,
    )
    outputs = model.predict_on_batch(images.astype("float32"))
    spread = expected.std()
    np.testing.assert_allclose(outputs / spread, expected / spread, atol=1e-4, rtol=0)
    # Images matter, or all of the network could be wrong.
    assert np.ptp(expected, 0).max() > 1e-2 * spread
    if "authors" in case:
        return
    layout = "torchvision" if "torchvision" in case else "timm"
    save_weights(model, tmp_path / "ours.safetensors", layout)
    written = safetensors.load_file(tmp_path / "ours.safetensors")
    wanted = {k: v for k, v in reference.tensors.items() if "tracked" not in k}
    assert written.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(written[name], array)


@functools.cache
def recorded():
    return json.loads(gzip.decompress(NAMES.read_bytes()))


OURS = {
    "resnet18": ("resnet18", {}),
    "resnet34": ("resnet34", {}),
    "resnet50": ("resnet50", {}),
    "resnet101": ("resnet101", {}),
    "resnet152": ("resnet152", {}),
    "seresnet50": ("resnet50", {"attention": "se"}),
    "resnext50_32x4d": ("resnext50", {}),
    "resnext101_32x4d": ("resnext101", {}),
    "seresnext50_32x4d": ("resnext50", {"attention": "se"}),
    "seresnext101_32x4d": ("resnext101", {"attention": "se"}),
    "wide_resnet50_2": ("wideresnet50", {}),
    "wide_resnet101_2": ("wideresnet101", {}),
    "mobilenetv1_100": ("mobilenet", {}),
    "mobilenetv1_125": ("mobilenet-1.25", {}),
    "mobilenetv2_050": ("mobilenetv2-0.5", {}),
    "mobilenetv2_100": ("mobilenetv2", {}),
    "mobilenetv2_140": ("mobilenetv2-1.4", {}),
    "mobilenetv3_large_100": ("mobilenetv3large", {}),
    "mobilenetv3_small_075": ("mobilenetv3small-0.75", {}),
    "mobilenetv3_small_100": ("mobilenetv3small", {}),
    "vgg16": ("vgg16", {}),
    "mobilenet_v2": ("mobilenetv2", {}),
    "mobilenet_v3_large": ("mobilenetv3large", {}),
    "mobilenet_v3_small": ("mobilenetv3small", {}),
}


def shaped(name):
    """The application of a PyTorch network; shapes only."""
    network, options = OURS[name]
    with keras.StatelessScope(initialize_variables=False):
        return applications.build(network, **options)


@pytest.mark.parametrize("name", sorted(recorded()["shapes"]))
def test_every_tensor_of_the_real_network_has_its_weight(name):
    shapes = {k: tuple(v) for k, v in recorded()["shapes"][name].items()}
    model = shaped(name.partition("/")[2])
    tensors = {k: np.broadcast_to(0, shape) for k, shape in shapes.items()}
    entries, reasons = layout_of(model, tensors).entries(model)
    assert {entry.name: entry.their_shape for entry in entries} == shapes
    assert len(entries) == len(model.weights) and not reasons


@pytest.mark.parametrize("name", imagenet.TRAININGS)
def test_imagenet_is_a_training_that_timm_has(name):
    address = imagenet.address(shaped(name))
    assert address == f"hf://timm/{name}.{imagenet.TRAININGS[name]}"
    assert address.removeprefix("hf://timm/") in recorded()["trainings"]


def randomized(model, rng):
    for weight in model.weights:
        values = rng.normal(0, 0.1, weight.shape)
        if weight.name in ("gamma", "moving_variance"):
            values = rng.uniform(0.5, 1.5, weight.shape)
        if weight.name != "kernel":
            weight.assign(values.astype("float32"))
    return model


@pytest.mark.parametrize("use_bias", [False, True])
def test_keras_applications_resnet(use_bias, rng):
    """BGR, strides in the 1×1, biases: worked into a network without them."""
    theirs = randomized(
        keras.applications.ResNet50(
            weights=None,
            input_shape=(32, 32, 3),
            classes=5,
            classifier_activation=None,
        ),
        rng,
    )
    model = applications.ResNet50(
        input_shape=(32, 32, 3),
        classes=5,
        classifier_activation=None,
        stride_in_1x1=True,
        use_bias=use_bias,
        weights=theirs,
    )
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    expected = theirs.predict_on_batch(images[..., ::-1])
    outputs = model.predict_on_batch(images)
    np.testing.assert_allclose(outputs, expected, atol=1e-4, rtol=0)
    assert np.ptp(expected) > 0.1
    assert model.get_layer("stem_norm").epsilon == 1.001e-5


@pytest.mark.parametrize("include_top", [True, False])
def test_keras_applications_vgg(include_top, rng):
    options = {"include_top": include_top, "input_shape": (32, 32, 3), "classes": 5}
    theirs = randomized(
        keras.applications.VGG16(weights=None, classifier_activation=None, **options),
        rng,
    )
    model = VGG16(classifier_activation=None, weights=theirs, **options)
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    expected = theirs.predict_on_batch(images[..., ::-1])
    outputs = model.predict_on_batch(images)
    np.testing.assert_allclose(outputs, expected, atol=1e-4, rtol=0)


def test_caffes_preprocessing_in_rgb(rng):
    """Their BGR minus a mean is our (image / 255 − mean) / std, after the swap."""
    theirs = keras.applications.VGG16(weights=None, include_top=False)
    model = VGG16(include_top=False, input_shape=(32, 32, 3))
    how = load_weights(model, theirs).preprocessing
    images = rng.integers(0, 256, (2, 4, 4, 3)).astype("float32")
    expected = keras.applications.vgg16.preprocess_input(images.copy())
    found = (images / 255 - np.array(how.mean)) / np.array(how.std)
    np.testing.assert_allclose(found[..., ::-1], expected, atol=1e-3)


def keras_hub_resnet(model):
    """Keras Hub's names of a bottleneck ResNet's weights, as its backbone has them."""
    parts = {"norm": "bn", "conv": "conv"}
    named = {}
    for weight in model.weights:
        layer, variable = weight.path.split("/")
        theirs = layer.replace("stem", "conv1").replace("norm", "bn")
        if layer.startswith("stage"):
            stage, block, part = layer.split("_", 2)
            kind = part.replace("shortcut_", "")[:4]
            number = 0 if part.startswith("shortcut") else part[4:]
            s, b = int(stage[5:]) - 1, int(block[5:]) - 1
            theirs = f"stack{s}_block{b}_{number}_{parts[kind]}"
        named[f"{theirs}/{variable}"] = np.asarray(weight)
    return named


def test_keras_hubs_names():
    model = ours_bottleneck(input_shape=(32, 32, 3), classes=5)
    named = keras_hub_resnet(model)
    # As its 0.32 prints them for `ResNetBackbone`.
    assert {
        "conv1_conv/kernel",
        "conv1_bn/moving_variance",
        "stack0_block0_0_conv/kernel",
        "stack0_block0_0_bn/gamma",
        "stack0_block0_3_bn/beta",
        "stack0_block1_2_conv/kernel",
        "stack1_block0_1_conv/kernel",
        "predictions/bias",
    } <= named.keys()
    layout = layout_of(model, named)
    entries, _ = layout.entries(model)
    assert layout.title == "Keras Hub's ResNet"
    for entry in entries:
        np.testing.assert_array_equal(named[entry.name], np.asarray(entry.variable))
