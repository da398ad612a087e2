"""LiteRT (TFLite) files: conversion with builtin operators only."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_attention.saved_models.description import KEY, Description
from keras_attention.saved_models.flatbuffer import add_metadata, foreign_operators
from keras_attention.saved_models.tracing import write_saved_model


def write_litert(
    path: Path, folder: Path, form, description: Description, images: np.ndarray | None
) -> None:
    """Write a LiteRT file.

    Args:
        path: of the file.
        folder: for the SavedModel that the converter reads; to make.
        form, description: as for `tracing.serving_function`.
        images: to calibrate int8 by, `[n, height, width, channels]`; else None.

    Raises:
        ValueError: an operation is no LiteRT builtin; the layer is named.
    """
    write_saved_model(folder, form, description)
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder), signature_keys=[description.signature]
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if description.precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if description.precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if description.precision == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: _batches(images, description)
    try:
        with warnings.catch_warnings():
            # Of the converter's own use of TensorFlow's deprecated interpreter.
            warnings.simplefilter("ignore")
            content = converter.convert()
    except Exception as error:
        raise _explained(error, folder, description) from error
    foreign = foreign_operators(content)
    if foreign:
        raise ValueError(_no_builtin(foreign, folder, description))
    path.write_bytes(add_metadata(content, KEY, description.to_json().encode()))


def _batches(images, description):
    size = description.input_shape[0] or 1
    for start in range(0, len(images) - size + 1, size):
        yield {description.input_name: images[start : start + size]}


def _explained(error, folder, description):
    """The converter's error in one sentence, if it is about an operation."""
    operations = re.findall(r"'tf\.(\w+)' op is neither a custom", str(error))
    operations += re.findall(r"tf\.(\w+) \{", str(error))
    if operations:
        names = [f"{name}" for name in dict.fromkeys(operations)]
        return ValueError(_no_builtin(names, folder, description))
    head = str(error).strip().splitlines()
    return ValueError(
        f"{description.model!r} cannot be converted to LiteRT: "
        f"{head[0] if head else type(error).__name__}"
    )


def _no_builtin(operations, folder, description):
    layers = _layers_with(operations, folder, description)
    where = f" in {', '.join(map(repr, layers))}" if layers else ""
    return (
        f"{description.model!r} cannot be converted to LiteRT: the operations "
        f"{', '.join(operations)}{where} are no LiteRT builtins, and a phone would "
        "need a runtime with more. Replace that layer, or use format='saved_model' or "
        "'onnx'."
    )


def _layers_with(operations, folder, description):
    """Scopes in the SavedModel's graph that hold these operations: layers' names."""
    function = tf.saved_model.load(str(folder)).signatures[description.signature]
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    wanted = {name.removeprefix("Flex").lower() for name in operations}
    found = (n.name.split("/") for n in nodes if n.op.lower() in wanted)
    return sorted({"/".join(scopes[1:-1] or scopes[:-1]) for scopes in found} - {""})
