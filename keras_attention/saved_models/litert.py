"""LiteRT (TFLite) files: conversion with builtin operators only."""

from __future__ import annotations

import dataclasses
import re
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_attention.saved_models.description import KEY, Description
from keras_attention.saved_models.flatbuffer import add_metadata, foreign_operators
from keras_attention.saved_models.quantizing import quantized
from keras_attention.saved_models.scopes import layer_of
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
    layers = [layer.name for layer in form.layers]

    def converter():
        return _converter(folder, description, images)

    try:
        with warnings.catch_warnings():
            # Of the converter's own use of TensorFlow's deprecated interpreter.
            warnings.simplefilter("ignore")
            if description.precision == "int8":
                content, kept = quantized(converter, layers, description.float_layers)
                description = dataclasses.replace(description, float_layers=kept)
            else:
                content = converter().convert()
    except Exception as error:
        raise _explained(error, folder, description, layers) from error
    foreign = foreign_operators(content)
    if foreign:
        raise ValueError(_no_builtin(foreign, folder, description, layers))
    path.write_bytes(add_metadata(content, KEY, description.to_json().encode()))


def _converter(folder, description, images):
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
    return converter


def _batches(images, description):
    size = description.input_shape[0] or 1
    for start in range(0, len(images) - size + 1, size):
        yield {description.input_name: images[start : start + size]}


def _explained(error, folder, description, layers):
    """The converter's error in one sentence, if it is about an operation."""
    operations = re.findall(r"'tf\.(\w+)' op is neither a custom", str(error))
    operations += re.findall(r"tf\.(\w+) \{", str(error))
    if operations:
        return ValueError(_no_builtin(operations, folder, description, layers))
    head = str(error).strip().splitlines()
    return ValueError(
        f"{description.model!r} cannot be converted to LiteRT: "
        f"{head[0] if head else type(error).__name__}"
    )


def _no_builtin(operations, folder, description, layers):
    names = sorted({name.removeprefix("Flex") for name in operations})
    where = ", ".join(map(repr, _layers_with(names, folder, description, layers)))
    return (
        f"{description.model!r} cannot be converted to LiteRT: {', '.join(names)}"
        f"{where and f', in layer {where},'} is no LiteRT builtin, and a phone would "
        "need a runtime with more. Replace that layer, or use format='saved_model' or "
        "'onnx'."
    )


def _layers_with(operations, folder, description, layers):
    """The layers that hold these operations, by the SavedModel's graph."""
    function = tf.saved_model.load(str(folder)).signatures[description.signature]
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    found = {layer_of(node.name, layers) for node in nodes if node.op in operations}
    return sorted(found - {None})
