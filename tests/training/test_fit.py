"""Training, and going on with it."""

import csv
import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_attention import training
from keras_attention.data import Augmentation, from_arrays
from keras_attention.layers import SE, SqueezeExcitation
from keras_attention.training.compilation import gives_logits
from tests.training.conftest import values

RECIPE = training.recipe(
    "cifar",
    epochs=4,
    batch_size=32,
    learning_rate=0.02,
    augmentation=Augmentation(flip=True, pad_crop=1),
)


def fit(model, data, out, settings=RECIPE, **options):
    options = {"verbose": 0, "seed": 5} | options
    return training.fit(model, data, settings, out=out, **options)


def assert_same_state(first, second):
    pairs = [
        *zip(first.variables, second.variables, strict=True),
        *zip(first.optimizer.variables, second.optimizer.variables, strict=True),
    ]
    for a, b in pairs:
        np.testing.assert_allclose(values(a), values(b), atol=1e-6, err_msg=a.path)


def test_two_and_two_epochs_are_four(twins, make_model, digits, tmp_path):
    whole, half = twins
    straight = fit(whole, digits, tmp_path / "a")
    fit(half, digits, tmp_path / "b", stop_after=2)
    rest = make_model()  # other weights, other seeds: all must come from the file
    resumed = fit(rest, digits, tmp_path / "b", resume=True)
    assert_same_state(whole, rest)
    assert [row["epoch"] for row in resumed] == [0, 1, 2, 3]
    for a, b in zip(straight, resumed, strict=True):
        for key in set(a) - {"seconds"}:
            assert a[key] == pytest.approx(b[key], abs=1e-4), key
    for name in ("last.keras", "best.keras"):
        a, b = (
            keras.saving.load_model(tmp_path / run / name, compile=False)
            for run in "ab"
        )
        for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)


def test_forgetting_the_dropout_seed_would_be_noticed(twins, digits, tmp_path):
    """That the test above can fail: another seed state gives other weights."""
    whole, other = twins
    (seed,) = [v for v in other.variables if "seed" in v.path]
    seed.assign(values(seed) + np.array([0, 1], values(seed).dtype))
    for model, run in ((whole, "a"), (other, "b")):
        fit(model, digits, tmp_path / run, stop_after=1)
    with pytest.raises(AssertionError):
        assert_same_state(whole, other)


