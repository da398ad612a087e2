"""Other libraries' weights through the public importer, against their outputs."""

import keras
import numpy as np
import pytest
from references import torch_names

from keras_attention.applications import ResNet
from keras_attention.weights import load_weights

safetensors = pytest.importorskip("safetensors.numpy")


def golden(name, folder):
    """(path of the golden's weights alone, its images, its logits)."""
    path = torch_names.GOLDEN / f"{name}.safetensors"
    if not path.exists():
        pytest.skip(f"no golden file {path.resolve()}")
    tensors = safetensors.load_file(path)
    images, logits = tensors.pop("__input__"), tensors.pop("__output__")
    safetensors.save_file(tensors, folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors", np.moveaxis(images, 1, -1), logits


def golden_network(path, **options):
    depths, widths = torch_names.resnet_shape(safetensors.load_file(path))
    options = {"classes": 10, "input_shape": (64, 64, 3), **options}
    return ResNet(depths, widths, classifier_activation=None, **options)


@pytest.mark.parametrize(
    ("name", "attention"), [("resnet_timm", None), ("seresnet_timm", "se")]
)
def test_pytorchs_logits_from_pytorchs_file(name, attention, tmp_path):
    path, images, logits = golden(name, tmp_path)
    model = golden_network(path, attention=attention, weights=path)
    outputs = model.predict_on_batch(images)
    np.testing.assert_allclose(outputs, logits, atol=1e-4, rtol=0)
    assert np.ptp(logits) > 0.1
    report = model.weights_report
    assert report.complete and len(report.loaded) == len(model.weights)
    assert report.source == str(path) and "timm" in report.layout
