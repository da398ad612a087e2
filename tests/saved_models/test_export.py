"""Files of every format beside their network; TensorFlow writes them."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from saved_models.networks import SHAPE, images_for, network, settle

import keras_attention as ka
from keras_attention import applications
from keras_attention.data.preprocessing import Preprocessing
from keras_attention.saved_models import BOUNDS, Bounds, export, load, verify

if keras.backend.backend() != "tensorflow":
    pytest.skip(
        "TensorFlow writes the files; test_worker.py has JAX's way to it",
        allow_module_level=True,
    )

KINDS = [
    ("saved_model", "float32", "x"),
    ("litert", "float32", "x.tflite"),
    ("litert", "float16", "x.f16.tflite"),
    ("litert", "int8", "x.i8.tflite"),
    ("onnx", "float32", "x.onnx"),
]
CLASSES = tuple(f"class {i}" for i in range(10))
HOW = Preprocessing(SHAPE[:2], 3, (0.5, 0.4, 0.3), (0.2, 0.25, 0.5), CLASSES)
NAMES = {"signature": "classify", "input_name": "photo", "output_names": ["chances"]}


# One block with AW, whose many taps take their time to convert.
ATTENTION = {"stage1_block1": "aw_se", "stage3_block1": "se"}


@pytest.fixture(scope="module")
def model():
    return network(ATTENTION)


@pytest.fixture(scope="module")
def expected(model, images):
    """Scores and logits of the network, the latter by NumPy from its features."""
    features = keras.Model(model.input, model.layers[-1].input)
    kernel, bias = model.layers[-1].get_weights()
    logits = features.predict(images, verbose=0) @ kernel + bias
    return model.predict(images, verbose=0), logits


@pytest.fixture(scope="module")
def images(model):
    return images_for(model, 40, seed=1)


@pytest.fixture(scope="module")
def files(model, images, tmp_path_factory):
    """{(format, precision): (path, report)} of one network."""
    folder = tmp_path_factory.mktemp("files")
    found = {}
    for format, precision, name in KINDS:
        report = export(
            model,
            folder / name,
            format,
            precision,
            representative_data=images if precision == "int8" else None,
            verification_data=images,
            preprocessing=HOW,
            verbose=False,
            **NAMES,
        )
        found[format, precision] = folder / name, report
    assert sorted(p.name for p in folder.iterdir()) == sorted(k[2] for k in KINDS)
    return found


@pytest.mark.parametrize("kind", [k[:2] for k in KINDS])
def test_a_file_gives_what_the_network_gives(kind, files, expected, images):
    path, _ = files[kind]
    tolerance = {"float32": 1e-6, "float16": 1e-2, "int8": 0.1}[kind[1]]
    found = load(path).predict(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected[0], atol=tolerance)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=0.02)


@pytest.mark.parametrize("kind", [k[:2] for k in KINDS])
def test_logits_are_what_the_softmax_gets(kind, files, expected, images):
    found = load(files[kind][0]).logits(images)
    error = np.linalg.norm(found - expected[1]) / np.linalg.norm(expected[1])
    assert error < BOUNDS[kind[1]].relative_error
    # The report's own figure.
    assert files[kind][1].relative_error == pytest.approx(error, rel=0.02, abs=1e-6)


@pytest.mark.parametrize("kind", [k[:2] for k in KINDS])
def test_a_report_counts_agreement_and_size(kind, files, expected, images):
    path, report = files[kind]
    found = load(path).predict(images)
    same = (found.argmax(1) == expected[0].argmax(1)).mean()
    # int8 scores may be equal where the logits behind them are not.
    assert report.top1_agreement == pytest.approx(same, abs=0.05)
    difference = np.abs(found - expected[0]).max()
    assert report.max_difference == pytest.approx(difference, rel=0.01, abs=1e-6)
    every = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    assert report.bytes == sum(f.stat().st_size for f in every)
    assert (report.format, report.precision, report.inputs) == (*kind, 40)
    assert report.finite
    assert json.loads(json.dumps(report.to_dict()))["path"] == str(path)


def test_bytes_of_the_weights(files, model):
    """Four for each parameter in float32, two in float16, one in int8."""
    sizes = {kind: report.bytes for kind, (_, report) in files.items()}
    parameters = model.count_params()
    saved = sizes["litert", "float32"] - sizes["litert", "float16"]
    assert saved == pytest.approx(2 * parameters, rel=0.15)
    saved = sizes["litert", "float16"] - sizes["litert", "int8"]
    assert saved == pytest.approx(parameters, rel=0.5)


def test_litert_by_the_plain_runtime(files, expected, images):
    """As an app sees it: names of the signature, and no description needed."""
    from ai_edge_litert.interpreter import Interpreter

    path, _ = files["litert", "float32"]
    interpreter = Interpreter(model_path=str(path))
    assert interpreter.get_signature_list() == {
        "classify": {"inputs": ["photo"], "outputs": ["chances"]}
    }
    runner = interpreter.get_signature_runner("classify")
    found = runner(photo=images[:1])["chances"]
    np.testing.assert_allclose(found, expected[0][:1], atol=1e-6)


def test_onnx_by_the_plain_runtime(files, expected, images):
    import onnx
    import onnxruntime

    path, _ = files["onnx", "float32"]
    session = onnxruntime.InferenceSession(path)
    (found,) = session.run(["chances"], {"photo": images[:1]})
    np.testing.assert_allclose(found, expected[0][:1], atol=1e-6)
    entries = {e.key: e.value for e in onnx.load(path).metadata_props}
    assert json.loads(entries["keras_attention"])["labels"] == list(CLASSES)


def test_saved_model_by_tensorflow(files, expected, images):
    import tensorflow as tf

    path, _ = files["saved_model", "float32"]
    loaded = tf.saved_model.load(str(path))
    assert set(loaded.signatures) == {"classify", "logits"}
    found = loaded.signatures["classify"](photo=images[:1])["chances"]
    np.testing.assert_allclose(found, expected[0][:1], atol=1e-6)
    text = (path / "assets.extra" / "keras_attention.json").read_text()
    assert json.loads(text)["preprocessing"]["mean"] == [0.5, 0.4, 0.3]


@pytest.mark.parametrize("kind", [k[:2] for k in KINDS])
def test_a_file_tells_its_labels_and_preprocessing(kind, files, rng):
    artifact = load(files[kind][0])
    assert artifact.labels == CLASSES
    images = rng.integers(0, 256, (2, *SHAPE)).astype("uint8")
    expected = (images / 255 - np.array(HOW.mean)) / np.array(HOW.std)
    np.testing.assert_allclose(artifact.preprocess(images), expected, atol=1e-5)
    with pytest.raises(ValueError, match="uint8 images are needed. Received: float"):
        artifact.preprocess(images.astype("float32"))


def test_a_gate_is_a_sigmoid_in_the_file(files):
    """Two SE, and the branches of two AW; XNNPACK takes all but the shortcuts'."""
    report = files["litert", "float32"][1]
    assert report.operators["LOGISTIC"] == 2 + 2
    assert report.slow_operators == {"STRIDED_SLICE": 2}
    # Nine taps and a branch of two for each AW, four plain ones, and the stem's.
    assert report.operators["CONV_2D"] == 2 * (9 + 2) + 4 + 1


