"""Axes of images in either data format."""


def channel_axis(data_format):
    """The channel axis of a (batch, …) image tensor."""
    return -1 if data_format == "channels_last" else 1


def spatial_axes(data_format):
    """The (height, width) axes of an image tensor."""
    return (1, 2) if data_format == "channels_last" else (2, 3)


def spatial_shape(shape, data_format):
    """(height, width) out of a shape tuple."""
    return tuple(shape[axis] for axis in spatial_axes(data_format))
