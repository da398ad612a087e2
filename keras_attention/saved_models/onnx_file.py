"""ONNX files."""

from __future__ import annotations

import logging
from pathlib import Path

from keras_attention.extras import require
from keras_attention.saved_models.description import KEY, Description
from keras_attention.saved_models.scopes import layer_of
from keras_attention.saved_models.tracing import serving_function

OPSET = 17
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def write_onnx(path: Path, form, description: Description) -> None:
    """Write an ONNX file.

    Args:
        path: of the file.
        form, description: as for `tracing.serving_function`.

    Raises:
        ValueError: an operation has no ONNX form; where it is a grouped convolution,
            which Keras has TensorFlow compile as a function, the layer is named.
    """
    tf2onnx = require("tf2onnx", extra="export", purpose="Export to ONNX")
    function = serving_function(form, description, softmax=description.softmax)
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    try:
        model, _ = tf2onnx.convert.from_function(
            function, input_signature=function.input_signature, opset=OPSET
        )
    except Exception as error:
        raise ValueError(
            f"{description.model!r} cannot be converted to ONNX: {error}"
        ) from error
    calls = [node.name for node in model.graph.node if node.op_type in _CALLS]
    if calls:
        layers = [layer.name for layer in form.layers]
        found = sorted({layer_of(name, layers) or name for name in calls})
        raise ValueError(
            f"{description.model!r} cannot be converted to ONNX: "
            f"{', '.join(map(repr, found))} holds a grouped convolution, which "
            "TensorFlow compiles and tf2onnx cannot read. Use format='litert' or "
            "'saved_model'."
        )
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, description.to_json()
    path.write_bytes(model.SerializeToString())


def with_logits(model):
    """The model with the input of its last softmax as only output.

    Args:
        model: an `onnx.ModelProto`; changed.

    Raises:
        ValueError: the output does not come from a softmax.
    """
    graph = model.graph
    (output,) = graph.output
    producers = {name: node for node in graph.node for name in node.output}
    node = producers[output.name]
    while node.op_type != "Softmax":
        if len(node.input) != 1 or node.input[0] not in producers:
            raise ValueError("The file's output does not come from a softmax.")
        node = producers[node.input[0]]
    output.name = node.input[0]
    return model
