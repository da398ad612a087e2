"""The block of a plain network, without a shortcut."""

import keras


def convolution_block(x, style, filters, sites, name, *, norm=True, pool=True):
    """3×3, BN, activation, 2×2 max-pool; the 3×3 is the conv site.

    The block-site attention stands behind the activation, before the pool.

    Args:
        norm, pool: whether the block has a batch norm, and a pool.
        (others): as those of the other blocks.
    """
    x = style.site_conv(x, filters, 3, 1, name=f"{name}_conv", sites=sites, at=(0, 1))
    x = style.norm_activate(x, name) if norm else style.activate(x, f"{name}_relu")
    x = style.attend(x, sites.block, f"{name}_attention")
    if not pool:
        return x
    pool = keras.layers.MaxPooling2D(
        2, data_format=style.data_format, name=f"{name}_pool"
    )
    return pool(x)
