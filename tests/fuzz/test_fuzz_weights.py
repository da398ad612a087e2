"""Weight files and whole networks from strangers: right numbers, or an error."""

import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from fuzzing import fuzzed
from hypothesis import strategies as st
from mangling import damaged_json
from references.mutations import mutated
from references.weight_files import legacy_h5, members_of, zip_bytes
from safetensors.numpy import save

from keras_attention import load_weights, save_weights
from keras_attention.applications import CifarResNet
from keras_attention.training import checkpoint
from keras_attention.weights.whole_networks import CONFIG, WEIGHTS, load_network


def small(name="small"):
    """A network of 100 numbers with batch norm and a random seed."""
    layers = [
        keras.Input((6, 6, 1)),
        keras.layers.Conv2D(3, 3, name="conv"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.GlobalAveragePooling2D(name="pool"),
        keras.layers.Dropout(0.5, name="drop"),
        keras.layers.Dense(2, name="fc"),
    ]
    return keras.Sequential(layers, name=name)


def functional():
    """The same, as a graph with a branch."""
    image = keras.Input((6, 6, 1), name="image")
    x = keras.layers.Conv2D(3, 3, padding="same", name="conv")(image)
    x = keras.layers.Add(name="add")([x, image])
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, keras.layers.Dense(2, name="fc")(x), name="graph")


