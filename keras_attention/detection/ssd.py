"""SSD, the single-shot detector, with attention in it."""

import keras
from keras import ops

from keras_attention.attention import recorded
from keras_attention.detection.default_boxes import DefaultBoxes, default_boxes
from keras_attention.detection.detector import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    INPUTS,
    Detector,
    backbone_model,
)
from keras_attention.detection.ssd_features import (
    SSD300Features,
    SSDFeatures,
    output_shapes,
)
from keras_attention.detection.ssd_head import SSDHead, SSDOptions, detect, ssd_losses
from keras_attention.layers.checks import positive_integer

LOSSES = ("class_loss", "box_loss")
# The paper's at 300 pixels, as torchvision's.
BOXES_300 = DefaultBoxes(
    scales=(0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05),
    aspect_ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    steps=(8, 16, 32, 64, 100, 300),
)
# What the VGG16 of the paper's authors was trained with: torchvision's, × 255.
CAFFE_MEAN = (122.99925, 116.9991, 103.9992)
CAFFE_STD = (1.0, 1.0, 1.0)


@keras.saving.register_keras_serializable("keras_attention")
class SSD(Detector):
    __doc__ = f"""SSD on the maps of any backbone, for images of one size.

    Args:
        backbone: an application built with `pyramid=True`, channels last, or the name
            of one, such as `"mobilenetv2"`; a `FeaturePyramid` will do, too.
        num_classes: int ≥ 2, the background (label 0) included: 91 for COCO's
            category ids, 81 for its 80 classes, 21 for VOC.
        image_size: (height, width) of all images.
        attention: block-site attention of the maps, right before the heads, see
            `SSDFeatures`: None, `"se"`, `"cbam"`, …. The backbone has its own.
        levels, maps, channels: which maps there are, see `SSDFeatures`.
        boxes: `DefaultBoxes(…)`, the boxes of each place of each map.
        options: `SSDOptions(…)`, what learns and what is detected.
        mean, std: what images are normalised with, in pixel values.
        name: of the model.
{INPUTS}
    Losses: `{", ".join(LOSSES)}`.

    Raises:
        ValueError: images of another size, and whatever does not fit, with the choices.

    Source: arXiv:1512.02325; matching, losses and detections are torchvision's `SSD`'s.
    Differs from it: what lies in a crowd box is not learned as background (there,
    crowds are dropped), and where an image has less than three negatives for each
    positive, no positive counts twice.
    """

    def __init__(
        self,
        backbone,
        num_classes,
        image_size=(300, 300),
        attention=None,
        levels=None,
        maps=None,
        channels=256,
        boxes=None,
        options=None,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        name="ssd",
        **kwargs,
    ):
        backbone = backbone_model(backbone)
        image_size = _image_size(image_size)
        extractor = self._features(
            backbone,
            image_size=image_size,
            levels=levels,
            maps=maps,
            channels=channels,
            attention=attention,
        )
        super().__init__(extractor, LOSSES, num_classes, mean, std, name=name, **kwargs)
        self.backbone = backbone
        self.image_size = image_size
        self.attention = attention
        self.levels = levels
        self.maps = maps
        self.channels = channels
        self.boxes = DefaultBoxes.read("boxes", boxes or {})
        self.options = SSDOptions.read("options", options or {})
        shapes = _in_order(output_shapes(extractor, image_size))
        self.default_boxes = default_boxes(
            image_size, [shape[1:3] for shape in shapes], self.boxes
        )
        self.head = SSDHead(
            self.boxes.per_place(len(shapes)),
            num_classes,
            dtype=self.dtype_policy,
            name="head",
        )
        self.head.build(shapes)
        self.built = True

    @staticmethod
    def _features(backbone, **options):
        return SSDFeatures(backbone, **options)

    def call(self, inputs, training=False):
        images = inputs.get("images") if isinstance(inputs, dict) else inputs
        height, width = self.image_size
        if images is not None and tuple(images.shape[1:3]) != self.image_size:
            raise ValueError(
                f"This detector takes images of {height}×{width}, for which its "
                f"default boxes are made. Received: {tuple(images.shape)}. Resize or "
                "pad them, or build it with another `image_size`."
            )
        return super().call(inputs, training=training)

    def training_losses(self, features, image_shape, sizes, targets):
        outputs = self.head(_in_order(features))
        values = ssd_losses(*outputs, self._defaults(), targets, self.options)
        return dict(zip(LOSSES, values, strict=True))

    def detections(self, features, image_shape, sizes):
        outputs = self.head(_in_order(features))
        return detect(*outputs, self._defaults(), sizes, self.options)

    def _defaults(self):
        return ops.convert_to_tensor(self.default_boxes)

    def get_config(self):
        return {
            **super().get_config(),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "image_size": list(self.image_size),
            "attention": recorded(self.attention),
            "levels": self.levels and list(self.levels),
            "maps": self.maps,
            "channels": self.channels,
            "boxes": self.boxes.to_dict(),
            "options": self.options.to_dict(),
        }

    @classmethod
    def from_config(cls, config):
        backbone = keras.saving.deserialize_keras_object(config["backbone"])
        return cls(**{**config, "backbone": backbone})


@keras.saving.register_keras_serializable("keras_attention")
class SSD300(SSD):
    __doc__ = f"""The paper's SSD for images of 300×300, with 8,732 default boxes.

    Args:
        backbone: an application built with `pyramid=True`, channels last, that has P3
            and P4, or its name; `VGG16(pyramid=True, attention=…)` for attention in it.
        num_classes, attention, boxes, options, name: as `SSD`'s; None for `boxes` is
            `BOXES_300`, the paper's.
        mean, std: what images are normalised with, in pixel values; by default what
            the paper's VGG16 was trained with.
{INPUTS}
    Losses: `{", ".join(LOSSES)}`.

    Raises:
        ValueError: images of another size, and whatever does not fit, with the choices.

    Source: arXiv:1512.02325 in the layout of torchvision's `ssd300_vgg16`; see `SSD`.
    """

    def __init__(
        self,
        backbone="vgg16",
        num_classes=91,
        attention=None,
        boxes=None,
        options=None,
        mean=CAFFE_MEAN,
        std=CAFFE_STD,
        name="ssd300",
        **kwargs,
    ):
        super().__init__(
            backbone,
            num_classes,
            (300, 300),
            attention,
            boxes=BOXES_300 if boxes is None else boxes,
            options=options,
            mean=mean,
            std=std,
            name=name,
            **kwargs,
        )

    @staticmethod
    def _features(backbone, *, image_size, attention, **fixed):
        output_shapes(backbone, image_size)  # checks its size
        return SSD300Features(backbone, attention)

    def get_config(self):
        config = super().get_config()
        fixed = ("image_size", "levels", "maps", "channels")
        return {key: value for key, value in config.items() if key not in fixed}


def _in_order(by_map):
    return [by_map[f"map{n}"] for n in range(1, len(by_map) + 1)]


def _image_size(size):
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise ValueError(f"`image_size` must be (height, width). Received: {size!r}.")
    return tuple(positive_integer("image_size", n) for n in size)
