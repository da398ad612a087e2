"""The depthwise-separable block of MobileNet (Howard et al., 1704.04861)."""

import keras


def depthwise_separable_block(
    x, style, filters, strides, sites, name, depth_multiplier=1
):
    """Depthwise 3×3, BN, activation; pointwise 1×1, BN, activation.

    The pointwise convolution is the conv site; the block-site attention stands
    after both, as the CBAM and AW papers' MobileNets count it.
    """
    if strides > 1:
        # The padding of PyTorch's networks; at stride 1 "same" is that already.
        x = keras.layers.ZeroPadding2D(
            1, data_format=style.data_format, name=f"{name}_pad"
        )(x)
    x = keras.layers.DepthwiseConv2D(
        3,
        strides=strides,
        padding="valid" if strides > 1 else "same",
        depth_multiplier=depth_multiplier,
        use_bias=style.use_bias,
        data_format=style.data_format,
        name=f"{name}_depthwise",
    )(x)
    x = _finish(x, style, sites, f"{name}_depthwise")
    x = style.site_conv(
        x, filters, 1, 1, name=f"{name}_pointwise", sites=sites, at=(0, 1)
    )
    return _finish(x, style, sites, f"{name}_pointwise")


def _finish(x, style, sites, name):
    x = style.activate(style.norm(x, f"{name}_norm"), f"{name}_relu")
    return style.attend(x, sites.block, f"{name}_attention")
