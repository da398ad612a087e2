"""Networks with attention, built like those of `keras.applications`."""

from keras_attention.applications.cifar import AAWideResNet, CifarResNet, WideResNet
from keras_attention.applications.cnn import CNN3
from keras_attention.applications.mobilenet import MobileNet
from keras_attention.applications.mobilenet_v2 import MobileNetV2
from keras_attention.applications.mobilenet_v3 import (
    MobileNetV3Large,
    MobileNetV3Small,
)
from keras_attention.applications.names import build, names, takes
from keras_attention.applications.resnet import (
    ResNet,
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet101,
    ResNet152,
    ResNeXt50,
    ResNeXt101,
    WideResNet18,
    WideResNet50,
    WideResNet101,
)
from keras_attention.applications.vgg import VGG16

__all__ = [
    "CNN3",
    "VGG16",
    "AAWideResNet",
    "CifarResNet",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "ResNeXt50",
    "ResNeXt101",
    "ResNet",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "ResNet101",
    "ResNet152",
    "WideResNet",
    "WideResNet18",
    "WideResNet50",
    "WideResNet101",
    "build",
    "names",
    "takes",
]
