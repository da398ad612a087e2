"""Images with boxes: from COCO's files and TensorFlow Datasets, and in batches."""

from keras_attention.detection.data.coco_folder import read_coco, read_coco_folder
from keras_attention.detection.data.pipeline import detection_pipeline, steps_per_epoch
from keras_attention.detection.data.records import BoxedImage, BoxedImages
from keras_attention.detection.data.tfds_boxes import read_tfds_boxes

__all__ = [
    "BoxedImage",
    "BoxedImages",
    "detection_pipeline",
    "read_coco",
    "read_coco_folder",
    "read_tfds_boxes",
    "steps_per_epoch",
]