def test_every_operator_of_a_mobilenet_is_xnnpacks(tmp_path):
    model = settle(applications.MobileNet((64, 64, 3), alpha=0.25, classes=4))
    # Random norms: in float32 the network itself is 1.3e-5 from what it is in float64.
    bounds = Bounds(1e-4, 1.0)
    path = tmp_path / "m.tflite"
    report = export(model, path, "litert", bounds=bounds, verbose=False)
    assert report.slow_operators == {}
    assert "not taken by XNNPACK: none" in str(report)
    # Norms, zero padding and dropout: in the weights, in five pads, and gone.
    assert report.operators == {
        "CONV_2D": 14,
        "DEPTHWISE_CONV_2D": 13,
        "PAD": 5,
        "MEAN": 1,
        "FULLY_CONNECTED": 1,
        "SOFTMAX": 1,
    }


@pytest.fixture(scope="module", params=["litert", "onnx", "saved_model"])
def any_batch(request, model, tmp_path_factory):
    name = {"litert": "a.tflite", "onnx": "a.onnx", "saved_model": "a"}
    path = tmp_path_factory.mktemp("open") / name[request.param]
    export(model, path, request.param, batch_size=None, verbose=False)
    return path


def test_an_open_batch_takes_any(any_batch, expected, images):
    artifact = load(any_batch)
    for count, batch_size in ((1, 32), (40, 32), (7, 3)):
        found = artifact.predict(images[:count], batch_size=batch_size)
        np.testing.assert_allclose(found, expected[0][:count], atol=1e-6)


