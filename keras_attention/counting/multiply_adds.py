"""Multiply-adds of one call of a layer."""

import math

import keras
import numpy as np

_CONVS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)


def multiply_adds(layer, inputs, outputs):
    """Of one call; 0 for what is no convolution and no fully-connected layer."""
    if isinstance(layer, keras.layers.EinsumDense):
        return math.prod(layer.kernel.shape) * _einsum_positions(layer, inputs[0])
    if isinstance(layer, keras.layers.Dense):
        return math.prod(layer.kernel.shape) * size_of(layer, outputs[0]) // layer.units
    if isinstance(layer, _CONVS):
        return _per_position(layer, outputs[0]) * math.prod(layer.kernel.shape)
    if isinstance(layer, _TRANSPOSED):
        return _per_position(layer, inputs[0]) * math.prod(layer.kernel.shape)
    if isinstance(layer, _DEPTHWISE):
        return _per_position(layer, outputs[0]) * math.prod(layer.kernel.shape)
    if isinstance(layer, _SEPARABLE):
        kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
        elements = sum(math.prod(kernel.shape) for kernel in kernels)
        return _per_position(layer, outputs[0]) * elements
    return 0


def _per_position(layer, tensor):
    """Number of positions of a map, over all axes but the channels."""
    axis = -1 if layer.data_format == "channels_last" else 1
    return size_of(layer, tensor) // tensor.shape[axis]


def _einsum_positions(layer, tensor):
    """Product of the input's sizes whose index the kernel does not have."""
    operands = layer.equation.replace(" ", "").split("->")[0]
    indices, kernel = operands.split(",")
    if "..." in indices:
        open_axes = len(tensor.shape) - len(indices) + 3
        indices = indices.replace("...", "." * open_axes)
    size_of(layer, tensor)
    return math.prod(
        size
        for index, size in zip(indices, tensor.shape, strict=True)
        if index not in kernel.replace(".", "")
    )


def size_of(layer, tensor):
    """Number of elements for one image."""
    if None in tuple(tensor.shape):
        raise ValueError(
            f"A tensor of {type(layer).__name__} {layer.name!r} has no known size: "
            f"{tuple(tensor.shape)}. Pass `input_shape=` if the model's input leaves "
            "a size open; a size that depends on the data cannot be counted."
        )
    return math.prod(tensor.shape)


def itemsize(tensor):
    return np.dtype(keras.backend.standardize_dtype(tensor.dtype)).itemsize
