"""A network as a TensorFlow function of fixed names, and as a SavedModel."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from keras_attention.ops.exporting import exporting
from keras_attention.saved_models.description import FILE, LOGITS, Description


def serving_function(form, description: Description, *, softmax: bool):
    """A `tf.function` from images to {output name: tensor}.

    Args:
        form: what `rewriting.export_form` made, up to its logits.
        description: whose shape and names the function gets.
        softmax: whether a softmax comes after the form.
    """

    def serve(image):
        with exporting(description.precision):
            outputs = form(image, training=False)
        if softmax:
            outputs = tf.nn.softmax(outputs)
        flat = tf.nest.flatten(outputs)
        return dict(zip(description.output_names, flat, strict=True))

    spec = tf.TensorSpec(
        description.input_shape, tf.float32, name=description.input_name
    )
    return tf.function(serve, input_signature=[spec], autograph=False)


def write_saved_model(folder: Path, form, description: Description) -> None:
    """Write a SavedModel with the description's signature.

    A classifier gets a second one, `"logits"`.

    Args:
        folder: to make.
        form, description: as for `serving_function`.
    """
    module = tf.Module()
    module.weights = [weight.value for weight in form.weights]
    softmax = description.softmax
    signatures = {
        description.signature: serving_function(form, description, softmax=softmax)
    }
    if softmax:
        signatures[LOGITS] = serving_function(form, description, softmax=False)
    tf.saved_model.save(module, str(folder), signatures=signatures)
    extra = folder / FILE
    extra.parent.mkdir()
    extra.write_text(description.to_json(), encoding="utf-8")
