"""ResNet, ResNeXt and ImageNet's wide ResNets as tables of depths and widths."""

import keras

from keras_attention.applications.common import (
    COMMON_ARGUMENTS,
    check_data_format,
    constructor,
    finish,
    image_input,
    names_arguments,
)
from keras_attention.blocks import BLOCKS, NetworkStyle
from keras_attention.blocks.residual import BlockOptions, check_options
from keras_attention.choices import check_choice
from keras_attention.layers.checks import boolean, positive_integer, positive_number
from keras_attention.plan import AttentionPlan

STEMS = ("imagenet", "cifar")
SHORTCUTS = ("projection", "pad")


@names_arguments()
def ResNet(
    depths,
    widths,
    block="bottleneck",
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="resnet",
    attention=None,
    stem="imagenet",
    stem_width=64,
    stride_in_1x1=False,
    groups=1,
    width_per_group=64,
    shortcut="projection",
    dropout=0.0,
    use_bias=False,
    pyramid=False,
    data_format=None,
):
    plan = AttentionPlan(attention, _check_stages(depths, widths))
    data_format = check_data_format(data_format)
    style = NetworkStyle(data_format, use_bias)
    options = BlockOptions(
        groups,
        width_per_group,
        stride_in_1x1,
        check_choice("shortcut", shortcut, SHORTCUTS),
        dropout,
    )
    make_block = BLOCKS[check_choice("block", block, BLOCKS)]
    check_options(block, options)
    positive_integer("stem_width", stem_width)
    boolean("use_bias", use_bias)
    preactivation = block == "preactivation"
    default = (224, 224, 3) if stem == "imagenet" else (32, 32, 3)
    inputs = image_input(input_tensor, input_shape, default, data_format)
    check_choice("stem", stem, STEMS)
    x, stride = _stem(inputs, style, stem, stem_width, preactivation)
    stages = []
    for s, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
        for b in range(1, depth + 1):
            strides = 2 if s > 1 and b == 1 else 1
            stride *= strides
            key = f"stage{s}_block{b}"
            x = make_block(x, style, width, strides, plan[key], key, options)
            x = style.attend(x, plan[key].stage, f"stage{s}_attention")
        stages.append((stride, x))
    if preactivation:
        x = style.activate(style.norm(x, "head_norm"), "head_relu")
        stages[-1] = (stride, x)
    style.check_placed()
    return finish(
        inputs,
        x,
        stages,
        include_top=include_top,
        weights=weights,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        pyramid=pyramid,
        data_format=data_format,
    )


ResNet.__doc__ = f"""The residual network that all ResNets here are tables over.

    Args:
        depths: number of blocks of each stage.
        widths: width of each stage; a bottleneck's output is four times as wide.
        block: `"bottleneck"`, `"basic"` or `"preactivation"`.
        stem: `"imagenet"`, a 7×7 convolution at stride 2 and a max-pool, or
            `"cifar"`, a 3×3 at stride 1.
        stem_width: channels of the stem.
        stride_in_1x1: where a bottleneck strides: False in its 3×3 (torchvision's
            layout), True in its first 1×1 (He's original, and the papers' counts).
        groups, width_per_group: of a bottleneck's 3×3, as torchvision's.
        shortcut: `"projection"` or `"pad"` (no parameters, for CIFAR ResNets).
        dropout: rate inside pre-activation blocks.
        use_bias: whether the convolutions have biases.
{COMMON_ARGUMENTS}
    Padding is symmetric at stride 2 too, so that PyTorch's weights transfer.

    Returns:
        A functional `keras.Model`. Blocks are named `"stage{{s}}_block{{b}}"`, and
        so are their layers: `stage1_block1_conv1`, `…_norm1`, `…_attention`.

    Raises:
        ValueError: for whatever argument does not fit, with the choices.

    Source: arXiv:1512.03385; ResNeXt arXiv:1611.05431; pre-activation 1603.05027.
    """


def _check_stages(depths, widths):
    for name, value in (("depths", depths), ("widths", widths)):
        if not isinstance(value, list | tuple) or not value:
            raise ValueError(
                f"`{name}` must be a list with a number for each stage. "
                f"Received: {value!r}."
            )
        for item in value:
            positive_integer(name, item)
    if len(depths) != len(widths):
        raise ValueError(
            f"`depths` and `widths` must be of one length. Received: {depths} and "
            f"{widths}."
        )
    return depths


def _stem(x, style, stem, width, preactivation):
    imagenet = stem == "imagenet"
    size, stride = (7, 2) if imagenet else (3, 1)
    x = style.conv(x, width, size, stride, name="stem_conv")
    if imagenet or not preactivation:
        x = style.activate(style.norm(x, "stem_norm"), "stem_relu")
    if imagenet:
        # Zeros are neutral here: the ReLU's output is not negative.
        pad = keras.layers.ZeroPadding2D(
            1, data_format=style.data_format, name="stem_pad"
        )
        pool = keras.layers.MaxPooling2D(
            3, 2, data_format=style.data_format, name="stem_pool"
        )
        x = pool(pad(x))
    return x, stride * (2 if imagenet else 1)


_WIDTHS = (64, 128, 256, 512)


def _table_row(name, depths, block, source="He et al., arXiv:1512.03385", **more):
    return constructor(
        name,
        ResNet,
        f"{name} of {source}.",
        depths=depths,
        widths=_WIDTHS,
        block=block,
        **more,
    )


_RESNEXT = {
    "source": "Xie et al., arXiv:1611.05431, in its 32×4d form",
    "groups": 32,
    "width_per_group": 4,
}
_WIDE = {
    "source": "Zagoruyko and Komodakis, arXiv:1605.07146, in torchvision's form: "
    "its 3×3 convolutions are twice as wide",
    "width_per_group": 128,
}

ResNet18 = _table_row("ResNet18", (2, 2, 2, 2), "basic")
ResNet34 = _table_row("ResNet34", (3, 4, 6, 3), "basic")
ResNet50 = _table_row("ResNet50", (3, 4, 6, 3), "bottleneck")
ResNet101 = _table_row("ResNet101", (3, 4, 23, 3), "bottleneck")
ResNet152 = _table_row("ResNet152", (3, 8, 36, 3), "bottleneck")
ResNeXt50 = _table_row("ResNeXt50", (3, 4, 6, 3), "bottleneck", **_RESNEXT)
ResNeXt101 = _table_row("ResNeXt101", (3, 4, 23, 3), "bottleneck", **_RESNEXT)
WideResNet50 = _table_row("WideResNet50", (3, 4, 6, 3), "bottleneck", **_WIDE)
WideResNet101 = _table_row("WideResNet101", (3, 4, 23, 3), "bottleneck", **_WIDE)


@names_arguments(ResNet)
def WideResNet18(width=1.5, stem="imagenet", **kwargs):
    """ResNet-18 with every stage `width` times as wide, the stem staying at 64.

    The form of CBAM's table 4 (arXiv:1807.06521), with `width` 1.5 or 2.0.

    Args:
        width: float > 0.
        stem, **kwargs: as `ResNet18`.
    """
    positive_number("width", width)
    kwargs.setdefault("name", f"wideresnet18-{width}")
    widths = tuple(int(base * width) for base in _WIDTHS)
    return ResNet((2, 2, 2, 2), widths, "basic", stem=stem, **kwargs)
