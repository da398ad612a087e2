"""Training that is stopped, killed, or left without disk or memory, and goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_attention import training
from keras_attention.data import Augmentation
from keras_attention.files import generations, replace_file
from keras_attention.training import interruption
from tests.training.conftest import values

RECIPE = training.recipe(
    "cifar",
    epochs=2,
    batch_size=32,
    learning_rate=0.02,
    augmentation=Augmentation(flip=True, pad_crop=1),
)
STEPS = 5  # 160 images
LAST = "last.keras"


def fit(model, data, out, **options):
    options = {"verbose": 0, "seed": 5, "checkpoint_steps": 2} | options
    recipe = options.pop("recipe", RECIPE)
    return training.fit(model, data, recipe, out=out, **options)


def state_of(model):
    return [values(v) for v in [*model.variables, *model.optimizer.variables]]


class At(keras.callbacks.Callback):
    """Do something once, after or before a batch of an epoch."""

    def __init__(self, act, *, epoch=1, batch=None, test_batch=None, end=False):
        super().__init__()
        self.act, self.when = act, (epoch, batch, test_batch, end)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self._meet(batch, None, False)

    def on_test_batch_end(self, batch, logs=None):
        self._meet(None, batch, False)

    def on_epoch_end(self, epoch, logs=None):
        self._meet(None, None, True)

    def _meet(self, *moment):
        if (self.epoch, *moment) == self.when:
            self.act()


def ask(number=signal.SIGTERM):
    return lambda: os.kill(os.getpid(), number)


def crash():
    raise KeyboardInterrupt


@pytest.fixture
def make(make_model):
    """A function that makes the network, always the same one."""

    def made():
        keras.utils.set_random_seed(7)
        return make_model()

    return made


@pytest.fixture
def straight(make, digits, tmp_path_factory, request):
    """State and history of a run that nothing stopped."""
    cache = request.config.stash.setdefault(WHOLE, {})
    if not cache:
        model = make()
        rows = fit(model, digits, tmp_path_factory.mktemp("straight"))
        cache |= {"state": state_of(model), "history": rows}
    return cache


WHOLE = pytest.StashKey()


def assert_goes_on(make, data, out, straight):
    """Going on from the folder alone gives what nothing stopped."""
    rest = make()
    for variable in rest.variables:  # all must come from the files
        variable.assign(values(variable) + np.ones((), variable.dtype))
    rows = fit(rest, data, out, resume=True)
    assert_same(state_of(rest), rows, straight)


def assert_same(state, rows, straight):
    for found, wanted in zip(state, straight["state"], strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    for found, wanted in zip(rows, straight["history"], strict=True):
        for name in set(wanted) - {"seconds"}:
            assert found[name] == pytest.approx(wanted[name], abs=1e-4), name


MOMENTS = {
    "within an epoch": ({"batch": 2}, "after step 3 of 5 of epoch 2"),
    "at a checkpoint": ({"batch": 3}, "after step 4 of 5 of epoch 2"),
    "after all steps": ({"batch": 4}, "after step 5 of 5 of epoch 2"),
    "while it measures": ({"test_batch": 1}, "after step 5 of 5 of epoch 2"),
    "at an epoch's end": ({"end": True, "epoch": 0}, "after epoch 1"),
}


@pytest.fixture
def ctrl_c():
    """Ctrl-C as in a terminal; a shell's background processes ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_saves_and_stops(moment, make, digits, tmp_path, straight, ctrl_c):
    when, place = MOMENTS[moment]
    number = signal.SIGINT if moment == "within an epoch" else signal.SIGTERM
    before = signal.getsignal(number)
    with pytest.raises(interruption.Interrupted, match=place):
        fit(make(), digits, tmp_path / "a", callbacks=[At(ask(number), **when)])
    assert signal.getsignal(number) is before
    assert_goes_on(make, digits, tmp_path / "a", straight)


