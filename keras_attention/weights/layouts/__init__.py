"""How other libraries call and shape the weights of networks that are here too."""

from keras_attention.weights.layouts.finding import exporting, layout_of

__all__ = ["exporting", "layout_of"]
