"""One backend per run: `KERAS_BACKEND=jax pytest` (TensorFlow where it is unset).

Every test starts from the same seed and the same Keras settings, so that none
depends on which tests ran before it.
"""

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# What JAX has compiled once, in whichever test, process or run, it does not compile
# again: a fifth of the time of a first run, and most of a second one's.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache/jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import keras
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def fresh_keras():
    """Seed, layer-name counters, dtype policy and data format as at the start."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    policy = keras.config.dtype_policy()
    data_format = keras.config.image_data_format()
    yield
    keras.config.set_dtype_policy(policy)
    keras.config.set_image_data_format(data_format)


if keras.backend.backend() == "jax":

    @pytest.fixture(autouse=True, scope="session")
    def initial_values_from_numpy():
        """Keras' distributions, drawn by NumPy.

        JAX compiles its generator anew for every shape of a weight, which took more
        than half of the suite's time. TensorFlow's run uses Keras' own.
        """
        random = np.random  # the generator that `keras.utils.set_random_seed` seeds

        def scaled(self, shape, dtype=None):
            *window, fan_in, fan_out = (1, 1, *shape) if len(shape) < 2 else shape
            fans = {"fan_in": fan_in, "fan_out": fan_out}
            fans["fan_avg"] = (fan_in + fan_out) / 2
            deviation = (self.scale / fans[self.mode] / np.prod(window)) ** 0.5
            return random.normal(0, deviation, shape).astype(dtype or "float32")

        def normal(self, shape, dtype=None):
            drawn = random.normal(self.mean, self.stddev, shape)
            return drawn.astype(dtype or "float32")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(keras.initializers.VarianceScaling, "__call__", scaled)
            patch.setattr(keras.initializers.RandomNormal, "__call__", normal)
            yield


@pytest.fixture
def rng():
    """NumPy random numbers, the same in every test."""
    return np.random.default_rng(0)


def pytest_report_header():
    return f"keras {keras.__version__}, backend {keras.backend.backend()}"
