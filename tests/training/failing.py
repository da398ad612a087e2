"""One of two processes, on JAX, of which one fails; for `test_sharing.py`."""

import argparse
import os
import signal
import sys
from pathlib import Path
from unittest import mock

import keras

from keras_attention.training import checkpoint
from keras_attention.training.distribution import distributed, is_chief
from keras_attention.training.processes import check_same, leave, wait_for_all


def said(function, *arguments):
    """What it raises."""
    try:
        function(*arguments)
    except (ValueError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def save(path):
    """A network, to a disk of the first process' that is full."""
    full = OSError(28, "No space left on device")
    failing = mock.patch.object(checkpoint, "replace_file", side_effect=full)
    with failing if is_chief() else mock.MagicMock():
        checkpoint.save_network(
            keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), path
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    signals = []
    signal.signal(signal.SIGTERM, lambda number, frame: signals.append(number))
    with distributed("hosts"):
        os.kill(os.getpid(), signal.SIGTERM)
        print("signals", len(signals), file=sys.stderr)
        print("same", said(check_same, "x", {"step": 3}), file=sys.stderr)
        step = 3 if is_chief() else 40
        print("other", said(check_same, "x", {"step": step}), file=sys.stderr)
        print("write", said(save, out / "x.keras"), file=sys.stderr)
        if is_chief():
            leave(2)
        wait_for_all("one of them will never be here")


main()
