"""How every convolution, norm and activation of one network is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import keras

from keras_attention.layers.convolution import make_conv
from keras_attention.ops.layout import channel_axis, spatial_shape

# torchvision's initialisation: normal, variance 2 / fan_out.
HE_FAN_OUT = {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"}


@dataclass(frozen=True)
class NetworkStyle:
    """Settings that all blocks of a network share.

    Args:
        data_format: `"channels_last"` or `"channels_first"`.
        use_bias: whether the convolutions have biases.
        activation: name of the activation after a norm.
        norm_momentum, norm_epsilon: of the batch norms; PyTorch's by default (its
            momentum 0.1 is 0.9 here).
        kernel_initializer: `keras.initializers.VarianceScaling`'s arguments.
    """

    data_format: str = "channels_last"
    use_bias: bool = False
    activation: str = "relu"
    norm_momentum: float = 0.9
    norm_epsilon: float = 1e-5
    kernel_initializer: Mapping = field(default_factory=lambda: HE_FAN_OUT)
    # Specs by where they were asked for: put there, or declined for the map's size.
    placed: set = field(default_factory=set, compare=False)
    declined: dict = field(default_factory=dict, compare=False)

    @property
    def axis(self):
        return channel_axis(self.data_format)

    def conv(self, x, filters, kernel_size=1, strides=1, *, name, spec=None, groups=1):
        """A convolution that keeps the size / strides, padded as PyTorch pads."""
        layer = make_conv(
            spec,
            filters=filters,
            kernel_size=kernel_size,
            strides=strides,
            padding="symmetric" if kernel_size > 1 else "valid",
            groups=groups,
            use_bias=self.use_bias,
            kernel_initializer=keras.initializers.VarianceScaling(
                **self.kernel_initializer
            ),
            data_format=self.data_format,
            name=name,
        )
        return layer(x)

    def site_conv(self, x, filters, kernel_size, strides, *, name, sites, at, groups=1):
        """A convolution at a conv site; `at` is (index, count) within the block."""
        spec = sites.conv_at(*at)
        if spec is not None:
            size = [
                n and -(-n // strides) for n in spatial_shape(x.shape, self.data_format)
            ]
            if not spec.accepts(*size):
                if sites.explicit:
                    raise ValueError(
                        f"{spec} does not take maps of {size[0]}×{size[1]}, at "
                        f"{name!r}. Leave that block out, or change its limits."
                    )
                self.declined[spec] = (name, size)
                spec = None
            else:
                self.placed.add(spec)
        return self.conv(
            x, filters, kernel_size, strides, name=name, spec=spec, groups=groups
        )

    def check_placed(self):
        """Raises where a spec asked for the whole network stands nowhere in it."""
        for spec, (name, size) in self.declined.items():
            if spec not in self.placed:
                raise ValueError(
                    f"{spec} stands nowhere in this network: it declined every map, "
                    f"the last one {size[0]}×{size[1]} at {name!r}. Use smaller images "
                    "or raise its limit (for 'aa', `max_positions`)."
                )

    def norm(self, x, name):
        return keras.layers.BatchNormalization(
            axis=self.axis,
            momentum=self.norm_momentum,
            epsilon=self.norm_epsilon,
            name=name,
        )(x)

    def activate(self, x, name):
        return keras.layers.Activation(self.activation, name=name)(x)

    def norm_activate(self, x, name):
        """`{name}_norm`, then `{name}_relu` (relu6 too) or `{name}_hard_swish`."""
        kind = self.activation.removesuffix("6")
        return self.activate(self.norm(x, f"{name}_norm"), f"{name}_{kind}")

    def attend(self, x, spec, name):
        """A block- or stage-site attention; `x` as it is where there is none."""
        if spec is None:
            return x
        return spec.make(data_format=self.data_format, name=name)(x)
