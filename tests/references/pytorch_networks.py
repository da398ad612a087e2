"""PyTorch's networks in NumPy, after the code of torchvision, timm and CBAM's authors.

A `Reference` runs a network on images and makes each tensor that the network asks for,
at random, under the name and in the shape that PyTorch's module has it.
"""

import numpy as np

from references import numpy_nn
from references.numpy_nn import hard_sigmoid, relu, sigmoid


class Reference:
    """Layers by name, on (batch, height, width, channels) in float64.

    Args:
        rng: of the tensors' values.
        epsilon: of the batch norms.
    """

    def __init__(self, rng, epsilon=1e-5):
        self.rng, self.epsilon, self.tensors = rng, epsilon, {}

    def put(self, name, values):
        if name in self.tensors:
            raise ValueError(f"{name} is asked for twice")
        self.tensors[name] = values.astype("float32")
        return self.tensors[name].astype("float64")

    def take(self, name, shape, low=-0.3, high=0.3):
        return self.put(name, self.rng.uniform(low, high, shape))

    def conv(self, x, name, filters, size=1, stride=1, groups=1, bias=False):
        """`nn.Conv2d` with padding = size // 2, OIHW."""
        shape = (filters, x.shape[-1] // groups, size, size)
        bound = (1 if bias else 0.1) * (6 / np.prod(shape[1:])) ** 0.5
        kernel = self.take(f"{name}.weight", shape, -bound, bound)
        out = numpy_nn.conv2d(
            x,
            np.einsum("oihw->hwio", kernel),
            strides=(stride, stride),
            padding="symmetric",
            groups=groups,
        )
        return out + (self.take(f"{name}.bias", filters) if bias else 0)

    def linear(self, x, name, units, kernel_tail=(), bias=True):
        """`nn.Linear`, or a 1×1 convolution with `kernel_tail=(1, 1)`."""
        bound = (6 / x.shape[-1]) ** 0.5
        shape = (units, x.shape[-1], *kernel_tail)
        kernel = self.take(f"{name}.weight", shape, -bound, bound)
        out = x @ kernel.reshape(units, -1).T
        return out + (self.take(f"{name}.bias", units) if bias else 0)

    def norm(self, x, name):
        """`nn.BatchNorm2d` in evaluation, with about the statistics of its input.

        Convolutions without a bias give small variances, so that ε matters.
        """
        n, spread = x.shape[-1], x.std()
        mean = self.rng.uniform(-spread, spread, n) + x.mean((0, 1, 2))
        variance = self.rng.uniform(0.7, 1.3, n) * spread**2
        norm = {
            "gamma": self.take(f"{name}.weight", n, 0.5, 1.5),
            "beta": self.take(f"{name}.bias", n),
            "moving_mean": self.put(f"{name}.running_mean", mean),
            "moving_variance": self.put(f"{name}.running_var", variance),
        }
        self.tensors[f"{name}.num_batches_tracked"] = np.array(7)
        return numpy_nn.batch_norm(x, norm, epsilon=self.epsilon)


def means(x):
    return x.mean((1, 2))


def per_channel(x, gate):
    return x * gate[:, None, None, :]


def max_pool(x, size, stride, pad=0):
    x = np.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)], constant_values=-np.inf)
    out = [(n - size) // stride + 1 for n in x.shape[1:3]]
    rows = np.arange(out[0]) * stride
    columns = np.arange(out[1]) * stride
    taps = [
        x[:, rows[:, None] + i, columns[None] + j]
        for i in range(size)
        for j in range(size)
    ]
    return np.max(taps, axis=0)


def se(r, x, name, hidden, reduce="fc1", expand="fc2", gate=sigmoid):
    y = relu(r.linear(means(x), f"{name}.{reduce}", hidden, (1, 1)))
    return per_channel(x, gate(r.linear(y, f"{name}.{expand}", x.shape[-1], (1, 1))))


def eca(r, x, name):
    """timm's EcaModule: a convolution along the channels, (1, 1, size)."""
    size = int(abs(np.log2(x.shape[-1]) + 1) / 2)
    size = max(size if size % 2 else size + 1, 3)
    kernel = r.take(f"{name}.conv.weight", (1, 1, size))[0, 0]
    padded = np.pad(means(x), [(0, 0), (size // 2, size // 2)])
    windows = [padded[:, i : i + x.shape[-1]] for i in range(size)]
    return per_channel(x, sigmoid(np.einsum("k,knc->nc", kernel, windows)))


def cbam_timm(r, x, name, hidden):
    def mlp(y):
        y = relu(y @ first.reshape(hidden, -1).T)
        return y @ second.reshape(x.shape[-1], -1).T

    first = r.take(f"{name}.channel.fc1.weight", (hidden, x.shape[-1], 1, 1))
    second = r.take(f"{name}.channel.fc2.weight", (x.shape[-1], hidden, 1, 1))
    x = per_channel(x, sigmoid(mlp(means(x)) + mlp(x.max((1, 2)))))
    pooled = np.stack([x.mean(-1), x.max(-1)], -1)
    logits = r.conv(pooled, f"{name}.spatial.conv.conv", 1, 7)
    return x * sigmoid(r.norm(logits, f"{name}.spatial.conv.bn"))


def cbam_authors(r, x, name, hidden):
    channels, gate = x.shape[-1], f"{name}.ChannelGate.mlp"
    first = (
        r.take(f"{gate}.1.weight", (hidden, channels)),
        r.take(f"{gate}.1.bias", hidden),
    )
    second = (
        r.take(f"{gate}.3.weight", (channels, hidden)),
        r.take(f"{gate}.3.bias", channels),
    )

    def mlp(y):
        return relu(y @ first[0].T + first[1]) @ second[0].T + second[1]

    x = per_channel(x, sigmoid(mlp(means(x)) + mlp(x.max((1, 2)))))
    pooled = np.stack([x.max(-1), x.mean(-1)], -1)
    logits = r.conv(pooled, f"{name}.SpatialGate.spatial.conv", 1, 7)
    return x * sigmoid(r.norm(logits, f"{name}.SpatialGate.spatial.bn"))


def resnet(r, x, depths, widths, bottleneck, groups=1, width_per_group=64, attend=None):
    """torchvision's and timm's; `attend` is a function of (r, x, block's name)."""
    x = relu(r.norm(r.conv(x, "conv1", 64, 7, 2), "bn1"))
    x = max_pool(x, 3, 2, 1)
    for s, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        for b in range(depth):
            name, stride = f"layer{s + 1}.{b}", 2 if s and not b else 1
            inner = int(width * width_per_group / 64) * groups
            out = 4 * width if bottleneck else width
            convs = ((width, 3, stride, 1), (width, 3, 1, 1))
            if bottleneck:
                convs = ((inner, 1, 1, 1), (inner, 3, stride, groups), (out, 1, 1, 1))
            y = x
            for i, conv in enumerate(convs, 1):
                y = r.norm(r.conv(y, f"{name}.conv{i}", *conv), f"{name}.bn{i}")
                y = relu(y) if i < len(convs) else y
            y = attend(r, y, name) if attend else y
            if stride > 1 or x.shape[-1] != out:
                x = r.conv(x, f"{name}.downsample.0", out, 1, stride)
                x = r.norm(x, f"{name}.downsample.1")
            x = relu(x + y)
    return r.linear(means(x), "fc", 5)


def relu6(x):
    return np.clip(x, 0, 6)


def hard_swish(x):
    return x * hard_sigmoid(x)


def timm_mobilenet_v1(r, x, stages):
    """`stages`: of each the (filters, stride) of its blocks."""
    x = relu6(r.norm(r.conv(x, "conv_stem", 8, 3, 2), "bn1"))
    for s, blocks in enumerate(stages):
        for b, (filters, stride) in enumerate(blocks):
            name, n = f"blocks.{s}.{b}", x.shape[-1]
            x = r.conv(x, f"{name}.conv_dw", n, 3, stride, groups=n)
            x = relu6(r.norm(x, f"{name}.bn1"))
            x = relu6(r.norm(r.conv(x, f"{name}.conv_pw", filters), f"{name}.bn2"))
    return r.linear(means(x), "classifier", 5)


# (kernel size, width within, filters, SE's hidden width or 0, activation, stride) of
# the blocks of timm's stages: V2 at alpha 0.35, V3 small at 1.
V2 = (
    ((3, 16, 8, 0, relu6, 1),),
    ((3, 48, 8, 0, relu6, 2), (3, 48, 8, 0, relu6, 1)),
    ((3, 48, 16, 0, relu6, 2), *2 * ((3, 96, 16, 0, relu6, 1),)),
    ((3, 96, 24, 0, relu6, 2), *3 * ((3, 144, 24, 0, relu6, 1),)),
    ((3, 144, 32, 0, relu6, 1), *2 * ((3, 192, 32, 0, relu6, 1),)),
    ((3, 192, 56, 0, relu6, 2), *2 * ((3, 336, 56, 0, relu6, 1),)),
    ((3, 336, 112, 0, relu6, 1),),
)
V3_SMALL = (
    ((3, 16, 16, 8, relu, 2),),
    ((3, 72, 24, 0, relu, 2), (3, 88, 24, 0, relu, 1)),
    ((5, 96, 40, 24, hard_swish, 2), *2 * ((5, 240, 40, 64, hard_swish, 1),)),
    ((5, 120, 48, 32, hard_swish, 1), (5, 144, 48, 40, hard_swish, 1)),
    ((5, 288, 96, 72, hard_swish, 2), *2 * ((5, 576, 96, 144, hard_swish, 1),)),
)


def _inverted(r, x, row, conv_names, se_name):
    """A block; `conv_names` are (convolution, norm) pairs, the first for the 1×1."""
    size, within, filters, hidden, activation, stride = row
    shortcut, names = x, list(conv_names)
    if len(names) == 3:
        conv, norm = names.pop(0)
        x = activation(r.norm(r.conv(x, conv, within), norm))
    (depthwise, norm), (last, last_norm) = names
    x = r.conv(x, depthwise, within, size, stride, groups=within)
    x = activation(r.norm(x, norm))
    if hidden:
        x = se(r, x, se_name[0], hidden, *se_name[1:], gate=hard_sigmoid)
    x = r.norm(r.conv(x, last, filters), last_norm)
    return x + shortcut if stride == 1 and x.shape == shortcut.shape else x


def timm_inverted(r, x, stages, stem, activation):
    x = activation(r.norm(r.conv(x, "conv_stem", stem, 3, 2), "bn1"))
    for s, rows in enumerate(stages):
        for b, row in enumerate(rows):
            name = f"blocks.{s}.{b}"
            parts = ("conv_pw", "conv_dw", "conv_pwl")
            if row[1] == x.shape[-1]:
                parts = ("conv_dw", "conv_pw")
            names = [(f"{name}.{p}", f"{name}.bn{i}") for i, p in enumerate(parts, 1)]
            x = _inverted(
                r, x, row, names, (f"{name}.se", "conv_reduce", "conv_expand")
            )
    return x


def timm_mobilenet_v2(r, x):
    x = timm_inverted(r, x, V2, 16, relu6)
    x = relu6(r.norm(r.conv(x, "conv_head", 1280), "bn2"))
    return r.linear(means(x), "classifier", 5)


def timm_mobilenet_v3(r, x):
    x = timm_inverted(r, x, V3_SMALL, 16, hard_swish)
    x = hard_swish(r.norm(r.conv(x, "blocks.5.0.conv", 576), "blocks.5.0.bn1"))
    x = hard_swish(r.linear(means(x), "conv_head", 1024, (1, 1)))
    return r.linear(x, "classifier", 5)


def torchvision_mobilenet_v2(r, x):
    x = relu6(r.norm(r.conv(x, "features.0.0", 16, 3, 2), "features.0.1"))
    for n, row in enumerate(sum(V2, ()), 1):
        name = f"features.{n}.conv"
        first = 0 if row[1] == x.shape[-1] else 1
        names = [(f"{name}.{i}.0", f"{name}.{i}.1") for i in range(first + 1)]
        names.append((f"{name}.{first + 1}", f"{name}.{first + 2}"))
        x = _inverted(r, x, row, names, None)
    x = relu6(r.norm(r.conv(x, "features.18.0", 1280), "features.18.1"))
    return r.linear(means(x), "classifier.1", 5)


def torchvision_mobilenet_v3(r, x):
    x = hard_swish(r.norm(r.conv(x, "features.0.0", 16, 3, 2), "features.0.1"))
    for n, row in enumerate(sum(V3_SMALL, ()), 1):
        name = f"features.{n}.block"
        first = 0 if row[1] == x.shape[-1] else 1
        last = first + (2 if row[3] else 1)
        numbers = [*range(first + 1), last]
        names = [(f"{name}.{i}.0", f"{name}.{i}.1") for i in numbers]
        x = _inverted(r, x, row, names, (f"{name}.{first + 1}", "fc1", "fc2"))
    x = hard_swish(r.norm(r.conv(x, "features.12.0", 576), "features.12.1"))
    x = hard_swish(r.linear(means(x), "classifier.0", 1024))
    return r.linear(x, "classifier.3", 5)


def vgg16(r, x, units, timm):
    place = 0
    for depth, filters in zip((2, 2, 3, 3, 3), (64, 128, 256, 512, 512), strict=True):
        for _ in range(depth):
            x = relu(r.conv(x, f"features.{place}", filters, 3, bias=True))
            place += 2
        x = max_pool(x, 2, 2)
        place += 1
    # PyTorch flattens channels first.
    x = np.moveaxis(x, -1, 1).reshape(len(x), -1)
    if not timm:
        x = relu(r.linear(x, "classifier.0", units))
        x = relu(r.linear(x, "classifier.3", units))
        return r.linear(x, "classifier.6", 5)
    x = relu(_whole_map(r, x, "pre_logits.fc1", units))
    x = relu(r.linear(x, "pre_logits.fc2", units, (1, 1)))
    return r.linear(x, "head.fc", 5)


def _whole_map(r, x, name, units):
    """timm's first dense layer, a convolution over all of a square map of 512."""
    side = round((x.shape[-1] / 512) ** 0.5)
    out = r.linear(x, name, units)
    kernel = r.tensors[f"{name}.weight"]
    r.tensors[f"{name}.weight"] = kernel.reshape(units, 512, side, side)
    return out
