"""LiteRT files, run by `ai_edge_litert`."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path

import numpy as np

from keras_attention.extras import require
from keras_attention.saved_models.description import KEY, Description, missing
from keras_attention.saved_models.flatbuffer import read_metadata, up_to_softmax
from keras_attention.saved_models.runtime import Artifact

_DELEGATE = "DELEGATE"


class LiteRT(Artifact):
    """A `.tflite` file."""

    def __init__(self, path, description, threads, content: bytes):
        super().__init__(path, description, threads)
        self._content = content

    @classmethod
    def open(cls, path: Path, threads: int | None) -> LiteRT:
        """See `runtime.load`."""
        content = path.read_bytes()
        try:
            text = read_metadata(content, KEY)
        except Exception as error:  # whatever the parser meets in a damaged file
            raise ValueError(
                f"{path} is no LiteRT file, or damaged: {error}"
            ) from error
        if text is None:
            raise missing(path)
        return cls(path, Description.from_json(text, path), threads, content)

    def operators(self) -> dict[str, int]:
        """See `Artifact`."""
        operators, _ = self._by_delegation
        return dict(Counter(operator["op_name"] for operator in operators))

    def slow_operators(self) -> dict[str, int]:
        """Those that XNNPACK does not take."""
        operators, delegates = self._by_delegation
        taken = set()
        for delegate in delegates:
            taken |= _inside(delegate, operators)
        slow = (o["op_name"] for o in operators if o["index"] not in taken)
        return dict(Counter(slow))

    def runner(self, count: int, *, logits: bool = False):
        """See `Artifact`."""
        content = up_to_softmax(self._content) if logits else self._content
        interpreter = self._interpreter(content, count)
        (image,) = interpreter.get_input_details()
        outputs = interpreter.get_output_details()
        if not logits:
            outputs = self._in_order(interpreter, outputs)

        def run(images):
            interpreter.set_tensor(image["index"], images)
            interpreter.invoke()
            return [_as_float(interpreter.get_tensor(o["index"]), o) for o in outputs]

        return run

    def _in_order(self, interpreter, outputs):
        """As the description names them; the converter sorts them its own way."""
        if len(outputs) == 1:
            return outputs
        runner = interpreter.get_signature_runner(self.description.signature)
        by_name = runner.get_output_details()
        return [by_name[name] for name in self.description.output_names]

    def _interpreter(self, content, count):
        module = require("ai_edge_litert.interpreter", extra="export", purpose="LiteRT")
        try:
            interpreter = module.Interpreter(
                model_content=content, num_threads=self.threads
            )
            (image,) = interpreter.get_input_details()
            if image["shape"][0] != count:
                shape = [count, *image["shape"][1:]]
                interpreter.resize_tensor_input(image["index"], shape)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"LiteRT cannot run {self.path}: {error} (Numbers far from those of a "
                "trained network have no int8 form.)"
            ) from error
        return interpreter

    @functools.cached_property
    def _by_delegation(self):
        """The file's operators, and what stands for those that a delegate took."""
        count = self.description.input_shape[0] or 1
        # No public function lists them with their tensors.
        found = self._interpreter(self._content, count)._get_ops_details()
        delegates = [o for o in found if o["op_name"] == _DELEGATE]
        return [o for o in found if o["op_name"] != _DELEGATE], delegates


def _inside(delegate, operators) -> set[int]:
    """Indices of the operators between a delegate's inputs and its outputs."""
    makers = {tensor: o for o in operators for tensor in o["outputs"]}
    found, given = set(), set(delegate["inputs"])
    wanted = list(delegate["outputs"])
    while wanted:
        tensor = wanted.pop()
        maker = makers.get(tensor)
        if tensor in given or maker is None or maker["index"] in found:
            continue
        found.add(maker["index"])
        wanted += list(maker["inputs"])
    return found


def _as_float(array: np.ndarray, details: dict) -> np.ndarray:
    if array.dtype == np.float32:
        return array
    scale, zero_point = details["quantization"]
    return ((array.astype("float32") - zero_point) * scale).astype("float32")
