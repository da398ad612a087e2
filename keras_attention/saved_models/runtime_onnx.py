"""ONNX files, run by onnxruntime."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from keras_attention.extras import require
from keras_attention.saved_models.description import KEY, Description, missing
from keras_attention.saved_models.onnx_file import with_logits
from keras_attention.saved_models.runtime import Artifact


class Onnx(Artifact):
    """An `.onnx` file."""

    @classmethod
    def open(cls, path: Path, threads: int | None) -> Onnx:
        """See `runtime.load`."""
        onnx = require("onnx", extra="export", purpose="ONNX")
        try:
            model = onnx.load(path)
        except Exception as error:  # of protobuf, whose classes are its own
            raise ValueError(f"{path} is no ONNX file, or damaged: {error}") from error
        found = {entry.key: entry.value for entry in model.metadata_props}
        if KEY not in found:
            raise missing(path)
        artifact = cls(path, Description.from_json(found[KEY], path), threads)
        artifact._model = model
        return artifact

    def operators(self) -> dict[str, int]:
        """See `Artifact`."""
        return dict(Counter(node.op_type for node in self._model.graph.node))

    def runner(self, count: int, *, logits: bool = False):
        """See `Artifact`."""
        onnxruntime = require("onnxruntime", extra="export", purpose="ONNX")
        model = self._model
        if logits:
            model = with_logits(type(model).FromString(model.SerializeToString()))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads or 0
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        names = None if logits else list(self.description.output_names)

        def run(images):
            return session.run(names, {self.description.input_name: images})

        return run
