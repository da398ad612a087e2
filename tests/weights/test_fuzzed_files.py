"""Damaged weight files: an error that names the file, or numbers that are finite.

Every format is damaged in hundreds of ways, the same in every run. Where a format has
check sums, what is read must be what was written; where it has none, a change within
numbers, or of what they are called, cannot be told from what was meant.
"""

import contextlib
import io
import struct
import sys

import h5py
import keras
import numpy as np
import pytest
from references.mutations import mutated
from references.weight_files import (
    assert_equal,
    entry,
    legacy_h5,
    members_of,
    numbers,
    safetensors_bytes,
    zip_bytes,
)
from safetensors.numpy import save

from keras_attention.weights import keras_files
from keras_attention.weights.reading import read_tensors
from keras_attention.weights.safetensors_files import (
    CHECKSUM,
    read_metadata,
    write_safetensors,
)

# Not within a test, where it would count as growth.
with contextlib.suppress(ImportError):
    import torch  # noqa: F401

COUNT = 400
WEIGHTS = "model.weights.h5"
GROWTH = 256 << 20


@pytest.fixture(autouse=True)
def nothing_else(tmp_path, monkeypatch):
    """Nothing is written anywhere, and the process does not grow."""
    resource = pytest.importorskip("resource", reason="no rusage on this system")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.chdir(scratch)

    def largest():
        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return size if sys.platform == "darwin" else 1024 * size

    before = largest()
    yield
    assert list(scratch.iterdir()) == []
    assert largest() - before < GROWTH


def outcome(path, content, read=read_tensors):
    """What is read of a file of these bytes, or None after the right error."""
    path.write_bytes(content)
    try:
        return read(path)
    except ValueError as error:
        assert path.name in str(error)
        return None


def assert_finite(tensors):
    assert tensors
    for name, array in tensors.items():
        assert isinstance(name, str)
        assert array.dtype in ("float32", "float64", "int64")
        assert np.isfinite(array).all()


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


class TestSafetensors:
    TENSORS = {  # noqa: RUF012
        "conv.weight": np.linspace(-1, 1, 24, dtype="float32").reshape(2, 3, 2, 2),
        "bn.weight": np.float64([1, 2, 3]),
        "bn.num_batches_tracked": np.array(7),
    }

    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "fuzzed.safetensors"

    def test_without_a_checksum(self, path):
        whole = save(self.TENSORS)
        found = [outcome(path, mutated(whole, seed)) for seed in range(2 * COUNT)]
        read = [tensors for tensors in found if tensors is not None]
        for tensors in read:
            assert_finite(tensors)
        # Both happen: the damages are not all of one kind.
        assert COUNT / 10 < len(read) < COUNT

    def test_with_a_checksum(self, path):
        """As written, or an error; but where the check sum is not found any more."""
        write_safetensors(self.TENSORS, path, {"network": "any"})
        whole = path.read_bytes()
        same = 0
        for seed in range(2 * COUNT):
            found = outcome(path, mutated(whole, seed))
            if found is None:
                continue
            if CHECKSUM in read_metadata(path):
                assert_same(found, self.TENSORS)
                same += 1
            else:
                assert_finite(found)
        # The words beside the tensors are in no check sum.
        assert same < COUNT / 2

    def test_headers(self, path):
        """Every part of the header becomes something else."""
        header = {
            "a": entry(shape=(2, 3), offsets=(0, 24)),
            "b": entry(shape=(2,), offsets=(24, 32)),
        }
        data = np.arange(8, dtype="float32").tobytes()
        assert outcome(path, safetensors_bytes(header, data))
        others = {
            "dtype": [
                "F16",
                "BF16",
                "F64",
                "I64",
                "U8",
                "BOOL",
                "F8_E5M2",
                "f32",
                "",
                1,
            ],
            "shape": [
                [],
                [0],
                [6],
                [2, 3, 0],
                [2**63],
                [2**64],
                [2**32, 2**32],
                [-2, -3],
                [1e300],
                [None],
                "23",
                None,
                [[2, 3]],
                [1] * 100,
            ],
            "data_offsets": [
                [0, 0],
                [24, 0],
                [0, 8],
                [0, 32],
                [8, 32],
                [0, 2**63],
                [2**64, 2**65],
                [-24, 0],
                [0],
                [0, 24, 24],
                [0.0, 24.0],
                "24",
                None,
            ],
        }
        for key, values in others.items():
            for value in values:
                changed = {**header, "a": {**header["a"], key: value}}
                # Of these, none is another right description but [6].
                found = outcome(path, safetensors_bytes(changed, data))
                assert (found is None) == (value != [6]), (key, value)

    def test_lengths(self, path):
        whole = save(self.TENSORS)
        for length in (*range(200), *(2**n for n in range(8, 64)), 2**64 - 1):
            if length != struct.unpack("<Q", whole[:8])[0]:
                assert outcome(path, struct.pack("<Q", length) + whole[8:]) is None


class TestLegacyKeras:
    def test_any_damage(self, tmp_path):
        whole = legacy_h5(tmp_path / "whole.h5").read_bytes()
        path = tmp_path / "fuzzed.h5"
        found = [outcome(path, mutated(whole, seed)) for seed in range(3 * COUNT)]
        read = [tensors for tensors in found if tensors is not None]
        for tensors in read:
            assert_finite(tensors)
        assert COUNT / 10 < len(read) < 3 * COUNT


