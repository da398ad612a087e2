"""Reading and changing a LiteRT file, which is one flatbuffer."""

from __future__ import annotations

import flatbuffers

from keras_attention.extras import require

_IDENTIFIER = b"TFL3"
_BY_SIZE = 1 << 20  # bytes that a builder starts with


def add_metadata(content: bytes, key: str, value: bytes) -> bytes:
    """The file with an entry more in its metadata."""
    schema, model = _read(content)
    buffer = schema.BufferT()
    buffer.data = list(value)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name = key
    entry.buffer = len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    return _write(model)


def read_metadata(content: bytes, key: str) -> bytes | None:
    """The entry of that name in the file's metadata, or None.

    Raises:
        ValueError: this is no LiteRT file.
    """
    schema = _schema()
    if content[4:8] != _IDENTIFIER:
        raise ValueError("it does not begin as a LiteRT file does")
    model = schema.Model.GetRootAs(content, 0)
    for i in range(model.MetadataLength()):
        if model.Metadata(i).Name().decode() == key:
            return model.Buffers(model.Metadata(i).Buffer()).DataAsNumpy().tobytes()
    return None


def foreign_operators(content: bytes) -> list[str]:
    """Operators that are no LiteRT builtins: custom ones, and TensorFlow's (Flex)."""
    model = _schema().Model.GetRootAs(content, 0)
    codes = (model.OperatorCodes(i) for i in range(model.OperatorCodesLength()))
    names = (code.CustomCode() for code in codes)
    return [name.decode() for name in names if name]


def up_to_softmax(content: bytes) -> bytes:
    """The file without its last softmax, so that its output is the logits.

    Raises:
        ValueError: the output does not come from a softmax.
    """
    schema, model = _read(content)
    graph = model.subgraphs[0]
    codes = [
        max(code.builtinCode, code.deprecatedBuiltinCode)
        for code in model.operatorCodes
    ]
    (output,) = graph.outputs
    for operator in reversed(graph.operators):
        if output not in operator.outputs:
            continue
        output = operator.inputs[0]
        if codes[operator.opcodeIndex] == schema.BuiltinOperator.SOFTMAX:
            break
    else:
        raise ValueError("The file's output does not come from a softmax.")
    graph.outputs = [output]
    last = max(i for i, o in enumerate(graph.operators) if output in o.outputs)
    graph.operators = graph.operators[: last + 1]
    model.signatureDefs = []  # they name the output that is gone
    return _write(model)


def _schema():
    return require(
        "ai_edge_litert.schema_py_generated", extra="export", purpose="LiteRT"
    )


def _read(content):
    schema = _schema()
    return schema, schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def _write(model):
    builder = flatbuffers.Builder(_BY_SIZE)
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())
