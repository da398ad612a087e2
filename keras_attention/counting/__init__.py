"""Parameters, multiply-adds and memory of a model, as the papers' tables count."""

from keras_attention.counting.count import complexity
from keras_attention.counting.result import Complexity, LayerComplexity

__all__ = ["Complexity", "LayerComplexity", "complexity"]
