"""Faster R-CNN on a feature pyramid, with attention in it."""

import keras

from keras_attention.attention import recorded
from keras_attention.detection.box_head import (
    BoxPredictor,
    box_losses,
    choose_proposals,
    detect,
)
from keras_attention.detection.detector import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    INPUTS,
    Detector,
    backbone_model,
)
from keras_attention.detection.feature_pyramid import FeaturePyramid
from keras_attention.detection.options import BoxHead, RegionProposals
from keras_attention.detection.region_proposals import (
    RegionProposalNetwork,
    anchors_of,
    proposal_losses,
    select_proposals,
)
from keras_attention.layers.checks import positive_integer
from keras_attention.ops.roi_align import roi_align

LOSSES = ("objectness_loss", "proposal_loss", "class_loss", "box_loss")


@keras.saving.register_keras_serializable("keras_attention")
class FasterRCNN(Detector):
    __doc__ = f"""Faster R-CNN with a feature pyramid, in torchvision's layout.

    Args:
        backbone: an application built with `pyramid=True`, channels last, or the name
            of one, such as `"resnet50"`.
        num_classes: int ≥ 2, the background (label 0) included: 91 for COCO's
            category ids, 81 for its 80 classes, 21 for VOC.
        attention: at the pyramid's convolutions, see `FeaturePyramid`: None, `"aw"`,
            `"se"`, `"aw_se"`, `"cbam"`, `"aw_cbam"`, …. The backbone has its own.
        channels: int, of the pyramid's levels.
        proposals: `RegionProposals(…)`, the settings of the first stage.
        head: `BoxHead(…)`, those of the second.
        mean, std: what images are normalised with, in pixel values.
        seed: int, of the choice of anchors and proposals that learn.
        name: of the model.
{INPUTS}
    Losses: `{", ".join(LOSSES)}`.

    Raises:
        ValueError: for whatever does not fit, with the choices.

    Source: arXiv:1506.01497, with 1612.03144's pyramid and 1703.06870's ROIAlign;
    settings and weights' layout are torchvision's `fasterrcnn_resnet50_fpn`.
    Differs from it: what lies in a crowd box is not learned as background (there,
    crowds are dropped).
    """

    def __init__(
        self,
        backbone,
        num_classes,
        attention=None,
        channels=256,
        proposals=None,
        head=None,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        seed=0,
        name="faster_rcnn",
        **kwargs,
    ):
        backbone = backbone_model(backbone)
        pyramid = FeaturePyramid(
            backbone, positive_integer("channels", channels), attention
        )
        super().__init__(pyramid, LOSSES, num_classes, mean, std, name=name, **kwargs)
        self.backbone = backbone
        self.attention = attention
        self.channels = channels
        self.proposals = RegionProposals.read("proposals", proposals or {})
        self.head = BoxHead.read("head", head or {})
        self.seed = seed
        self.seeds = keras.random.SeedGenerator(seed)
        self.strides = tuple(2 ** int(level[1:]) for level in pyramid.output)
        if len(self.proposals.anchor_sizes) != len(self.strides):
            raise ValueError(
                "`anchor_sizes` needs one size for each level, "
                f"{', '.join(pyramid.output)}. Received: {self.proposals.anchor_sizes}."
            )
        self.region_proposals = RegionProposalNetwork(
            len(self.proposals.aspect_ratios), dtype=self.dtype_policy, name="rpn"
        )
        self.region_proposals.build([(None, None, None, channels)])
        self.box_predictor = BoxPredictor(
            self.head.units, num_classes, dtype=self.dtype_policy, name="box_predictor"
        )
        size = self.head.pool_size
        self.box_predictor.build((None, None, size, size, channels))
        self.built = True

    def training_losses(self, features, image_shape, sizes, targets):
        maps, logits, deltas, anchors = self._propose(features, image_shape)
        objectness, proposal = proposal_losses(
            logits,
            deltas,
            anchors,
            targets,
            self.proposals,
            self.seeds,
            self.head.crowd_share,
        )
        boxes, scores = select_proposals(
            logits, deltas, anchors, sizes, self.proposals, training=True
        )
        boxes, labels, wanted = choose_proposals(
            boxes, scores, targets, self.head, self.seeds
        )
        outputs = self.box_predictor(self._pool(maps, boxes))
        values = (objectness, proposal, *box_losses(*outputs, labels, wanted))
        return dict(zip(LOSSES, values, strict=True))

    def detections(self, features, image_shape, sizes):
        maps, logits, deltas, anchors = self._propose(features, image_shape)
        boxes, scores = select_proposals(
            logits, deltas, anchors, sizes, self.proposals, training=False
        )
        outputs = self.box_predictor(self._pool(maps, boxes))
        return detect(*outputs, boxes, scores, sizes, self.head)

    def _propose(self, features, image_shape):
        maps = list(features.values())
        logits, deltas = self.region_proposals(maps)
        return maps, logits, deltas, anchors_of(image_shape, maps, self.proposals)

    def _pool(self, maps, boxes):
        """Proposals from all levels but the last, which is for anchors only."""
        return roi_align(
            maps[:-1],
            boxes,
            self.strides[:-1],
            self.head.pool_size,
            self.head.sampling_ratio,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "attention": recorded(self.attention),
            "channels": self.channels,
            "proposals": self.proposals.to_dict(),
            "head": self.head.to_dict(),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        backbone = keras.saving.deserialize_keras_object(config["backbone"])
        return cls(**{**config, "backbone": backbone})
