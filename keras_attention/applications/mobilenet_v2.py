"""MobileNetV2 (Sandler et al., arXiv:1801.04381)."""

from keras_attention.applications.common import (
    COMMON_ARGUMENTS,
    check_data_format,
    finish,
    image_input,
    names_arguments,
)
from keras_attention.applications.inverted import Row, inverted_stages, width
from keras_attention.blocks import NetworkStyle
from keras_attention.layers.checks import positive_number
from keras_attention.plan import AttentionPlan

# (expansion, filters, strides) of the 17 blocks, by stage; one begins at a stride of 2.
STAGES = (
    (Row(1, 16),),
    (Row(6, 24, 2), Row(6, 24)),
    (Row(6, 32, 2), Row(6, 32), Row(6, 32)),
    (Row(6, 64, 2), *3 * (Row(6, 64),), *3 * (Row(6, 96),)),
    (Row(6, 160, 2), Row(6, 160), Row(6, 160), Row(6, 320)),
)


@names_arguments()
def MobileNetV2(
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
    pyramid=False,
    data_format=None,
):
    positive_number("alpha", alpha)
    plan = AttentionPlan(attention, [len(rows) for rows in STAGES])
    data_format = check_data_format(data_format)
    style = NetworkStyle(data_format, activation="relu6")
    inputs = image_input(input_tensor, input_shape, (224, 224, 3), data_format)
    stages = inverted_stages(inputs, style, STAGES, 32, alpha, plan)
    x = style.conv(stages[-1][1], width(1280, max(alpha, 1.0)), name="head_conv")
    x = style.norm_activate(x, "head")
    return finish(
        inputs,
        x,
        stages,
        include_top=include_top,
        weights=weights,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name or f"mobilenetv2-{alpha}",
        pyramid=pyramid,
        data_format=data_format,
        dropout=dropout,
    )


MobileNetV2.__doc__ = f"""MobileNetV2 with attention in its inverted residual blocks.

    Args:
        alpha: float > 0, width multiplier of every layer; the last convolution's 1280
            grow with it and do not shrink. Widths are multiples of 8.
        dropout: rate before the classifier.
{COMMON_ARGUMENTS}
    A block-site attention stands behind the depthwise convolution of each of the 17
    blocks, a conv-site one in place of the 1×1 convolution that follows; a pyramid has
    the outputs of the five stages' last blocks.

    Returns:
        A functional `keras.Model`. Blocks are named `"stage{{s}}_block{{b}}"`, and so
        are their layers: `stage2_block1_expand`, `…_depthwise`, `…_attention`,
        `…_project`, `…_add`.

    Raises:
        ValueError: for whatever argument does not fit, with the choices.

    Source: arXiv:1801.04381, table 2. Padding is symmetric at stride 2 and batch norms
    have PyTorch's ε, unlike `keras.applications.MobileNetV2`.
    """
