"""Every way to get an export wrong: a clear error, and nothing left behind."""

import errno
import sys
import warnings

import keras
import numpy as np
import pytest
from saved_models.networks import SHAPE, images_for, network

from keras_attention.saved_models import Bounds, export, exporting, load, placing


@pytest.fixture(scope="module")
def model():
    return network(None)


@pytest.fixture
def folder(tmp_path):
    """A folder that must be as it was, whatever failed."""
    (tmp_path / "there.tflite").write_text("old")
    yield tmp_path
    assert [p.name for p in tmp_path.iterdir()] == ["there.tflite"]
    assert (tmp_path / "there.tflite").read_text() == "old"


def image_model(*inputs, **options):
    images = [keras.Input(shape, **options) for shape in inputs]
    merged = images[0] if len(images) == 1 else keras.layers.Add()(images)
    pooled = keras.layers.GlobalAveragePooling2D()(merged)
    return keras.Model(images if len(images) > 1 else images[0], pooled, name="own")


WRONG = {
    "format": ({"format": "tflite"}, "Unknown format: received 'tflite'.*'litert'"),
    "precision": ({"precision": "int4"}, "Unknown precision: received 'int4'.*'int8'"),
    "int8_without_images": ({"precision": "int8"}, "needs `representative_data`"),
    "few_images": (
        {"precision": "int8", "representative_data": np.zeros((31, *SHAPE), "f")},
        "`representative_data` has 31 images, and at least 32 are needed",
    ),
    "few_to_compare": (
        {"verification_data": np.zeros((7, *SHAPE), "f")},
        "`verification_data` has 7 images, and at least 8",
    ),
    "images_of_another_size": (
        {"verification_data": np.zeros((8, 8, 8, 3), "f")},
        r"`verification_data` has batches of shape \(8, 8, 8, 3\).*\(n, 16, 16, 3\)",
    ),
    "images_of_bytes": (
        {"verification_data": np.zeros((8, *SHAPE), "uint8")},
        "must be float32 as the network takes it, after normalization.*uint8",
    ),
    "images_with_nan": (
        {"verification_data": np.full((8, *SHAPE), np.nan, "f")},
        "`verification_data` holds a number that is not finite",
    ),
    "no_images_at_all": ({"verification_data": 8}, "an array of images or batches"),
    "images_that_nothing_needs": (
        {"representative_data": np.zeros((40, *SHAPE), "f")},
        "is for precision='int8'. Received: precision='float32'",
    ),
    "batch_size": ({"batch_size": 0}, "`batch_size` must be an integer"),
    "name": ({"input_name": "my image"}, "`input_name` is a name.*'my image'"),
    "output_names": ({"output_names": ["a", "b"]}, "a name for each of 1 outputs"),
    "signature_of_the_logits": ({"signature": "logits"}, "another than 'logits'"),
    "one_name_for_both": (
        {"input_name": "x", "output_names": ["x"]},
        r"need different names.*input_name='x' and output_names=\('x',\)",
    ),
    "labels": ({"labels": ["cat", "dog"]}, r"\(None, 10\). Received: 2 labels"),
    "float_layers": (
        {
            "precision": "int8",
            "representative_data": np.zeros((32, *SHAPE), "f"),
            "float_layers": ["stem_cov"],
        },
        "layer in `float_layers`: received 'stem_cov'. Choose from: 'stem_conv'",
    ),
    "float_layers_of_floats": ({"float_layers": ["stem_conv"]}, "for precision='int8'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument(case, model, folder):
    options, message = WRONG[case]
    arguments = {"format": "litert", "verbose": False, **options}
    with pytest.raises(ValueError, match=message):
        export(model, folder / "x.tflite", **arguments)


@pytest.mark.parametrize(
    ("path", "format", "message"),
    [
        ("x", "litert", r"format='litert' has \.tflite"),
        ("x.tflite", "onnx", r"format='onnx' has \.onnx"),
        ("x.onnx", "saved_model", "has no suffix: it is a folder"),
    ],
)
def test_a_path_of_another_format(path, format, message, model, folder):
    with pytest.raises(ValueError, match=message):
        export(model, folder / path, format)


@pytest.mark.parametrize("format", ["saved_model", "onnx"])
def test_a_precision_that_a_format_lacks(format, model, folder):
    path = folder / {"saved_model": "x", "onnx": "x.onnx"}[format]
    with pytest.raises(ValueError, match=r"float32\. Received: precision='int8'"):
        export(model, path, format, "int8")


def test_networks_that_cannot_be_exported(folder):
    def refused(model, message):
        with pytest.raises(ValueError, match=message):
            export(model, folder / "x.tflite", "litert", verbose=False)

    refused(image_model((None, 8, 3)), r"size open: \(None, 8, 3\).*set_weights")
    refused(image_model((8, 8, 3), (8, 8, 3)), "a network of one image input")
    refused(keras.Sequential([keras.layers.Dense(2)]), "is not built")
    first = keras.Input((3, 8, 8))
    pool = keras.layers.GlobalAveragePooling2D(data_format="channels_first", name="p")
    refused(keras.Model(first, pool(first)), r"channels first \(layer 'p'\)")


def test_what_is_there_is_not_replaced_unasked(model, folder):
    with pytest.raises(FileExistsError, match="overwrite=True"):
        export(model, folder / "there.tflite", "litert")


def test_what_is_of_another_kind_is_never_replaced(model, tmp_path):
    (tmp_path / "file").write_text("mine")
    for name in ("folder", "x.tflite"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo").write_text("mine")
    for name, format, kind in (
        ("file", "saved_model", "SavedModel"),
        ("folder", "saved_model", "SavedModel"),
        ("x.tflite", "litert", "file"),
    ):
        with pytest.raises(FileExistsError, match=f"{name} is no {kind}, and so is"):
            export(model, tmp_path / name, format, overwrite=True, verbose=False)
    for name in ("file", "folder/photo", "x.tflite/photo"):
        assert (tmp_path / name).read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_that_is_not_there(model, folder):
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        export(model, folder / "nowhere" / "x.tflite", "litert")
    with pytest.raises(FileNotFoundError, match="no folder .*there.tflite"):
        export(model, folder / "there.tflite" / "x.tflite", "litert")


def test_a_folder_that_cannot_be_written_to(model, folder, monkeypatch):
    """Whoever runs this may be root, who can write everywhere."""
    monkeypatch.setattr(placing.os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="cannot be written to"):
        export(model, folder / "x.tflite", "litert")


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC])
def test_a_folder_that_takes_no_more(number, model, folder, monkeypatch):
    """The system's reason and kind of error, of the folder that the user knows."""

    def refuse(dir, prefix):
        raise OSError(number, "for a reason", f"{dir}/{prefix}1a2b")

    monkeypatch.setattr(placing.tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(OSError, match="cannot be written to: for a reason$") as info:
        export(model, folder / "x.tflite", "litert")
    assert type(info.value) is type(OSError(number, ""))


@pytest.mark.parametrize(
    ("format", "path", "package"),
    [("litert", "x.tflite", "ai_edge_litert"), ("onnx", "x.onnx", "tf2onnx")],
)
def test_a_missing_package_names_the_extra(
    format, path, package, model, folder, monkeypatch
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"{package}.*keras_attention\[export\]"):
        export(model, folder / path, format)


def test_a_conversion_that_dies_leaves_nothing(model, folder, monkeypatch):
    def die(aside, *_):
        aside.write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(exporting, "_write", die)
    for path, more in (("x.tflite", {}), ("there.tflite", {"overwrite": True})):
        with pytest.raises(OSError, match="No space left"):
            export(model, folder / path, "litert", verbose=False, **more)


tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow writes the files"
)


@tensorflow_only
def test_a_file_beyond_its_bounds_is_not_kept(model, folder):
    images = images_for(model, 32)
    with pytest.raises(
        ValueError,
        match=r"x.tflite was not kept.*'cifarresnet-8'.*relative error .* "
        r"\(at most 1.00e-09\).*`bounds`",
    ):
        export(
            model,
            folder / "x.tflite",
            "litert",
            "int8",
            representative_data=images,
            bounds=Bounds(1e-9, 0.0),
            verbose=False,
        )


@tensorflow_only
def test_numbers_that_are_not_finite_have_their_own_remedy(folder):
    """Wider bounds would not accept them. NumPy does not warn of them as well."""
    model = image_model((4, 4, 3))
    scaled = keras.layers.Rescaling(np.inf)(model.output)
    broken = keras.Model(model.input, scaled, name="broken")
    message = "'broken' does: an output is not a finite number, on 16 .* Look for such"
    with (
        warnings.catch_warnings(action="error", category=RuntimeWarning),
        pytest.raises(ValueError, match=message) as info,
    ):
        export(broken, folder / "x", verbose=False)
    assert "bounds" not in str(info.value)


class Odd(keras.layers.Layer):
    """Of an operation that LiteRT has not."""

    def call(self, inputs):
        import tensorflow as tf

        return inputs + tf.math.betainc(0.5, 0.5, tf.sigmoid(inputs))


@tensorflow_only
def test_an_operation_that_is_no_builtin_names_its_layer(folder):
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="before")(image)
    model = keras.Model(image, Odd(name="odd_one")(x), name="own")
    with pytest.raises(
        ValueError, match="'own' cannot be .* Betainc, in layer 'odd_one', is no LiteRT"
    ):
        export(model, folder / "x.tflite", "litert", verbose=False)


