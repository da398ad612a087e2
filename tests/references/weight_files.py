"""Weight files made by hand, and a network to load some into."""

import json
import struct
import zipfile

import h5py
import keras
import numpy as np


def safetensors_bytes(header, data=b""):
    """A file in the safetensors format; `header` as a dict, or as bytes."""
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def zip_bytes(path, members, compression=zipfile.ZIP_STORED):
    """Write a zip file of [(name, bytes)]."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def legacy_h5(path):
    """A file as `keras.applications` has them: in a layer's group, one of its name."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"input_1", b"conv1_conv", b"conv1_bn"]
        file.create_group("input_1").attrs["weight_names"] = np.zeros(0)
        conv = file.create_group("conv1_conv")
        conv.attrs["weight_names"] = [b"conv1_conv/kernel:0", b"conv1_conv/bias:0"]
        kernel = np.arange(24, dtype="float32").reshape(2, 2, 2, 3)
        conv["conv1_conv/kernel:0"] = kernel
        conv["conv1_conv/bias:0"] = np.float32([1, 2, 3])
        file.create_group("conv1_bn")["conv1_bn/gamma:0"] = np.float32([4, 5, 6])
    return path


def network(units=2, name="net"):
    """A small network with a nested one, a shared layer and a random seed."""
    inner = keras.Sequential(
        [keras.Input((6, 6, 4)), keras.layers.Conv2D(4, 1, name="c1")], name="inner"
    )
    shared = keras.layers.Conv2D(4, 1, use_bias=False, name="shared")
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = shared(shared(inner(x)))
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(units, name="fc")(x), name=name)


def numbers(model):
    """Copies of all weights."""
    return [np.array(keras.ops.convert_to_numpy(w)) for w in model.weights]


def assert_equal(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
