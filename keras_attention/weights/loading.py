"""Load weights of other libraries, or of this one, into an application's network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import keras

from keras_attention.layers.checks import boolean
from keras_attention.weights import imagenet, keras_files, preprocessing
from keras_attention.weights.layouts import layout_of
from keras_attention.weights.layouts.layout import Entry, Layout, path_of
from keras_attention.weights.report import Mismatch, Report
from keras_attention.weights.sources import Source, open_source

# PyTorch's batch norms count their batches, which nothing needs.
_COUNTER = "num_batches_tracked"
_CLASSIFIER = "predictions/"


@dataclass(frozen=True)
class Weights:
    """Weights with options, for an application's `weights`.

    Args:
        source, strict, sha256: see `load_weights`.
    """

    source: Any
    strict: bool = True
    sha256: str | None = None

    def load_into(self, model: keras.Model) -> Report:
        """`load_weights` with these options."""
        return load_weights(model, self.source, strict=self.strict, sha256=self.sha256)


def load_weights(
    model: keras.Model, source, *, strict: bool = True, sha256: str | None = None
) -> Report:
    """Load weights into a network of `keras_attention.applications`.

    Their layout is found from the tensors' names: PyTorch's ResNets, ResNeXts, wide
    ResNets, MobileNets and VGG-16 in torchvision's and timm's, the ResNets of CBAM's
    authors, ResNets and VGG-16 of `keras.applications`, Keras Hub's ResNets, and Keras
    files of the same network. The batch norms' ε becomes that of the weights, and a
    head that the model was made without is left out.

    Args:
        model: the network.
        source: one of
            - the path of a `.safetensors` file, or of a `.pth`, `.pt`, `.bin` or
              `.pth.tar` file of a PyTorch state dict;
            - the path of a `.keras` file, of an old `.h5` file of `keras.applications`,
              or of a `.weights.h5` file of the same network, which does not say what ε
              its batch norms had;
            - `hf://timm/<model>`, on the Hugging Face hub;
            - `"imagenet"`, see `keras_attention.weights.imagenet`;
            - a Keras model, such as `keras.applications.ResNet50()`.
        strict: whether all tensors must have a weight and all weights a tensor. False
            loads what fits by name and shape and prints what does not.
        sha256: what that of the file must be, or None.

    Returns:
        A `Report`, which stays with the model as `model.weights_report`.

    Raises:
        ValueError: the weights do not fit, or are of a network that computes something
            else. Nothing was loaded. And as `open_source`.
    """
    boolean("strict", strict)
    if not model.weights:
        raise ValueError(f"{model.name!r} has no weights to load. Call it once first.")
    if isinstance(source, str) and source == "imagenet":
        source = imagenet.address(model, strict)
    opened = open_source(source, sha256)
    if opened.same_network is not None:
        report = _load_whole(model, opened, strict)
    else:
        report = _load_by_name(model, opened, strict)
    model.weights_report = report
    return report


def _load_whole(model: keras.Model, opened: Source, strict: bool) -> Report:
    if not strict:
        raise ValueError(
            f"{opened.title} has no names of weights, so that they fit all or not at "
            "all. Save the network as a .keras file, or leave strict=True."
        )
    keras_files.load_into(model, opened.same_network)
    return Report(
        source=opened.title,
        sha256=opened.sha256,
        layout="this network itself",
        loaded=tuple(path_of(weight, model) for weight in model.weights),
    )


def _load_by_name(model: keras.Model, opened: Source, strict: bool) -> Report:
    try:
        layout = layout_of(model, opened.tensors)
    except ValueError as error:
        raise ValueError(f"{opened.title}: {error}") from error
    _check_architecture(layout, opened)
    tensors = {
        name: array
        for name, array in layout.prepare(dict(opened.tensors), model).items()
        if not name.endswith(_COUNTER)
    }
    fitting, report = _match(model, opened, layout, tensors)
    if not fitting or (strict and not report.complete):
        raise ValueError(_failure(model, report))
    for line in report.differences():
        print(f"{report.source}: {line}")
    for entry in fitting:
        entry.variable.assign(entry.conversion.to_ours(tensors[entry.name]))
    _take_epsilons(model, fitting, opened, layout)
    return report


def _match(model, opened: Source, layout: Layout, tensors: dict):
    """The entries that fit, and the report of all."""
    entries, reasons = layout.entries(model)
    reasons += filter(None, (check(model) for check in layout.checks))
    fitting, missing, mismatched = [], [], []
    for entry in entries:
        if entry.name not in tensors:
            missing.append(entry.path)
            continue
        shape, wanted = tensors[entry.name].shape, entry.their_shape
        if shape == wanted:
            fitting.append(entry)
        else:
            mismatched.append(Mismatch(entry.name, shape, wanted, entry.path))
    placed = {entry.name for entry in entries} | layout.left_out(model, tensors)
    report = Report(
        source=opened.title,
        repository=opened.repository,
        revision=opened.revision,
        sha256=opened.sha256,
        layout=layout.title,
        loaded=tuple(entry.path for entry in fitting),
        missing=tuple(missing),
        unused=tuple(name for name in tensors if name not in placed),
        mismatched=tuple(mismatched),
        preprocessing=_image_format(layout, opened),
        reasons=tuple(reasons),
    )
    return fitting, report


def _check_architecture(layout: Layout, opened: Source) -> None:
    """Raises where a file's `config.json` names a network that computes otherwise."""
    name = opened.config.get("architecture")
    if name is None or not layout.architectures:
        return
    if str(name).startswith("tf_"):
        raise ValueError(
            f"{opened.title} is of {name}, which pads as TensorFlow does: at stride 2 "
            "after the image first. The networks here pad both sides alike, and its "
            "weights would read other pixels. Take the model without 'tf_'."
        )
    if not re.fullmatch(layout.architectures, str(name)):
        raise ValueError(
            f"{opened.title} is of {name}. Its weights' names are those of "
            f"{layout.title}, but only architectures that are known to compute the "
            f"same are loaded: {layout.architectures}."
        )


