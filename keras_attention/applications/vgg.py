"""VGG-16 (Simonyan and Zisserman, arXiv:1409.1556), configuration D."""

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

# Convolutions and their filters, by stage.
DEPTHS = (2, 2, 3, 3, 3)
FILTERS = (64, 128, 256, 512, 512)


@names_arguments()
def VGG16(
    units=4096,
    dropout=0.5,
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="vgg16",
    attention=None,
    pyramid=False,
    data_format=None,
):
    positive_integer("units", units)
    plan = AttentionPlan(attention, DEPTHS)
    data_format = check_data_format(data_format)
    style = NetworkStyle(data_format, use_bias=True)
    inputs = x = image_input(input_tensor, input_shape, (224, 224, 3), data_format)
    if include_top and not pyramid:
        _check_size(inputs.shape, data_format)
    stages = []
    for s, (depth, filters) in enumerate(zip(DEPTHS, FILTERS, strict=True), 1):
        for b in range(1, depth + 1):
            key = f"stage{s}_block{b}"
            x = convolution_block(
                x, style, filters, plan[key], key, norm=False, pool=False
            )
            x = style.attend(x, plan[key].stage, f"stage{s}_attention")
        stages.append((2 ** (s - 1), x))
        # "same" at stride 2: an odd row or column is pooled by itself.
        x = keras.layers.MaxPooling2D(
            2, padding="same", data_format=data_format, name=f"stage{s}_pool"
        )(x)
    stages.append((2 ** len(DEPTHS), x))
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
        head=lambda features: _dense_layers(features, units, dropout),
    )


VGG16.__doc__ = f"""VGG-16, 13 convolutions and 3 dense layers, with attention.

    Of each stage two or three times conv 3×3 → ReLU → attention, then a 2×2 max-pool;
    flatten → (dense → ReLU → dropout) twice → classifier.

    Args:
        units: int ≥ 1, width of the two hidden dense layers.
        dropout: rate behind each of them.
{COMMON_ARGUMENTS}
    Blocks are named `"stage1_block1"` to `"stage5_block3"`; each convolution is a conv
    site, the block site stands behind its ReLU, and the stage site before the pool. A
    pyramid has what comes before the five pools as P0 to P4, and the last pool as P5.

    Returns:
        A functional `keras.Model`; its layers are `stage1_block1_conv`, `…_relu`,
        `…_attention`, `stage1_pool`.

    Raises:
        ValueError: an image of unknown size with the classifier on top; and for
            whatever argument does not fit, with the choices.

    Source: arXiv:1409.1556, table 1, D. Where a map has an odd size, its last row or
    column is pooled by itself, as in Caffe, with which the authors trained;
    torchvision and `keras.applications` leave it out. At 224 pixels there is none.
    """


def _dense_layers(x, units, dropout):
    """Two dense layers; the second's dropout is `finish`'s."""
    x = keras.layers.Dense(units, activation="relu", name="head_dense1")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="head_dropout1")(x)
    return keras.layers.Dense(units, activation="relu", name="head_dense2")(x)


def _check_size(shape, data_format):
    size = spatial_shape(shape, data_format)
    if None in size:
        raise ValueError(
            "VGG16 flattens its maps, so that with the classifier on top the size of "
            f"the images must be known. Received: height and width {size}."
        )
