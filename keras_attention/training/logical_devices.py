"""The CPU as several devices, to try out what needs several."""

from __future__ import annotations

import contextlib

import keras


def divide_cpu(number: int) -> list[str]:
    """Make the CPU `number` devices, before anything has been computed.

    Returns:
        Their names, as the backend's distribution takes them.

    Raises:
        ValueError: the devices exist already, and are others.
    """
    divide = _divide_jax if keras.backend.backend() == "jax" else _divide_tensorflow
    found = divide(number)
    if found != number:
        raise ValueError(
            f"The CPU cannot become {number} devices: something was computed before, "
            f"and it is {found} since. Ask for it at the start of the process"
        )
    return [f"cpu:{each}" for each in range(number)]


def _divide_jax(number: int) -> int:
    import jax

    with contextlib.suppress(RuntimeError):  # the devices exist: the count tells
        jax.config.update("jax_num_cpu_devices", number)
    return jax.local_device_count("cpu")


def _divide_tensorflow(number: int) -> int:
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    with contextlib.suppress(RuntimeError):  # the devices exist: the count tells
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * number
        )
    return len(tf.config.list_logical_devices("CPU"))
