"""Object detectors with attention: Faster R-CNN on a feature pyramid, and SSD."""

from keras_attention.detection.default_boxes import DefaultBoxes
from keras_attention.detection.exporting import export_saved_model
from keras_attention.detection.faster_rcnn import FasterRCNN
from keras_attention.detection.feature_pyramid import FeaturePyramid
from keras_attention.detection.fitting import fit
from keras_attention.detection.options import BoxHead, RegionProposals
from keras_attention.detection.prediction import detect, evaluate
from keras_attention.detection.recipes import (
    DETECTION_RECIPES,
    DetectionRecipe,
    detection_recipe,
)
from keras_attention.detection.request import DetectionRequest
from keras_attention.detection.runs import (
    evaluate_run,
    export_run,
    predict_run,
    train,
)
from keras_attention.detection.ssd import SSD, SSD300
from keras_attention.detection.ssd_head import SSDOptions

__all__ = [
    "DETECTION_RECIPES",
    "SSD",
    "SSD300",
    "BoxHead",
    "DefaultBoxes",
    "DetectionRecipe",
    "DetectionRequest",
    "FasterRCNN",
    "FeaturePyramid",
    "RegionProposals",
    "SSDOptions",
    "detect",
    "detection_recipe",
    "evaluate",
    "evaluate_run",
    "export_run",
    "export_saved_model",
    "fit",
    "predict_run",
    "train",
]
