"""Writing a file of any format, on the TensorFlow backend."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from keras_attention.saved_models.description import Description
from keras_attention.saved_models.logits import without_softmax
from keras_attention.saved_models.rewriting import export_form


def write(path: Path, model, description: Description, images: np.ndarray | None):
    """Write the file that a description describes.

    Args:
        path: to write to.
        model: the network; left as it was.
        description: what to write.
        images: to calibrate int8 by; else None.
    """
    form = export_form(model)
    if description.softmax:
        form = without_softmax(form)
    if description.format == "saved_model":
        from keras_attention.saved_models.tracing import write_saved_model

        return write_saved_model(path, form, description)
    if description.format == "onnx":
        from keras_attention.saved_models.onnx_file import write_onnx

        return write_onnx(path, form, description)
    from keras_attention.saved_models.litert import write_litert

    with tempfile.TemporaryDirectory() as folder:
        write_litert(path, Path(folder) / "model", form, description, images)
