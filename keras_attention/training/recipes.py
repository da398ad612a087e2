"""How the papers trained, as values."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from keras_attention.choices import check_choice
from keras_attention.data.augmentation import Augmentation

SCHEDULES = ("step", "cosine")
PLAIN = Augmentation()


@dataclass(frozen=True)
class SGDRecipe:
    """What any training by SGD decides: base of `Recipe` and of the detectors'.

    Args:
        name: what it is called.
        epochs: at least 1.
        batch_size: images per step, at least 1.
        learning_rate: the highest, for this batch size; above 0.
        schedule: `"step"` (× `decay_factor` at each milestone) or `"cosine"` (to 0
            at the end).
        milestones: fractions of the run, rising, in (0, 1), so that a shorter run
            keeps its shape; rounded to whole epochs. Only for `"step"`.
        decay_factor: what a milestone multiplies the learning rate by.
        momentum: 0 to 1.
        weight_decay: λ of the L2 decay (coupled; see `SGDL2`).

    Raises:
        ValueError: a value is out of its range.
    """

    name: str
    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str = "step"
    milestones: tuple[float, ...] = (0.5, 0.75)
    decay_factor: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0

    def __post_init__(self):
        check_choice("schedule", self.schedule, SCHEDULES)
        broken = [condition for condition, holds in self.wanted().items() if not holds]
        if broken:
            raise ValueError(
                f"The recipe {self.name!r} must have {' and '.join(broken)}. "
                f"Received: {self}"
            )

    def wanted(self) -> dict[str, bool]:
        """Conditions on the values, and whether they hold."""
        return {
            "epochs ≥ 1": _is_count(self.epochs),
            "batch_size ≥ 1": _is_count(self.batch_size),
            "finite learning_rate > 0": 0 < self.learning_rate < math.inf,
            "0 ≤ momentum ≤ 1": 0 <= self.momentum <= 1,
            "weight_decay ≥ 0": self.weight_decay >= 0,
            "0 < decay_factor ≤ 1": 0 < self.decay_factor <= 1,
            "milestones rising in (0, 1)": _rising(self.milestones),
            "milestones for the schedule 'step'": (
                self.schedule != "step" or bool(self.milestones)
            ),
        }

    def warmup_of(self, steps: int) -> int:
        """Of a run of so many steps, those in which the learning rate rises."""
        raise NotImplementedError("a recipe has its warm-up")  # abstract

    @property
    def milestone_epochs(self) -> list[int]:
        """Epochs (from 0) with which a lower learning rate begins.

        Milestones that a short run rounds to its first epoch are moved to the
        second; several may fall on one epoch.
        """
        return [max(1, round(part * self.epochs)) for part in self.milestones]

    def __str__(self) -> str:
        names = [field.name for field in dataclasses.fields(self)[1:]]
        width = max(map(len, names)) + 1
        lines = [f"  {name:<{width}}{getattr(self, name)}" for name in names]
        return "\n".join([f"recipe {self.name}", *lines])

    def to_dict(self) -> dict:
        """A dictionary of JSON types."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Recipe(SGDRecipe):
    """All that decides a training run besides the network, the data and the seed.

    Args:
        name, epochs, batch_size, learning_rate, schedule, milestones, decay_factor,
            momentum, weight_decay: see `SGDRecipe`.
        warmup: fraction of the run, in [0, 1), in which the learning rate rises
            from nothing.
        nesterov: Nesterov's momentum.
        decay_exclude: names of variables without decay, such as
            `("gamma", "beta", "bias")`. The papers' code decays all.
        augmentation: what happens to training images.
        crop_fraction: evaluation's, as in `Preprocessing`.

    Raises:
        ValueError: a value is out of its range.
    """

    warmup: float = 0.0
    nesterov: bool = False
    decay_exclude: tuple[str, ...] = ()
    augmentation: Augmentation = PLAIN
    crop_fraction: float = 1.0

    # Only fine-tuning decides these (`FinetuneRecipe` has them as fields). As fields
    # here they would be news to the records of runs that are to go on.
    ema: ClassVar[float] = 0.0
    mixup: ClassVar[float] = 0.0
    label_smoothing: ClassVar[float] = 0.0

    @property
    def soft_labels(self) -> bool:
        """Whether labels are shares of classes, not numbers of classes."""
        return bool(self.mixup or self.label_smoothing)

    def wanted(self) -> dict[str, bool]:
        """See `SGDRecipe`."""
        return {**super().wanted(), "0 ≤ warmup < 1": 0 <= self.warmup < 1}

    def warmup_of(self, steps: int) -> int:
        """See `SGDRecipe`."""
        return round(self.warmup * steps)


