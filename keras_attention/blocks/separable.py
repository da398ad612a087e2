"""Blocks around a depthwise convolution.

The depthwise-separable block of MobileNet (Howard et al., 1704.04861) and the inverted
residual of its successors (Sandler et al., 1801.04381; Howard et al., 1905.02244).
"""

import keras


def depthwise_separable_block(
    x, style, filters, strides, sites, name, depth_multiplier=1
):
    """Depthwise 3×3, BN, activation; pointwise 1×1, BN, activation.

    The pointwise convolution is the conv site; the block-site attention stands
    after both, as the CBAM and AW papers' MobileNets count it.
    """
    x = _depthwise(x, style, 3, strides, name, depth_multiplier)
    x = style.attend(x, sites.block, f"{name}_depthwise_attention")
    x = style.site_conv(
        x, filters, 1, 1, name=f"{name}_pointwise", sites=sites, at=(0, 1)
    )
    x = style.norm_activate(x, f"{name}_pointwise")
    return style.attend(x, sites.block, f"{name}_pointwise_attention")


def inverted_residual_block(
    x, style, filters, strides, sites, name, *, expanded, kernel_size=3, own=None
):
    """1×1 to `expanded`, depthwise k×k, each with BN and activation; 1×1, BN; addition.

    The block-site attention stands behind the depthwise convolution's activation,
    where MobileNetV3 and MnasNet have their SE; the last, linear 1×1 is the conv site.

    Args:
        expanded: int, width between; at the input's width there is no first 1×1.
        kernel_size: odd int, of the depthwise convolution.
        own: spec of the attention that the network has there by itself, or None; the
            block site is right behind it.
        (others): as those of the other blocks.
    """
    shortcut = x
    if x.shape[style.axis] != expanded:
        x = style.conv(x, expanded, name=f"{name}_expand")
        x = style.norm_activate(x, f"{name}_expand")
    x = _depthwise(x, style, kernel_size, strides, name)
    if own is not None:
        x = style.attend(x, own, f"{name}_{own.name}")
    x = style.attend(x, sites.block, f"{name}_attention")
    x = style.site_conv(
        x, filters, 1, 1, name=f"{name}_project", sites=sites, at=(0, 1)
    )
    x = style.norm(x, f"{name}_project_norm")
    if strides > 1 or shortcut.shape[style.axis] != filters:
        return x
    return keras.layers.Add(name=f"{name}_add")([shortcut, x])


def _depthwise(x, style, kernel_size, strides, name, depth_multiplier=1):
    if strides > 1:
        # The padding of PyTorch's networks; at stride 1 "same" is that already.
        x = keras.layers.ZeroPadding2D(
            kernel_size // 2, data_format=style.data_format, name=f"{name}_pad"
        )(x)
    x = keras.layers.DepthwiseConv2D(
        kernel_size,
        strides=strides,
        padding="valid" if strides > 1 else "same",
        depth_multiplier=depth_multiplier,
        use_bias=style.use_bias,
        data_format=style.data_format,
        name=f"{name}_depthwise",
    )(x)
    return style.norm_activate(x, f"{name}_depthwise")
