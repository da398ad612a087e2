"""Attention for networks that are there already, and its plain form after training."""

from keras_attention.attaching.attach import attach
from keras_attention.attaching.folding import fold
from keras_attention.attaching.record import Placement, Placements, placements

__all__ = ["Placement", "Placements", "attach", "fold", "placements"]
