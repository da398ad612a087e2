"""Residual and separable blocks; they ask a plan's `Sites`, never name an attention."""

from keras_attention.blocks.residual import BLOCKS
from keras_attention.blocks.separable import (
    depthwise_separable_block,
    inverted_residual_block,
)
from keras_attention.blocks.shortcut import ZeroPadShortcut
from keras_attention.blocks.style import NetworkStyle

__all__ = [
    "BLOCKS",
    "NetworkStyle",
    "ZeroPadShortcut",
    "depthwise_separable_block",
    "inverted_residual_block",
]
