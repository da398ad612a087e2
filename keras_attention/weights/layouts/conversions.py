"""What becomes of a tensor on its way from another library's layout to ours, and back.

Letters: O output and I input channels, H and W the kernel's sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Conversion:
    """A change of layout in both directions, each a function of an array."""

    to_ours: Callable[[np.ndarray], np.ndarray]
    to_theirs: Callable[[np.ndarray], np.ndarray]

    def after(self, first: Conversion) -> Conversion:
        """The conversion of their tensors by `first`, then by this one."""
        return Conversion(
            lambda array: self.to_ours(first.to_ours(array)),
            lambda array: first.to_theirs(self.to_theirs(array)),
        )

    def their_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of their tensor for one of ours, found without its memory."""
        return self.to_theirs(np.broadcast_to(np.float32(0), shape)).shape


def transposed(*axes: int) -> Conversion:
    """Their axes in this order are ours."""
    back = np.argsort(axes)
    return Conversion(lambda a: np.transpose(a, axes), lambda a: np.transpose(a, back))


def inputs_in_order(order: list[int]) -> Conversion:
    """Our kernel's input channels are theirs in this order."""
    back = np.argsort(order)
    return Conversion(lambda a: a[:, :, order], lambda a: a[:, :, back])


def variance(epsilon: float, theirs: float) -> Conversion:
    """Of a batch norm's moving variance, between a norm with our ε and one with theirs.

    What is loaded brings its ε along. What is written has to do with theirs, and σ² + ε
    is kept; with the same ε, to the last bit.
    """
    if epsilon == theirs:
        return AS_IS
    return Conversion(lambda a: a, lambda a: a + np.float32(epsilon - theirs))


def depthwise(multiplier: int) -> Conversion:
    """(I·M, 1, H, W) to (H, W, I, M)."""

    def to_ours(array):
        grouped = array.reshape(-1, multiplier, *array.shape[2:])
        return np.transpose(grouped, (2, 3, 0, 1))

    def to_theirs(array):
        height, width, channels, _ = array.shape
        grouped = np.transpose(array, (2, 3, 0, 1))
        return grouped.reshape(channels * multiplier, 1, height, width)

    return Conversion(to_ours, to_theirs)


def of_flattened_map(channels: int, *, as_kernel: bool = False) -> Conversion:
    """The first dense layer behind a map, which PyTorch flattens channels first.

    Args:
        channels: of the map.
        as_kernel: whether theirs is a convolution over the whole map, (O, I, H, W)
            of a square one, instead of (O, I·H·W).
    """

    def to_ours(array):
        by_channel = array.reshape(len(array), channels, -1)
        return np.transpose(by_channel, (2, 1, 0)).reshape(-1, len(array))

    def to_theirs(array):
        positions, units = array.shape[0] // channels, array.shape[1]
        by_place = array.reshape(positions, channels, units)
        by_channel = np.transpose(by_place, (2, 1, 0))
        side = math.isqrt(positions)
        shape = (channels, side, positions // side) if as_kernel else (-1,)
        return by_channel.reshape(units, *shape)

    return Conversion(to_ours, to_theirs)


AS_IS = Conversion(lambda a: a, lambda a: a)
KERNEL = transposed(2, 3, 1, 0)  # OIHW to HWIO
SEQUENCE_KERNEL = transposed(2, 1, 0)  # OIL to LIO
MATRIX = transposed(1, 0)  # OI to IO
# A 1×1 convolution in place of a dense layer: OI11 to IO.
POINTWISE = Conversion(lambda a: a[:, :, 0, 0].T, lambda a: a.T[:, :, None, None])
# BGR to RGB.
BLUE_FIRST = inputs_in_order([2, 1, 0])
