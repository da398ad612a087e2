"""TensorBoard's logs: what is in them, and what is said where they are off."""

import pytest
import tensorflow as tf

from keras_attention import training
from keras_attention.training import fitting

RECIPE = training.recipe("quick", epochs=2, batch_size=32)


def scalars(folder):
    """{tag: number of values} of the event files below a folder."""
    counts = {}
    for path in folder.rglob("events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                counts[value.tag] = counts.get(value.tag, 0) + 1
    return counts


def test_one_value_per_epoch_and_split(make_model, digits, tmp_path):
    pytest.importorskip("tensorboard", reason="keras_attention[logs] is not installed")
    training.fit(make_model(), digits, RECIPE, out=tmp_path / "run", verbose=0)
    counts = scalars(tmp_path / "run" / "tensorboard")
    # Keras writes training and validation below two folders, under one tag.
    assert counts["epoch_loss"] == 4
    assert counts["epoch_top1_error"] == 4


def test_without_the_package_says_how_to_get_them(
    make_model, digits, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(fitting, "tensorboard_missing", lambda: True)
    training.fit(make_model(), digits, RECIPE, out=tmp_path / "run", verbose=0)
    assert "keras_attention[logs]" in capsys.readouterr().out
    assert not (tmp_path / "run" / "tensorboard").exists()
