"""From a network to a file that is proven equal to it."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_attention.attaching.graph import as_functional
from keras_attention.choices import check_choice, unknown
from keras_attention.extras import require
from keras_attention.layers.checks import positive_integer
from keras_attention.saved_models.description import LOGITS, Description
from keras_attention.saved_models.images import as_images
from keras_attention.saved_models.logits import ends_in_softmax
from keras_attention.saved_models.placing import check_place, folder_in, put
from keras_attention.saved_models.runtime import load
from keras_attention.saved_models.verification import (
    BOUNDS,
    LEAST_INPUTS,
    Bounds,
    Verification,
    verify,
)

SUFFIXES = {"saved_model": "", "litert": ".tflite", "onnx": ".onnx"}
PRECISIONS = {
    "saved_model": ("float32",),
    "litert": ("float32", "float16", "int8"),
    "onnx": ("float32",),
}
_PACKAGES = {
    "saved_model": (),
    "litert": ("ai_edge_litert",),
    "onnx": ("tf2onnx", "onnx", "onnxruntime"),
}
# Fewer do not show how large the values inside a network get.
LEAST_CALIBRATION = 32
RANDOM_INPUTS = 16


def export(
    model: keras.Model,
    path: str | Path,
    format: str = "saved_model",
    precision: str = "float32",
    *,
    batch_size: int | None = 1,
    representative_data=None,
    verification_data=None,
    bounds: Bounds | None = None,
    float_layers: Sequence[str] = (),
    signature: str = "serving_default",
    input_name: str = "image",
    output_names: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    preprocessing=None,
    overwrite: bool = False,
    verbose: bool = True,
) -> Verification:
    """Write a network as a file for another runtime, and prove that it is the same.

    The file computes in float32 or below whatever precision the network was trained
    in; batch norms are folded and attentions take the form that mobile runtimes are
    fast at. The network itself is left as it was. On the JAX backend a process with
    TensorFlow writes the file.

    Args:
        model: a built functional or sequential network of one image input with known
            height and width, channels last.
        path: `.tflite` for LiteRT, `.onnx` for ONNX, a folder for a SavedModel. It
            appears when all is done, or not at all.
        format: `"saved_model"`, `"litert"` (TFLite, builtin operators only) or
            `"onnx"`.
        precision: `"float32"`; for LiteRT also `"float16"` (weights) or `"int8"`
            (weights by output channel, and activations; inputs and outputs stay
            float32).
        batch_size: images at a time; None leaves it open, which LiteRT is slower at.
        representative_data: for int8, at least 32 images as the network takes them:
            an array, or batches (of images, or of `(images, labels)`).
        verification_data: at least 8 images, in the same forms, to compare the file
            with the network on; by default the representative ones, else random ones.
        bounds: what the file must keep to; by default `BOUNDS[precision]`.
        float_layers: for int8, names of layers, or patterns such as `"*_attention"`,
            that compute in float32. A layer whose values have no int8 scale that
            mobile kernels take, such as a gate that is always zero, does so anyway,
            and the comparison names it.
        signature, input_name, output_names: names in the file; outputs are called
            `"scores"` or, for several, as the network's. All differ, and the signature
            is not `"logits"`, which a SavedModel has beside it.
        labels: name of each class, for the file's metadata; by default those of the
            preprocessing.
        preprocessing: a `keras_attention.data.Preprocessing`, for the metadata.
        overwrite: whether to replace a file, or the folder of a SavedModel, at `path`.
        verbose: whether to print what is done and the comparison.

    Returns:
        The comparison; `load(path)` runs the file.

    Raises:
        ValueError: an argument that does not fit, a network that cannot be exported
            (the message names the layer), too few images, or a file that is not
            within the bounds, which is then not left behind.
        FileExistsError: there is something at `path`, and `overwrite` is False or it
            is of another kind.
        OSError: `path` cannot be written.
        ImportError: a package is missing; the message says how to install it.

    Example:

    >>> report = export(model, "se.tflite", "litert", "int8",
    ...                 representative_data=images)  # doctest: +SKIP
    """
    path = Path(path)
    _check_format(path, format, precision)
    network = as_functional(model)
    description = Description(
        model=model.name,
        format=format,
        precision=precision,
        input_shape=(_batch(batch_size), *_image_shape(network)),
        signature=_name("signature", signature),
        input_name=_name("input_name", input_name),
        output_names=_output_names(network, output_names),
        softmax=ends_in_softmax(network),
        labels=_labels(network, labels, preprocessing),
        preprocessing=None if preprocessing is None else preprocessing.to_dict(),
        float_layers=_float_layers(network, float_layers, precision),
    )
    _check_names(description)
    calibration, checked = _images(description, representative_data, verification_data)
    check_place(path, folder=format == "saved_model", overwrite=overwrite)
    with folder_in(path.parent) as folder:
        aside = Path(folder) / path.name
        _tell(verbose, f"{model.name}: writing {format}, {precision}")
        _write(aside, model, description, calibration)
        _tell(verbose, f"comparing on {len(checked)} inputs")
        found = _verified(aside, path, model, checked, bounds or BOUNDS[precision])
        put(aside, path)
    _tell(verbose, found)
    return found


def _check_format(path: Path, format: str, precision: str) -> None:
    check_choice("format", format, SUFFIXES)
    check_choice("precision", precision, PRECISIONS["litert"])
    if precision not in PRECISIONS[format]:
        raise ValueError(
            f"format={format!r} is written in {' or '.join(PRECISIONS[format])}. "
            f"Received: precision={precision!r}, which format='litert' has."
        )
    if path.suffix != SUFFIXES[format] and (
        SUFFIXES[format] or path.suffix in SUFFIXES.values()
    ):
        wanted = SUFFIXES[format] or "no suffix: it is a folder"
        raise ValueError(
            f"The path of format={format!r} has {wanted}. Received: {str(path)!r}."
        )
    for package in _PACKAGES[format]:
        require(package, extra="export", purpose=f"Export to {format}")


def _batch(batch_size):
    return None if batch_size is None else positive_integer("batch_size", batch_size)


def _image_shape(network) -> tuple[int, int, int]:
    shapes = [tuple(tensor.shape[1:]) for tensor in network.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 3:
        raise ValueError(
            f"{network.name!r} takes inputs of the shapes {shapes}; a network of one "
            "image input can be exported."
        )
    if None in shapes[0]:
        raise ValueError(
            f"{network.name!r} leaves its input's size open: {shapes[0]}. A file needs "
            "a known height and width: build the network with `input_shape=` and carry "
            "its weights over with `set_weights(model.get_weights())`."
        )
    first = next(
        (
            layer.name
            for layer in network._flatten_layers(include_self=False)
            if getattr(layer, "data_format", None) == "channels_first"
        ),
        None,
    )
    if first is not None:
        raise ValueError(
            f"{network.name!r} is channels first (layer {first!r}), which mobile "
            "runtimes are not. Build it with data_format='channels_last' and carry its "
            "weights over with `set_weights(model.get_weights())`."
        )
    return shapes[0]


def _name(argument: str, value) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", value):
        raise ValueError(
            f"`{argument}` is a name of letters, digits and underscores. "
            f"Received: {value!r}."
        )
    return value


def _check_names(description: Description) -> None:
    if description.signature == LOGITS:
        raise ValueError(
            f"`signature` must be another than {LOGITS!r}, which is taken."
        )
    if description.input_name in description.output_names:
        raise ValueError(
            "Input and outputs need different names. Received: "
            f"input_name={description.input_name!r} and "
            f"output_names={description.output_names}."
        )


def _output_names(network, names) -> tuple[str, ...]:
    outputs = network.output
    count = len(keras.tree.flatten(outputs))
    if names is None and isinstance(outputs, dict):
        names = sorted(outputs)  # the order in which `tree` and `tf.nest` flatten
    elif names is None:
        names = network.output_names if count > 1 else ("scores",)
    if isinstance(names, str) or len(names) != count or len(set(names)) < count:
        raise ValueError(
            f"`output_names` needs a name for each of {count} outputs. "
            f"Received: {names!r}."
        )
    return tuple(_name("output_names", name) for name in names)


def _labels(network, labels, preprocessing) -> tuple[str, ...] | None:
    if labels is None and preprocessing is not None:
        labels = preprocessing.class_names
    if labels is None:
        return None
    shape = tuple(getattr(network.output, "shape", ()))
    if isinstance(labels, str) or len(shape) != 2 or len(labels) != shape[-1]:
        raise ValueError(
            f"`labels` needs a name for each class of the output, whose shape is "
            f"{shape}. Received: {len(labels)} labels."
        )
    return tuple(map(str, labels))


def _float_layers(network, patterns, precision) -> tuple[str, ...]:
    if isinstance(patterns, str):
        patterns = (patterns,)
    if patterns and precision != "int8":
        raise ValueError(
            f"`float_layers` is for precision='int8'. Received: {precision!r}."
        )
    names = [layer.name for layer in network.layers]
    found = set()
    for pattern in patterns:
        matching = fnmatch.filter(names, pattern)
        if not matching:
            raise unknown("layer in `float_layers`", pattern, names)
        found.update(matching)
    return tuple(sorted(found))


def _images(description, representative, verification):
    """Images to calibrate by (None unless int8), and to compare on."""
    shape = description.input_shape[1:]
    calibration = None
    if description.precision == "int8":
        if representative is None:
            raise ValueError(
                "precision='int8' needs `representative_data`: at least "
                f"{LEAST_CALIBRATION} images as the network takes them."
            )
        calibration = as_images(
            "representative_data", representative, shape, LEAST_CALIBRATION
        )
    elif representative is not None:
        raise ValueError(
            "`representative_data` is for precision='int8'. Received: precision="
            f"{description.precision!r}. Images to compare on are `verification_data`."
        )
    if verification is not None:
        return calibration, as_images(
            "verification_data", verification, shape, LEAST_INPUTS
        )
    if calibration is not None:
        return calibration, calibration
    random = np.random.default_rng(0).normal(size=(RANDOM_INPUTS, *shape))
    return None, random.astype("float32")


def _write(aside, model, description, calibration) -> None:
    if keras.backend.backend() == "tensorflow":
        from keras_attention.saved_models.writing import write
    else:
        from keras_attention.saved_models.worker import write_elsewhere as write
    write(aside, model, description, calibration)


def _verified(aside, path, model, images, bounds) -> Verification:
    try:
        found = verify(load(aside), model, images)
    except ValueError as error:
        raise ValueError(str(error).replace(str(aside), path.name)) from error
    failures = found.failures(bounds)
    if failures:
        raise ValueError(
            f"{path.name} was not kept, since it does not compute what {model.name!r} "
            f"does: {' and '.join(failures)}, on {found.inputs} inputs. "
            f"{_remedy(found)}"
        )
    return dataclasses.replace(found, path=str(path))


def _remedy(found: Verification) -> str:
    if not (found.finite and np.isfinite(found.relative_error)):
        return (
            "Look for such a number in its weights (of float16, one above 65,504), or "
            "compare on other images."
        )
    if found.precision == "int8":
        return (
            "Calibrate by more and typical images (`representative_data`), use "
            "precision='float16', or accept other `bounds`."
        )
    return "Wider `bounds` accept it."


def _tell(verbose: bool, what) -> None:
    if verbose:
        print(what, flush=True)
