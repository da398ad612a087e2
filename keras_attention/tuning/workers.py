"""Keras Tuner's tuners, which run the trials: alone, or for a chief."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

from keras_attention.extras import require
from keras_attention.training.files import replace_file, write_text
from keras_attention.tuning.trials import REASON

keras_tuner = require("keras_tuner", extra="tuning", purpose="A tuner")
Status = keras_tuner.engine.trial.TrialStatus

__all__ = ["make_tuner", "role", "serve"]

MOST_CRASHES = 3
IDLE_SECONDS = 0.5
CHIEF_SECONDS = 1.0
# For the last answer to reach its worker.
GRACE_SECONDS = 2.0
ID, ADDRESS, PORT = (
    "KERASTUNER_TUNER_ID",
    "KERASTUNER_ORACLE_IP",
    "KERASTUNER_ORACLE_PORT",
)


def role() -> str:
    """What Keras Tuner's environment variables make of this process.

    Returns:
        "chief", "worker", or "alone" where none is set.

    Raises:
        ValueError: some are set, and others are not.
    """
    missing = [name for name in (ID, ADDRESS, PORT) if not os.environ.get(name)]
    if len(missing) == 3:
        return "alone"
    if missing:
        raise ValueError(
            f"For a search by chief and workers {', '.join(missing)} must be set too: "
            f"{ADDRESS} and {PORT} are the chief's, and {ID} is 'chief' or a name of "
            "the worker's own."
        )
    # As Keras Tuner tells them apart.
    return "chief" if "chief" in os.environ[ID] else "worker"


class SturdyTuner:
    """Mixin of a Keras Tuner tuner.

    - Its file is whole or not there.
    - The space is asked of the hypermodel, not found by building networks.
    - Why a trial failed is in its folder, in `reason.txt`: what a worker sends to
      its chief has no room for it.
    - Where `MOST_CRASHES` trials in a row end in an error that nobody expected, the
      search ends.

    Args:
        oracle: of `SturdyOracle`.
        hypermodel: with `declare_hyperparameters`.
        **options: of `keras_tuner.Tuner`.
    """

    def __init__(self, oracle, hypermodel, **options):
        self._crashes = 0
        # Not `super()`: Keras Tuner's Hyperband would make its own oracle.
        keras_tuner.Tuner.__init__(self, oracle, hypermodel, **options)

    def _populate_initial_space(self):
        space = self.oracle.get_space()
        self.hypermodel.declare_hyperparameters(space)
        self.oracle.update_space(space)

    def save(self):
        if not self._is_worker():
            self.oracle.save()
        replace_file(Path(self._get_tuner_fname()), self._write)

    def _write(self, path):
        super(keras_tuner.engine.base_tuner.BaseTuner, self).save(str(path))

    def on_trial_end(self, trial):
        if trial.message:
            path = Path(self.get_trial_dir(trial.trial_id)) / REASON
            write_text(path, trial.message)
        # The oracle makes it "failed", like those that were refused.
        crashed = trial.status == Status.INVALID
        super().on_trial_end(trial)
        self._crashes = self._crashes + 1 if crashed else 0
        if self._crashes == MOST_CRASHES:
            raise RuntimeError(
                f"{MOST_CRASHES} trials in a row crashed, the last one with:\n"
                f"{trial.message}"
            )


class Worker:
    """Mixin of a tuner that works for a chief: shows life, and looks for the chief's.

    Args:
        *args, **options: as `SturdyTuner`.
        timeout: seconds after which a silent chief or worker counts as dead.
    """

    def __init__(self, *args, timeout: float, **options):
        super().__init__(*args, **options)
        self.timeout = timeout
        self._idle = False
        self._done = None

    def pre_create_trial(self):
        if self._idle:  # the chief had nothing: ask again, but not at once
            time.sleep(IDLE_SECONDS)
        self._idle = True
        check_chief(self.timeout)

    def on_trial_begin(self, trial):
        super().on_trial_begin(trial)
        self._idle = False
        self._done = threading.Event()
        threading.Thread(
            target=self._show_life, args=(trial.trial_id, self._done), daemon=True
        ).start()

    def on_trial_end(self, trial):
        self._done.set()
        check_chief(self.timeout)
        super().on_trial_end(trial)

    def _show_life(self, trial_id, done):
        import grpc

        with contextlib.suppress(grpc.RpcError):  # the worker itself will meet it
            while not done.wait(self.timeout / 5):
                self.oracle.get_trial(trial_id)


def check_chief(timeout: float) -> None:
    """Wait until the chief answers.

    Raises:
        TimeoutError: it does not. (Keras Tuner would wait for an hour.)
    """
    import grpc

    address = f"{os.environ[ADDRESS]}:{os.environ[PORT]}"
    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=timeout)
        except grpc.FutureTimeoutError:
            raise TimeoutError(
                f"No chief answered at {address} for {timeout:g} seconds: either it "
                f"was not started, with {ID}=chief, or it has ended."
            ) from None


def serve(tuner, timeout: float, *, verbose: int | str) -> None:
    """Be the chief: hand out trials until all are done.

    Args:
        tuner: whose `oracle` is a `SturdyOracle`.
        timeout: seconds after which a silent worker loses its trial, and with no
            worker left, or none to begin with, the search ends.
        verbose: of the search.

    Raises:
        TimeoutError: no worker is left. What is done is kept.
    """
    errors = []

    def search():
        try:
            tuner.search(verbose=verbose)
        except BaseException as error:
            errors.append(error)

    # Keras Tuner's own loop cannot be told to end; it ends with the process.
    server = threading.Thread(target=search, daemon=True)
    oracle = tuner.oracle
    oracle.last_heard = time.monotonic()
    server.start()
    while server.is_alive() and not oracle.finished:
        server.join(CHIEF_SECONDS)
        for worker in oracle.give_up_silent(timeout):
            print(f"Worker {worker!r} was silent for {timeout:g} seconds: given up")
        silence = time.monotonic() - oracle.last_heard
        if not oracle.tuner_ids and not oracle.finished and silence > timeout:
            raise TimeoutError(
                f"No worker called for {silence:.0f} seconds. Start some, and the "
                "chief again with --resume: trials that ended are kept."
            )
    if errors:
        raise errors[0]
    server.join(GRACE_SECONDS)


def make_tuner(algorithm: str, oracle, hypermodel, *, worker: bool = False, **options):
    """The tuner of an algorithm.

    Args:
        algorithm: "random", "bayesian" or "hyperband".
        oracle: as `make_oracle` makes it.
        hypermodel: an `AttentionHyperModel`.
        worker: whether it works for a chief.
        **options: of `keras_tuner.Tuner`, and a worker's `timeout`.
    """
    alone, for_chief = (
        (_Hyperband, _HyperbandWorker)
        if algorithm == "hyperband"
        else (_Tuner, _TunerWorker)
    )
    return (for_chief if worker else alone)(oracle, hypermodel, **options)


class _Tuner(SturdyTuner, keras_tuner.Tuner):
    pass


# Its trials go on from other trials' checkpoints.
class _Hyperband(SturdyTuner, keras_tuner.Hyperband):
    pass


class _TunerWorker(Worker, _Tuner):
    pass


class _HyperbandWorker(Worker, _Hyperband):
    pass