def test_a_crash_before_the_checkpoint_costs_only_its_epoch(
    twins, make_model, digits, tmp_path
):
    class Crash(keras.callbacks.Callback):
        # Runs after the logs and before the checkpoint.
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    whole, half = twins
    fit(whole, digits, tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        fit(half, digits, tmp_path / "b", callbacks=[Crash()])
    assert len((tmp_path / "b/history.csv").read_text().splitlines()) == 4
    rest = make_model()
    resumed = fit(rest, digits, tmp_path / "b", resume=True)
    assert [row["epoch"] for row in resumed] == [0, 1, 2, 3]
    assert_same_state(whole, rest)


def test_a_run_that_died_in_its_first_epoch_starts_again(twins, digits, tmp_path):
    class Crash(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    whole, half = twins
    fit(whole, digits, tmp_path / "a", stop_after=1)
    start = half.get_weights()
    seeds = [values(v).copy() for v in half.variables if "seed" in v.path]
    with pytest.raises(KeyboardInterrupt):
        fit(half, digits, tmp_path / "b", callbacks=[Crash()])
    half.set_weights(start)
    for variable, value in zip(
        [v for v in half.variables if "seed" in v.path], seeds, strict=True
    ):
        variable.assign(value)
    fit(half, digits, tmp_path / "b", resume=True, stop_after=1)
    assert_same_state(whole, half)


def test_the_folder_says_what_was_done(make_model, digits, tmp_path):
    fit(make_model(), digits, tmp_path / "a", stop_after=1, command="me")
    record = json.loads((tmp_path / "a/run.json").read_text())
    assert record["recipe"]["weight_decay"] == 5e-4 and record["seed"] == 5
    (session,) = record["sessions"]
    assert session["command"] == "me"
    assert session["versions"]["keras"] == keras.__version__
    assert session["backend"] == keras.backend.backend()
    with (tmp_path / "a/history.csv").open() as file:
        (row,) = csv.DictReader(file)
    names = ["loss", "top1_error", "top5_error"]
    wanted = {*names, *(f"val_{name}" for name in names)}
    assert set(row) == wanted | {"epoch", "learning_rate", "seconds"}
    steps = digits.steps_per_epoch(32)
    schedule = training.learning_rate_schedule(RECIPE, steps)
    assert float(row["learning_rate"]) == pytest.approx(float(schedule(steps - 1)))
    state = json.loads((tmp_path / "a/state.json").read_text())
    assert state["epoch"] == 1
    assert state["best"] == pytest.approx(float(row["val_top1_error"]))


def test_best_is_the_epoch_with_the_least_error(make_model, digits, tmp_path):
    history = fit(make_model(), digits, tmp_path / "a")
    state = json.loads((tmp_path / "a/state.json").read_text())
    errors = [row["val_top1_error"] for row in history]
    assert state["best"] == pytest.approx(min(errors))
    best, _ = training.load_trained(tmp_path / "a")
    found = training.evaluate(best, digits, split="validation")
    assert found.top1_error == pytest.approx(min(errors), abs=1e-3)


def test_without_validation_the_training_error_decides(make_model, rng, tmp_path):
    images = rng.integers(0, 256, (64, 8, 8, 1), np.uint8)
    data = from_arrays((images, np.arange(64) % 3), class_names="abc", validation=0.0)
    fit(make_model(classes=3), data, tmp_path / "a", stop_after=1)
    state = json.loads((tmp_path / "a/state.json").read_text())
    assert state["monitor"] == "top1_error"


def test_a_run_is_not_overwritten(make_model, digits, tmp_path):
    fit(make_model(), digits, tmp_path / "a", stop_after=1)
    before = (tmp_path / "a/last.keras").read_bytes()
    with pytest.raises(FileExistsError, match="--resume"):
        fit(make_model(), digits, tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="holds no run"):
        fit(make_model(), digits, tmp_path / "b", resume=True)
    assert (tmp_path / "a/last.keras").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 6}, "seed: 5 then, 6 now"),
        (
            {"settings": dataclasses.replace(RECIPE, momentum=0.8, epochs=9)},
            r"recipe\.epochs: 4 then, 9 now; recipe\.momentum: 0\.9 then, 0\.8 now",
        ),
        ({"description": {"name": "x"}}, r"model\.name: None then, 'x' now"),
    ],
)
def test_going_on_with_other_settings_is_refused(
    make_model, digits, tmp_path, change, message
):
    model = make_model()
    fit(model, digits, tmp_path / "a", stop_after=1)
    with pytest.raises(ValueError, match=message):
        fit(model, digits, tmp_path / "a", resume=True, **change)


def test_going_on_with_other_images_is_refused(make_model, digits, tmp_path):
    model = make_model()
    fit(model, digits, tmp_path / "a", stop_after=1)
    labels = digits.train.labels[::-1].copy()
    train = dataclasses.replace(digits.train, labels=labels)
    other = from_arrays(
        (train.images, train.labels), class_names=digits.preprocessing.class_names
    )
    with pytest.raises(ValueError, match=r"data\.fingerprint"):
        fit(model, other, tmp_path / "a", resume=True)


def test_a_damaged_checkpoint_is_named(make_model, digits, tmp_path):
    model = make_model()
    fit(model, digits, tmp_path / "a", stop_after=1)
    for path in (tmp_path / "a").glob("last*.keras"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"last\.keras holds no run to go on with"):
        fit(model, digits, tmp_path / "a", resume=True)


def test_a_loss_that_is_no_number_stops_before_the_checkpoint(
    make_model, digits, tmp_path
):
    wild = dataclasses.replace(RECIPE, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="learning rate"):
        fit(make_model(), digits, tmp_path / "a", wild)
    (start,) = (tmp_path / "a").glob("*.keras")
    kept = keras.saving.load_model(start, compile=False)
    assert all(np.isfinite(weight).all() for weight in kept.get_weights())


