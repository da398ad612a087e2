"""Attention for convolutional networks on Keras 3."""

from keras_attention import applications, layers
from keras_attention.attention import AttentionSpec, names, register, spec
from keras_attention.counting import complexity
from keras_attention.plan import AttentionPlan
from keras_attention.version import __version__

__all__ = [
    "AttentionPlan",
    "AttentionSpec",
    "__version__",
    "applications",
    "complexity",
    "layers",
    "names",
    "register",
    "spec",
]
