"""Weight files: the right numbers by the right names, or an error that says why not."""

import hashlib
import io
import json
import os
import pickle
import struct
import sys
import tracemalloc
import zipfile

import h5py
import keras
import numpy as np
import pytest
from references.weight_files import (
    assert_equal,
    entry,
    legacy_h5,
    members_of,
    network,
    numbers,
    safetensors_bytes,
    zip_bytes,
)
from safetensors.numpy import load_file, save_file

from keras_attention.weights import keras_files
from keras_attention.weights.reading import read_tensors
from keras_attention.weights.safetensors_files import (
    CHECKSUM,
    checksum,
    read_metadata,
    write_safetensors,
)

MiB = 1 << 20
A = {"a": entry()}
TWO = np.float32([1.5, -2]).tobytes()
KERAS_WEIGHTS = "model.weights.h5"


class Spy:
    """Unpickling one makes a folder, if code of a pickle is run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class TestAnyFormat:
    def test_suffix(self, tmp_path):
        path = tmp_path / "weights.npz"
        path.touch()
        with pytest.raises(ValueError, match=r"'.npz'.*\.safetensors.*\.h5"):
            read_tensors(path)

    @pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pth.tar", ".h5"])
    def test_no_file(self, tmp_path, suffix):
        with pytest.raises(FileNotFoundError, match=f"missing{suffix}"):
            read_tensors(tmp_path / f"missing{suffix}")

    @pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin", ".h5"])
    def test_a_folder(self, tmp_path, suffix):
        path = tmp_path / f"folder{suffix}"
        path.mkdir()
        with pytest.raises(ValueError, match=f"folder{suffix} is no file"):
            read_tensors(path)

    @pytest.mark.parametrize("suffix", [".safetensors", ".h5"])
    @pytest.mark.parametrize("content", [b"", b"\0" * 100, b"<!DOCTYPE html>" * 10])
    def test_another_file(self, tmp_path, suffix, content):
        path = tmp_path / f"page{suffix}"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"page{suffix} cannot be used"):
            read_tensors(path)


class TestSafetensors:
    @pytest.fixture
    def write(self, tmp_path):
        def to_file(header, data=b""):
            path = tmp_path / "given.safetensors"
            path.write_bytes(safetensors_bytes(header, data))
            return path

        return to_file

    def test_by_hand(self, write):
        header = {
            "__metadata__": {"any": "word"},
            "a.weight": entry(shape=(1, 2)),
            "bn.num_batches_tracked": entry("I64", (), (8, 16)),
            "double": entry("F64", (1,), (16, 24)),
            "half": entry("F16", (1,), (24, 26)),
            # Of the float32 1.5, 0x3FC00000, the upper half.
            "brain": entry("BF16", (1,), (26, 28)),
            "none": entry("F32", (0, 3), (28, 28)),
        }
        data = TWO + struct.pack("<qdeH", 7, 0.1, 0.5, 0x3FC0)
        found = read_tensors(write(header, data))
        assert {name: a.dtype.name for name, a in found.items()} == {
            "a.weight": "float32",
            "bn.num_batches_tracked": "int64",
            "double": "float64",
            "half": "float32",
            "brain": "float32",
            "none": "float32",
        }
        assert found["a.weight"].tolist() == [[1.5, -2]]
        assert found["bn.num_batches_tracked"].shape == ()
        assert [found[n].item() for n in ("double", "half", "brain")] == [0.1, 0.5, 1.5]
        assert found["none"].shape == (0, 3)

    def test_by_the_library(self, tmp_path, rng):
        tensors = {name: rng.normal(size=(3, 4)).astype("float32") for name in "abc"}
        save_file(tensors, tmp_path / "x.safetensors")
        found = read_tensors(tmp_path / "x.safetensors")
        assert sorted(found) == ["a", "b", "c"]
        assert_equal([found[n] for n in "abc"], tensors.values())

    @pytest.mark.parametrize(
        ("header", "data", "message"),
        [
            (A, TWO[:4], "not fully covered"),
            (A, TWO + b"\0", "not fully covered"),
            (A | {"b": entry(shape=(1,), offsets=(4, 8))}, TWO, "offset for tensor"),
            (A | {"b": entry(offsets=(12, 20))}, bytes(20), "offset for tensor"),
            ({"a": entry(offsets=(8, 0))}, TWO, "offset"),
            ({"a": entry(shape=(3,))}, TWO, "shape|size"),
            ({"a": entry(shape=(-2,))}, TWO, r"shape \(-2,\)"),
            ({"a": entry(shape=(2**40, 2**40))}, TWO, "shape"),
            ({"a": entry(shape=(2**62, 0), offsets=(0, 0))}, b"", "shape"),
            ({"a": entry(shape=[1] * 65 + [2])}, TWO, "shape"),
            ({"a": entry(shape=[2.0])}, TWO, "float|invalid"),
            ({"a": entry(shape=["2"])}, TWO, "given.safetensors"),
            ({"a": entry("I64", (1,))}, TWO, "'a' is of int64.*num_batches_tracked"),
            ({"a": entry("I32")}, TWO, "'a' is of I32.*float16, bfloat16"),
            ({"a": entry("C64", (1,))}, TWO, "'a' is of C64"),
            ({"a": entry("F8_E4M3", (8,))}, TWO, "'a' is of F8_E4M3"),
            ({"a": {"dtype": "F32"}}, TWO, "shape"),
            ({"a": 3}, TWO, "given.safetensors"),
            ({"__metadata__": {"n": 1}} | A, TWO, "string"),
            ([A], TWO, "no JSON object but list"),
            ({}, b"", "no tensors"),
            (b"{", b"", "JSON"),
            (b'{"\xff": 1}', b"", "utf-8|UTF-8"),
            (b'{"a":' + b"[" * 100_000, b"", "given.safetensors"),
            (
                json.dumps(A).encode()[:-1] + b"," + json.dumps(A).encode()[1:],
                TWO,
                "'a' twice",
            ),
        ],
    )
    def test_damage(self, write, header, data, message):
        with pytest.raises(ValueError, match=message) as caught:
            read_tensors(write(header, data))
        assert "given.safetensors cannot be used" in str(caught.value)

    @pytest.mark.parametrize("length", [0, 1, 40, 2**32, 2**63, 2**64 - 1])
    def test_length_of_the_header(self, write, length):
        path = write(A, TWO)
        path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])
        with pytest.raises(ValueError, match="given.safetensors cannot be used"):
            read_tensors(path)

    def test_every_length(self, write):
        """Cut off anywhere, it is no file."""
        whole = write(A, TWO).read_bytes()
        for length in range(len(whole)):
            path = write(A, TWO)
            path.write_bytes(whole[:length])
            with pytest.raises(ValueError, match="cannot be used"):
                read_tensors(path)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_not_finite(self, tmp_path, bad, dtype):
        tensor = np.zeros((2, 600_000), dtype)
        tensor[1, 599_998] = bad
        save_file({"right": np.zeros(3), "a.bad": tensor}, tmp_path / "x.safetensors")
        with pytest.raises(ValueError, match=rf"'a.bad' holds {bad} at \(1, 599998\)"):
            read_tensors(tmp_path / "x.safetensors")

    def test_limit(self, write):
        assert read_tensors(write(A, TWO), max_bytes=8)
        with pytest.raises(
            ValueError, match="8 bytes.*more than the 7 that `max_bytes`"
        ):
            read_tensors(write(A, TWO), max_bytes=7)

    def test_declared_sizes_take_no_memory(self, write):
        path = write({"a": entry(shape=(2**32,), offsets=(0, 2**34))}, TWO)
        with pytest.raises(ValueError, match="max_bytes"):
            memory(read_tensors, path)
        with pytest.raises(ValueError, match="not fully covered"):
            memory(read_tensors, path, max_bytes=2**40)

    def test_not_installed(self, write, monkeypatch):
        path = write(A, TWO)
        monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
        with pytest.raises(ImportError, match=r"keras_attention\[hub\]"):
            read_tensors(path)


class TestChecksum:
    @pytest.fixture
    def path(self, tmp_path, rng):
        tensors = {"a": rng.normal(size=(3, 5)).astype("float32"), "b": np.ones(4)}
        write_safetensors(tensors, tmp_path / "own.safetensors", {"network": "any"})
        return tmp_path / "own.safetensors"

    def test_definition(self):
        """SHA-256 of [name, dtype, shape] as JSON and the numbers, sorted by names."""
        digest = hashlib.sha256()
        digest.update(b'["a", "float32", [2]]' + TWO)
        digest.update(b'["b.num_batches_tracked", "int64", []]' + struct.pack("<q", 3))
        tensors = {
            "b.num_batches_tracked": np.array(3),
            "a": np.frombuffer(TWO, "float32"),
        }
        assert checksum(tensors) == digest.hexdigest()

    def test_it_tells_tensors_apart(self):
        ones = np.ones(4, "float32")
        sums = [
            checksum(tensors)
            for tensors in (
                {"a": ones},
                {"b": ones},
                {"a": ones.reshape(2, 2)},
                {"a": ones.view("int32")},
                {"a": ones[:2], "b": ones[2:]},
                {"a": ones[:3], "b": ones[3:]},
                {"a": -ones},
            )
        ]
        assert len(set(sums)) == len(sums)

    def test_every_flipped_bit_is_found(self, path):
        whole = bytearray(path.read_bytes())
        start = 8 + struct.unpack("<Q", whole[:8])[0]
        assert len(whole) - start == 3 * 5 * 4 + 4 * 8
        for bit in range(8 * start, 8 * len(whole)):
            whole[bit // 8] ^= 1 << bit % 8
            path.write_bytes(whole)
            with pytest.raises(ValueError, match="check sum is|holds (nan|inf|-inf)"):
                read_tensors(path)
            whole[bit // 8] ^= 1 << bit % 8

    def test_without_one_a_flipped_bit_is_not_found(self, tmp_path):
        save_file({"a": np.float32([1, 2])}, tmp_path / "x.safetensors")
        content = bytearray((tmp_path / "x.safetensors").read_bytes())
        content[-1] ^= 0x80
        (tmp_path / "x.safetensors").write_bytes(content)
        assert read_tensors(tmp_path / "x.safetensors")["a"].tolist() == [1, -2]


class TestWriting:
    def test_round_trip(self, tmp_path):
        """What is not in rows, and not of this machine's bytes, too."""
        path = tmp_path / "own.safetensors"
        columns = np.arange(6, dtype="float32").reshape(2, 3).T
        swapped = np.array([1, 2], ">f8" if sys.byteorder == "little" else "<f8")
        tensors = {
            "columns": columns,
            "swapped": swapped,
            "number": np.float32(3),
            "bn.num_batches_tracked": np.int64(5),
            "half": np.ones(3, "float16"),
        }
        write_safetensors(tensors, path, {"network": "ResNet18"})
        found = load_file(path)
        assert {n: a.shape for n, a in found.items()} == {
            n: a.shape for n, a in tensors.items()
        }
        for name, array in read_tensors(path).items():
            np.testing.assert_array_equal(array, tensors[name])
        words = read_metadata(path)
        assert words == {"network": "ResNet18", CHECKSUM: checksum(tensors)}

    def test_an_old_checksum_is_replaced(self, tmp_path):
        path = tmp_path / "own.safetensors"
        write_safetensors({"a": np.ones(2)}, path, {CHECKSUM: "of other tensors"})
        assert read_tensors(path)["a"].tolist() == [1, 1]

    @pytest.mark.parametrize(
        ("tensors", "metadata", "message"),
        [
            ({"a": np.array([1, np.nan])}, {}, r"'a' holds nan at \(1,\)"),
            ({"a": np.ones(2, "int64")}, {}, "'a' is of int64"),
            ({"a": np.array(["x"])}, {}, "'a' is of str"),
            ({"a": np.ones(2)}, {"epoch": 3}, "dict of strings.*'epoch': 3"),
            ({"a": np.ones(2)}, None, "dict of strings"),
        ],
    )
    def test_what_cannot_be_read_is_not_written(
        self, tmp_path, tensors, metadata, message
    ):
        path = tmp_path / "own.safetensors"
        path.write_bytes(b"as before")
        with pytest.raises(ValueError, match=message):
            write_safetensors(tensors, path, metadata)
        assert path.read_bytes() == b"as before"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_failing_disk_leaves_the_old_file(self, tmp_path, monkeypatch):
        path = tmp_path / "own.safetensors"
        path.write_bytes(b"as before")

        def fail(tensors, file, metadata):
            file.write_bytes(b"half of")
            raise OSError("No space left on device")

        monkeypatch.setattr("safetensors.numpy.save_file", fail)
        with pytest.raises(OSError, match="No space"):
            write_safetensors({"a": np.ones(2)}, path, {})
        assert path.read_bytes() == b"as before"
        assert list(tmp_path.iterdir()) == [path]


