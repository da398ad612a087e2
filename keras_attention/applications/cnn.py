"""The CNN of three convolutions of the CBAM ablation study."""

import keras

from keras_attention.applications.common import (
    COMMON_ARGUMENTS,
    check_data_format,
    finish,
    image_input,
    names_arguments,
)
from keras_attention.blocks import NetworkStyle, convolution_block
from keras_attention.layers.checks import positive_integer
from keras_attention.ops.layout import spatial_shape
from keras_attention.plan import AttentionPlan

FILTERS = (32, 64, 128)
STRIDE = 2 ** len(FILTERS)


@names_arguments()
def CNN3(
    input_shape=None,
    units=1024,
    dropout=0.0,
    include_top=True,
    weights=None,
    input_tensor=None,
    pooling=None,
    classes=10,
    classifier_activation="softmax",
    name="cnn3",
    attention=None,
    pyramid=False,
    data_format=None,
):
    positive_integer("units", units)
    plan = AttentionPlan(attention, (1,) * len(FILTERS))
    data_format = check_data_format(data_format)
    style = NetworkStyle(data_format, use_bias=True)
    inputs = x = image_input(input_tensor, input_shape, (32, 32, 3), data_format)
    _check_size(inputs.shape, data_format, include_top and not pyramid)
    stages = []
    for s, filters in enumerate(FILTERS, 1):
        key = f"stage{s}_block1"
        x = convolution_block(x, style, filters, plan[key], key)
        x = style.attend(x, plan[key].stage, f"stage{s}_attention")
        stages.append((2**s, x))
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
        dropout=dropout,
        flatten=True,
        head=keras.layers.Dense(units, activation="relu", name="head_dense"),
    )


CNN3.__doc__ = f"""Three 3×3 convolutions, to 32, 64 and 128 channels; two dense layers.

    conv → BN → ReLU → attention → 2×2 max-pool, three times; flatten → dense → ReLU →
    classifier.

    Args:
        units: int ≥ 1, width of the hidden dense layer.
        dropout: rate before the classifier.
{COMMON_ARGUMENTS}
    Blocks are named `"stage1_block1"` to `"stage3_block1"`; the convolution is the conv
    site, and the block site stands between ReLU and pool.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: an image below 8×8, or one of unknown size with the classifier on
            top; and for whatever argument does not fit, with the choices.

    Source: the CBAM ablation study on CIFAR-10, whose parameter counts (2,202,122
    plain, 2,205,342 with CBAM without its batch norm) fix widths, biases and batch
    norms; that the attention stands between ReLU and pool is our reading.
    """


def _check_size(shape, data_format, flattened):
    size = spatial_shape(shape, data_format)
    if any(n is not None and n < STRIDE for n in size) or (flattened and None in size):
        raise ValueError(
            f"CNN3 takes images of at least {STRIDE}×{STRIDE} pixels, and flattens "
            "its maps, so that with the classifier on top the size must be known. "
            f"Received: height and width {size}."
        )
