"""The block of a plain network, without a shortcut."""

import keras


def convolution_block(x, style, filters, sites, name):
    """3×3, BN, activation, 2×2 max-pool; the 3×3 is the conv site.

    The block-site attention stands before the pool.
    """
    x = style.site_conv(x, filters, 3, 1, name=f"{name}_conv", sites=sites, at=(0, 1))
    x = style.norm_activate(x, name)
    x = style.attend(x, sites.block, f"{name}_attention")
    pool = keras.layers.MaxPooling2D(
        2, data_format=style.data_format, name=f"{name}_pool"
    )
    return pool(x)
