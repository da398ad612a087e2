"""The feature maps that SSD's heads look at, by a backbone and extra layers."""

import math
import re

import keras
from keras import ops

from keras_attention.attention import names as attention_names
from keras_attention.blocks import NetworkStyle
from keras_attention.detection.feature_pyramid import levels_of
from keras_attention.layers.checks import positive_integer
from keras_attention.layers.convolution import Conv2D
from keras_attention.plan import AttentionPlan

FIRST_LEVEL = 3  # the finest that SSD looks at, stride 8

ATTENTION = """
        attention: block-site attention of the maps, right before the heads: a name
            such as `"cbam"`, a spec, or by map, `"map1"` the finest. What the next
            map is made of is the map without it. Conv-site attentions belong into the
            backbone, which has its own `attention=`.
"""


def SSDFeatures(
    backbone,
    image_size,
    levels=None,
    maps=None,
    channels=256,
    attention=None,
    name="ssd_features",
):
    levels = _chosen_levels(backbone, levels)
    features = levels_of(backbone, levels)
    outputs = [features[n] for n in levels]
    height, width = image_size
    size = max(output_shapes(backbone, image_size)[f"P{levels[-1]}"][1:3])
    most = len(levels) + math.ceil(math.log2(size))  # down to 1×1
    if maps is None:
        maps = most
    if not len(levels) <= positive_integer("maps", maps) <= most:
        raise ValueError(
            f"`maps` must be from {len(levels)}, those of the backbone, to {most}, "
            f"where the last of {height}×{width} images is 1×1. Received: {maps}."
        )
    positive_integer("channels", channels)
    for n in range(len(levels) + 1, maps + 1):
        outputs.append(_extra(outputs[-1], channels, f"extra{n}"))
    return _model(backbone, outputs, attention, name)


SSDFeatures.__doc__ = f"""A backbone's pyramid, then maps of half the size each.

    Each further map is Conv₃ₓ₃ at stride 2 of Conv₁ₓ₁ to half the channels, both with
    ReLU.

    Args:
        backbone: an application built with `pyramid=True`, channels last.
        image_size: (height, width) that the maps are made for.
        levels: tuple of the backbone's levels that are used, without gaps. None: P3 and
            higher, or, where there is none, the highest.
        maps: int, number of all maps. None: until one is 1×1.
        channels: int, of the further maps.
{ATTENTION}
        name: of the model.

    Returns:
        `keras.Model` from the backbone's input to `{{"map1": …, "map2": …}}`.

    Raises:
        ValueError: for whatever does not fit, with the choices.
    """


def SSD300Features(backbone, attention=None, name="ssd_features"):
    features = levels_of(backbone, (3, 4))
    outputs = [L2Scale(name="ssd_scale")(features[3])]
    x = keras.layers.MaxPooling2D(
        3, 1, "same", data_format="channels_last", name="ssd_pool5"
    )(features[4])
    x = _conv(x, 1024, 3, "fc6", dilation_rate=6)
    outputs.append(_conv(x, 1024, 1, "fc7"))
    outputs.append(_extra(outputs[-1], 512, "extra3"))
    outputs.append(_extra(outputs[-1], 256, "extra4"))
    outputs.append(_extra(outputs[-1], 256, "extra5", strides=1, padding="valid"))
    outputs.append(_extra(outputs[-1], 256, "extra6", strides=1, padding="valid"))
    return _model(backbone, outputs, attention, name)


SSD300Features.__doc__ = f"""SSD300's six maps: 38, 19, 10, 5, 3 and 1 places a side.

    The first is the backbone's P3 with an `L2Scale`, the second comes from its P4 by a
    3×3 max-pool at stride 1, a 3×3 convolution with dilation 6 and a 1×1 to 1024
    channels; of a VGG16 these are conv4_3, and conv5_3 with fc6 and fc7.

    Args:
        backbone: `VGG16(pyramid=True)` or another application so built, channels last.
{ATTENTION}
        name: of the model.

    Returns:
        `keras.Model` from the backbone's input to `{{"map1": …, …, "map6": …}}`.

    Raises:
        ValueError: a backbone without P3 and P4, and whatever does not fit.

    Source: arXiv:1512.02325, section 3, in torchvision's layout.
    """


