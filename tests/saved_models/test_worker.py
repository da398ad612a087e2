"""From JAX to a file, through a process with TensorFlow."""

import dataclasses
import sys
import textwrap

import keras
import numpy as np
import pytest
from saved_models.networks import images_for, network

from keras_attention.saved_models import export, load, worker

LAYER = """
import keras


@keras.saving.register_keras_serializable("own")
class Twice(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs
"""


@pytest.fixture
def twice(tmp_path, monkeypatch):
    """A layer in a module of the user's."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "my_layers_of_export.py").write_text(textwrap.dedent(LAYER))
    monkeypatch.syspath_prepend(folder)
    import my_layers_of_export

    yield my_layers_of_export.Twice
    sys.modules.pop("my_layers_of_export")


def test_a_network_with_a_users_layer(twice, tmp_path, monkeypatch):
    """The file is TensorFlow's, the numbers are this backend's."""
    inner = network({"stage1_block1": "aw_se"}, include_top=False, pooling="avg")
    model = keras.Model(
        inner.input, keras.layers.Dense(5, "softmax")(twice()(inner.output))
    )
    # On TensorFlow too, where the file would be written by this process.
    monkeypatch.setattr(
        "keras_attention.saved_models.writing.write", worker.write_elsewhere
    )
    images = images_for(model, 9)
    report = export(
        model,
        tmp_path / "x.tflite",
        "litert",
        verification_data=images,
        verbose=False,
    )
    assert report.relative_error < 1e-5
    found = load(tmp_path / "x.tflite").predict(images)
    np.testing.assert_allclose(found, model.predict(images, verbose=0), atol=1e-6)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["modules", "x.tflite"]


def test_a_layer_of_the_script_itself_is_refused(tmp_path):
    kind = type("Mine", (keras.layers.Layer,), {"__module__": "__main__"})
    kind.call = lambda self, inputs: inputs
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, kind()(image))
    with pytest.raises(ValueError, match="Mine are defined in the script"):
        worker._modules(model)


def test_an_error_of_the_process_is_raised_here(tmp_path):
    """As it was there: its kind and its words."""
    model = network(None)
    two = dataclasses.replace(_description(model), output_names=("one", "two"))
    with pytest.raises(ValueError, match="shorter"):
        worker.write_elsewhere(tmp_path / "x.tflite", model, two, None)


def _description(model):
    from keras_attention.saved_models.description import Description

    return Description(
        model=model.name,
        format="litert",
        precision="float32",
        input_shape=(1, *model.input_shape[1:]),
        signature="serving_default",
        input_name="image",
        output_names=("scores",),
        softmax=True,
    )


def test_a_process_that_dies_tells_its_last_words(tmp_path, monkeypatch):
    monkeypatch.setattr(worker.sys, "executable", "/bin/false")
    model = network(None)
    with pytest.raises(RuntimeError, match="died with status 1"):
        worker.write_elsewhere(tmp_path / "x", model, _description(model), None)