PAYLOAD = {"module": "os", "class_name": "system", "config": "touch owned"}
LAYERS = {
    "Lambda": {"function": {"class_name": "__lambda__", "config": {"code": "4w=="}}},
    "TFSMLayer": {"filepath": "../outside", "call_endpoint": "serve"},
    "StringLookup": {"vocabulary": "/etc/hostname"},
    "Dense": {"units": 2**40},
    "Embedding": {"input_dim": 2**33, "output_dim": 2**20},
    "NoSuchLayer": {},
}
HOSTILE = [
    {"module": module, "class_name": name, "config": {"name": "x", **config}}
    for name, config in LAYERS.items()
    for module in ("keras.layers", "keras_attention.layers", "os", "builtins", None)
] + [PAYLOAD, {**PAYLOAD, "module": "subprocess", "class_name": "run"}]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Members of valid `.keras` files."""
    path = tmp_path_factory.mktemp("whole") / "x.keras"
    found = []
    for make in (small, functional):
        make().save(path)
        found.append(dict(members_of(path)))
    return found


@st.composite
def keras_files(draw):
    """A way to spoil the members of a `.keras` file, as a function of them."""
    which = draw(st.integers(0, 1))
    kinds = ("config", "hostile", "member", "zip", "bomb", "links")
    kind = draw(st.sampled_from(kinds))
    number = draw(st.integers(0, 2**32))
    data = draw(st.data())
    return which, kind, number, data


def spoiled(whole, case):
    """The bytes of a file."""
    which, kind, number, data = case
    members = dict(whole[which])
    config = json.loads(members[CONFIG])
    if kind == "config":
        members[CONFIG] = data.draw(damaged_json([config]))
    elif kind == "hostile":
        layers = config["config"]["layers"]
        place = number % len(layers)
        spared = {**layers[place], **data.draw(st.sampled_from(HOSTILE))}
        layers[place] = data.draw(st.sampled_from((spared, HOSTILE[number % 30])))
        members[CONFIG] = json.dumps(config).encode()
    elif kind == "member":
        name = data.draw(st.sampled_from(sorted(members)))
        members[name] = mutated(members[name], number)
    elif kind == "links":
        members[WEIGHTS] = linked(members[WEIGHTS], number)
    extra = EXTRAS[number % len(EXTRAS)] if kind in ("zip", "bomb") else []
    deflated = zipfile.ZIP_DEFLATED if kind == "bomb" else zipfile.ZIP_STORED
    if kind == "bomb":
        members["assets/zeros"] = bytes(200 << 20)
    items = [*members.items(), *extra]
    content = zip_bytes(io.BytesIO(), items, deflated).getvalue()
    return mutated(content, number) if kind == "zip" and number % 2 else content


EXTRAS = (
    [("../../outside", b"x")],
    [("/tmp/outside", b"x")],
    [("assets/../../../outside", b"x")],
    [("C:\\outside", b"x")],
    [("assets/x", b"x" * 10)],
    [("a" * 5000, b"")],
    [],
)


def linked(content, number):
    """Weights some of which are elsewhere."""
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as weights:
        paths = []
        weights.visititems(
            lambda path, item: (
                paths.append(path) if isinstance(item, h5py.Dataset) else None
            )
        )
        path = paths[number % len(paths)]
        shape = weights[path].shape
        del weights[path]
        if number % 3 == 0:
            weights[path] = h5py.ExternalLink("/etc/hostname", "/x")
        elif number % 3 == 1:
            weights[path] = h5py.SoftLink("/" + paths[0])
        else:
            size = 4 * int(np.prod(shape)) or 4
            outside = [("/etc/hostname", 0, size)]
            weights.create_dataset(path, shape, "float32", external=outside)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@fuzzed(600, case=keras_files())
def test_whole_networks(inputs, whole, case):
    """A network that computes, or an error: no code, no file outside, no bomb."""
    if inputs.is_over():
        return
    path = inputs.inside / "fuzzed.keras"
    path.write_bytes(spoiled(whole, case))
    model = inputs.outcome(lambda: load_network(path), named=[path])
    if model is not None:
        assert isinstance(model, keras.Model)
        assert model.count_params() < 10_000
        assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.fixture(scope="module")
def network():
    return CifarResNet(8, input_shape=(8, 8, 3), classes=2, attention="se")


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    """{suffix: contents of valid files of the network, or of tensors by name}."""
    folder = tmp_path_factory.mktemp("files")
    network.save(folder / "x.keras")
    network.save_weights(folder / "x.weights.h5")
    save_weights(network, folder / "own.safetensors")
    tensors = {f"layer{i}.weight": np.ones((2, 3), "float32") for i in range(3)}
    pickles = [("a/data.pkl", b"\x80\x02}."), ("a/data/0", bytes(40))]
    return {
        ".keras": (folder / "x.keras").read_bytes(),
        ".weights.h5": (folder / "x.weights.h5").read_bytes(),
        ".h5": legacy_h5(folder / "old.h5").read_bytes(),
        ".safetensors": save(tensors),
        ".SafeTensors": (folder / "own.safetensors").read_bytes(),
        ".pth": zip_bytes(io.BytesIO(), pickles).getvalue(),
        # What a pickle would run, of PyTorch's old format.
        ".pt": b"cos\nsystem\n(S'touch owned'\ntR.",
    }


@fuzzed(
    800,
    suffix=st.sampled_from(
        (".keras", ".weights.h5", ".h5", ".safetensors", ".SafeTensors", ".pth", ".pt")
    ),
    number=st.integers(0, 2**32),
    config=st.one_of(st.none(), damaged_json([{"architecture": "resnet18"}])),
)
def test_weight_files(inputs, network, files, suffix, number, config):
    """The network is as its file has it, or as it was."""
    if inputs.is_over():
        return
    path = inputs.inside / f"fuzzed{suffix}"
    path.write_bytes(mutated(files[suffix], number))
    beside = inputs.inside / "config.json"
    beside.write_bytes(config) if config else beside.unlink(missing_ok=True)
    before = network.get_weights()
    report = inputs.outcome(
        lambda: load_weights(network, path), named=[path, beside, "PyTorch"]
    )
    found = network.get_weights()
    assert all(np.isfinite(weight).all() for weight in found)
    if report is None:
        assert all(map(np.array_equal, found, before))
    for weight, value in zip(network.weights, before, strict=True):
        weight.assign(value)


STATE = {"epoch": 1, "step": 3, "seconds": 1.5, "best": 12.5, "best_epoch": 1}
STATE |= {"metrics": [1.0, 2.0], "logs": {"loss": 0.5, "top1_error": 50.0}}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A compiled network, and the members of its checkpoint."""
    model = small()
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    path = tmp_path_factory.mktemp("saved") / checkpoint.LAST
    checkpoint.save_state(model, path, STATE)
    return model, dict(members_of(path))


@st.composite
def checkpoints(draw):
    """As `keras_files`."""
    kind = draw(st.sampled_from(("state", "state", "state", "weights", "zip")))
    return kind, draw(st.integers(0, 2**32)), draw(st.data())


@pytest.mark.filterwarnings("ignore::UserWarning")
@fuzzed(500, case=checkpoints())
def test_checkpoints(inputs, saved, case):
    """A progress that a run can count with, or an error."""
    if inputs.is_over():
        return
    kind, number, data = case
    model, members = saved
    members = dict(members)
    if kind == "state":
        state = json.loads(members[checkpoint.STATE_MEMBER])
        members[checkpoint.STATE_MEMBER] = data.draw(damaged_json([state]))
    elif kind == "weights":
        members[WEIGHTS] = mutated(members[WEIGHTS], number)
    content = zip_bytes(io.BytesIO(), members.items()).getvalue()
    path = inputs.inside / checkpoint.LAST
    path.write_bytes(mutated(content, number) if kind == "zip" else content)
    state = inputs.outcome(lambda: checkpoint.restore(model, path), named=[path])
    if state is not None:
        assert type(state["epoch"]) is type(state["step"]) is int
        assert state["epoch"] >= 0 and state["step"] >= 0
        assert float(state["seconds"]) + float(state["best"] or 0) is not None
