"""Object detectors with attention: Faster R-CNN on a feature pyramid, and SSD."""

from keras_attention.detection.default_boxes import DefaultBoxes
from keras_attention.detection.faster_rcnn import FasterRCNN
from keras_attention.detection.feature_pyramid import FeaturePyramid
from keras_attention.detection.options import BoxHead, RegionProposals
from keras_attention.detection.ssd import SSD, SSD300
from keras_attention.detection.ssd_head import SSDOptions

__all__ = [
    "SSD",
    "SSD300",
    "BoxHead",
    "DefaultBoxes",
    "FasterRCNN",
    "FeaturePyramid",
    "RegionProposals",
    "SSDOptions",
]
