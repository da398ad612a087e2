"""Keras Tuner's oracles, in a form that survives kills: its own and its workers'."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable
from pathlib import Path

from keras_attention.extras import require
from keras_attention.training.files import replace_file

keras_tuner = require("keras_tuner", extra="tuning", purpose="A tuner's oracle")
Status = keras_tuner.engine.trial.TrialStatus
synchronized = keras_tuner.synchronized

__all__ = ["SturdyOracle", "make_oracle"]

# A trial that takes its workers with it must not take them all.
MOST_LOST = 2


class SturdyOracle:
    """Mixin of a Keras Tuner oracle.

    - Its files are whole or not there, and a trial whose start they do not all have
      is started anew: so a search goes on after a kill at any moment.
    - A worker that has not been heard of for long loses its trial to another worker
      (keras-tuner#915: the chief would wait for it for ever). A trial that lost
      `MOST_LOST` workers has failed.
    - No worker is sent home while a trial is under way that may need another one.

    Args:
        *args, **kwargs: of the oracle.
        report: called with the oracle after each trial's end.
    """

    def __init__(self, *args, report: Callable = lambda oracle: None, **kwargs):
        super().__init__(*args, **kwargs)
        self.report = report
        self.last_heard = time.monotonic()  # of any worker
        self._heard = {}  # tuner id -> time
        self._stopped = False  # a worker has been told that there is no more to do
        self._lost = collections.Counter()  # trial id -> workers

    def save(self):
        # Keras Tuner writes in place.
        replace_file(Path(self._get_oracle_fname()), self._write)

    def _write(self, path):
        super(keras_tuner.Oracle, self).save(str(path))

    def _save_trial(self, trial):
        path = Path(self._get_trial_dir(trial.trial_id)) / "trial.json"
        replace_file(path, lambda aside: trial.save(str(aside)))

    def reload(self):
        super().reload()
        # A trial's file is written before the oracle's. Trials are numbered, so the
        # next one replaces what is forgotten here.
        for trial_id in set(self.trials) - set(self.start_order):
            del self.trials[trial_id]
        # And the oracle's file takes a trial for running until after its end.
        ended = set(self.end_order)
        self._retry_queue = [each for each in self._retry_queue if each not in ended]

    @synchronized
    def create_trial(self, tuner_id):
        self._hear(tuner_id)
        trial = super().create_trial(tuner_id)
        if trial.status == Status.STOPPED:
            if self.ongoing_trials:
                trial.status = Status.IDLE
                self.tuner_ids.add(tuner_id)
            else:
                self._stopped = True
        return trial

    @property
    def finished(self) -> bool:
        """Whether all trials have ended, and all workers been sent home."""
        return self._stopped and not self.tuner_ids and not self.ongoing_trials

    def get_trial(self, trial_id):
        """The trial; for its worker also the sign of life."""
        for tuner_id, trial in list(self.ongoing_trials.items()):
            if trial.trial_id == trial_id:
                self._hear(tuner_id)
        return super().get_trial(trial_id)

    @synchronized
    def end_trial(self, trial):
        # A worker that was given up may return: before another one has begun its
        # trial, or after that has ended it.
        if trial.trial_id in self.end_order:
            return
        super().end_trial(trial)
        if trial.trial_id in self._retry_queue:
            self._retry_queue.remove(trial.trial_id)
        self.report(self)

    @synchronized
    def give_up_silent(self, timeout: float) -> list[str]:
        """Take the trials of workers back that were silent for `timeout` seconds.

        Returns:
            Those workers' ids.
        """
        oldest = time.monotonic() - timeout
        silent = sorted(each for each in self.tuner_ids if self._heard[each] < oldest)
        for tuner_id in silent:
            self.tuner_ids.remove(tuner_id)
            trial = self.ongoing_trials.pop(tuner_id, None)
            if trial is not None:
                self._take_back(trial)
        return silent

    def _take_back(self, trial):
        self._lost[trial.trial_id] += 1
        if self._lost[trial.trial_id] < MOST_LOST:
            self._retry_queue.append(trial.trial_id)
        else:
            trial.status = Status.FAILED
            trial.message = f"Its workers died: {MOST_LOST} of them, one after another."
            self.end_order.append(trial.trial_id)
            self._save_trial(trial)
        self.save()

    def _hear(self, tuner_id):
        self._heard[tuner_id] = self.last_heard = time.monotonic()


def make_oracle(
    algorithm: str, *, trials: int, epochs: int, factor: int, **options
) -> keras_tuner.Oracle:
    """The oracle of an algorithm.

    Args:
        algorithm: "random", "bayesian" or "hyperband".
        trials: how many, for the first two.
        epochs: of the longest trial, for Hyperband.
        factor: by which Hyperband thins trials out.
        **options: of any oracle, and of `SturdyOracle`.
    """
    if algorithm == "hyperband":
        return _Hyperband(max_epochs=epochs, factor=factor, **options)
    if algorithm == "random":
        return _Random(max_trials=trials, **options)
    # Keras Tuner would draw three per hyperparameter at random: more than `trials`.
    initial = max(3, trials // 3)
    return _Bayesian(max_trials=trials, num_initial_points=initial, **options)


class _Random(SturdyOracle, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Hyperband(SturdyOracle, keras_tuner.oracles.HyperbandOracle):
    pass


class _Bayesian(SturdyOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    pass