def test_an_averaged_network_is_measured_when_it_is_stopped(make, digits, tmp_path):
    """What trains is saved, not the average that stands in its place."""
    recipe = training.finetune_recipe(
        "finetune", epochs=2, batch_size=32, ema=0.9, mixup=0.2
    )
    whole, half, rest = make(), make(), make()
    fit(whole, digits, tmp_path / "a", recipe=recipe)
    with pytest.raises(interruption.Interrupted):
        act = [At(ask(), test_batch=0)]
        fit(half, digits, tmp_path / "b", recipe=recipe, callbacks=act)
    fit(rest, digits, tmp_path / "b", recipe=recipe, resume=True)
    for found, wanted in zip(state_of(rest), state_of(whole), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_crash_costs_the_steps_since_the_last_checkpoint(
    make, digits, tmp_path, straight
):
    with pytest.raises(KeyboardInterrupt):
        fit(make(), digits, tmp_path / "a", callbacks=[At(crash, batch=2)])
    state = json.loads((tmp_path / "a/state.json").read_text())
    assert (state["epoch"], state["step"]) == (1, 2)
    assert_goes_on(make, digits, tmp_path / "a", straight)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    """A bit of the weights."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("model.weights.h5")
    content[info.header_offset + info.compress_size // 2] ^= 1
    path.write_bytes(content)


def other_model(path):
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(10))
    model.save(path)


def of_other_layers(path):
    """What a run of another network has left."""
    with zipfile.ZipFile(path) as archive:
        state = archive.read(training.checkpoint.STATE_MEMBER)
    content = json.loads(state)
    other_model(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(training.checkpoint.STATE_MEMBER, json.dumps(content))


@pytest.mark.parametrize("harm", [truncate, flip, other_model, of_other_layers])
def test_a_bad_checkpoint_is_named_and_the_one_before_serves(
    harm, make, digits, tmp_path, straight, capsys
):
    with pytest.raises(KeyboardInterrupt):
        fit(make(), digits, tmp_path / "a", callbacks=[At(crash, batch=4)])
    newest, before = generations(tmp_path / "a" / LAST)
    harm(newest)
    assert_goes_on(make, digits, tmp_path / "a", straight)
    said = capsys.readouterr().err
    assert f"Refused: {newest} holds no run to go on with" in said
    assert f"Going on from {before}" in said
    assert newest.with_name(f"{LAST}.damaged").exists()


def test_where_all_checkpoints_are_bad_all_are_named(make, digits, tmp_path):
    fit(make(), digits, tmp_path / "a", stop_after=1, keep=3)
    paths = generations(tmp_path / "a" / LAST)
    assert len(paths) == 3
    for path in paths:
        truncate(path)
    with pytest.raises(ValueError, match="No checkpoint is left") as caught:
        fit(make(), digits, tmp_path / "a", resume=True)
    assert all(str(path) in str(caught.value) for path in paths)
    assert generations(tmp_path / "a" / LAST) == paths


def test_a_full_disk_leaves_the_checkpoint_before(make, digits, tmp_path, straight):
    def fill():  # the file to be written next is on a device that is always full
        (tmp_path / "a/.last.partial.keras").symlink_to("/dev/full")

    with pytest.raises(OSError, match="No space left.*last.keras is whole"):
        fit(make(), digits, tmp_path / "a", callbacks=[At(fill, batch=2)])
    assert not list((tmp_path / "a").glob(".*"))
    assert_goes_on(make, digits, tmp_path / "a", straight)


@pytest.fixture
def open_folder():
    """A folder that anybody may enter."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_a_folder_that_cannot_be_written_to(make, digits, open_folder, straight):
    out = open_folder / "a"

    def forbid():
        out.chmod(0o555)
        if os.geteuid() == 0:  # whom no mode keeps out
            os.seteuid(65534)

    effective = os.geteuid()
    try:
        with pytest.raises(OSError, match="Permission denied.*last.keras is whole"):
            fit(make(), digits, out, callbacks=[At(forbid, batch=2)])
    finally:
        os.seteuid(effective)
        out.chmod(0o700)
    assert_goes_on(make, digits, out, straight)


@pytest.mark.parametrize("every", [2, 500])
def test_a_folder_that_is_deleted_is_made_anew(
    every, make, digits, tmp_path, straight, capsys
):
    """Before the logs or a checkpoint are the first to be written there."""
    out, model = tmp_path / "a", make()
    delete = At(lambda: shutil.rmtree(out), batch=2)
    rows = fit(model, digits, out, callbacks=[delete], checkpoint_steps=every)
    assert_same(state_of(model), rows, straight)
    assert f"{out} was deleted while the run went on" in capsys.readouterr().err
    assert {"last.keras", "best.keras"} <= {path.name for path in out.iterdir()}
    assert_goes_on(make, digits, out, straight)


@keras.saving.register_keras_serializable("keras_attention_tests")
class Terabytes(keras.layers.Layer):
    """Sorts more than fits anywhere; what is only added up, XLA does piece by piece."""

    def call(self, inputs):
        many = keras.ops.repeat(inputs[:, None], 10**9, axis=1)
        return keras.ops.sort(many, axis=1)[:, 0]


def test_too_little_memory_says_what_helps(digits, tmp_path):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            Terabytes(),
            keras.layers.Dense(10),
        ]
    )
    with pytest.raises(MemoryError, match="32 images. Try a batch size of 16"):
        fit(model, digits, tmp_path / "a")


