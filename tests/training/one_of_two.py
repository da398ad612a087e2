"""One of the processes that train together, on JAX; for `test_sharing.py`.

The second one is killed within the second epoch, unless the run goes on.
"""

import argparse
import os
import signal

import keras
from shared_training import fit

from keras_attention.training.distribution import distributed, part

KILLED_AT = 5  # a checkpoint is at 4


class Killed(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch + 1) == (1, KILLED_AT):
            os.kill(os.getpid(), signal.SIGKILL)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out")
    parser.add_argument("--resume", action="store_true")
    asked = parser.parse_args()
    with distributed("hosts"):
        dies = part().number == 1 and not asked.resume
        fit(
            asked.out,
            resume=asked.resume,
            checkpoint_steps=4,
            callbacks=[Killed()] if dies else [],
        )


main()
