"""MobileNet (Howard et al., arXiv:1704.04861)."""

from keras_attention.applications.common import (
    COMMON_ARGUMENTS,
    check_data_format,
    finish,
    image_input,
    names_arguments,
)
from keras_attention.blocks import NetworkStyle, depthwise_separable_block
from keras_attention.layers.checks import positive_integer, positive_number
from keras_attention.plan import AttentionPlan

# (filters, strides) of the 13 blocks, by stage; a stage begins where the stride is 2.
STAGES = (
    ((64, 1),),
    ((128, 2), (128, 1)),
    ((256, 2), (256, 1)),
    ((512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    ((1024, 2), (1024, 1)),
)


@names_arguments()
def MobileNet(
    input_shape=None,
    alpha=1.0,
    depth_multiplier=1,
    dropout=0.001,
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
    positive_integer("depth_multiplier", depth_multiplier)
    plan = AttentionPlan(attention, [len(stage) for stage in STAGES], stem=True)
    data_format = check_data_format(data_format)
    style = NetworkStyle(data_format, activation="relu6")
    inputs = image_input(input_tensor, input_shape, (224, 224, 3), data_format)
    x = style.conv(inputs, int(32 * alpha), 3, 2, name="stem_conv")
    x = style.norm_activate(x, "stem")
    x = style.attend(x, plan["stem"].block, "stem_attention")
    stride, stages = 2, []
    for s, stage in enumerate(STAGES, 1):
        for b, (filters, strides) in enumerate(stage, 1):
            stride *= strides
            key = f"stage{s}_block{b}"
            filters = int(filters * alpha)
            x = depthwise_separable_block(
                x, style, filters, strides, plan[key], key, depth_multiplier
            )
            x = style.attend(x, plan[key].stage, f"stage{s}_attention")
        stages.append((stride, x))
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
        name=name or f"mobilenet-{alpha}",
        pyramid=pyramid,
        data_format=data_format,
        dropout=dropout,
    )


MobileNet.__doc__ = f"""MobileNet V1 with attention in its separable blocks.

    Args:
        alpha: float > 0, width multiplier of every layer.
        depth_multiplier: int ≥ 1, of the depthwise convolutions.
        dropout: rate before the classifier.
{COMMON_ARGUMENTS}
    A block-site attention stands after the stem and after every depthwise and
    every pointwise convolution; a conv-site one replaces the 13 pointwise
    convolutions. There are 13 blocks in five stages, and `"stem"` is a name too;
    a list with one entry per block leaves the stem without attention.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: for whatever argument does not fit, with the choices.

    Source: arXiv:1704.04861, table 1, with ReLU6 as its authors' code; attention as
    arXiv:2108.08205, table 1 counts it. Padding is symmetric at stride 2, unlike
    `keras.applications.MobileNet`.
    """
