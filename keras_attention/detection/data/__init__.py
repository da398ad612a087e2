"""Images with boxes: from COCO's files and TensorFlow Datasets, and in batches."""

from keras_attention.detection.data.coco_folder import read_coco, read_coco_folder
from keras_attention.detection.data.pipeline import detection_pipeline, steps_per_epoch
from keras_attention.detection.data.records import BoxedImage, BoxedImages

__all__ = [
    "BoxedImage",
    "BoxedImages",
    "detection_pipeline",
    "read_coco",
    "read_coco_folder",
    "steps_per_epoch",
]
