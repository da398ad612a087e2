"""Learning rate as a function of the step."""

from __future__ import annotations

import keras


@keras.saving.register_keras_serializable(package="keras_attention")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise, then another schedule.

    `lr(s) = target·(s + 1)/warmup_steps` for `s < warmup_steps`, else
    `schedule(s)`. (Keras' `CosineDecay` has its own warm-up; its step schedule has
    none.)

    Args:
        schedule: the schedule to go on with; it counts from step 0, too.
        warmup_steps: steps of the rise, at least 1.
        target: learning rate at its end.
    """

    def __init__(self, schedule, warmup_steps, target):
        super().__init__()
        if warmup_steps < 1:
            raise ValueError(
                f"`warmup_steps` must be at least 1. Received: {warmup_steps}"
            )
        self.schedule = schedule
        self.warmup_steps = warmup_steps
        self.target = target

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rising = self.target * (step + 1) / self.warmup_steps
        return keras.ops.where(step < self.warmup_steps, rising, self.schedule(step))

    def get_config(self):
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "warmup_steps": self.warmup_steps,
            "target": self.target,
        }

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(**(config | {"schedule": schedule}))


def learning_rate_schedule(recipe, steps_per_epoch: int):
    """The recipe's schedule for epochs of this many steps.

    Step `s` (from 0) belongs to epoch `s // steps_per_epoch`. Milestones are
    rounded to whole epochs, and the first step of that epoch has the new rate.
    """
    total = steps_per_epoch * recipe.epochs
    warmup = recipe.warmup_of(total)
    if recipe.schedule == "cosine":
        return _cosine(recipe, total, warmup)
    schedule = _steps(recipe, steps_per_epoch)
    return WarmUp(schedule, warmup, recipe.learning_rate) if warmup else schedule


def _cosine(recipe, total: int, warmup: int):
    rate = recipe.learning_rate
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(rate, total)
    # The same rise as `WarmUp`'s, one step later: it reaches the rate where the
    # cosine begins.
    return keras.optimizers.schedules.CosineDecay(
        rate / warmup, total - warmup, warmup_target=rate, warmup_steps=warmup
    )


def _steps(recipe, steps_per_epoch: int):
    epochs = recipe.milestone_epochs
    # Keras changes the rate after the boundary, not at it.
    boundaries = [epoch * steps_per_epoch - 1 for epoch in epochs]
    values = [
        recipe.learning_rate * recipe.decay_factor**drops
        for drops in range(len(epochs) + 1)
    ]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, values)
