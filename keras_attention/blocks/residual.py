"""Residual blocks: basic, bottleneck (He et al., 1512.03385) and pre-activation.

Each is a function of (x, style, width, strides, sites, name, options) that returns
the block's output; `sites` says which attention stands where.
"""

import dataclasses
from dataclasses import dataclass

import keras

from keras_attention.blocks.shortcut import ZeroPadShortcut
from keras_attention.layers.checks import boolean, positive_integer


@dataclass(frozen=True)
class BlockOptions:
    """What varies between residual networks besides depth and width.

    Args:
        groups, width_per_group: of the bottleneck's 3×3; its width is
            ⌊width · width_per_group / 64⌋ · groups (ResNeXt-32×4d: 32 and 4).
        stride_in_1x1: True strides in the bottleneck's first 1×1 (He's original),
            False in its 3×3 (torchvision's layout).
        shortcut: where shapes change: `"projection"` or parameter-free `"pad"`.
        dropout: rate before the pre-activation block's second convolution.
    """

    groups: int = 1
    width_per_group: int = 64
    stride_in_1x1: bool = False
    shortcut: str = "projection"
    dropout: float = 0.0

    def __post_init__(self):
        positive_integer("groups", self.groups)
        positive_integer("width_per_group", self.width_per_group)
        boolean("stride_in_1x1", self.stride_in_1x1)
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise ValueError(
                f"`dropout` must be a rate in [0, 1). Received: {self.dropout!r}."
            )


def basic_block(x, style, width, strides, sites, name, options):
    """3×3, 3×3, addition; both convolutions are conv sites."""
    shortcut = _shortcut(x, style, width, strides, name, options)
    for i, stride in enumerate((strides, 1)):
        x = style.site_conv(
            x, width, 3, stride, name=f"{name}_conv{i + 1}", sites=sites, at=(i, 2)
        )
        x = style.norm(x, f"{name}_norm{i + 1}")
        if i == 0:
            x = style.activate(x, f"{name}_relu1")
    return _add(x, shortcut, style, sites, name)


def bottleneck_block(x, style, width, strides, sites, name, options):
    """1×1, 3×3, 1×1 to four times the width, addition; the 3×3 is a conv site."""
    shortcut = _shortcut(x, style, 4 * width, strides, name, options)
    inner = int(width * options.width_per_group / 64) * options.groups
    first, second = (strides, 1) if options.stride_in_1x1 else (1, strides)
    x = style.conv(x, inner, 1, first, name=f"{name}_conv1")
    x = style.activate(style.norm(x, f"{name}_norm1"), f"{name}_relu1")
    x = style.site_conv(
        x,
        inner,
        3,
        second,
        name=f"{name}_conv2",
        sites=sites,
        at=(0, 1),
        groups=options.groups,
    )
    x = style.activate(style.norm(x, f"{name}_norm2"), f"{name}_relu2")
    x = style.conv(x, 4 * width, name=f"{name}_conv3")
    x = style.norm(x, f"{name}_norm3")
    return _add(x, shortcut, style, sites, name)


def preactivation_block(x, style, width, strides, sites, name, options):
    """BN, ReLU, 3×3 twice, addition (He et al., 1603.05027; Wide ResNets')."""
    active = style.activate(style.norm(x, f"{name}_norm1"), f"{name}_relu1")
    shortcut = x
    if strides > 1 or x.shape[style.axis] != width:
        shortcut = _shortcut(active, style, width, strides, name, options, norm=False)
    x = style.site_conv(
        active, width, 3, strides, name=f"{name}_conv1", sites=sites, at=(0, 2)
    )
    x = style.activate(style.norm(x, f"{name}_norm2"), f"{name}_relu2")
    if options.dropout:
        x = keras.layers.Dropout(options.dropout, name=f"{name}_dropout")(x)
    x = style.site_conv(x, width, 3, 1, name=f"{name}_conv2", sites=sites, at=(1, 2))
    x = style.attend(x, sites.block, f"{name}_attention")
    return keras.layers.Add(name=f"{name}_add")([x, shortcut])


def _shortcut(x, style, filters, strides, name, options, norm=True):
    if strides == 1 and x.shape[style.axis] == filters:
        return x
    if options.shortcut == "pad":
        layer = ZeroPadShortcut(
            filters, strides, style.data_format, name=f"{name}_shortcut"
        )
        return layer(x)
    x = style.conv(x, filters, 1, strides, name=f"{name}_shortcut_conv")
    return style.norm(x, f"{name}_shortcut_norm") if norm else x


def _add(x, shortcut, style, sites, name):
    x = style.attend(x, sites.block, f"{name}_attention")
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return style.activate(x, f"{name}_out")


BLOCKS = {
    "basic": basic_block,
    "bottleneck": bottleneck_block,
    "preactivation": preactivation_block,
}

_USED = {
    "basic": {"shortcut"},
    "bottleneck": {"shortcut", "stride_in_1x1", "groups", "width_per_group"},
    "preactivation": {"shortcut", "dropout"},
}


def check_options(block, options):
    """Raises where an option is set that this kind of block does not have."""
    for option in dataclasses.fields(options):
        value = getattr(options, option.name)
        if option.name not in _USED[block] and value != option.default:
            raise ValueError(
                f"`{option.name}` has no effect in a network of {block!r} blocks. "
                f"Received: {value!r}. Leave it out, or use another `block`."
            )
