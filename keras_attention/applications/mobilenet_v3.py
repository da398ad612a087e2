"""MobileNetV3 (Howard et al., arXiv:1905.02244)."""

import keras

from keras_attention.applications.common import (
    COMMON_ARGUMENTS,
    check_data_format,
    constructor,
    finish,
    image_input,
    names_arguments,
)
from keras_attention.applications.inverted import OWN, Row, inverted_stages, width
from keras_attention.blocks import NetworkStyle
from keras_attention.choices import check_choice
from keras_attention.layers.checks import positive_number
from keras_attention.layers.squeeze_excitation import SE
from keras_attention.plan import AttentionPlan

_SE = SE(reduction_ratio=4, gate="hard_sigmoid", hidden_divisor=8)


def _relu(*shape, own=None):
    return Row(*shape, activation="relu", own=own)


# (expansion, filters, strides, kernel size) by stage; one begins at a stride of 2.
LARGE = (
    (_relu(1, 16),),
    (_relu(4, 24, 2), _relu(3, 24)),
    (_relu(3, 40, 2, 5, own=_SE), *2 * (_relu(3, 40, 1, 5, own=_SE),)),
    (
        *(Row(6, 80, 2), Row(2.5, 80), Row(2.3, 80), Row(2.3, 80)),
        *2 * (Row(6, 112, own=_SE),),
    ),
    (Row(6, 160, 2, 5, own=_SE), *2 * (Row(6, 160, 1, 5, own=_SE),)),
)
SMALL = (
    (_relu(1, 16, 2, own=_SE),),
    (_relu(72 / 16, 24, 2), _relu(88 / 24, 24)),
    (
        *(Row(4, 40, 2, 5, own=_SE), *2 * (Row(6, 40, 1, 5, own=_SE),)),
        *2 * (Row(3, 48, 1, 5, own=_SE),),
    ),
    (Row(6, 96, 2, 5, own=_SE), *2 * (Row(6, 96, 1, 5, own=_SE),)),
)
# size -> (table, units of the head)
SIZES = {"large": (LARGE, 1280), "small": (SMALL, 1024)}


@names_arguments()
def MobileNetV3(
    size,
    input_shape=None,
    alpha=1.0,
    dropout=0.2,
    include_top=True,
    weights=None,
    input_tensor=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name=None,
    attention=None,
    se="replace",
    pyramid=False,
    data_format=None,
):
    table, units = SIZES[check_choice("size", size, SIZES)]
    positive_number("alpha", alpha)
    check_choice("se", se, OWN)
    plan = AttentionPlan(attention, [len(rows) for rows in table])
    data_format = check_data_format(data_format)
    # The authors' ε, and torchvision's momentum for these networks (0.01 there).
    style = NetworkStyle(
        data_format, activation="hard_swish", norm_momentum=0.99, norm_epsilon=1e-3
    )
    inputs = image_input(input_tensor, input_shape, (224, 224, 3), data_format)
    stages = inverted_stages(inputs, style, table, 16, alpha, plan, se)
    x = stages[-1][1]
    x = style.conv(x, width(6 * x.shape[style.axis]), name="head_conv")
    x = style.norm_activate(x, "head")

    def head(pooled):
        dense = keras.layers.Dense(width(units, max(alpha, 1.0)), name="head_dense")
        return style.activate(dense(pooled), "head_dense_hard_swish")

    return finish(
        inputs,
        x,
        stages,
        include_top=include_top,
        weights=weights,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name or f"mobilenetv3{size}-{alpha}",
        pyramid=pyramid,
        data_format=data_format,
        dropout=dropout,
        head=head,
    )


MobileNetV3.__doc__ = f"""MobileNetV3, of which Large and Small are the two sizes.

    Args:
        size: `"large"` or `"small"`.
        alpha: float > 0, width multiplier of every layer; the head's 1280 or 1024 units
            grow with it and do not shrink. Widths are multiples of 8.
        dropout: rate before the classifier.
        se: what becomes of the network's own SE, which eight of Large's 15 blocks and
            nine of Small's 11 have, where `attention` has something for a block site:
            - `"replace"`: given for the whole network, it stands in place of the SE,
              where there is one and only there; given by block (a list or a dict), it
              stands in its block, in place of the SE if there is one, and blocks with
              nothing of their own keep theirs;
            - `"join"`: it stands wherever it was asked for, behind the SE if there is
              one;
            - `"remove"`: there is no SE of the network's own, whatever is given.
            Attentions at other sites leave the SE as it is. To search, or to place
            nothing in some blocks, take `"remove"`.
{COMMON_ARGUMENTS}
    A block-site attention stands behind the depthwise convolution of a block, where
    the SE is; a conv-site one in place of the 1×1 convolution that follows; a pyramid
    has the outputs of the stages' last blocks.

    Returns:
        A functional `keras.Model`. Blocks are named `"stage{{s}}_block{{b}}"`, and so
        are their layers: `stage3_block1_expand`, `…_depthwise`, `…_se` (the network's
        own), `…_attention`, `…_project`, `…_add`.

    Raises:
        ValueError: for whatever argument does not fit, with the choices.

    Source: arXiv:1905.02244, tables 1 and 2; SE, ε and the rounding of widths are the
    authors' code's. Unlike in `keras.applications.MobileNetV3Large` and `…Small`,
    padding is symmetric at stride 2, alpha thins the stem too, and images are not
    rescaled within.
    """

MobileNetV3Large = constructor(
    "MobileNetV3Large",
    MobileNetV3,
    "MobileNetV3-Large of Howard et al., arXiv:1905.02244; `se` is about its own SE.",
    size="large",
)
MobileNetV3Small = constructor(
    "MobileNetV3Small",
    MobileNetV3,
    "MobileNetV3-Small of Howard et al., arXiv:1905.02244; `se` is about its own SE.",
    size="small",
)