def test_a_fixed_batch_fills_up_the_last(tmp_path, model, expected, images):
    path = tmp_path / "four.tflite"
    export(model, path, "litert", batch_size=4, verbose=False)
    found = load(path).predict(images[:6])
    np.testing.assert_allclose(found, expected[0][:6], atol=1e-6)


@pytest.mark.parametrize("format", ["saved_model", "litert", "onnx"])
def test_several_outputs_by_name(format, tmp_path):
    """A pyramid: which output is which, in every format's own order."""
    model = network("se", pyramid=True)
    path = (
        tmp_path / {"saved_model": "p", "litert": "p.tflite", "onnx": "p.onnx"}[format]
    )
    report = export(model, path, format, verbose=False)
    assert report.top1_agreement is None
    images = images_for(model, 3)
    expected = model.predict(images, verbose=0)
    found = load(path).predict(images)
    assert list(found) == ["P0", "P1", "P2"]
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="does not end in a softmax"):
        load(path).logits(images)


def test_a_network_of_mixed_precision_is_compared_in_float32(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    half = network("cbam")
    report = export(half, tmp_path / "m.tflite", "litert", verbose=False)
    assert report.relative_error < 1e-5


def test_verify_by_a_known_difference(files, model, images):
    """Logits moved by 0.25 each: the error is 0.25 √n / ‖logits‖."""
    moved = keras.models.clone_model(model)
    moved.set_weights(model.get_weights())
    kernel, bias = moved.layers[-1].get_weights()
    moved.layers[-1].set_weights([kernel, bias + 0.25])
    path, _ = files["litert", "float32"]
    logits = load(path).logits(images) + 0.25
    report = verify(path, moved, images)
    expected = 0.25 * np.sqrt(logits.size) / np.linalg.norm(logits)
    assert report.relative_error == pytest.approx(expected, rel=1e-4)
    assert report.top1_agreement == 1
    assert report.max_difference < 1e-5
    assert report.failures(Bounds(1e-5, 1.0)) == [
        f"relative error {expected:.2e} (at most 1.00e-05)"
    ]


def test_verify_counts_disagreement(files, model, images):
    """One class's logit far up: all agree with that class only."""
    moved = keras.models.clone_model(model)
    kernel, bias = model.layers[-1].get_weights()
    moved.set_weights(model.get_weights())
    moved.layers[-1].set_weights([kernel, bias + 1e3 * np.eye(10)[3]])
    path, _ = files["litert", "float32"]
    threes = (load(path).logits(images).argmax(axis=1) == 3).mean()
    report = verify(load(path), moved, images)
    assert threes < 1
    assert report.top1_agreement == threes
    assert "top-1 agreement" in report.failures(Bounds(np.inf, 1.0))[0]


def two_outputs():
    image = keras.Input(SHAPE)
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    return keras.Model(image, [keras.layers.Dense(2, name=n)(pooled) for n in "ab"])


@pytest.mark.parametrize("broken", ["a", "b"])
def test_verify_does_not_miss_a_network_that_is_not_finite(broken, tmp_path):
    """Of two outputs, whichever: one is equal, one has no number to be equal to."""
    model = two_outputs()
    export(model, tmp_path / "x", verbose=False)
    model.get_layer(broken).bias.assign([np.nan, 0])
    report = verify(tmp_path / "x", model, images_for(model, 8))
    assert report.finite
    assert np.isnan([report.relative_error, report.max_difference]).all()
    assert report.failures(Bounds(1.0, 0.0))


def test_one_number_has_no_most_probable_class(tmp_path):
    image = keras.Input(SHAPE)
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, keras.layers.Dense(1, "sigmoid")(pooled))
    report = export(model, tmp_path / "x", verbose=False)
    assert report.top1_agreement is None


