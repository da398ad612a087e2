"""What MobileNetV2 and V3 share: stages of inverted residual blocks as a table."""

import dataclasses
from typing import NamedTuple

from keras_attention.attention import AttentionSpec
from keras_attention.blocks import inverted_residual_block
from keras_attention.layers.checks import nearest_multiple

OWN = ("replace", "join", "remove")


class Row(NamedTuple):
    """A block of a table.

    Args:
        expansion: of the input's width, in the block.
        filters: of the output, at alpha 1.
        strides, kernel_size: of the depthwise convolution.
        activation: None for the network's.
        own: spec of the attention that the block has by itself, or None.
    """

    expansion: float
    filters: int
    strides: int = 1
    kernel_size: int = 3
    activation: str | None = None
    own: AttentionSpec | None = None


def width(filters, alpha=1.0):
    """`alpha` times a table's width, as a multiple of 8."""
    return nearest_multiple(filters * alpha, 8)


def inverted_stages(x, style, table, stem_filters, alpha, plan, own="join"):
    """The outputs of stem and stages, [(stride, tensor)] of the stages.

    Args:
        x: the input.
        table: `Row`s by stage; a stage begins where the stride is 2.
        stem_filters: of the first convolution, at alpha 1.
        alpha: width multiplier.
        plan: `AttentionPlan` of the table.
        own: what becomes of the rows' own attentions, see `place`.
    """
    x = style.conv(x, width(stem_filters, alpha), 3, 2, name="stem_conv")
    x = style.norm_activate(x, "stem")
    stride, stages = 2, []
    for s, rows in enumerate(table, 1):
        for b, row in enumerate(rows, 1):
            stride *= row.strides
            key = f"stage{s}_block{b}"
            x = _block(x, style, row, alpha, *place(row.own, plan[key], own), key)
            x = style.attend(x, plan[key].stage, f"stage{s}_attention")
        stages.append((stride, x))
    style.check_placed()
    return stages


def place(own, sites, mode):
    """What stands at a block: (its own attention or None, its `Sites`).

    Args:
        own: spec of the block's own attention, or None.
        sites: `Sites` that the plan has for it.
        mode: `"replace"`: a block-site attention asked for by block stands in the
            place of the own one, and one asked for the whole network does so where
            there is an own one, and only there; `"join"`: both stand; `"remove"`: the
            own one never does.
    """
    if mode == "remove":
        return None, sites
    if mode == "replace" and own is None and not sites.explicit:
        return None, dataclasses.replace(sites, block=None)
    if mode == "replace" and sites.block is not None:
        return None, sites
    return own, sites


def _block(x, style, row, alpha, own, sites, name):
    if row.activation is not None:
        style = dataclasses.replace(style, activation=row.activation)
    return inverted_residual_block(
        x,
        style,
        width(row.filters, alpha),
        row.strides,
        sites,
        name,
        expanded=width(x.shape[style.axis] * row.expansion),
        kernel_size=row.kernel_size,
        own=own,
    )
