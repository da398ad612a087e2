"""Weights under PyTorch's state-dict names into this package's layers.

A table maps each PyTorch name to a variable; `load` refuses a file with a name that
the table lacks, a table with a name that the file lacks, and a weight of the model
that no name, or more than one, sets.
"""

from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parents[2] / ".." / "shared" / "golden"


def load(model, tensors, table):
    """Sets every weight of `model` from `tensors`, each name used exactly once.

    Args:
        model: a built layer or model.
        tensors: {PyTorch name: array}; names in double underscores are not weights.
        table: list of (PyTorch name, variable, function of the array).
    """
    names = [name for name, _, _ in table]
    given = [name for name in tensors if not name.startswith("__")]
    targets = [variable.path for _, variable, _ in table]
    owned = [variable.path for variable in model.weights]
    for what, left, right in (
        ("names used twice", names, sorted(set(names))),
        ("names without a tensor", names, given),
        ("tensors without a use", given, names),
        ("weights set twice", targets, sorted(set(targets))),
        ("weights of no part of the model", targets, owned),
        ("weights left as they were", owned, targets),
    ):
        surplus = list(left)
        for item in right:
            if item in surplus:
                surplus.remove(item)
        if surplus:
            raise ValueError(f"{what}: {surplus}")
    for name, variable, convert in table:
        array = convert(np.asarray(tensors[name]))
        if array.shape != tuple(variable.shape):
            raise ValueError(
                f"{name}: shape {array.shape} for {variable.path} of {variable.shape}"
            )
        variable.assign(array)


def conv(name, layer):
    """Conv2d (OIHW) or Conv1d (OIL) to our kernel, spatial axes first."""
    table = [(f"{name}.weight", layer.kernel, _spatial_first)]
    if layer.use_bias:
        table.append((f"{name}.bias", layer.bias, _unchanged))
    return table


def dense(name, layer):
    """Linear, or a 1×1 Conv2d in its place, to a Dense layer."""
    return [
        (f"{name}.weight", layer.kernel, _transposed),
        (f"{name}.bias", layer.bias, _unchanged),
    ]


def norm(name, layer):
    """BatchNorm to BatchNormalization."""
    return [
        (f"{name}.weight", layer.gamma, _unchanged),
        (f"{name}.bias", layer.beta, _unchanged),
        (f"{name}.running_mean", layer.moving_mean, _unchanged),
        (f"{name}.running_var", layer.moving_variance, _unchanged),
    ]


def squeeze_excitation(layer, prefix=""):
    """timm's SEModule."""
    return dense(f"{prefix}fc1", layer.reduce) + dense(f"{prefix}fc2", layer.expand)


def efficient_channel_attention(layer):
    """timm's EcaModule."""
    return conv("conv", layer.conv)


def cbam(layer):
    """CBAM of the authors' repository."""
    channel, spatial = layer.channel_attention, layer.spatial_attention
    return [
        *dense("ChannelGate.mlp.1", channel.reduce),
        *dense("ChannelGate.mlp.3", channel.expand),
        *conv("SpatialGate.spatial.conv", spatial.conv),
        *norm("SpatialGate.spatial.bn", spatial.norm),
    ]


def bam(layer):
    """BAM of the authors' repository; our branches are lists with a ReLU each."""
    channel = [part for part in layer.channel_branch if part.weights]
    spatial = [part for part in layer.spatial_branch if part.weights]
    gate_c, gate_s = "channel_att.gate_c.gate_c", "spatial_att.gate_s.gate_s"
    return [
        *dense(f"{gate_c}_fc_0", channel[0]),
        *norm(f"{gate_c}_bn_1", channel[1]),
        *dense(f"{gate_c}_fc_final", channel[2]),
        *conv(f"{gate_s}_conv_reduce0", spatial[0]),
        *norm(f"{gate_s}_bn_reduce0", spatial[1]),
        *conv(f"{gate_s}_conv_di_0", spatial[2]),
        *norm(f"{gate_s}_bn_di_0", spatial[3]),
        *conv(f"{gate_s}_conv_di_1", spatial[4]),
        *norm(f"{gate_s}_bn_di_1", spatial[5]),
        *conv(f"{gate_s}_conv_final", spatial[6]),
    ]


def resnet_shape(tensors):
    """(depths, widths) of a bottleneck ResNet, read off the file."""
    depths, widths = [], []
    while f"layer{len(depths) + 1}.0.conv1.weight" in tensors:
        stage = f"layer{len(depths) + 1}"
        widths.append(tensors[f"{stage}.0.conv1.weight"].shape[0])
        depth = 0
        while f"{stage}.{depth}.conv1.weight" in tensors:
            depth += 1
        depths.append(depth)
    return tuple(depths), tuple(widths)


def resnet(model, depths):
    """timm's or torchvision's bottleneck ResNet, with or without SE."""
    layers = {layer.name: layer for layer in model.layers}
    return resnet_body(layers, depths) + dense("fc", layers["predictions"])


def resnet_body(layers, depths, prefix=""):
    """All of `resnet` but the classifier; `layers` by name."""
    table = conv(f"{prefix}conv1", layers["stem_conv"])
    table += norm(f"{prefix}bn1", layers["stem_norm"])
    for s, depth in enumerate(depths, 1):
        for b in range(depth):
            theirs, ours = f"{prefix}layer{s}.{b}", f"stage{s}_block{b + 1}"
            for i in (1, 2, 3):
                table += conv(f"{theirs}.conv{i}", layers[f"{ours}_conv{i}"])
                table += norm(f"{theirs}.bn{i}", layers[f"{ours}_norm{i}"])
            if f"{ours}_shortcut_conv" in layers:
                table += conv(f"{theirs}.downsample.0", layers[f"{ours}_shortcut_conv"])
                table += norm(f"{theirs}.downsample.1", layers[f"{ours}_shortcut_norm"])
            if f"{ours}_attention" in layers:
                attention = layers[f"{ours}_attention"]
                table += squeeze_excitation(attention, f"{theirs}.se.")
    return table


def _spatial_first(array):
    return np.moveaxis(array, (0, 1), (-1, -2))


def _transposed(array):
    return array.reshape(array.shape[:2]).T


def _unchanged(array):
    return array
