"""Numerical kernels without weights, in `keras.ops`, the same on every backend."""