def test_a_saved_model_is_replaced_whole(tmp_path):
    """Also by way of a link, behind which all stays."""
    model = two_outputs()
    export(model, tmp_path / "real", verbose=False)
    (tmp_path / "real" / "old").write_text("old")
    (tmp_path / "x").symlink_to(tmp_path / "real")
    for path in (tmp_path / "x", tmp_path / "real"):
        assert (tmp_path / "real" / "old").exists()
        export(model, path, overwrite=True, verbose=False)
        assert not path.is_symlink()
        assert not (path / "old").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["real", "x"]


def test_operations_that_are_no_layers(tmp_path):
    image = keras.Input(SHAPE)
    x = keras.layers.Conv2D(4, 3)(image + 1)
    x = keras.layers.BatchNormalization()(keras.ops.relu(x))
    model = settle(keras.Model(image, keras.ops.mean(x, axis=(1, 2)) * 2))
    report = export(model, tmp_path / "x.tflite", "litert", verbose=False)
    assert report.relative_error < 1e-5


def test_verify_needs_eight_images_of_this_network(files, model, images):
    path, _ = files["litert", "float32"]
    with pytest.raises(ValueError, match="At least 8 images .* Received: 7"):
        verify(path, model, images[:7])
    other = network(None, classes=7)
    with pytest.raises(ValueError, match=r"is not of 'cifarresnet-8'.*\(40, 10\)"):
        verify(path, other, images)


def test_a_gate_that_is_always_zero_stays_in_float32(tmp_path, images):
    """Its int8 scale would be next to nothing, and XNNPACK refuse the whole file."""
    model = network("se")
    dead = model.get_layer("stage2_block1_attention")
    dead.reduce.bias.assign(np.full(dead.reduce.bias.shape, -100.0))
    report = export(
        model,
        tmp_path / "dead.tflite",
        "litert",
        "int8",
        representative_data=images,
        verbose=False,
    )
    assert report.float_layers == ("stage2_block1_attention",)
    assert "in float32: stage2_block1_attention" in str(report)
    assert load(tmp_path / "dead.tflite").description.float_layers
    # Its own two products, and no other, are computed on float32 numbers.
    assert float_products(tmp_path / "dead.tflite") == 2


def test_layers_that_are_asked_to_stay_in_float32(tmp_path, model, images):
    path = tmp_path / "gates.tflite"
    report = export(
        model,
        path,
        "litert",
        "int8",
        representative_data=images,
        float_layers="*_attention",
        verbose=False,
    )
    assert report.float_layers == tuple(f"stage{i}_block1_attention" for i in (1, 3))
    assert float_products(path) == 4


def float_products(path):
    """Fully connected layers and convolutions on float32 numbers."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    return sum(
        operator["op_name"] in ("FULLY_CONNECTED", "CONV_2D")
        and operator["operand_types"][0] is np.float32
        for operator in interpreter._get_ops_details()
    )


def one_layer(name):
    """An attention alone, settled, as a network."""
    attention = ka.spec(name)
    image = keras.Input((8, 8, 16))
    layer = (
        attention.make(filters=16, kernel_size=3, padding="same")
        if attention.site == "conv"
        else attention.make()
    )
    return settle(keras.Model(image, layer(image), name=name))


@pytest.mark.parametrize("name", ka.names())
def test_every_attention_in_litert(name, tmp_path):
    """One layer of each, float32 and builtin operators only."""
    model = one_layer(name)
    report = export(model, tmp_path / "x.tflite", "litert", verbose=False)
    assert report.relative_error < 1e-5
    assert report.inputs == 16
    assert Path(report.path) == tmp_path / "x.tflite"


INT8 = ["aa", "aw", "bam", "cbam", "eca", "mvam_parallel", "spatial"]


@pytest.mark.parametrize("name", INT8)
def test_attentions_in_int8(name, tmp_path):
    """Of eight bits: a few steps of 1/255 of the range, which is some deviations."""
    model = one_layer(name)
    report = export(
        model,
        tmp_path / "x.tflite",
        "litert",
        "int8",
        representative_data=images_for(model, 64, seed=2),
        bounds=Bounds(0.05, 0.0),
        verbose=False,
    )
    assert report.float_layers == ()