def _image_format(layout: Layout, opened: Source):
    config = opened.config.get("pretrained_cfg")
    return preprocessing.of_timm(config) if config else layout.image_format


def _failure(model: keras.Model, report: Report) -> str:
    lines = [
        f"The weights of {report.source} ({report.layout}) do not fit "
        f"{model.name!r}. Nothing was loaded.",
        *report.differences(),
        _advice(model, report),
    ]
    return "\n  ".join(lines)


def _advice(model: keras.Model, report: Report) -> str:
    if not report.loaded:
        return "No weight fits. Take the application that the weights are of."
    if any(mismatch.path.startswith(_CLASSIFIER) for mismatch in report.mismatched):
        return (
            "For other classes than the weights', weights=Weights(source, "
            "strict=False) keeps the model's own new classifier."
        )
    return (
        "Take the application, with the arguments, that the weights are of; or "
        "weights=Weights(source, strict=False), which loads what fits and leaves the "
        "rest as it is; for a new attention in a trained network, load the plain "
        "network and attach it."
    )


def _take_epsilons(model, fitting: list[Entry], opened: Source, layout: Layout) -> None:
    """Give the batch norms the ε that their weights were trained with."""
    changed = False
    for entry in fitting:
        norm = entry.layer
        if not isinstance(norm, keras.layers.BatchNormalization):
            continue
        theirs = entry.name.rpartition(layout.separator)[0].rpartition("/")[2]
        epsilon = opened.epsilons.get(theirs, layout.epsilon or norm.epsilon)
        changed |= epsilon != norm.epsilon
        norm.epsilon = epsilon
    if changed:
        # What Keras traced has the old ε in it.
        model.train_function = model.test_function = model.predict_function = None
