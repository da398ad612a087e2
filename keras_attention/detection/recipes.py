"""How detectors are trained, as values."""

from __future__ import annotations

from dataclasses import dataclass

from keras_attention.training.recipes import SGDRecipe, changed

# Warm-up takes at most this part of a run, so that a short one is not all warm-up.
MOST_WARMUP = 0.1


@dataclass(frozen=True)
class DetectionRecipe(SGDRecipe):
    """All that decides a detector's training besides network, data and seed.

    Args:
        name, epochs, batch_size, learning_rate, schedule, milestones, decay_factor,
            momentum, weight_decay: see `keras_attention.training.recipes.SGDRecipe`.
            The learning rate belongs to the batch size: change both together. All
            variables decay, as torchvision's do.
        warmup_steps: in which the learning rate rises from nothing; a tenth of the
            run at most.
        clip_norm: the most that the norm of all gradients together may be, before
            weight decay; None: no limit.
        short_side, long_side: pixels of an image's sides, see
            `keras_attention.detection.data.Sizing`.
        size: `(height, width)` to squash images to in place of these, as SSD does;
            None: keep their proportions.
        flip: whether half of the training images are mirrored.
        crops: whether training images are enlarged and cropped at random, as SSD's.
        freeze_norms: whether batch norms keep their statistics and weights: for
            backbones with trained weights and a few images per batch, whose statistics
            say nothing.

    Raises:
        ValueError: a value is out of its range.
    """

    warmup_steps: int = 0
    clip_norm: float | None = None
    short_side: int = 800
    long_side: int = 1333
    size: tuple[int, int] | None = None
    flip: bool = True
    crops: bool = False
    freeze_norms: bool = False

    def __post_init__(self):
        if self.size is not None:
            object.__setattr__(self, "size", tuple(self.size))
        super().__post_init__()

    def wanted(self) -> dict[str, bool]:
        """See `SGDRecipe`."""
        return {
            **super().wanted(),
            "size where crops": self.size is not None or not self.crops,
            "warmup_steps ≥ 0": self.warmup_steps >= 0,
            "clip_norm > 0": self.clip_norm is None or self.clip_norm > 0,
            "1 ≤ short_side ≤ long_side": 1 <= self.short_side <= self.long_side,
            "a size of two numbers ≥ 1": self.size is None
            or (len(self.size) == 2 and min(self.size) >= 1),
        }

    def warmup_of(self, steps: int) -> int:
        """See `SGDRecipe`."""
        return min(self.warmup_steps, int(steps * MOST_WARMUP))


DETECTION_RECIPES = {
    recipe.name: recipe
    for recipe in (
        # torchvision's reference for fasterrcnn_resnet50_fpn: 0.02 for 8 × 2 images.
        DetectionRecipe(
            name="coco",
            epochs=26,
            batch_size=16,
            learning_rate=0.02,
            milestones=(16 / 26, 22 / 26),
            weight_decay=1e-4,
            warmup_steps=1000,
        ),
        # Its reference for ssd300_vgg16: 0.002 for 8 × 4 images.
        DetectionRecipe(
            name="ssd",
            epochs=120,
            batch_size=32,
            learning_rate=0.002,
            milestones=(80 / 120, 110 / 120),
            weight_decay=5e-4,
            warmup_steps=1000,
            size=(300, 300),
            crops=True,
        ),
        # To see that everything runs: a few images, small, from scratch.
        DetectionRecipe(
            name="quick",
            epochs=10,
            batch_size=2,
            learning_rate=0.01,
            schedule="cosine",
            weight_decay=1e-4,
            warmup_steps=100,
            clip_norm=10.0,
            short_side=256,
            long_side=426,
        ),
    )
}


def detection_recipe(name: str, **changes) -> DetectionRecipe:
    """A recipe by name, with changes.

    Args:
        name: `"coco"` (Faster R-CNN), `"ssd"`, `"quick"`.
        **changes: fields of `DetectionRecipe`; None means no change.

    Raises:
        ValueError: an unknown name or field, or a value out of range.

    Example:

    >>> detection_recipe("coco").milestone_epochs
    [16, 22]
    """
    return changed(DETECTION_RECIPES, name, changes)