@tensorflow_only
def test_a_grouped_convolution_has_no_onnx_form_and_is_named(folder):
    image = keras.Input((8, 8, 4))
    conv = keras.layers.Conv2D(4, 3, groups=2, name="grouped")
    with pytest.raises(ValueError, match="ONNX: 'grouped' holds a grouped convolution"):
        export(
            keras.Model(image, conv(image)), folder / "x.onnx", "onnx", verbose=False
        )


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no"):
        load(tmp_path / "x.tflite")
    (tmp_path / "x.tflite").write_bytes(b"not a flatbuffer at all")
    with pytest.raises(ValueError, match="x.tflite is no LiteRT file, or damaged"):
        load(tmp_path / "x.tflite")
    (tmp_path / "x.onnx").write_bytes(b"\xff" * 40)
    with pytest.raises(ValueError, match="x.onnx is no ONNX file, or damaged"):
        load(tmp_path / "x.onnx")
    with pytest.raises(ValueError, match="holds no SavedModel"):
        load(tmp_path)
    (tmp_path / "x.keras").write_bytes(b"")
    with pytest.raises(ValueError, match="is no exported network"):
        load(tmp_path / "x.keras")


@tensorflow_only
def test_a_file_of_another_program_has_no_description(tmp_path):
    import tensorflow as tf

    module = tf.Module()
    function = tf.function(lambda x: x + 1, input_signature=[tf.TensorSpec((1, 2))])
    tf.saved_model.save(module, str(tmp_path / "s"), signatures=function)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "s"))
    (tmp_path / "s.tflite").write_bytes(converter.convert())
    for name in ("s", "s.tflite"):
        with pytest.raises(ValueError, match="no description by keras_attention"):
            load(tmp_path / name)


@tensorflow_only
def test_wrong_images_for_a_file(model, tmp_path):
    export(model, tmp_path / "x.tflite", "litert", verbose=False)
    artifact = load(tmp_path / "x.tflite", threads=2)
    with pytest.raises(ValueError, match=r"shape \(n, 16, 16, 3\).*\(2, 8, 8, 3\)"):
        artifact.predict(np.zeros((2, 8, 8, 3), "f"))
    with pytest.raises(ValueError, match="uint8. See `preprocess`"):
        artifact.predict(np.zeros((2, *SHAPE), "uint8"))
    with pytest.raises(ValueError, match="n ≥ 1"):
        artifact.predict(np.zeros((0, *SHAPE), "f"))
    with pytest.raises(ValueError, match="exported without `preprocessing`"):
        artifact.preprocess(np.zeros((2, *SHAPE), "uint8"))
    with pytest.raises(ValueError, match="`threads` must be an integer ≥ 1"):
        load(tmp_path / "x.tflite", threads=0)
