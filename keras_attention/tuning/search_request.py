"""What is asked of a search, in the words of the command line."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from keras_attention.choices import check_choice
from keras_attention.data import Augmentation, ImageData
from keras_attention.training.bad_images import ERROR
from keras_attention.training.optimizer import SGDL2
from keras_attention.training.recipes import CIFAR_AUGMENTATION, IMAGENET_AUGMENTATION
from keras_attention.training.runs import Request
from keras_attention.tuning.hypergradient import check_order
from keras_attention.tuning.schedule import SearchSchedule
from keras_attention.tuning.search_penalty import PENALTIES
from keras_attention.tuning.space import SearchSpace, search_space

AUGMENTATIONS = {
    "none": Augmentation(),
    "cifar": CIFAR_AUGMENTATION,
    "imagenet": IMAGENET_AUGMENTATION,
}
CONTROLS = ("penalty-only",)
# What a search and a training ask for in the same words.
SHARED = (
    "model",
    "data",
    "stem",
    "data_dir",
    "validation",
    "image_size",
    "limit",
    "seed",
    "split_seed",
    "dtype",
    "on_bad_image",
)
# DARTS' of the weights; its α has Adam(3e-4, 0.5, 0.999) and L2 of 1e-3.
MOMENTUM = 0.9
BETAS = (0.5, 0.999)
ALPHA_LEARNING_RATE, ALPHA_L2 = 3e-4, 1e-3
RELEASED_ALPHA_LEARNING_RATE, RELEASED_ALPHA_L2 = 0.1, 0.0


@dataclass(frozen=True)
class SearchRequest:
    """What is asked of a search, in the words of the command line.

    Args:
        model: a name for `keras_attention.applications.build`.
        data: a name for `keras_attention.data.load`.
        space: a name for `keras_attention.tuning.search_space`, or candidates joined
            by commas: "none,se,cbam".
        aw: whether to search plain against AW-convolution, too.
        reduction_ratio: of the attentions, in place of their own.
        spatial_kernel_size: in place of the attentions' own.
        penalty: "cost" (by parameters), "cost-multiply-adds", "paper", "released"
            or "none".
        penalty_weight: w, in place of the penalty's own.
        order: 1, or 2 for the second order.
        epochs: passes over the weights' part of the training images.
        warmup_epochs: of them, those in which the architecture stands still.
        weight_steps: steps of the weights per step of the architecture.
        batch_size: images in a batch of either part.
        learning_rate: of the weights at the start; it falls by a cosine.
        least_learning_rate: at the end.
        weight_decay: L2 of the weights.
        alpha_learning_rate: of the architecture's Adam; by default 3e-4, and 0.1 with
            the released code's penalty.
        alpha_l2: L2 of α; by default 1e-3, and 0 with the released code's penalty.
        clip_norm: most that the norm of the weights' gradient may be; 0 for no limit.
        augmentation: "cifar" (mirror, shift), "imagenet" (crops) or "none".
        architecture_fraction: of the training images, for α. The data's own
            validation and test images stay out of the search.
        control: "penalty-only" for the null run, in which no image is seen.
        stem, data_dir, validation, image_size, limit, seed, split_seed, dtype,
            on_bad_image: as for `keras_attention.training.Request`. No float16.

    Raises:
        ValueError: a value is out of its range.
    """

    model: str
    data: str
    space: str = "sscbam"
    aw: bool = False
    reduction_ratio: int | None = None
    spatial_kernel_size: int | None = None
    penalty: str = "cost"
    penalty_weight: float | None = None
    order: int = 1
    epochs: int = 50
    warmup_epochs: int = 0
    weight_steps: int = 1
    batch_size: int = 64
    learning_rate: float = 0.025
    least_learning_rate: float = 0.001
    weight_decay: float = 3e-4
    alpha_learning_rate: float | None = None
    alpha_l2: float | None = None
    clip_norm: float = 5.0
    augmentation: str = "cifar"
    architecture_fraction: float = 0.5
    control: str | None = None
    stem: str | None = None
    data_dir: str | None = None
    validation: float = 0.1
    image_size: tuple[int, int] | None = None
    limit: int | None = None
    seed: int = 0
    split_seed: int | None = None
    dtype: str = "float32"
    on_bad_image: str = ERROR

    def __post_init__(self):
        check_choice("penalty", self.penalty, PENALTIES)
        check_choice("augmentation", self.augmentation, AUGMENTATIONS)
        check_order(self.order)
        if self.control is not None:
            check_choice("control", self.control, CONTROLS)
        if self.control == "penalty-only" and self.penalty == "none":
            raise ValueError(
                "Without a penalty a penalty-only run has nothing to do. Received: "
                "penalty='none'"
            )
        if self.penalty == "none" and self.penalty_weight is not None:
            raise ValueError(
                "`penalty_weight` is for a penalty. Received: penalty='none', "
                f"penalty_weight={self.penalty_weight}"
            )
        for name in ("weight_decay", "clip_norm", "alpha_l2", "alpha_learning_rate"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"`{name}` must be at least 0. Received: {value}")
        self.schedule()
        self.search_space()

    def search_space(self) -> SearchSpace:
        """What is searched."""
        if not isinstance(self.space, str):
            raise ValueError(
                "`space` is a name, or names joined by commas. Received: "
                f"{self.space!r}"
            )
        candidates = self.space.split(",")
        options = {
            name: getattr(self, name)
            for name in ("reduction_ratio", "spatial_kernel_size")
            if getattr(self, name) is not None
        }
        space = candidates if len(candidates) > 1 else self.space
        return search_space(space, aw=self.aw, **options)

    def schedule(self) -> SearchSchedule:
        """When and how fast it moves."""
        return SearchSchedule(
            epochs=self.epochs,
            warmup_epochs=self.warmup_epochs,
            weight_steps=self.weight_steps,
            learning_rate=self.learning_rate,
            least_learning_rate=self.least_learning_rate,
        )

    def load_data(self, **options) -> ImageData:
        """The images; `options` as for `keras_attention.training.Request`."""
        return self._network(None).load_data(**options)

    def build(self, data: ImageData) -> keras.Model:
        """The supernet, with its first weights drawn by the seed."""
        return self._network(self.search_space().spec()).build(data)

    def weight_optimizer(self, steps_per_epoch: int) -> SGDL2:
        """SGD with a falling learning rate."""
        rates = self.schedule().learning_rates(steps_per_epoch)
        return SGDL2(rates, MOMENTUM, l2=self.weight_decay)

    def alpha_optimizer(self) -> keras.optimizers.Adam:
        """Adam for α."""
        released = self.penalty == "released"
        default = RELEASED_ALPHA_LEARNING_RATE if released else ALPHA_LEARNING_RATE
        rate = self.alpha_learning_rate
        beta_1, beta_2 = BETAS
        return keras.optimizers.Adam(
            default if rate is None else rate, beta_1=beta_1, beta_2=beta_2
        )

    def l2_of_alpha(self) -> float:
        """λ of α's decay."""
        released = self.penalty == "released"
        default = RELEASED_ALPHA_L2 if released else ALPHA_L2
        return default if self.alpha_l2 is None else self.alpha_l2

    def _network(self, attention) -> Request:
        shared = {name: getattr(self, name) for name in SHARED}
        return Request(attention=attention, **shared)
