"""The least inputs of what fuzzing, and reading for it, has found."""

import io
import json
import tempfile
import zipfile

import keras
import numpy as np
import pytest
from references.weight_files import legacy_h5, members_of, zip_bytes

from keras_attention import applications, cli, load_weights
from keras_attention.detection.data.coco_folder import read_coco
from keras_attention.files import read_json
from keras_attention.saved_models.description import Description
from keras_attention.training import checkpoint, history, run_folder, runs
from keras_attention.training.finetune_recipes import finetune_recipe
from keras_attention.training.recipes import recipe
from keras_attention.training.sharing import shared
from keras_attention.tuning import search_checkpoint
from keras_attention.weights.whole_networks import CONFIG, WEIGHTS, load_network

DEEP = "[" * 100_000
RECORD = {"format": run_folder.FORMAT, "kind": run_folder.TRAINING}
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="what a file is refused for does not depend on the backend",
)


def small():
    layers = [keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dropout(0.5)]
    return keras.Sequential([*layers, keras.layers.BatchNormalization(name="norm")])


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Those of a valid `.keras` file."""
    path = tmp_path_factory.mktemp("valid") / "x.keras"
    small().save(path)
    return dict(members_of(path))


def keras_file(path, members, compression=zipfile.ZIP_STORED, **changes):
    """A file with other members, by names without their suffix."""
    names = {"config": CONFIG, "weights": WEIGHTS}
    changed = {names.get(key, key): value for key, value in changes.items()}
    return zip_bytes(path, (members | changed).items(), compression)


def config_with(members, **options):
    """The valid network's description with another first layer's options."""
    content = json.loads(members[CONFIG])
    content["config"]["layers"][1] |= options
    return json.dumps(content).encode()


class TestJSON:
    def test_nested_too_deep(self, tmp_path):
        path = tmp_path / "run.json"
        path.write_text(DEEP)
        with pytest.raises(ValueError, match=r"run\.json .*nested too deep"):
            run_folder.read_run(tmp_path)
        with pytest.raises(ValueError, match=r"run\.json .*nested too deep"):
            read_coco(path, tmp_path)
        with pytest.raises(ValueError, match="model.json cannot be read"):
            Description.from_json(DEEP, "model.json")

    def test_too_large(self, tmp_path):
        path = tmp_path / "run.json"
        path.write_text('{"format": 1}')
        assert read_json(path, most_bytes=13) == {"format": 1}
        with pytest.raises(ValueError, match=r"run\.json has 13 bytes.*up to 12"):
            read_json(path, most_bytes=12)

    def test_a_folder(self, tmp_path):
        with pytest.raises(ValueError, match="is no file, but a folder"):
            read_json(tmp_path)

    @pytest.mark.parametrize("height", ["Infinity", "1e999", "9" * 400])
    def test_infinite_sides_of_an_image(self, tmp_path, height):
        """OverflowError is no ValueError."""
        image = f'{{"id": 1, "file_name": "a.png", "width": 4, "height": {height}}}'
        path = tmp_path / "boxes.json"
        path.write_text(f'{{"images": [{image}], "categories": [], "annotations": []}}')
        with pytest.raises(ValueError, match="boxes.json"):
            read_coco(path, tmp_path)


class TestRuns:
    @pytest.mark.parametrize(
        "sessions",
        [None, [], [None], {}, "x"],
        ids=["none", "empty", "null", "dict", "text"],
    )
    def test_sessions_of_a_record(self, tmp_path, sessions):
        record = RECORD | {"sessions": sessions}
        (tmp_path / "run.json").write_text(json.dumps(record))
        options = {"distribute": None, "batch_norm": None}
        with (
            pytest.raises(ValueError, match=r"run\.json is damaged.*session"),
            shared(tmp_path, resume=True, **options),
        ):
            pass

    def test_no_sessions(self, tmp_path):
        (tmp_path / "run.json").write_text(json.dumps(RECORD))
        with pytest.raises(ValueError, match=r"run\.json is damaged.*no sessions"):
            run_folder.open_run(tmp_path, {}, command=None, resume=True)

    @pytest.mark.parametrize(
        "changes", [{"image_size": 3.5}, {"limit": "8"}, {"validation": []}], ids=str
    )
    def test_a_request_of_other_types(self, tmp_path, changes):
        request = runs.to_record(runs.Request("cifarresnet-8", "digits")) | changes
        record = RECORD | {"model": request, "sessions": [{}]}
        (tmp_path / "run.json").write_text(json.dumps(record))
        with pytest.raises(ValueError, match="of a type that is not wanted"):
            runs.train(out=tmp_path, resume=True)

    @pytest.mark.parametrize("limit", ["8", [], {}])
    def test_source_of_another_type(self, tmp_path, limit):
        source = {"name": "digits", "data_dir": None, "limit": limit}
        data = {"source": source, "fingerprint": "x"}
        (tmp_path / "run.json").write_text(json.dumps(RECORD | {"data": data}))
        with pytest.raises(ValueError, match=r"run\.json asks for data"):
            runs.load_run_data(tmp_path)

    @pytest.mark.parametrize(
        "text", [b"\xff\xfe", b"e\n0\n", b"epoch\nx\n", b"epoch\n0,1\n"]
    )
    def test_histories(self, tmp_path, text):
        path = tmp_path / "history.csv"
        path.write_bytes(text)
        with pytest.raises(ValueError, match=r"history\.csv is damaged"):
            history.forget_after(path, 2)

    @pytest.mark.parametrize(
        "changes", [{"momentum": []}, {"epochs": "3"}, {"milestones": [None]}]
    )
    def test_recipes_of_other_types(self, changes):
        with pytest.raises(ValueError, match="cannot have the values|must have"):
            recipe("cifar", **changes)

    def test_recipes_with_parts_of_an_epoch_or_an_endless_rate(self):
        with pytest.raises(ValueError, match="epochs ≥ 1"):
            recipe("cifar", epochs=1.5)
        with pytest.raises(ValueError, match="finite learning_rate"):
            finetune_recipe("quick", learning_rate=float("inf"))

    @pytest.mark.parametrize(
        "name",
        ["cifarresnet-[1]", "mobilenet-nan", "mobilenet-inf", "mobilenet-" + "(" * 300],
    )
    def test_numbers_in_names(self, name):
        """They were read as Python, whose parser gives up with a MemoryError."""
        with pytest.raises(ValueError, match="must be a number"):
            applications.build(name)


class TestWholeNetworks:
    @pytest.fixture(autouse=True)
    def nothing_left(self, tmp_path, monkeypatch):
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(scratch))
        yield
        assert list(scratch.iterdir()) == []
        assert {path.name for path in tmp_path.iterdir()} <= {"scratch", "x.keras"}

    def test_a_right_one(self, tmp_path, members):
        path = keras_file(tmp_path / "x.keras", members)
        assert load_network(path).count_params() == 16

    def test_cut_off(self, tmp_path, members):
        path = keras_file(tmp_path / "x.keras", members)
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(ValueError, match=r"x\.keras.*not whole"):
            load_network(path)

    def test_python_code(self, tmp_path, members):
        code = {"class_name": "__lambda__", "config": {"code": "4w=="}}
        layer = {"class_name": "Lambda", "config": {"name": "x", "function": code}}
        config = config_with(members, **layer)
        path = keras_file(tmp_path / "x.keras", members, config=config)
        with pytest.raises(ValueError, match=r"x\.keras.*Python code"):
            load_network(path)

    @pytest.mark.parametrize(
        "name", ["../out", "/tmp/out", "assets/../../out", "c:\\x"]
    )
    def test_members_outside(self, tmp_path, members, name):
        path = keras_file(tmp_path / "x.keras", members | {name: b"x"})
        with pytest.raises(ValueError, match=r"x\.keras.*leaves its folder"):
            load_network(path)

    def test_a_member_with_a_long_name(self, tmp_path, members):
        """Keras left a half unpacked folder behind."""
        path = keras_file(tmp_path / "x.keras", members | {"a" * 5000: b""})
        with pytest.raises(ValueError, match=r"x\.keras.*too long a name"):
            load_network(path)

    def test_a_bomb(self, tmp_path, members):
        more = members | {"assets/zeros": bytes(100 << 20)}
        path = keras_file(tmp_path / "x.keras", more, zipfile.ZIP_DEFLATED)
        assert path.stat().st_size < 2**20
        with pytest.raises(ValueError, match=r"x\.keras.*declares 1.*bytes, more"):
            load_network(path)

    @pytest.mark.parametrize("read", [load_network, None], ids=["whole", "weights"])
    def test_layers_without_end(self, tmp_path, members, read):
        """A few words that would take 12 TB before a weight is read."""
        content = json.loads(members[CONFIG])
        content["config"]["layers"][1]["config"]["units"] = 2**40
        config = json.dumps(content).encode()
        path = keras_file(tmp_path / "x.keras", members, config=config)
        read = read or (lambda path: load_weights(small(), path))
        with pytest.raises(ValueError, match=r"x\.keras.*ask for more numbers"):
            read(path)
        assert keras.layers.Dense(3).add_weight is not None

    def test_the_epsilon_of_a_batch_norm(self, tmp_path):
        network = applications.CifarResNet(8, input_shape=(8, 8, 3), classes=2)
        path = tmp_path / "x.keras"
        network.save(path)
        found = dict(members_of(path))
        content = found[CONFIG].replace(b'"epsilon": 1e-05', b'"epsilon": -1e-05')
        assert content != found[CONFIG]
        keras_file(path, found, config=content)
        with pytest.raises(ValueError, match=r"x\.keras.*the ε -1e-05"):
            load_weights(network, path)

    def test_names_of_no_layout(self, tmp_path):
        path = legacy_h5(tmp_path / "x.keras").rename(tmp_path / "x.h5")
        with pytest.raises(ValueError, match=r"x\.h5: The weights' names"):
            load_weights(small(), path)
        path.unlink()


STATE = checkpoint.FRESH | {"step": 1, "metrics": [], "logs": {"loss": 0.5}}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = small()
    model.compile("sgd", "mse")
    path = tmp_path_factory.mktemp("saved") / "last.keras"
    model.optimizer.build(model.trainable_variables)
    checkpoint.save_state(model, path, STATE)
    return model, dict(members_of(path))


class TestCheckpoints:
    @pytest.mark.parametrize(
        "changes",
        [
            {"epoch": "1"},
            {"epoch": -1},
            {"step": 1.5},
            {"step": True},
            {"seconds": None},
            {"best": []},
            {"best": 1.0, "best_epoch": {}},
            {"logs": {"loss": "x"}},
            {"metrics": 3},
            {"random": [[2**70, 0]]},
        ],
        ids=str,
    )
    def test_progress_of_other_types(self, saved, tmp_path, changes):
        model, members = saved
        state = json.loads(members[checkpoint.STATE_MEMBER]) | changes
        found = members | {checkpoint.STATE_MEMBER: json.dumps(state).encode()}
        path = zip_bytes(tmp_path / "last.keras", found.items())
        with pytest.raises(ValueError, match=r"last\.keras holds no run"):
            checkpoint.restore(model, path)

    @pytest.mark.parametrize(
        "progress",
        [{"step": "1"}, {"step": -1}, {"seconds": []}, {"sums": {"a": [1, 0]}}],
    )
    def test_progress_of_a_search(self, tmp_path, progress):
        members = [("keras_attention_search.json", json.dumps(progress))]
        path = zip_bytes(tmp_path / "search.keras", members)
        with pytest.raises(ValueError, match=r"search\.keras.*its (step|sums)"):
            search_checkpoint.restore(path, small(), [])

    def test_arrays_of_a_search_that_unpack_to_too_much(self, tmp_path):
        content = io.BytesIO()
        np.savez_compressed(content, variable0=np.zeros(2**22))
        members = [
            ("keras_attention_search.json", "{}"),
            ("keras_attention_search.npz", content.getvalue()),
        ]
        path = zip_bytes(tmp_path / "search.keras", members, zipfile.ZIP_DEFLATED)
        with pytest.raises(ValueError, match=r"search\.keras.*bytes, (more|over)"):
            search_checkpoint.restore(path, small(), [])


def test_a_damaged_network_is_one_line(tmp_path, capsys):
    """`zipfile.BadZipFile` was a traceback."""
    (tmp_path / "run.json").write_text(json.dumps(RECORD))
    (tmp_path / "best.keras").write_bytes(b"PK\x03\x04 and no more")
    assert cli.main(["evaluate", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "best.keras" in error
