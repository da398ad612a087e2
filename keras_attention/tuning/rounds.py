"""The rounds of a search: what moves at each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import tensorflow as tf

from keras_attention.tuning.schedule import SearchSchedule
from keras_attention.tuning.steps import BilevelSteps

# A function of a step that gives the metrics of that step and the following ones,
# making each step when it is asked for.
Rounds = Callable[[int], Iterator[dict]]


def bilevel_rounds(
    steps: BilevelSteps,
    schedule: SearchSchedule,
    steps_per_epoch: int,
    weight_batches: Callable[[int], Iterator],
    architecture_batches: Callable[[int], Iterator],
) -> Rounds:
    """A step of the architecture where the schedule has one, then of the weights.

    Args:
        steps: of the supernet.
        schedule: when the architecture moves.
        steps_per_epoch: steps of the weights.
        weight_batches: function of a number to the batches from it on.
        architecture_batches: the same for the architecture's steps, which have their
            own count.
    """

    def rounds(step):
        before = architecture_steps(schedule, steps_per_epoch, step)
        training, validation = weight_batches(step), architecture_batches(before)
        while True:
            batch = next(training)
            metrics = {}
            if schedule.moves_architecture(step, steps_per_epoch):
                found = steps.architecture_step(*batch, *next(validation))
                metrics = {_NAMES[name]: value for name, value in found.items()}
            yield metrics | steps.weight_step(*batch)
            step += 1

    return rounds


def penalty_rounds(
    architecture, optimizer, penalty, l2: float, schedule, steps_per_epoch: int
) -> Rounds:
    """The null run: α ← Adam(∂P/∂α + λ·α) at the search's steps, without any data.

    What it finds, the penalty finds alone.

    Args:
        architecture: α, list of variables.
        optimizer: new, of α.
        penalty: P.
        l2: λ ≥ 0 of α's decay.
        schedule, steps_per_epoch: as for `bilevel_rounds`.
    """
    optimizer.build(architecture)
    strategy = tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync

    def step_of_one():
        alphas = [tf.convert_to_tensor(variable.value) for variable in architecture]
        with tf.GradientTape() as tape:
            tape.watch(alphas)
            price = penalty(alphas)
        gradients = tape.gradient(price, alphas, unconnected_gradients="zero")
        pairs = zip(gradients, alphas, strict=True)
        # Keras adds up what the replicas apply.
        optimizer.apply([(g + l2 * a) / replicas for g, a in pairs], architecture)
        return price

    @tf.function(autograph=False)
    def step_of_architecture():
        price = strategy.run(step_of_one)
        return {"penalty": strategy.reduce("MEAN", price, axis=None)}

    def rounds(step):
        while True:
            moves = schedule.moves_architecture(step, steps_per_epoch)
            yield step_of_architecture() if moves else {}
            step += 1

    return rounds


def architecture_steps(
    schedule: SearchSchedule, steps_per_epoch: int, step: int
) -> int:
    """How many steps the architecture has made before weight step `step`."""
    return sum(schedule.moves_architecture(s, steps_per_epoch) for s in range(step))


_NAMES = {
    "loss": "alpha_loss",
    "accuracy": "alpha_accuracy",
    "penalty": "penalty",
}