class TestLoadInto:
    @pytest.fixture
    def make(self):
        def dense():
            layers = [
                keras.Input((3,)),
                keras.layers.Dense(4),
                keras.layers.BatchNormalization(),
            ]
            return keras.Sequential(layers)

        return dense

    @pytest.fixture
    def load(self, make):
        """A function that loads, and gives the weights, which a failure must leave."""
        model = make()
        fresh = numbers(model)

        def into(path):
            try:
                keras_files.load_into(model, path)
            except ValueError:
                assert_equal(numbers(model), fresh)
                raise
            found = numbers(model)
            for weight, value in zip(model.weights, fresh, strict=True):
                weight.assign(value)
            return found

        return into

    def test_weights(self, make, load, tmp_path):
        make().save_weights(tmp_path / "whole.weights.h5")
        whole = (tmp_path / "whole.weights.h5").read_bytes()
        path = tmp_path / "fuzzed.weights.h5"
        found = [outcome(path, mutated(whole, seed), load) for seed in range(COUNT)]
        read = [values for values in found if values is not None]
        for values in read:
            assert all(np.isfinite(value).all() for value in values)
        assert COUNT / 20 < len(read) < COUNT

    def test_keras(self, make, load, tmp_path):
        """A zip file has check sums."""
        source = make()
        source.save(tmp_path / "whole.keras")
        whole = (tmp_path / "whole.keras").read_bytes()
        for seed in range(COUNT):
            found = outcome(tmp_path / "fuzzed.keras", mutated(whole, seed), load)
            if found is not None:
                assert_equal(found, numbers(source))

    def test_weights_in_a_right_zip(self, make, load, tmp_path):
        path = tmp_path / "fuzzed.keras"
        make().save(path)
        members = dict(members_of(path))
        for seed in range(COUNT // 4):
            damaged = {WEIGHTS: mutated(members[WEIGHTS], seed)}
            content = zip_bytes(io.BytesIO(), (members | damaged).items()).getvalue()
            found = outcome(path, content, load)
            assert found is None or all(np.isfinite(value).all() for value in found)

    def test_attributes_are_not_read(self, make, load, tmp_path):
        """Keras follows one, and the library loops at some that are damaged."""
        source = make()
        path = tmp_path / "fuzzed.weights.h5"
        source.save_weights(path)
        with h5py.File(path, "r+") as file:
            file["layers/dense/vars/0"].attrs["dtype"] = "bfloat16"
        assert_equal(load(path), numbers(source))

    def test_descriptions(self, make, tmp_path):
        """A letter or a digit of the network's description becomes another."""
        path = tmp_path / "fuzzed.keras"
        source = make()
        source.save(path)
        wanted = keras_files.model_tensors(source)
        members = dict(members_of(path))
        text = members["config.json"]
        draw = np.random.default_rng(0)
        for place in draw.choice(len(text), COUNT // 4, replace=False):
            letter = bytes([draw.choice(list(b'019az"{}[],: '))])
            changed = {"config.json": text[:place] + letter + text[place + 1 :]}
            content = zip_bytes(io.BytesIO(), (members | changed).items()).getvalue()
            found = outcome(path, content, keras_files.read_model_tensors)
            if found is not None:
                # A layer may have another name now, or be one that does as much.
                assert_equal(found.values(), wanted.values())


# PyTorch's, of pickles of strange protocols.
@pytest.mark.filterwarnings("ignore::UserWarning")
class TestPyTorch:
    MEMBERS = (
        ("a/data.pkl", b"\x80\x02}."),
        ("a/data/0", bytes(40)),
        ("a/version", b"3"),
    )

    def test_zip_without_pytorch(self, tmp_path, monkeypatch):
        """Refused, or PyTorch is asked for: what is in it is not unpickled."""
        monkeypatch.setitem(sys.modules, "torch", None)
        path = zip_bytes(tmp_path / "fuzzed.pth", self.MEMBERS)
        whole = path.read_bytes()
        asked = 0
        for seed in range(COUNT):
            try:
                assert outcome(path, mutated(whole, seed)) is None
            except ImportError as error:
                assert error.name == "torch"
                asked += 1
        assert asked < COUNT / 2

    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch", reason="PyTorch is not installed")

    @pytest.fixture
    def state(self, torch):
        return {
            "conv.weight": torch.linspace(-1, 1, 24).reshape(2, 3, 2, 2),
            "bn.num_batches_tracked": torch.tensor(7),
            "brain": torch.ones(3, dtype=torch.bfloat16),
        }

    def test_zip(self, torch, state, tmp_path):
        path = tmp_path / "fuzzed.pth"
        torch.save({"state_dict": state}, path)
        whole, wanted = path.read_bytes(), read_tensors(path)
        for seed in range(COUNT):
            found = outcome(path, mutated(whole, seed))
            if found is not None:
                assert_same(found, wanted)

    def test_pickle_in_a_right_zip(self, torch, state, tmp_path):
        path = tmp_path / "fuzzed.pth"
        torch.save(state, path)
        members = members_of(path)
        for seed in range(3 * COUNT):
            damaged = [
                (name, mutated(content, seed) if name.endswith(".pkl") else content)
                for name, content in members
            ]
            content = zip_bytes(io.BytesIO(), damaged).getvalue()
            found = outcome(path, content)
            if found is not None:
                assert_finite(found)

    def test_legacy(self, torch, state, tmp_path):
        path = tmp_path / "fuzzed.pth"
        torch.save(state, path, _use_new_zipfile_serialization=False)
        whole = path.read_bytes()
        for seed in range(3 * COUNT):
            found = outcome(path, mutated(whole, seed))
            if found is not None:
                assert_finite(found)