def _is_count(value) -> bool:
    return isinstance(value, int | np.integer) and value >= 1


def _rising(milestones: tuple[float, ...]) -> bool:
    ends = (0, *milestones, 1)
    return all(a < b for a, b in itertools.pairwise(ends))


CIFAR_AUGMENTATION = Augmentation(flip=True, pad_crop=4)
IMAGENET_AUGMENTATION = Augmentation(flip=True, resized_crop=(0.08, 1.0))

RECIPES = {
    recipe.name: recipe
    for recipe in (
        # ResNet, BAM and CBAM on CIFAR: lr 0.1, ÷10 at half and three quarters.
        Recipe(
            name="cifar",
            epochs=200,
            batch_size=128,
            learning_rate=0.1,
            warmup=1 / 200,
            weight_decay=5e-4,
            augmentation=CIFAR_AUGMENTATION,
        ),
        Recipe(
            name="cifar-cosine",
            epochs=200,
            batch_size=128,
            learning_rate=0.1,
            schedule="cosine",
            warmup=5 / 200,
            weight_decay=5e-4,
            augmentation=CIFAR_AUGMENTATION,
        ),
        # 90 epochs, ÷10 every 30; lr 0.1 belongs to batches of 256.
        Recipe(
            name="imagenet",
            epochs=90,
            batch_size=256,
            learning_rate=0.1,
            milestones=(1 / 3, 2 / 3),
            weight_decay=1e-4,
            augmentation=IMAGENET_AUGMENTATION,
            crop_fraction=0.875,
        ),
        # Small networks underfit: a milder crop and less decay, none of it on
        # normalisation and biases (Howard et al., 2017, section 3.2).
        Recipe(
            name="mobilenet",
            epochs=150,
            batch_size=256,
            learning_rate=0.05,
            schedule="cosine",
            weight_decay=4e-5,
            decay_exclude=("gamma", "beta", "bias"),
            augmentation=Augmentation(flip=True, resized_crop=(0.25, 1.0)),
            crop_fraction=0.875,
        ),
        # To see that everything runs. Nothing is mirrored: digits are not
        # symmetric.
        Recipe(
            name="quick",
            epochs=5,
            batch_size=64,
            learning_rate=0.05,
            schedule="cosine",
            weight_decay=1e-4,
        ),
    )
}


def recipe(name: str, **changes) -> Recipe:
    """A recipe by name, with changes.

    Args:
        name: `"cifar"`, `"cifar-cosine"`, `"imagenet"`, `"mobilenet"`, `"quick"`.
        **changes: fields of `Recipe`; None means no change.

    Raises:
        ValueError: an unknown name, or a value out of range.

    Example:

    >>> recipe("cifar", epochs=20).milestone_epochs
    [10, 15]
    """
    return changed(RECIPES, name, changes)


def changed(recipes: dict[str, SGDRecipe], name: str, changes: dict) -> SGDRecipe:
    """The recipe of a name, with the changes that are not None.

    Raises:
        ValueError: an unknown name or field, or a value out of range.
    """
    check_choice("recipe", name, recipes)
    given = {key: value for key, value in changes.items() if value is not None}
    known = [field.name for field in dataclasses.fields(recipes[name])]
    for key in given:
        check_choice("field of a recipe", key, known)
    try:
        return dataclasses.replace(recipes[name], **given)
    except (TypeError, OverflowError) as error:
        raise ValueError(
            f"The recipe {name!r} cannot have the values {given}: {error}"
        ) from error
