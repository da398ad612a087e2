"""What weights expect of an image: it comes with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

INTERPOLATIONS = ("bilinear", "bicubic")


@dataclass(frozen=True)
class ImageFormat:
    """How images were made in the evaluation that the weights' accuracy is of.

    Args:
        size: (height, width) in pixels.
        mean, std: of red, green and blue, in units of the full range (0 to 1).
        interpolation: `"bilinear"` or `"bicubic"`.
        crop_fraction: the part of the shorter side that the crop in the middle keeps.
    """

    size: tuple[int, int] = (224, 224)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"
    crop_fraction: float = 0.875


# torchvision's, and timm's where it trained by itself.
IMAGENET = ImageFormat()
TIMM = ImageFormat(interpolation="bicubic")
# `keras.applications`' mode "caffe" subtracts these means, of 255, and divides by
# nothing. (Its BGR is worked into the kernel of the first convolution.)
CAFFE = ImageFormat(
    mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), std=(1 / 255, 1 / 255, 1 / 255)
)


def of_timm(config: Mapping) -> ImageFormat:
    """The `pretrained_cfg` of a model's `config.json`.

    Raises:
        ValueError: it lacks an entry, or images are resized in another way than here.
    """
    try:
        found = ImageFormat(
            size=tuple(config["input_size"][1:]),
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            interpolation=config["interpolation"],
            crop_fraction=config["crop_pct"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(
            "The `pretrained_cfg` beside the weights must have input_size, mean, std, "
            f"interpolation and crop_pct. Received: {config!r}."
        ) from error
    if found.interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"The weights' images were resized by {found.interpolation!r}. Here is "
            f"only: {', '.join(INTERPOLATIONS)}."
        )
    return found
