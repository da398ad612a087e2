"""Labelled images: by name, from a folder, or from arrays."""

import contextlib

import keras
import tensorflow as tf

from keras_attention.data.arrays import from_arrays
from keras_attention.data.augmentation import Augmentation
from keras_attention.data.corruption import naming_corrupt_files
from keras_attention.data.folder import from_folder
from keras_attention.data.image_data import ImageData
from keras_attention.data.inspection import inspect_files
from keras_attention.data.loading import load
from keras_attention.data.preprocessing import Preprocessing
from keras_attention.data.splits import ArraySplit, FileSplit, RecordSplit

__all__ = [
    "ArraySplit",
    "Augmentation",
    "FileSplit",
    "ImageData",
    "Preprocessing",
    "RecordSplit",
    "from_arrays",
    "from_folder",
    "inspect_files",
    "load",
    "naming_corrupt_files",
]

if keras.backend.backend() != "tensorflow":
    # tf.data runs on the CPU, but TensorFlow would claim the memory of the GPU
    # that the other backend trains on. Too late once TensorFlow has started.
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
