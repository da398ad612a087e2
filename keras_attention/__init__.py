"""Attention for convolutional networks on Keras 3."""

from keras_attention import applications, layers
from keras_attention.attaching import attach, fold, placements
from keras_attention.attention import AttentionSpec, names, register, spec
from keras_attention.counting import complexity
from keras_attention.plan import AttentionPlan
from keras_attention.version import __version__
from keras_attention.weights import Weights, load_weights, save_weights

__all__ = [
    "AttentionPlan",
    "AttentionSpec",
    "Weights",
    "__version__",
    "applications",
    "attach",
    "complexity",
    "fold",
    "layers",
    "load_weights",
    "names",
    "placements",
    "register",
    "save_weights",
    "spec",
]
