"""When the architecture moves, and how fast the weights do."""

from __future__ import annotations

from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class SearchSchedule:
    """Epochs of a search: weights alone first, then both in turn.

    ξ(s) = ξ_min + ½·(ξ_max − ξ_min)·(1 + cos(π·s/S)) at weight step s of S.

    Args:
        epochs: int ≥ 1; an epoch is one pass over the training part.
        warmup_epochs: int, from 0 to `epochs`: epochs in which the architecture
            stands still.
        weight_steps: int ≥ 1, steps of the weights per step of the architecture.
        learning_rate: ξ_max of the weights, above 0.
        least_learning_rate: ξ_min, from 0 to `learning_rate`.

    Raises:
        ValueError: a value is out of its range.

    Source: arXiv:1806.09055, section 3 (50 epochs, 0.025 to 0.001, in turn); the
    warm-up is not in that paper.
    """

    epochs: int = 50
    warmup_epochs: int = 0
    weight_steps: int = 1
    learning_rate: float = 0.025
    least_learning_rate: float = 0.001

    def __post_init__(self):
        rate, least = self.learning_rate, self.least_learning_rate
        wanted = {
            "an integer epochs ≥ 1": _integer(self.epochs) and self.epochs >= 1,
            "an integer warmup_epochs from 0 to epochs": (
                _integer(self.warmup_epochs) and 0 <= self.warmup_epochs <= self.epochs
            ),
            "an integer weight_steps ≥ 1": (
                _integer(self.weight_steps) and self.weight_steps >= 1
            ),
            "0 ≤ least_learning_rate ≤ learning_rate": 0 <= least <= rate,
            "learning_rate > 0": rate > 0,
        }
        broken = [condition for condition, holds in wanted.items() if not holds]
        if broken:
            raise ValueError(
                f"A search schedule must have {' and '.join(broken)}. Received: {self}"
            )

    def moves_architecture(self, step, steps_per_epoch):
        """Whether a step of the architecture comes before weight step `step`, from 0.

        A function of the step alone, so that a resumed search does as the first.
        """
        since = step - self.warmup_epochs * steps_per_epoch
        return since >= 0 and since % self.weight_steps == 0

    def learning_rates(self, steps_per_epoch):
        """ξ as a Keras schedule, for the weights' optimizer."""
        return keras.optimizers.schedules.CosineDecay(
            self.learning_rate,
            self.epochs * steps_per_epoch,
            alpha=self.least_learning_rate / self.learning_rate,
        )


def _integer(value):
    return isinstance(value, int) and not isinstance(value, bool)