class TestPyTorchWithoutPyTorch:
    """What is seen in a zip file before PyTorch is there."""

    @pytest.fixture
    def no_torch(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", None)

    MEMBERS = (("a/data.pkl", pickle.dumps({})), ("a/data/0", TWO), ("a/version", b"3"))

    @pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".pth.tar"])
    def test_pytorch_is_asked_for(self, tmp_path, no_torch, suffix):
        path = zip_bytes(tmp_path / f"x{suffix}", self.MEMBERS)
        with pytest.raises(ImportError, match=r"'torch'.*keras_attention\[torch\]"):
            read_tensors(path)

    def test_code_is_not_run(self, tmp_path, no_torch):
        spy = pickle.dumps(Spy(tmp_path / "ran"))
        (tmp_path / "old.pth").write_bytes(spy)
        zip_bytes(tmp_path / "new.pth", [("a/data.pkl", spy)])
        for name in ("old.pth", "new.pth"):
            with pytest.raises(ImportError, match="torch"):
                read_tensors(tmp_path / name)
        assert not (tmp_path / "ran").exists()
        pickle.loads(spy)
        assert (tmp_path / "ran").exists()

    @pytest.mark.parametrize(
        ("members", "message"),
        [
            (MEMBERS[1:], "one member 'data.pkl'. Found: 0"),
            ((*MEMBERS, ("b/data.pkl", b"")), "'data.pkl'. Found: 2"),
            ((*MEMBERS, ("../out", b"")), "'../out' of the zip file leaves"),
            ((*MEMBERS, ("a/../../out", b"")), "leaves its folder"),
            ((*MEMBERS, ("/etc/out", b"")), "'/etc/out' of the zip file leaves"),
            ((*MEMBERS, ("C:\\out", b"")), "leaves its folder"),
            ((*MEMBERS, ("a\\..\\..\\out", b"")), "leaves its folder"),
        ],
    )
    def test_members(self, tmp_path, no_torch, members, message):
        path = zip_bytes(tmp_path / "x.pth", members)
        with pytest.raises(ValueError, match=message) as caught:
            read_tensors(path)
        assert "x.pth cannot be used" in str(caught.value)

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_one_name_twice(self, tmp_path, no_torch):
        path = zip_bytes(tmp_path / "x.pth", (*self.MEMBERS, self.MEMBERS[1]))
        with pytest.raises(ValueError, match="two members .* have one name"):
            read_tensors(path)

    def test_compressed(self, tmp_path, no_torch):
        """A hundred megabytes in a hundred kilobytes."""
        members = (*self.MEMBERS, ("a/data/1", bytes(100 * MiB)))
        path = zip_bytes(tmp_path / "x.pth", members, zipfile.ZIP_DEFLATED)
        del members
        assert path.stat().st_size < MiB
        with pytest.raises(ValueError, match="is compressed"):
            memory(read_tensors, path)

    def test_declared_beyond_the_file(self, tmp_path, no_torch):
        path = zip_bytes(tmp_path / "x.pth", self.MEMBERS)
        declare(path, b"a/data/0", 2**30)
        with pytest.raises(ValueError, match="larger than the file"):
            memory(read_tensors, path)
        with pytest.raises(
            ValueError, match="more than the 1,000,000 that `max_bytes`"
        ):
            read_tensors(path, max_bytes=1_000_000)

    def test_check_sum(self, tmp_path, no_torch):
        path = zip_bytes(tmp_path / "x.pth", self.MEMBERS)
        content = path.read_bytes()
        assert content.count(TWO) == 1
        path.write_bytes(content.replace(TWO, TWO[:-1] + b"\0"))
        with pytest.raises(ValueError, match="Bad CRC-32 for file 'a/data/0'"):
            read_tensors(path)

    def test_encrypted(self, tmp_path, no_torch):
        path = zip_bytes(tmp_path / "x.pth", self.MEMBERS)
        content = bytearray(path.read_bytes())
        content[content.index(b"PK\1\2") + 8] |= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match="'a/data.pkl' .* is encrypted"):
            read_tensors(path)


