"""Keras' `fit`, from any step of any epoch on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from keras_attention.training.averaging import take_averages


@dataclass
class Epochs:
    """The epochs of a run.

    Args:
        model: compiled.
        training: function of an epoch and a step to the batches from there on.
        validation: batches, or None.
        steps: of an epoch.
        callbacks: of `fit`; they are told of each part of an epoch that is trained in
            parts as of an epoch.
        verbose: Keras' progress bar.
    """

    model: keras.Model
    training: Callable[[int, int], tf.data.Dataset]
    validation: tf.data.Dataset | None
    steps: int
    callbacks: Sequence[keras.callbacks.Callback]
    verbose: int | str

    def train(self, epoch: int, step: int, stop: int) -> None:
        """Train until epoch `stop`, from a step of an epoch on.

        The state at that step must be the model's already, and a callback must give
        the metrics' back when the epoch begins.
        """
        if step:
            self._end_epoch(epoch, step)
            epoch += 1
        # A callback may have wished to stop.
        if epoch < stop and not (step and self.model.stop_training):
            self._fit(epoch, 0, stop)
        take_averages(self.model)

    def _fit(self, epoch: int, step: int, stop: int) -> None:
        self.model.fit(
            self.training(epoch, step),
            validation_data=self.validation,
            initial_epoch=epoch,
            epochs=stop,
            steps_per_epoch=self.steps - step,
            shuffle=False,
            callbacks=list(self.callbacks),
            verbose=self.verbose,
        )

    def _end_epoch(self, epoch: int, step: int) -> None:
        if self.verbose:
            print(f"Epoch {epoch + 1} goes on after step {step} of {self.steps}")
        # Keras makes the metrics' variables when they are used first.
        batch = self.training(epoch, 0).take(1)
        self.model.evaluate(batch, verbose=0)
        if step < self.steps:
            self._fit(epoch, step, epoch + 1)
        else:
            self._measure(epoch)

    def _measure(self, epoch: int) -> None:
        """What `fit` does when all steps of an epoch are done."""
        self.model.stop_training = False
        told = keras.callbacks.CallbackList(
            list(self.callbacks), model=self.model, epochs=epoch + 1, steps=self.steps
        )
        told.on_train_begin()
        told.on_epoch_begin(epoch)
        logs = dict(self.model.get_metrics_result())
        if self.validation is not None:
            found = self.model.evaluate(
                self.validation, callbacks=told, verbose=0, return_dict=True
            )
            logs |= {f"val_{name}": value for name, value in found.items()}
        told.on_epoch_end(epoch, logs)
        told.on_train_end(logs)