def test_models_that_do_not_fit_are_refused(make_model, digits, tmp_path):
    with pytest.raises(ValueError, match="10 classes"):
        fit(make_model(classes=9), digits, tmp_path / "a")
    other = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match=r"\(8, 8, 1\), the model takes"):
        fit(other, digits, tmp_path / "a")
    with pytest.raises(ValueError, match="activation"):
        fit(make_model("sigmoid"), digits, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_logits_and_softmax_are_told_apart(make_model):
    assert gives_logits(make_model(None)) is True
    assert gives_logits(make_model("softmax")) is False


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow"
    or bool(tf.config.list_physical_devices("GPU")),
    reason="XLA is slow for TensorFlow on a CPU alone",
)
def test_xla_is_off_for_tensorflow_on_a_cpu(make_model, digits, tmp_path):
    model = make_model()
    fit(model, digits, tmp_path / "run", stop_after=1)
    assert model.jit_compile is False
    loaded = keras.saving.load_model(tmp_path / "run" / "best.keras", compile=False)
    training.evaluate(loaded, digits)
    assert loaded.jit_compile is False


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(dtype, tmp_path):
    before = keras.config.dtype_policy().name
    (row,) = training.train(
        out=tmp_path / "run",
        model="cifarresnet-8",
        attention="aw_se",
        data="digits",
        recipe="quick",
        epochs=1,
        limit=256,
        dtype=dtype,
        verbose=0,
    )
    assert np.isfinite(row["loss"]) and row["learning_rate"] > 0
    assert training.read_run(tmp_path / "run")["dtype"] == dtype
    assert keras.config.dtype_policy().name == before


def test_a_spec_survives_resuming(tmp_path):
    asked = {"model": "cifarresnet-8", "data": "digits", "recipe": "quick"}
    out = tmp_path / "run"
    training.train(
        out=out,
        attention=SE(reduction_ratio=8),
        epochs=2,
        limit=128,
        stop_after=1,
        verbose=0,
        **asked,
    )
    rows = training.train(out=out, resume=True, verbose=0)
    assert [row["epoch"] for row in rows] == [0, 1]
    model, _ = training.load_trained(out)
    gates = [each for each in model.layers if isinstance(each, SqueezeExcitation)]
    assert [gate.reduction_ratio for gate in gates] == [8, 8, 8]
    with pytest.raises(ValueError, match="takes None, a name such as"):
        training.train(out=tmp_path / "b", attention=3, **asked)
    # A tuple is by block, as networks take it.
    with pytest.raises(ValueError, match="4 entries.*3 blocks"):
        training.train(out=tmp_path / "b", attention=("se",) * 4, **asked)
    assert not (tmp_path / "b").exists()


def test_one_attention_per_block_survives_resuming(tmp_path):
    asked = {"model": "cifarresnet-8", "data": "digits", "recipe": "quick"}
    out = tmp_path / "run"
    by_block = [SE(reduction_ratio=8), None, ["se"]]
    options = {"epochs": 2, "limit": 128, "stop_after": 1, "verbose": 0}
    training.train(out=out, attention=by_block, **options, **asked)
    rows = training.train(out=out, resume=True, attention=by_block, verbose=0)
    assert [row["epoch"] for row in rows] == [0, 1]
    model, _ = training.load_trained(out)
    gates = [each for each in model.layers if isinstance(each, SqueezeExcitation)]
    assert {gate.name: gate.reduction_ratio for gate in gates} == {
        "stage1_block1_attention": 8,
        "stage3_block1_attention": 16,
    }
    with pytest.raises(ValueError, match="attention: "):
        training.train(out=out, resume=True, attention=[None, None, "se"])
    with pytest.raises(ValueError, match="has 2 entries and the network has 3 blocks"):
        training.train(out=tmp_path / "b", attention=["se", None], **asked)


@pytest.mark.parametrize(
    ("model", "stem", "side"),
    [("resnet18", None, 8), ("resnet18", "imagenet", 2), ("wideresnet18-1.5", None, 8)],
)
def test_small_images_get_the_small_stem_unless_asked(model, stem, side):
    """8×8 digits: the ImageNet stem strides twice, the other not at all."""
    request = training.Request(model=model, data="digits", stem=stem)
    network = request.build(request.load_data())
    first = network.get_layer("stage1_block1_conv1").output.shape
    assert tuple(first[1:3]) == (side, side)
