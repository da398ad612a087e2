"""Weights of other libraries and of this one: read, map, load, write back."""

from keras_attention.weights.loading import Weights, load_weights
from keras_attention.weights.preprocessing import ImageFormat
from keras_attention.weights.report import Report
from keras_attention.weights.saving import save_weights

__all__ = ["ImageFormat", "Report", "Weights", "load_weights", "save_weights"]
