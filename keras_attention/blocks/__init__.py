"""Blocks: residual, separable, plain. They ask a plan, and never name an attention."""

from keras_attention.blocks.plain import convolution_block
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
    "convolution_block",
    "depthwise_separable_block",
    "inverted_residual_block",
]
