"""The settings of Faster R-CNN's two stages, torchvision's by default."""

import dataclasses
import math
from dataclasses import dataclass

from keras_attention.layers.checks import positive_integer, positive_number


class Options:
    """Base of frozen dataclasses that go into a model's configuration."""

    def __post_init__(self):
        for field in dataclasses.fields(self):  # lists, as JSON has, do not hash
            if isinstance(getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(getattr(self, field.name)))

    @classmethod
    def read(cls, name, given):
        """`given`, or the `cls` that a dictionary of a configuration stands for.

        Raises:
            ValueError: it is neither, or has an unknown field.
        """
        if isinstance(given, cls):
            return given
        known = [field.name for field in dataclasses.fields(cls)]
        if isinstance(given, dict) and set(given) <= set(known):
            return cls(**given)
        raise ValueError(
            f"`{name}` must be {cls.__name__}(…), of {', '.join(known)}. "
            f"Received: {given!r}."
        )

    def to_dict(self):
        """JSON types."""
        return dataclasses.asdict(self)

    def _fractions(self, *names):
        for name in names:
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ValueError(f"`{name}` must be in [0, 1]. Received: {value!r}.")

    def _sides(self, *names):
        for name in names:
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ValueError(
                    f"`{name}` must be pixels, 0 or more. Received: {value!r}."
                )

    def _counts(self, *names):
        for name in names:
            positive_integer(name, getattr(self, name))


@dataclass(frozen=True)
class RegionProposals(Options):
    """The first stage: anchors, region proposal network, choice of proposals.

    Args:
        anchor_sizes: one number per level, P2 first: side of a square anchor, pixels.
        aspect_ratios: heights / widths of the anchors of each place.
        pre_nms, post_nms: proposals of each level before suppression, and of an image
            after it; in prediction.
        training_pre_nms, training_post_nms: in training.
        nms_iou: two proposals of a level that overlap by more are one.
        min_score: probability of an object that a proposal needs.
        min_size: pixels that both sides of a proposal need.
        foreground_iou, background_iou: of an anchor with a ground-truth box.
        samples: anchors per image that learn; at most `positive_fraction` positive.
    """

    anchor_sizes: tuple = (32, 64, 128, 256, 512)
    aspect_ratios: tuple = (0.5, 1.0, 2.0)
    pre_nms: int = 1000
    post_nms: int = 1000
    training_pre_nms: int = 2000
    training_post_nms: int = 2000
    nms_iou: float = 0.7
    min_score: float = 0.0
    min_size: float = 1e-3
    foreground_iou: float = 0.7
    background_iou: float = 0.3
    samples: int = 256
    positive_fraction: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        for name in ("anchor_sizes", "aspect_ratios"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not value:
                raise ValueError(
                    f"`{name}` must be a tuple of numbers. Received: {value!r}."
                )
            for number in value:
                positive_number(name, number)
        self._counts("pre_nms", "post_nms", "training_pre_nms", "training_post_nms")
        self._counts("samples")
        self._fractions("nms_iou", "min_score", "foreground_iou", "background_iou")
        self._fractions("positive_fraction")
        self._sides("min_size")
        if self.background_iou > self.foreground_iou:
            raise ValueError(
                "`background_iou` must not be above `foreground_iou`. Received: "
                f"{self.background_iou} and {self.foreground_iou}."
            )


@dataclass(frozen=True)
class BoxHead(Options):
    """The second stage: ROIAlign, two dense layers, class and box of each proposal.

    Args:
        units: of the dense layers.
        pool_size, sampling_ratio: of ROIAlign.
        min_score: probability that a detection needs.
        nms_iou: two detections of a class that overlap by more are one.
        min_size: pixels that both sides of a detection need.
        detections: most of an image.
        foreground_iou: of a proposal with a ground-truth box; below is background.
        samples: proposals per image that learn; at most `positive_fraction` positive.
        crowd_share: a proposal with more of its area in a crowd box (many objects
            under one box) does not learn as background.
    """

    units: int = 1024
    pool_size: int = 7
    sampling_ratio: int = 2
    min_score: float = 0.05
    nms_iou: float = 0.5
    min_size: float = 1e-2
    detections: int = 100
    foreground_iou: float = 0.5
    samples: int = 512
    positive_fraction: float = 0.25
    crowd_share: float = 0.7

    def __post_init__(self):
        super().__post_init__()
        self._counts("units", "pool_size", "sampling_ratio", "detections", "samples")
        self._fractions("min_score", "nms_iou", "foreground_iou", "positive_fraction")
        self._fractions("crowd_share")
        self._sides("min_size")
