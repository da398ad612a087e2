"""How to go on from weights that know other images, as values."""

from __future__ import annotations

from dataclasses import dataclass

from keras_attention.data.augmentation import Augmentation
from keras_attention.training.recipes import Recipe, changed


@dataclass(frozen=True)
class FinetuneRecipe(Recipe):
    """What fine-tuning decides beside training.

    Args:
        name, …, crop_fraction: see `Recipe`. In a run by name the crop fraction is
            that of the weights.
        freeze: number of stages, from the input on (see `stages_of`), whose weights
            and statistics stay; or names or patterns of layers ("stem*"). Layers that
            are new train all the same.
        layer_decay: what the learning rate is multiplied by for each stage nearer to
            the input: `layer_decay` for the last, its square for the one before. The
            head has the full rate. In (0, 1].
        new_learning_rate_factor: what the learning rate is multiplied by for new
            layers: a new classifier, and attentions that were put in; above 0.
        freeze_batch_norm: batch norms of the old network normalise by their
            statistics, which stay, as do their weights. Those in new layers train.
        ema: momentum of the averaged weights, in [0, 1), 0 for none. They are what
            is measured and kept as the best. Only weights that train are averaged.
        mixup: α of mixup, 0 for none (see `keras_attention.data.mixing`).
        label_smoothing: share of each label that is spread over all classes, in
            [0, 1); also in the loss on validation images.

    Raises:
        ValueError: a value is out of its range.
    """

    freeze: int | tuple[str, ...] = 0
    layer_decay: float = 1.0
    new_learning_rate_factor: float = 1.0
    freeze_batch_norm: bool = True
    ema: float = 0.0
    mixup: float = 0.0
    label_smoothing: float = 0.0

    def wanted(self) -> dict[str, bool]:
        """See `SGDRecipe`."""
        return {
            **super().wanted(),
            "freeze ≥ 0, or names of layers": _freezes(self.freeze),
            "0 < layer_decay ≤ 1": 0 < self.layer_decay <= 1,
            "new_learning_rate_factor > 0": self.new_learning_rate_factor > 0,
            "0 ≤ ema < 1": 0 <= self.ema < 1,
            "mixup ≥ 0": self.mixup >= 0,
            "0 ≤ label_smoothing < 1": 0 <= self.label_smoothing < 1,
        }


def _freezes(freeze) -> bool:
    if isinstance(freeze, int):
        return not isinstance(freeze, bool) and freeze >= 0
    return isinstance(freeze, tuple) and all(isinstance(x, str) for x in freeze)


PHOTOS = Augmentation(flip=True, resized_crop=(0.25, 1.0))

FINETUNE_RECIPES = {
    recipe.name: recipe
    for recipe in (
        # Photographs, hundreds to some ten thousands of them. The rate is for batches
        # of 32; batch norm keeps the statistics of the many images behind the weights.
        FinetuneRecipe(
            name="finetune",
            epochs=30,
            batch_size=32,
            learning_rate=0.01,
            schedule="cosine",
            warmup=1 / 30,
            nesterov=True,
            weight_decay=1e-4,
            decay_exclude=("gamma", "beta", "bias"),
            augmentation=PHOTOS,
            layer_decay=0.7,
            label_smoothing=0.1,
        ),
        # Only what is new: quick, and all that a few dozen images can teach.
        FinetuneRecipe(
            name="probe",
            epochs=30,
            batch_size=32,
            learning_rate=0.05,
            schedule="cosine",
            nesterov=True,
            augmentation=PHOTOS,
            freeze=("*",),
        ),
        # To see that everything runs; nothing is mirrored.
        FinetuneRecipe(
            name="quick",
            epochs=3,
            batch_size=32,
            learning_rate=0.01,
            schedule="cosine",
            weight_decay=1e-4,
        ),
    )
}


def finetune_recipe(name: str, **changes) -> FinetuneRecipe:
    """A recipe for fine-tuning by name, with changes.

    Args:
        name: `"finetune"`, `"probe"`, `"quick"`.
        **changes: fields of `FinetuneRecipe`; None means no change.

    Raises:
        ValueError: an unknown name, or a value out of range.

    Example:

    >>> finetune_recipe("finetune", ema=0.99).ema
    0.99
    """
    return changed(FINETUNE_RECIPES, name, changes)
