"""From a trained network to a file that a phone runs, proven equal."""

from keras_attention.saved_models.benchmarking import Benchmark, benchmark
from keras_attention.saved_models.exporting import export
from keras_attention.saved_models.runtime import Artifact, load
from keras_attention.saved_models.verification import (
    BOUNDS,
    Bounds,
    Verification,
    verify,
)

__all__ = [
    "BOUNDS",
    "Artifact",
    "Benchmark",
    "Bounds",
    "Verification",
    "benchmark",
    "export",
    "load",
    "verify",
]
