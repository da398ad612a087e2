"""Object detectors with attention: Faster R-CNN on a feature pyramid, and SSD."""

from keras_attention.detection.faster_rcnn import FasterRCNN
from keras_attention.detection.feature_pyramid import FeaturePyramid
from keras_attention.detection.options import BoxHead, RegionProposals

__all__ = ["BoxHead", "FasterRCNN", "FeaturePyramid", "RegionProposals"]