class TestPyTorch:
    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch", reason="PyTorch is not installed")

    @pytest.fixture(params=[True, False], ids=["zip", "legacy"])
    def save(self, torch, tmp_path, request):
        def to_file(content):
            path = tmp_path / "x.pth"
            torch.save(content, path, _use_new_zipfile_serialization=request.param)
            assert zipfile.is_zipfile(path) == request.param
            return path

        return to_file

    @pytest.fixture
    def state(self, torch):
        return {
            "conv.weight": torch.arange(6.0).reshape(1, 2, 3),
            "bn.num_batches_tracked": torch.tensor(7),
            "half": torch.tensor([0.5], dtype=torch.float16),
            "brain": torch.tensor([1.5], dtype=torch.bfloat16),
            "columns": torch.arange(6.0).reshape(2, 3).T,
        }

    def check(self, found):
        assert {name: (a.dtype.name, a.tolist()) for name, a in found.items()} == {
            "conv.weight": ("float32", [[[0, 1, 2], [3, 4, 5]]]),
            "bn.num_batches_tracked": ("int64", 7),
            "half": ("float32", [0.5]),
            "brain": ("float32", [1.5]),
            "columns": ("float32", [[0, 3], [1, 4], [2, 5]]),
        }

    def test_state(self, save, state):
        self.check(read_tensors(save(state)))

    @pytest.mark.parametrize(
        "key", ["state_dict", "model", "state_dict_ema", "model_ema", "net"]
    )
    def test_checkpoint(self, save, state, key):
        checkpoint = {"epoch": 3, "arch": "resnet50", "best_prec1": 1.0, key: state}
        self.check(read_tensors(save(checkpoint)))

    def test_averaged_weights_come_first(self, save, torch):
        one, two = ({"a": torch.tensor([number])} for number in (1.0, 2.0))
        found = read_tensors(save({"state_dict": one, "state_dict_ema": two}))
        assert found["a"].tolist() == [2]

    def test_data_parallel(self, save, state):
        wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
        self.check(read_tensors(save({"state_dict": wrapped})))

    def test_a_module_that_is_called_module(self, save, torch):
        state = {"module.a": torch.ones(2), "fc.bias": torch.ones(1)}
        assert set(read_tensors(save(state))) == set(state)

    def test_shared_tensors(self, save, torch):
        tensor = torch.arange(4.0, requires_grad=True)
        found = read_tensors(save({"a": tensor, "b": tensor[2:]}))
        assert found["a"].tolist() == [0, 1, 2, 3]
        assert found["b"].tolist() == [2, 3]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ([1, 2], "a value of type list"),
            ({}, "an empty dict"),
            ({"state_dict": {}}, "an empty dict"),
            ({"epoch": 3}, "under 'epoch' is a value of type int.*'state_dict_ema'"),
            ({"state_dict": {"a": [1.0]}}, "under 'a' is a value of type list"),
            ({"network": {"a": 1}}, "under 'network' is a dict with the keys 'a'"),
        ],
    )
    def test_no_tensors_by_name(self, save, content, message):
        with pytest.raises(ValueError, match=message):
            read_tensors(save(content))

    def test_no_weights(self, save, torch):
        for tensor, message in (
            (torch.tensor([1]), "'a' is of int64"),
            (torch.tensor([True]), "'a' is of bool"),
            (torch.tensor([1j]), "'a' is of complex64"),
            (torch.tensor([1.0, float("nan")]), r"'a' holds nan at \(1,\)"),
            (torch.ones(1).expand(10_000), "'a' repeats numbers"),
            (torch.eye(3).to_sparse(), "'a' is sparse"),
            (torch.ones(3, device="meta"), "'a' is sparse or has no numbers"),
        ):
            with pytest.raises(ValueError, match=message):
                read_tensors(save({"a": tensor}))

    def test_limit(self, save, torch):
        path = save({"a": torch.ones(1000)})
        assert read_tensors(path)
        with pytest.raises(ValueError, match="max_bytes"):
            read_tensors(path, max_bytes=3999)

    def test_code_is_not_run(self, save, tmp_path):
        path = save({"state_dict": Spy(tmp_path / "ran")})
        with pytest.raises(ValueError, match="objects or code.*mkdir") as caught:
            read_tensors(path)
        assert not (tmp_path / "ran").exists()
        assert "weights_only=False" not in str(caught.value)

    def test_a_whole_module(self, save, torch):
        with pytest.raises(ValueError, match=r"objects or code.*state_dict\(\)"):
            read_tensors(save(torch.nn.Linear(2, 2)))

    def test_cut_off(self, save, state):
        path = save(state)
        whole = path.read_bytes()
        for length in range(0, len(whole), max(1, len(whole) // 100)):
            path.write_bytes(whole[:length])
            with pytest.raises(ValueError, match="x.pth cannot be used"):
                read_tensors(path)

    def test_storage_beyond_its_member(self, torch, tmp_path):
        """The pickle says that 4 numbers are 200; the check sums are right."""
        path = tmp_path / "x.pth"
        torch.save({"a": torch.ones(4)}, path)
        members = [
            (name, content.replace(b"K\4", b"K\xc8") if "pkl" in name else content)
            for name, content in members_of(path)
        ]
        zip_bytes(path, members)
        with pytest.raises(ValueError, match="x.pth cannot be used"):
            read_tensors(path)

    def test_legacy_storage_that_is_not_in_the_file(self, torch, tmp_path):
        """Its memory is declared, and never filled."""
        path = tmp_path / "x.pth"
        tensor = torch.ones(251)
        torch.save({"a": tensor}, path, _use_new_zipfile_serialization=False)
        content = path.read_bytes()
        # In the pickle, as the size of the storage and of the tensor.
        assert content.count(b"K\xfb") == 2
        path.write_bytes(content.replace(b"K\xfb", b"J\0\0\0\x40"))
        with pytest.raises(ValueError, match="x.pth cannot be used"):
            memory(read_tensors, path)


class TestLegacyKeras:
    def test_names(self, tmp_path):
        found = read_tensors(legacy_h5(tmp_path / "x.h5"))
        assert {name: array.shape for name, array in found.items()} == {
            "conv1_conv/kernel": (2, 2, 2, 3),
            "conv1_conv/bias": (3,),
            "conv1_bn/gamma": (3,),
        }
        assert found["conv1_conv/kernel"].ravel().tolist() == list(range(24))

    @pytest.mark.filterwarnings("ignore")
    def test_a_whole_network(self, tmp_path):
        """As Keras itself writes it, without what an optimizer has."""
        model = network()
        compile_built(model)
        model.save(tmp_path / "x.h5")
        found = read_tensors(tmp_path / "x.h5")
        wanted = keras_files.model_tensors(model)
        wanted = {name.replace("/c1/", "/"): w for name, w in wanted.items()}
        assert sorted(found) == sorted(wanted)
        assert_equal([found[name] for name in wanted], wanted.values())

    def test_sublayers_with_variables_of_one_name(self, tmp_path):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            for name in ("query", "key"):
                file[f"attention/attention/{name}/kernel:0"] = np.ones(2)
            file["fc/fc_1/kernel:0"] = np.ones(2)
        assert set(read_tensors(tmp_path / "x.h5")) == {
            "attention/query/kernel",
            "attention/key/kernel",
            "fc/kernel",
        }

    def test_the_new_format(self, tmp_path):
        network().save_weights(tmp_path / "x.weights.h5")
        with pytest.raises(ValueError, match="new format.*Load it into the network"):
            read_tensors(tmp_path / "x.weights.h5")

    def test_limit(self, tmp_path):
        path = legacy_h5(tmp_path / "x.h5")
        assert read_tensors(path, max_bytes=30 * 4)
        with pytest.raises(ValueError, match="120 bytes.*the 119 that `max_bytes`"):
            read_tensors(path, max_bytes=119)

    def test_what_is_not_let_through(self, tmp_path):
        other = h5py.ExternalLink("other.h5", "/a")
        secret = tmp_path / "secret"
        secret.write_bytes(bytes(12))
        layout = h5py.VirtualLayout((3,), "float32")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "a", (3,))
        makers = {
            "is a link, SoftLink": lambda g: g.__setitem__("w", h5py.SoftLink("/x")),
            "is a link, ExternalLink": lambda g: g.__setitem__("w", other),
            "is in other files|are in other files": lambda g: g.create_dataset(
                "w", (3,), "float32", external=[(str(secret), 0, 12)]
            ),
            "are in other": lambda g: g.create_virtual_dataset("w", layout),
            "in pieces or compressed": lambda g: g.create_dataset(
                "w", (2**40,), "float32", chunks=(2**20,), compression="gzip"
            ),
            "declares 4,398,046,511,104 bytes": lambda g: g.create_dataset(
                "w", (2**40,), "float32"
            ),
            "no array of plain": lambda g: g.__setitem__("w", ["a", "b"]),
            "'layer/w' is empty": lambda g: g.__setitem__("w", h5py.Empty("f")),
            "'layer/w' is of int32": lambda g: g.__setitem__("w", np.int32([1])),
            "neither a group nor": lambda g: g.__setitem__("w", np.dtype("float32")),
            "'layer/w' holds nan": lambda g: g.__setitem__("w", np.float32([np.nan])),
            "nested too deep": lambda g: g.__setitem__("w", g),
            "no tensors": lambda g: None,
        }
        for number, (message, make) in enumerate(makers.items()):
            path = tmp_path / f"{number}.h5"
            with h5py.File(path, "w") as file:
                make(file.create_group("layer"))
            with pytest.raises(ValueError, match=message) as caught:
                memory(read_tensors, path)
            assert f"{number}.h5 cannot be used" in str(caught.value)

    def test_an_array_in_no_layer(self, tmp_path):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["kernel"] = np.ones(2)
        with pytest.raises(ValueError, match="'kernel' is in no layer's group"):
            read_tensors(tmp_path / "x.h5")


class TestLoadInto:
    @pytest.fixture(scope="class")
    @classmethod
    def source(cls):
        model = network()
        for weight in model.weights:
            weight.assign(np.random.default_rng(1).uniform(0.5, 1.5, weight.shape))
        return model

    @pytest.fixture
    def model(self):
        """A network, whose weights must be the same after a failure."""
        return network()

    @pytest.fixture(params=["x.keras", "x.weights.h5"])
    def path(self, request, tmp_path, source):
        save(source, tmp_path / request.param)
        return tmp_path / request.param

    def refused(self, model, path, message, load=keras_files.load_into):
        before = numbers(model)
        with pytest.raises(ValueError, match=message) as caught:
            load(model, path)
        assert path.name in str(caught.value)
        assert_equal(numbers(model), before)

    def test_round_trip(self, model, path, source):
        keras_files.load_into(model, path)
        assert_equal(numbers(model), numbers(source))

    @pytest.mark.parametrize("compiled", ["source", "model", "both"])
    def test_optimizers_are_left_alone(self, tmp_path, compiled):
        models = {"source": network(), "model": network()}
        for name, model in models.items():
            if compiled in (name, "both"):
                compile_built(model)
        source, model = models.values()
        save(source, tmp_path / "x.keras")
        state = [] if compiled == "source" else optimizer(model)
        keras_files.load_into(model, tmp_path / "x.keras")
        assert_equal(numbers(model), numbers(source))
        if state:
            assert_equal(optimizer(model), state)

    def test_bfloat16(self, tmp_path):
        def dense(policy):
            layers = [keras.Input((3,)), keras.layers.Dense(2, dtype=policy)]
            return keras.Sequential(layers)

        source = dense("bfloat16")
        save(source, tmp_path / "x.weights.h5")
        for policy in ("bfloat16", "float32"):
            model = dense(policy)
            keras_files.load_into(model, tmp_path / "x.weights.h5")
            assert_equal(numbers(model), numbers(source))

    def test_another_network(self, model, path):
        save(network(units=3), path)
        self.refused(model, path, r"'layers/dense/vars/0' has the shape \(4, 3\), and")
        save(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), path)
        self.refused(model, path, "it lacks arrays that the network has: .* and 6 more")
        larger = keras.Sequential([model, keras.layers.Dense(2)])
        self.refused(larger, path, "it is of another network")

    def test_more_than_the_network(self, model, path):
        change_h5(path, lambda file: file.create_dataset("layers/x", data=np.ones(2)))
        self.refused(model, path, "has arrays that the network lacks: 'layers/x'")

    def test_not_finite(self, model, path):
        def spoil(file):
            file["layers/dense/vars/1"][1] = np.inf

        change_h5(path, spoil)
        self.refused(model, path, r"'layers/dense/vars/1' holds inf at \(1,\)")

    def test_integers(self, model, path):
        replace_array(path, lambda file, name: file.create_dataset(name, data=[1, 2]))
        self.refused(model, path, "is of int64, and of float32 in the network")

    def test_declared_beyond_the_need(self, model, path):
        def huge(file, name):
            file.create_dataset(
                name, (2**40,), "float32", chunks=(2**20,), compression="gzip"
            )

        replace_array(path, huge)
        self.refused(model, path, "in pieces or compressed", frugally)

    def test_links(self, model, path, source, tmp_path):
        source.save_weights(tmp_path / "other.weights.h5")
        name = "layers/dense/vars/1"
        for link in (
            h5py.SoftLink("/layers/conv2d/vars/1"),
            h5py.ExternalLink(str(tmp_path / "other.weights.h5"), name),
        ):
            replace_array(path, lambda file, name, to=link: file.update({name: to}))
            self.refused(model, path, "is a link")

    def test_cut_off(self, model, path):
        whole = path.read_bytes()
        for length in (*range(0, len(whole), len(whole) // 20), len(whole) - 1):
            path.write_bytes(whole[:length])
            self.refused(model, path, "cannot be used")

    def test_check_sum_of_the_zip(self, model, source, tmp_path):
        path = tmp_path / "x.keras"
        save(source, path)
        content = bytearray(path.read_bytes())
        kernel = keras.ops.convert_to_numpy(source.get_layer("fc").kernel).tobytes()
        content[content.index(kernel)] ^= 1
        path.write_bytes(content)
        self.refused(model, path, f"Bad CRC-32 for file '{KERAS_WEIGHTS}'")

    def test_zip_bomb(self, model, tmp_path):
        path = tmp_path / "x.keras"
        members = [(KERAS_WEIGHTS, bytes(200 * MiB))]
        zip_bytes(path, members, zipfile.ZIP_DEFLATED)
        del members
        assert path.stat().st_size < MiB
        self.refused(model, path, "declares 209,715,200 bytes, more than the", frugally)

    def test_ratio(self, model, source, tmp_path):
        path = tmp_path / "x.keras"
        save(source, path)
        zip_bytes(path, [*members_of(path), ("assets/x", bytes(90 * MiB))])
        self.refused(model, path, "more than the .* that `max_bytes` or `max_ratio`")
        keras_files.load_into(model, path, max_ratio=100_000)
        assert_equal(numbers(model), numbers(source))

    def test_no_weights(self, model, tmp_path):
        path = zip_bytes(tmp_path / "x.keras", [("config.json", b"{}")])
        self.refused(model, path, f"no member '{KERAS_WEIGHTS}'")

    def test_suffix(self, model, tmp_path):
        path = legacy_h5(tmp_path / "x.h5")
        self.refused(model, path, "must be a .keras or a .weights.h5 file")

    def test_no_file(self, model, tmp_path):
        with pytest.raises(FileNotFoundError, match="no weight file .*x.keras"):
            keras_files.load_into(model, tmp_path / "x.keras")

    def test_not_built(self, path):
        model = keras.Sequential([keras.layers.Dense(2)], name="early")
        with pytest.raises(ValueError, match="'early' is not built"):
            keras_files.load_into(model, path)

    def test_a_layer_that_fails(self, tmp_path):
        """Half of the weights are loaded when it does."""

        class Failing(keras.layers.Dense):
            def load_own_variables(self, store):
                super().load_own_variables(store)
                raise ValueError("not today")

        def make():
            layers = [keras.Input((3,)), keras.layers.Dense(3), Failing(2)]
            return keras.Sequential(layers)

        save(make(), tmp_path / "x.weights.h5")
        self.refused(make(), tmp_path / "x.weights.h5", "not today")

    def test_no_file_is_left(self, model, path, tmp_path, monkeypatch):
        folder = tmp_path / "temporary"
        folder.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(folder))
        keras_files.load_into(model, path)
        path.write_bytes(path.read_bytes()[:-1])
        self.refused(model, path, "cannot be used")
        assert list(folder.iterdir()) == []


class TestModelTensors:
    NAMES = (
        "conv/kernel",
        "conv/bias",
        "bn/gamma",
        "bn/beta",
        "bn/moving_mean",
        "bn/moving_variance",
        "inner/c1/kernel",
        "inner/c1/bias",
        "shared/kernel",
        "fc/kernel",
        "fc/bias",
    )

    def test_names(self):
        model = network()
        found = keras_files.model_tensors(model)
        assert tuple(found) == self.NAMES
        assert_equal(found.values(), numbers(model))

    def test_names_within_another_network(self):
        outer = keras.Sequential([keras.Input((8, 8, 3)), network()], name="outer")
        found = keras_files.model_tensors(outer)
        assert tuple(found) == tuple(f"net/{name}" for name in self.NAMES)

    def test_sublayers(self):
        class Twice(keras.layers.Layer):
            def build(self, shape):
                self.first, self.second = (
                    keras.layers.Dense(shape[-1], name=name) for name in ("a", "b")
                )
                self.scale = self.add_weight(shape=(1,), name="scale")
                for layer in (self.first, self.second):
                    layer.build(shape)

            def call(self, inputs):
                return self.second(self.first(inputs))

        model = keras.Sequential([keras.Input((3,)), Twice(name="twice")])
        assert list(keras_files.model_tensors(model)) == [
            "twice/scale",
            "twice/a/kernel",
            "twice/a/bias",
            "twice/b/kernel",
            "twice/b/bias",
        ]

    def test_two_of_one_name(self):
        class Twins(keras.layers.Layer):
            def build(self, shape):
                for _ in range(2):
                    self.add_weight(shape=(1,), name="w")

            def call(self, inputs):
                return inputs

        model = keras.Sequential([keras.Input((3,)), Twins(name="twins")])
        with pytest.raises(ValueError, match="two weights 'twins/w'"):
            keras_files.model_tensors(model)

    def test_of_a_file(self, tmp_path):
        """The same names, also where Keras' paths change from saving and loading."""
        model = keras.Sequential([keras.Input((8, 8, 3)), network()], name="outer")
        save(model, tmp_path / "x.keras")
        found = keras_files.read_model_tensors(tmp_path / "x.keras")
        wanted = keras_files.model_tensors(model)
        assert list(found) == list(wanted)
        assert_equal(found.values(), wanted.values())

    def test_python_code(self, tmp_path):
        lambda_layer = keras.layers.Lambda(lambda x: x + 1)
        model = keras.Sequential([keras.Input((3,)), lambda_layer])
        save(model, tmp_path / "x.keras")
        with pytest.raises(ValueError, match="x.keras .* Python code") as caught:
            keras_files.read_model_tensors(tmp_path / "x.keras")
        assert "unsafe" not in str(caught.value)

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            (b"", "'config.json' of up to"),
            (b"{", "JSONDecodeError"),
            (b"[]", "no JSON object"),
            (b"{}", "x.keras cannot be used"),
            (b'{"class_name": "Unheard", "config": {}}', "Unheard"),
            (
                b'{"module": "keras.layers", "class_name": "ReLU", "config": {}}',
                "no network but ReLU",
            ),
            (
                b'{"module": "os", "class_name": "function", "config": "getcwd", '
                b'"registered_name": "function"}',
                "Could not locate function",
            ),
        ],
    )
    def test_description(self, tmp_path, config, message):
        path = zip_bytes(tmp_path / "x.keras", [("config.json", config)])
        with pytest.raises(ValueError, match=message):
            keras_files.read_model_tensors(path)

    def test_limit(self, tmp_path):
        save(network(), tmp_path / "x.keras")
        with pytest.raises(ValueError, match="more than the 1,000 that `max_bytes`"):
            keras_files.read_model_tensors(tmp_path / "x.keras", max_bytes=1000)