def network(scale, **options):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, name="first", **options),
            keras.Sequential([keras.layers.Rescaling(scale, name="scale")]),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, name="last"),
        ]
    )


def test_the_layer_in_which_a_loss_became_nan_is_named(digits, tmp_path):
    model = network(1e38, kernel_initializer=keras.initializers.Constant(9.0))
    with pytest.raises(FloatingPointError, match="output of the layer 'scale', 1 step"):
        fit(model, digits, tmp_path / "a")
    (start,) = generations(tmp_path / "a" / LAST)
    kept = keras.saving.load_model(start, compile=False)
    np.testing.assert_array_equal(kept.get_layer("first").get_weights()[0], 9.0)


def test_an_update_that_is_not_finite_is_named_and_not_saved(digits, tmp_path):
    recipe = training.recipe("cifar", epochs=1, batch_size=32, learning_rate=1e37)
    with pytest.raises(FloatingPointError, match="(update|output).*lower learning"):
        fit(network(1.0), digits, tmp_path / "a", recipe=recipe, checkpoint_steps=1)
    for path in generations(tmp_path / "a" / LAST):
        kept = keras.saving.load_model(path, compile=False)
        assert all(np.isfinite(w).all() for w in kept.get_weights())


def test_what_a_killed_process_was_writing_is_removed(make, digits, tmp_path):
    fit(make(), digits, tmp_path / "a", stop_after=1)
    left = tmp_path / "a/.last.partial.keras"
    left.write_bytes(b"half")
    fit(make(), digits, tmp_path / "a", resume=True)
    assert not left.exists()


SECOND = """
import importlib.util, os, signal, sys, time
spec = importlib.util.spec_from_file_location("interruption", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["interruption"] = module
spec.loader.exec_module(module)
signal.signal(signal.SIGINT, signal.default_int_handler)
with module.stop_signals() as stop:
    os.kill(os.getpid(), signal.SIGINT)
    assert stop.by == "Ctrl-C"
    print("asked", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
"""


def test_two_sessions_in_one_folder_are_refused(make, digits, tmp_path):
    def second():
        with pytest.raises(ValueError, match="Another process goes on"):
            fit(make(), digits, tmp_path / "a", resume=True)

    fit(make(), digits, tmp_path / "a", callbacks=[At(second, batch=2)])


def test_copies_that_somebody_named_are_left_alone(tmp_path):
    path, copy = tmp_path / LAST, tmp_path / "last-2026.keras"
    copy.write_text("mine")
    for number in range(5):
        replace_file(path, lambda aside, n=number: aside.write_text(str(n)), older=2)
    found = [each.read_text() for each in generations(path)]
    assert found == ["4", "3", "2"]
    replace_file(path, lambda aside: aside.write_text("5"), older=0)
    assert generations(path) == [path] and copy.read_text() == "mine"


def test_a_signal_that_came_too_late_is_not_lost(ctrl_c):
    with (
        pytest.raises(interruption.Interrupted, match="when all was done"),
        interruption.stop_signals(),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # as a cluster does, within a second


def test_a_second_signal_ends_at_once():
    path = interruption.__file__
    done = subprocess.run(
        [sys.executable, "-c", SECOND, path], capture_output=True, timeout=120
    )
    assert done.stdout == b"asked\n"
    assert done.returncode == -signal.SIGTERM
