"""Attention-augmented convolution (Bello et al., arXiv:1904.09925)."""

import math
from dataclasses import dataclass

import keras
from keras import ops

from keras_attention.attention import AttentionSpec, as_spec, register
from keras_attention.layers.checks import boolean, odd_integer, positive_integer
from keras_attention.layers.convolution import make_conv
from keras_attention.ops.layout import channel_axis, spatial_axes, spatial_shape
from keras_attention.ops.relative_logits import relative_logits_2d

__all__ = ["AA", "AttentionAugmentedConv2D"]

# The layer's three convolutions, each of which may be an attention of its own.
PARTS = ("conv_attention", "qkv_attention", "output_attention")


@keras.saving.register_keras_serializable("keras_attention")
class AttentionAugmentedConv2D(keras.layers.Layer):
    """y = [conv(x); W_o MHA(x)]: a convolution beside multi-head self-attention.

    Per head, O = softmax((QKᵀ + S_h + S_w) / √d_k) V over the positions of the
    output, S the relative position logits.

    Args:
        filters: int, channels of the output; `value_depth` of them are attention's.
        kernel_size, strides, padding, dilation_rate, groups, use_bias,
            kernel_initializer, data_format: of the convolution, as
            `keras.layers.Conv2D`; `padding` also takes `"symmetric"`. `use_bias`
            holds for the query-key-value and output convolutions too.
        key_depth, value_depth: d_k and d_v over all heads: an int, or a float in
            (0, 1) as a ratio of `filters`, made a multiple of `num_heads`.
        num_heads: int ≥ 1, N_h.
        min_key_depth_per_head: int; a `key_depth` ratio gives at least this many
            dimensions to each head.
        qkv_kernel_size: odd int, kernel of the convolution that makes Q, K and V.
        relative: True adds the relative position logits.
        conv_attention, qkv_attention, output_attention: a conv-site attention
            (name or spec, such as `"aw"`) for each of the three convolutions.

    Input shape: (batch, height, width, C1), or (batch, C1, height, width) with
    `"channels_first"`. Output shape: as `keras.layers.Conv2D`. `attention_map(x)`
    gives the softmax, (batch, heads, H'·W', H'·W'); memory grows with its size.

    Raises:
        ValueError: depths that are no multiple of `num_heads`, leave the convolution
            no channel, or are out of range; an unknown H or W with `relative=True`,
            or another size than the layer was built for.

    Source: arXiv:1904.09925, section 3. At stride s, Q, K and V are made at stride s,
    so that attention is at the output's size (the paper averages the attention's
    output down instead, at s² to s⁴ times the cost).
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        key_depth=0.2,
        value_depth=0.1,
        num_heads=8,
        min_key_depth_per_head=20,
        qkv_kernel_size=1,
        relative=True,
        conv_attention=None,
        qkv_attention=None,
        output_attention=None,
        dilation_rate=1,
        groups=1,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = positive_integer("filters", filters)
        self.num_heads = positive_integer("num_heads", num_heads)
        positive_integer("min_key_depth_per_head", min_key_depth_per_head)
        self._depths = {"key_depth": key_depth, "value_depth": value_depth}
        self.min_key_depth_per_head = min_key_depth_per_head
        self.key_depth = self._depth("key_depth", key_depth)
        if isinstance(key_depth, float):
            self.key_depth = max(self.key_depth, min_key_depth_per_head * num_heads)
        self.value_depth = self._depth("value_depth", value_depth)
        if self.value_depth >= filters:
            raise ValueError(
                "`value_depth` must leave the convolution a channel. Received: "
                f"{value_depth!r}, {self.value_depth} over `num_heads`={num_heads} "
                f"heads, for {filters} filters. Use fewer heads or a smaller depth."
            )
        if (filters - self.value_depth) % positive_integer("groups", groups):
            raise ValueError(
                "`value_depth` must leave the convolution a multiple of `groups` "
                f"channels. Received: {value_depth!r}, {self.value_depth} of {filters} "
                f"filters, with groups={groups}. Give `value_depth` as a number of "
                f"dimensions, a multiple of {math.lcm(groups, num_heads)}."
            )
        self.qkv_kernel_size = odd_integer("qkv_kernel_size", qkv_kernel_size)
        self.relative = boolean("relative", relative)
        parts = (conv_attention, qkv_attention, output_attention)
        self.specs = {
            name: as_spec(part, "conv") for name, part in zip(PARTS, parts, strict=True)
        }
        common = {
            "use_bias": boolean("use_bias", use_bias),
            "kernel_initializer": kernel_initializer,
            "data_format": data_format,
            "dtype": self.dtype_policy,
        }
        self.conv = make_conv(
            self.specs["conv_attention"],
            filters=filters - self.value_depth,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            dilation_rate=dilation_rate,
            groups=groups,
            name="conv",
            **common,
        )
        self._check_convolution(padding)
        self.data_format = self.conv.data_format
        self.qkv = make_conv(
            self.specs["qkv_attention"],
            filters=2 * self.key_depth + self.value_depth,
            kernel_size=qkv_kernel_size,
            strides=strides,
            padding="symmetric" if padding == "symmetric" else "same",
            name="qkv",
            **common,
        )
        self.output_conv = make_conv(
            self.specs["output_attention"],
            filters=self.value_depth,
            kernel_size=1,
            name="output_conv",
            **common,
        )

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.qkv.build(input_shape)
        shape = self.qkv.compute_output_shape(input_shape)
        height, width = spatial_shape(shape, self.data_format)
        attended = list(shape)
        attended[channel_axis(self.data_format)] = self.value_depth
        self.output_conv.build(tuple(attended))
        if self.relative:
            self._build_embeddings(height, width)
        self.built = True

    def _check_convolution(self, padding):
        if not isinstance(self.conv, keras.layers.Conv2D):
            raise ValueError(
                "`conv_attention` must make a kind of Conv2D. Received: "
                f"{self.specs['conv_attention']}."
            )
        if padding == "valid" and max(self.conv.kernel_size) > 1:
            raise ValueError(
                "The convolution and the attention beside it must have maps of one "
                "size. Use padding='same' or 'symmetric'. Received: padding='valid' "
                f"with a kernel of {self.conv.kernel_size}."
            )

    def _build_embeddings(self, height, width):
        if height is None or width is None:
            raise ValueError(
                "Relative position embeddings need a known height and width. Received "
                f"a map of ({height}, {width}). Give the network an `input_shape`, or "
                "use relative=False."
            )
        self.size = (height, width)
        depth = self.key_depth // self.num_heads
        self.height_embeddings, self.width_embeddings = (
            self.add_weight(
                shape=(2 * length - 1, depth),
                initializer=keras.initializers.RandomNormal(stddev=depth**-0.5),
                name=name,
            )
            for name, length in (
                ("height_embeddings", height),
                ("width_embeddings", width),
            )
        )

    def attention_map(self, inputs):
        """The attention of every position, (batch, heads, H'·W', H'·W')."""
        query, key, _ = self._query_key_value(inputs)
        return self._weights(query, key, *self._output_size(inputs))

    def attention_maps(self, inputs):
        """`{"positions": (batch, heads, H', W', H', W')}`: query, then key position."""
        size = self._output_size(inputs)
        shape = (-1, self.num_heads, *size, *size)
        return {"positions": ops.reshape(self.attention_map(inputs), shape)}

    def call(self, inputs):
        height, width = self._output_size(inputs)
        query, key, value = self._query_key_value(inputs)
        attended = ops.matmul(self._weights(query, key, height, width), value)
        attended = ops.transpose(attended, (0, 2, 1, 3))  # batch, H·W, heads, depth
        attended = ops.reshape(attended, (-1, height, width, self.value_depth))
        if self.data_format == "channels_first":
            attended = ops.transpose(attended, (0, 3, 1, 2))
        attended = self.output_conv(attended)
        return ops.concatenate(
            [self.conv(inputs), attended], axis=channel_axis(self.data_format)
        )

    def scale_outputs(self, scale, shift):
        """Change the weights so that the layer gives scale · y + shift for y.

        Folds a batch norm into the layer, which must have `use_bias=True`.
        """
        for layer, part in (
            (self.conv, slice(None, -self.value_depth)),
            (self.output_conv, slice(-self.value_depth, None)),
        ):
            layer.bias.assign(layer.bias * scale[part] + shift[part])
            layer.kernel.assign(layer.kernel * scale[part])

    def _output_size(self, inputs):
        strides = self.conv.strides
        sizes = [ops.shape(inputs)[axis] for axis in spatial_axes(self.data_format)]
        size = tuple(-(-n // s) for n, s in zip(sizes, strides, strict=True))
        if self.relative and size != self.size:
            raise ValueError(
                f"{self.name!r} has relative position embeddings for maps of "
                f"{self.size}, and got one of {size}. Build the network with that "
                "`input_shape`, or use relative=False."
            )
        return size

    def _query_key_value(self, inputs):
        """Each as (batch, heads, H·W, depth per head), the query scaled."""
        qkv = self.qkv(inputs)
        if self.data_format == "channels_first":
            qkv = ops.transpose(qkv, (0, 2, 3, 1))
        query, key, value = ops.split(qkv, [self.key_depth, 2 * self.key_depth], -1)
        query = query * (self.key_depth // self.num_heads) ** -0.5
        return self._heads(query), self._heads(key), self._heads(value)

    def _heads(self, inputs):
        positions = ops.shape(inputs)[1] * ops.shape(inputs)[2]
        depth = inputs.shape[-1] // self.num_heads
        split = ops.reshape(inputs, (-1, positions, self.num_heads, depth))
        return ops.transpose(split, (0, 2, 1, 3))

    def _weights(self, query, key, height, width):
        logits = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        if self.relative:
            logits = logits + relative_logits_2d(
                query,
                ops.cast(self.height_embeddings, query.dtype),
                ops.cast(self.width_embeddings, query.dtype),
                height,
                width,
            )
        return ops.softmax(logits)

    def _depth(self, name, value):
        """`value`, a number of dimensions or a ratio, as a multiple of the heads."""
        if isinstance(value, float) and 0 < value < 1:
            per_head = round(value * self.filters / self.num_heads)
            return max(1, per_head) * self.num_heads
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(
                f"`{name}` must be an integer of at least 1, or a ratio of `filters` "
                f"in (0, 1). Received: {value!r}."
            )
        if value % self.num_heads:
            raise ValueError(
                f"`{name}` must be a multiple of `num_heads`. Received: {value} for "
                f"{self.num_heads} heads."
            )
        return value

    def compute_output_shape(self, input_shape):
        shape = list(self.conv.compute_output_shape(input_shape))
        shape[channel_axis(self.data_format)] = self.filters
        return tuple(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.conv.kernel_size,
            "strides": self.conv.strides,
            "padding": self.conv.padding,
            **self._depths,
            "num_heads": self.num_heads,
            "min_key_depth_per_head": self.min_key_depth_per_head,
            "qkv_kernel_size": self.qkv_kernel_size,
            "relative": self.relative,
            **{name: s and s.to_dict() for name, s in self.specs.items()},
            "dilation_rate": self.conv.dilation_rate,
            "groups": self.conv.groups,
            "use_bias": self.conv.use_bias,
            "kernel_initializer": keras.initializers.serialize(
                self.conv.kernel_initializer
            ),
            "data_format": self.data_format,
        }


@register("aa", site="conv", layer=AttentionAugmentedConv2D)
@dataclass(frozen=True)
class AA(AttentionSpec):
    """Spec of `AttentionAugmentedConv2D`, in place of a block's first convolution.

    Asked for a whole network, it stands where the map has at most `max_positions`
    positions (None: everywhere): memory grows with their square. 1024 gives the
    paper's placement, all of a CIFAR network and the last three stages of an
    ImageNet one. Asked for a block by name on a larger map, it raises.
    """

    key_depth: float | int = 0.2
    value_depth: float | int = 0.1
    num_heads: int = 8
    min_key_depth_per_head: int = 20
    qkv_kernel_size: int = 1
    relative: bool = True
    conv_attention: AttentionSpec | None = None
    qkv_attention: AttentionSpec | None = None
    output_attention: AttentionSpec | None = None
    max_positions: int | None = 1024

    def __post_init__(self):
        super().__post_init__()
        for name in PARTS:  # a name or a dict means the spec that it stands for
            object.__setattr__(self, name, as_spec(getattr(self, name), "conv"))

    def options(self):
        options = super().options()
        del options["max_positions"]
        return options

    def at(self, index, count):
        return self if index == 0 else None

    def accepts(self, height, width):
        if self.max_positions is None or height is None or width is None:
            return True
        return height * width <= self.max_positions