def memory(function, *args, limit=32 * MiB, **options):
    """Call a function that must not take more memory than the limit."""
    tracemalloc.start()
    try:
        return function(*args, **options)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < limit


def frugally(model, path):
    """Load in little memory."""
    memory(keras_files.load_into, model, path)


def declare(path, member, size):
    """Say another size in the directory of a zip file."""
    content = bytearray(path.read_bytes())
    place = content.rindex(member) - 46
    assert content[place : place + 4] == b"PK\1\2"
    content[place + 20 : place + 28] = struct.pack("<II", size, size)
    path.write_bytes(content)


def save(model, path):
    if path.suffix == ".keras":
        model.save(path)
    else:
        model.save_weights(path)


def compile_built(model):
    """Compile a network, with an optimizer whose state is there and is not 0."""
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    for number, variable in enumerate(model.optimizer.variables):
        if variable.dtype == "float32" and variable.shape:
            variable.assign(variable + number)


def optimizer(model):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.optimizer.variables]


def change_h5(path, change):
    """Change the weights in a file, and the zip file around them."""
    if path.suffix != ".keras":
        with h5py.File(path, "r+") as file:
            change(file)
        return
    members = dict(members_of(path))
    content = io.BytesIO(members[KERAS_WEIGHTS])
    with h5py.File(content, "r+") as file:
        change(file)
    zip_bytes(path, (members | {KERAS_WEIGHTS: content.getvalue()}).items())


def replace_array(path, make, name="layers/dense/vars/1"):
    def change(file):
        del file[name]
        make(file, name)

    change_h5(path, change)
