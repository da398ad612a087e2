"""The loop of a search: its steps, its log, its checkpoints."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_attention.timing import duration
from keras_attention.training import history
from keras_attention.training.checkpoint import newest_whole, not_finite, unwritten
from keras_attention.training.divergence import explained
from keras_attention.training.interruption import Interrupted, stop_signals
from keras_attention.training.run_folder import Remembered, alone_in
from keras_attention.tuning.genotype import Genotype, derive
from keras_attention.tuning.rounds import Rounds
from keras_attention.tuning.schedule import SearchSchedule
from keras_attention.tuning.search_checkpoint import Progress, restore, save
from keras_attention.tuning.search_log import architecture_rows, history_row
from keras_attention.tuning.space import SearchSpace

KIND = "search"
CHECKPOINT = "search.keras"
GENOTYPE = "genotype.json"
ALPHA_FILE = "alpha.csv"
BAR_INTERVAL = 10


@dataclass
class SearchRun:
    """A search in its folder.

    Args:
        out: the folder.
        model: the supernet.
        space: its `SearchSpace`.
        rounds: what each step does.
        optimizers: built; all whose variables a checkpoint must hold.
        schedule: of the epochs and of the weights' learning rate.
        steps_per_epoch: steps of the weights.
        checkpoint_steps: steps between two checkpoints; an epoch's end has one, too.
        keep: checkpoints to keep.
        remembered: of the folder.
        images: function of a step to the images that its weights learn from, or None
            for a run without images.
        verbose: 0 for silence, 1 for a progress bar.
    """

    out: Path
    model: keras.Model
    space: SearchSpace
    rounds: Rounds
    optimizers: Sequence[keras.optimizers.Optimizer]
    schedule: SearchSchedule
    steps_per_epoch: int
    checkpoint_steps: int
    keep: int
    remembered: Remembered
    images: Callable[[int], Iterator] | None
    verbose: int = 1

    def go(self, stop_after: int | None) -> None:
        """Go on from the last checkpoint, if there is one.

        Args:
            stop_after: epochs to end in this call at most, or None.

        Raises:
            FloatingPointError: a loss is not finite; the message names the first layer
                that was not, and the last checkpoint stays.
            ValueError: no checkpoint is whole.
            OSError: the folder cannot be written to.
            Interrupted: by a signal, when the state is saved.
        """
        progress = self._progress()
        done = progress.step // self.steps_per_epoch
        epochs = self.schedule.epochs
        stop = epochs if stop_after is None else min(epochs, done + stop_after)
        if done == epochs and self.verbose:
            print(f"{self.out} has all of its {epochs} epochs already")
        rounds = self.rounds(progress.step)
        with alone_in(self.out), stop_signals() as self._stop:
            try:
                for epoch in range(done, stop):
                    self._epoch(epoch, rounds, progress)
            except FloatingPointError as error:
                raise self._explained(error, progress.step) from error

    def _restored(self) -> Progress | None:
        def read(path):
            return restore(path, self.model, self.optimizers)

        return newest_whole(self.out / CHECKPOINT, read)

    def _progress(self) -> Progress:
        progress = self._restored()
        if progress is None:
            progress = Progress()
            self._save(progress)
        # A search that died between log and checkpoint has logged an epoch that it
        # will make again.
        for name in (history.FILE, ALPHA_FILE):
            epoch = progress.step // self.steps_per_epoch
            history.forget_after(self.out / name, epoch)
        return progress

    def _epoch(self, epoch: int, rounds, progress: Progress) -> None:
        end = (epoch + 1) * self.steps_per_epoch
        bar = self._bar(epoch, end - progress.step)
        first, before, began = progress.step, progress.seconds, time.perf_counter()
        while progress.step < end:
            progress.add(next(rounds))
            progress.seconds = before + time.perf_counter() - began
            left = end - progress.step
            if left and (self._stop or progress.step % self.checkpoint_steps == 0):
                self._save(progress)
                self._stop_if_asked(progress)
            if self.verbose and (left == 0 or progress.step % BAR_INTERVAL == 0):
                bar.update(progress.step - first, list(progress.means().items()))
        self._log(epoch, progress)
        progress.begin_epoch()
        self._save(progress)
        self._stop_if_asked(progress)

    def _save(self, progress: Progress) -> None:
        self._check_finite(progress)
        older = self.keep - 1
        path = self.out / CHECKPOINT
        place = f"after step {progress.step}"
        self.remembered.make_anew()
        try:
            save(path, self.model, self.optimizers, progress, older=older)
        except OSError as error:
            raise unwritten(path, place, error) from error

    def _stop_if_asked(self, progress: Progress) -> None:
        if self._stop:
            raise Interrupted(
                f"Stopped by {self._stop.by}. {self.out} has the state after step "
                f"{progress.step}"
            )

    def _check_finite(self, progress: Progress) -> None:
        wrong = {k: v for k, v in progress.means().items() if not math.isfinite(v)}
        wrong |= dict.fromkeys(not_finite(self.model)[:1], "not finite")
        if wrong:
            raise FloatingPointError(f"After step {progress.step}: {wrong}")

    def _explained(self, error: FloatingPointError, reached: int) -> FloatingPointError:
        def again():
            good = self._restored().step
            images = self.images(good) if self.images else itertools.repeat(None)
            steps = zip(map(_sum, self.rounds(good)), images, strict=False)
            return steps, reached - good

        path = self.out / CHECKPOINT
        return explained(error, path, self.model, again, self._stop, self.verbose)

    def _log(self, epoch: int, progress: Progress) -> None:
        self._check_finite(progress)
        means = progress.means()  # waits for the device
        # The rate of the epoch's last step.
        rates = self.schedule.learning_rates(self.steps_per_epoch)
        rate = float(keras.ops.convert_to_numpy(rates(progress.step - 1)))
        row = history_row(epoch, means, rate, progress.seconds)
        self.remembered.make_anew()
        history.append_rows(self.out / history.FILE, [row])
        history.append_rows(self.out / ALPHA_FILE, architecture_rows(epoch, self.model))
        self.remembered.look()
        genotype = derive(self.model, self.space)
        folder = self.out / "genotypes"
        folder.mkdir(exist_ok=True)
        genotype.save(folder / f"epoch_{epoch:03d}.json")
        genotype.save(self.out / GENOTYPE)

    def genotype(self) -> Genotype:
        """The last epoch's, as it was written down."""
        return Genotype.load(self.out / GENOTYPE)

    def _bar(self, epoch: int, steps: int):
        if not self.verbose:
            return None
        print(f"Epoch {epoch + 1}/{self.schedule.epochs}{self._time_left(epoch)}")
        names = history_row(0, {}, 0, 0)
        return keras.utils.Progbar(steps, stateful_metrics=names)

    def _time_left(self, epoch: int) -> str:
        """Of the whole search, by its last epoch."""
        rows = history.read(self.out / history.FILE)
        if not rows:
            return ""
        seconds = rows[-1]["seconds"] * (self.schedule.epochs - epoch)
        return f", {duration(seconds)} left"


def _sum(metrics: dict) -> float:
    """Not finite where one of them is not."""
    return float(sum(map(float, metrics.values())))
