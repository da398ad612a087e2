"""The feature pyramid network (Lin et al., 1612.03144), attention at its sites."""

import dataclasses
import itertools
import re
from collections.abc import Mapping

import keras

from keras_attention.attention import as_specs
from keras_attention.blocks import NetworkStyle
from keras_attention.layers.checks import positive_integer
from keras_attention.plan import AttentionPlan

# torchvision's kaiming_uniform(a=1): uniform, variance 1 / fan_in.
LECUN_UNIFORM = {"scale": 1.0, "mode": "fan_in", "distribution": "uniform"}
LEVELS = (2, 3, 4, 5)


def FeaturePyramid(
    backbone, channels=256, attention=None, levels=LEVELS, name="feature_pyramid"
):
    """A backbone with a feature pyramid on top.

    Pₙ = Conv₃ₓ₃(Mₙ), Mₙ = Conv₁ₓ₁(Cₙ) + upsample(Mₙ₊₁) by nearest neighbours, and one
    level more by every second pixel of the last (torchvision's "pool").

    Args:
        backbone: an application built with `pyramid=True` (or a functional model with
            outputs `{"P2": …}`, Pn at stride 2ⁿ), channels last.
        channels: int, of every level.
        attention: as an application's: a name such as `"aw_cbam"`, a spec, or by
            block. The blocks, each a convolution with its sites, are `"lateral2"` to
            `"lateral5"` (1×1) and `"output2"` to `"output5"` (3×3): a conv-site
            attention replaces the convolution, a block-site one stands right before
            it, as in table 3 of the AW paper (arXiv:2108.08205).
        levels: tuple of the levels that are used, without gaps.
        name: of the model.

    Returns:
        `keras.Model` from the backbone's input to `{"P2": …, "P6": …}`, (batch, H / 2ⁿ,
        W / 2ⁿ, channels).

    By name, an attention whose branch has a norm gets its `norm="group"`: detectors
    train on few images per batch, and AW's branch before a 1×1 convolution sees one
    value of each. Give the spec, `AW(norm="batch")`, for another.

    Raises:
        ValueError: a backbone that is not of that kind, and whatever does not fit.

    Differs from torchvision's in nothing without attention; the last level is named
    P6 there, too, by papers, and "pool" in its code.
    """
    positive_integer("channels", channels)
    features = levels_of(backbone, levels)
    names = tuple(f"{kind}{n}" for kind in ("lateral", "output") for n in levels)
    plan = AttentionPlan(with_group_norm(attention), (len(names),), blocks=names)
    style = NetworkStyle(
        "channels_last", use_bias=True, kernel_initializer=LECUN_UNIFORM
    )

    def convolve(x, size, key):
        sites = plan[key]
        x = style.attend(x, sites.block, f"fpn_{key}_attention")
        return style.site_conv(
            x, channels, size, 1, name=f"fpn_{key}", sites=sites, at=(0, 1)
        )

    merged, outputs = None, {}
    for n in reversed(levels):
        lateral = convolve(features[n], 1, f"lateral{n}")
        if merged is not None:
            raised = UpsampleLike(name=f"fpn_upsample{n}")([merged, lateral])
            lateral = keras.layers.Add(name=f"fpn_add{n}")([lateral, raised])
        merged = lateral
        outputs[f"P{n}"] = convolve(merged, 3, f"output{n}")
    style.check_placed()
    top = outputs[f"P{levels[-1]}"]
    pool = keras.layers.MaxPooling2D(1, 2, data_format="channels_last", name="fpn_pool")
    outputs[f"P{levels[-1] + 1}"] = pool(top)
    ordered = dict(sorted(outputs.items()))
    return keras.Model(backbone.input, ordered, name=name)


def with_group_norm(attention):
    """`attention` with `norm="group"` in the specs of its names that have a `norm`."""
    if isinstance(attention, str):
        return tuple(_group_norm(spec) for spec in as_specs(attention))
    if isinstance(attention, Mapping) and "name" not in attention:
        return {key: with_group_norm(entry) for key, entry in attention.items()}
    if isinstance(attention, list | tuple):
        return type(attention)(map(with_group_norm, attention))
    return attention


def _group_norm(spec):
    has_norm = any(field.name == "norm" for field in dataclasses.fields(spec))
    return dataclasses.replace(spec, norm="group") if has_norm else spec


def levels_of(backbone, levels):
    outputs = getattr(backbone, "output", None)
    if not isinstance(outputs, dict) or not all(
        re.fullmatch(r"P\d+", str(key)) for key in outputs
    ):
        raise ValueError(
            "`backbone` must be an application built with pyramid=True, or another "
            'functional model with outputs {"P2": …, "P3": …}. Received: '
            f"{type(backbone).__name__} with outputs "
            f"{type(outputs).__name__}."
        )
    found = {int(key[1:]): tensor for key, tensor in outputs.items()}
    missing = [f"P{n}" for n in levels if n not in found]
    neighbours = list(range(levels[0], levels[-1] + 1)) if levels else None
    if missing or list(levels) != neighbours:
        raise ValueError(
            f"`levels` must be neighbouring levels of the backbone, which has "
            f"{', '.join(outputs)}. Received: {tuple(levels)}."
        )
    shapes = [found[n].shape for n in levels]
    # Channels first, what stands for the height grows from level to level.
    grows = any(a[1] and b[1] and a[1] < b[1] for a, b in itertools.pairwise(shapes))
    if grows or any(shape[-1] is None for shape in shapes):
        raise ValueError(
            "The backbone's maps must be (batch, height, width, channels). Received: "
            f"{shapes}. Build it with data_format='channels_last'."
        )
    return found


@keras.saving.register_keras_serializable("keras_attention")
class UpsampleLike(keras.layers.Layer):
    """The first map, enlarged by nearest neighbours to the size of the second.

    Input shape: [(batch, ⌈H/2⌉, ⌈W/2⌉, C), (batch, H, W, C)]. Output shape: (batch, H,
    W, C).
    """

    def build(self, input_shape):
        self.built = True

    def call(self, inputs):
        small, large = inputs
        doubled = keras.ops.repeat(keras.ops.repeat(small, 2, axis=1), 2, axis=2)
        height, width = keras.ops.shape(large)[1:3]
        return doubled[:, :height, :width]

    def compute_output_shape(self, input_shape):
        small, large = input_shape
        return (*large[:3], small[3])
