"""int8 by TensorFlow's converter, with some layers left in float32.

Weights have a scale for each output channel, activations one for each tensor, from the
least and largest value that calibration met. XNNPACK takes an operation only where
input scale · weight scale / output scale is below 2⁸. A gate whose hidden units are all
dead gives nothing but zeros, whose scale is next to nothing: one such gate would keep
the whole file from running, so its operations stay in float32.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_attention.extras import require
from keras_attention.saved_models.scopes import layer_of

MOST_RATIO = 2.0**8
_PRODUCTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MUL")


def quantized(make_converter, layers, asked) -> tuple[bytes, tuple[str, ...]]:
    """An int8 file, and the layers that are in float32 in it.

    Args:
        make_converter: function of nothing that gives a converter set up for int8.
        layers: names of the network's layers.
        asked: those that are to stay in float32.
    """
    content = make_converter().convert() if not asked else None
    kept = tuple(asked)
    if content is not None:
        beyond = _beyond_range(content)
        if not beyond:
            return content, kept
        kept = _layers(beyond, layers)
    nodes = [node for node in _nodes(make_converter()) if _layers([node], layers)]
    # A second look: what is int8 beside a layer in float32 has other neighbours.
    for _ in range(2):
        denied = [node for node in nodes if _layers([node], layers)[0] in kept]
        content = _without(make_converter(), denied)
        beyond = _beyond_range(content)
        if not beyond:
            break
        kept = tuple(sorted({*kept, *_layers(beyond, layers)}))
    return content, kept


def _without(converter, nodes) -> bytes:
    """The int8 file in which these nodes are float32."""
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=nodes)
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=lambda: iter(()), debug_options=options
    )
    return debugger.get_nondebug_quantized_model()


def _nodes(converter) -> list[str]:
    """Names of the operations of the float32 file."""
    converter.optimizations = []
    converter.representative_dataset = None
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    tensors, operators = _parsed(converter.convert())
    return [tensors[operator["outputs"][0]]["name"] for operator in operators]


def _beyond_range(content) -> list[str]:
    """Names of the operations that XNNPACK's int8 kernels refuse for their scales."""
    tensors, operators = _parsed(content)

    def scales(index):
        return tensors[index]["quantization_parameters"]["scales"]

    found = []
    for operator in operators:
        output = operator["outputs"][0]
        if operator["op_name"] not in _PRODUCTS or not len(scales(output)):
            continue
        first, second = (scales(index) for index in operator["inputs"][:2])
        ratio = np.max(first) * np.max(second) / scales(output)[0]
        if ratio >= MOST_RATIO:
            found.append(tensors[output]["name"])
    return found


def _parsed(content):
    """{index: tensor} and the operators of a file, which no delegate has taken."""
    module = require("ai_edge_litert.interpreter", extra="export", purpose="LiteRT")
    interpreter = module.Interpreter(
        model_content=content,
        experimental_op_resolver_type=(
            module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    return tensors, interpreter._get_ops_details()


def _layers(names, layers) -> tuple[str, ...]:
    found = {layer_of(name, layers) for name in names} - {None}
    return tuple(sorted(found))
