"""All that there is to see about how a network takes some images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from keras_attention.choices import check_choice
from keras_attention.visualization.attention_maps import AttentionMap, attention_maps
from keras_attention.visualization.grad_cam import grad_cam
from keras_attention.visualization.inputs import check_images
from keras_attention.visualization.occlusion import occlusion_sensitivity
from keras_attention.visualization.sublayers import data_format

__all__ = ["KINDS", "Explanation", "Heat", "explain"]

KINDS = ("attention", "grad-cam", "occlusion")
# Of the image's side: 4 pixels of 32, every 2.
PATCHES_PER_SIDE = 8


@dataclass(frozen=True, eq=False)
class Heat:
    """A map over an image.

    Args:
        title: what it is of: `"Grad-CAM, stage4"`, or a layer's name.
        kind: `"attention"`, `"grad-cam"` or `"occlusion"`.
        values: `[h, w]`.
        unit: of the values; `""` where they have none.
    """

    title: str
    kind: str
    values: np.ndarray
    unit: str = ""

    @property
    def signed(self) -> bool:
        """Whether zero is the middle of its values."""
        return self.kind == "occlusion"


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a network makes of one image.

    Args:
        explained: the class that Grad-CAM and occlusion are about; −1 without them.
        heats: its maps.
        gates: {layer: values} of channel gates and of AW maps, which have no place in
            the image.
    """

    explained: int
    heats: tuple[Heat, ...]
    gates: dict[str, np.ndarray]


def explain(
    model: keras.Model,
    images: np.ndarray,
    *,
    kinds: Sequence[str] = KINDS,
    classes: int | Sequence[int] | None = None,
    layers: Sequence[str | None] = (None,),
    patch: int | None = None,
    stride: int | None = None,
    verbose: int = 1,
) -> list[Explanation]:
    """Attention maps, Grad-CAM and occlusion of some images.

    Args:
        model: a classifier.
        images: as it takes them, float `[N, H, W, C]`.
        kinds: of `KINDS`.
        classes: see `grad_cam`: None for each image's own answer.
        layers: of Grad-CAM, one map for each; None for the last.
        patch: side of the occluded square in pixels; by default an eighth of the
            image's shorter side.
        stride: pixels between two places of it; by default half of the patch.
        verbose: whether occlusion shows its progress.

    Returns:
        One `Explanation` for each image.

    Raises:
        ValueError: an unknown kind; no attention in the model, where it is asked for;
            and as `attention_maps`, `grad_cam` and `occlusion_sensitivity` do.
    """
    for kind in kinds:
        check_choice("kind of map", kind, KINDS)
    images = check_images(model, images)
    maps = attention_maps(model, images) if "attention" in kinds else []
    cams, occluded = [], None
    for layer in layers if "grad-cam" in kinds else ():
        cams.append(grad_cam(model, images, classes=classes, layer=layer))
        classes = cams[0].classes  # all are about one
    if "occlusion" in kinds:
        patch = patch or _patch(model, images)
        occluded = occlusion_sensitivity(
            model,
            images,
            patch=patch,
            stride=stride or max(1, patch // 2),
            classes=classes,
            verbose=verbose,
        )
    about = [*cams, *([occluded] if occluded else [])]
    own = about[0].classes if about else np.full(len(images), -1)
    return [
        Explanation(int(own[i]), _heats(i, maps, cams, occluded), _gates(i, maps))
        for i in range(len(images))
    ]


def _patch(model: keras.Model, images: np.ndarray) -> int:
    last = data_format(model) == "channels_last"
    sides = images.shape[1:3] if last else images.shape[2:]
    return max(1, min(sides) // PATCHES_PER_SIDE)


def _heats(i: int, maps: list[AttentionMap], cams, occluded) -> tuple[Heat, ...]:
    heats = [
        Heat(f"Grad-CAM, {cam.layer}", "grad-cam", cam.maps[i], cam.score)
        for cam in cams
    ]
    if occluded is not None:
        heats.append(
            Heat("occlusion", "occlusion", occluded.maps[i], "drop of the probability")
        )
    for each in maps:
        places = each.spatial()
        unit = "1: as much as others" if each.kind == "positions" else "gate"
        if places is not None:
            heats.append(
                Heat(f"{each.layer}, {each.kind}", "attention", places[i], unit)
            )
    return tuple(heats)


def _gates(i: int, maps: list[AttentionMap]) -> dict[str, np.ndarray]:
    return {
        f"{each.layer}, {each.kind}": each.values[i]
        for each in maps
        if each.kind in ("channel", "kernel")
    }