def output_shapes(model, image_size):
    """The shapes of a functional model's outputs by name, for images of that size.

    Raises:
        ValueError: it was built for images of another size.
    """
    height, width = image_size
    built = tuple(model.input_shape[1:3])
    if any(n not in (None, m) for n, m in zip(built, image_size, strict=True)):
        raise ValueError(
            f"The backbone takes images of {built[0]}×{built[1]}, the detector of "
            f"{height}×{width}. Build it with input_shape=(None, None, 3), or give the "
            "detector another `image_size`."
        )
    return model.compute_output_shape((None, height, width, model.input_shape[3]))


@keras.saving.register_keras_serializable("keras_attention")
class L2Scale(keras.layers.Layer):
    """y = scale ⊙ x / ‖x‖₂, of each place over its channels (ParseNet, 1506.04579).

    A place whose channels are all 0 stays so, its gradient finite, unlike that of
    `keras.ops.normalize`.

    Args:
        initial: float > 0, of each channel's learned scale.

    Input shape and output shape: (batch, H, W, C).
    """

    def __init__(self, initial=20.0, **kwargs):
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, input_shape):
        self.scale = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.initial),
            name="scale",
        )
        self.built = True

    def call(self, inputs):
        # Squares of large maps overflow in half precision.
        x = ops.cast(inputs, self.variable_dtype)
        square = ops.sum(ops.square(x), axis=-1, keepdims=True)
        square = ops.where(square > 1e-24, square, 1.0)
        return self.scale * ops.cast(x * ops.rsqrt(square), self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "initial": self.initial}


def _chosen_levels(backbone, levels):
    if levels is None:
        outputs = getattr(backbone, "output", None)
        keys = outputs if isinstance(outputs, dict) else ()
        found = sorted(int(k[1:]) for k in keys if re.fullmatch(r"P\d+", str(k)))
        return tuple(n for n in found if n >= FIRST_LEVEL) or tuple(found[-1:])
    if not isinstance(levels, list | tuple) or not levels:
        raise ValueError(f"`levels` must be a tuple of ints. Received: {levels!r}.")
    return tuple(levels)


def _extra(x, channels, name, strides=2, padding="symmetric"):
    x = _conv(x, max(channels // 2, 1), 1, f"{name}_reduce")
    return _conv(x, channels, 3, name, strides=strides, padding=padding)


def _conv(x, filters, kernel_size, name, padding="symmetric", **options):
    layer = Conv2D(
        filters,
        kernel_size,
        padding=padding,
        activation="relu",  # Glorot-uniform, Keras' default, is torchvision's here
        data_format="channels_last",
        name=f"ssd_{name}",
        **options,
    )
    return layer(x)


def _model(backbone, maps, attention, name):
    keys = tuple(f"map{n}" for n in range(1, len(maps) + 1))
    plan = AttentionPlan(attention, (len(keys),), blocks=keys)
    style = NetworkStyle("channels_last")
    outputs = {}
    for key, x in zip(keys, maps, strict=True):
        sites = plan[key]
        if sites.conv is not None:
            raise ValueError(
                f"{sites.conv} replaces a convolution, and {key!r} is a map before the "
                "heads, where block-site attentions stand: "
                f"{', '.join(attention_names('block'))}. Give it to the backbone: "
                f"applications.build('vgg16', pyramid=True, attention='{sites.conv}')."
            )
        outputs[key] = style.attend(x, sites.block, f"ssd_{key}_attention")
    return keras.Model(backbone.input, outputs, name=name)
