"""A layout: what another library calls the weights of a network that is here too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_attention.weights.layouts.conversions import Conversion
from keras_attention.weights.layouts.leaves import Leaves, UnlikeError
from keras_attention.weights.preprocessing import ImageFormat

_BLOCK = re.compile(r"stage(\d+)_block(\d+)_(.+)")

# Layers that `include_top=False` and `pyramid=True` leave out.
HEAD = (
    *("predictions", "head_conv", "head_norm"),
    *("head_dense", "head_dense1", "head_dense2"),
)
# {(stage, block): the parts of its layers' names}, in order.
Blocks = dict[tuple[int, int], list[str]]


@dataclass(frozen=True)
class Entry:
    """A weight of a model and the tensor that it is in a layout.

    Args:
        path: of our variable in the model.
        variable: ours.
        layer: the model's layer that has it.
        name: theirs; None where the layout has no such weight.
        conversion: None with that.
    """

    path: str
    variable: Any
    layer: keras.layers.Layer
    name: str | None = None
    conversion: Conversion | None = None

    @property
    def their_shape(self) -> tuple[int, ...]:
        """The shape that the tensor must have."""
        return self.conversion.their_shape(tuple(self.variable.shape))


@dataclass(frozen=True)
class Layout:
    """One library's names and shapes for one family of networks.

    Args:
        title: for messages, as "torchvision's VGG".
        family: the networks here, see `family_of`.
        signature: patterns of names; a file of this layout has one for each.
        names: their names of layers by ours, of the model's blocks; also of a head
            that the model lacks.
        leaves: a layer's tensors, by our layer's name or type.
        epsilon: of its batch norms; None where there are none.
        image_format: what the weights expect of images where no file says it.
        separator: between layer and leaf.
        others: leaves of all other layers; None for none.
        architectures: timm's names of the architectures that compute what ours do, as
            a pattern: names and shapes of tensors are those of some others too.
        checks: functions of a model that say why its weights would be right in name
            and shape and wrong all the same, or None.
        prepare: function of (tensors, model) that gives the tensors to load.
        aliases: function of a model that gives {name of a layer: ours of the layer
            whose place it has}.
    """

    title: str
    family: str
    signature: tuple[str, ...]
    names: Callable[[Blocks], dict[str, str]]
    leaves: Mapping[Any, Leaves]
    epsilon: float | None = None
    image_format: ImageFormat | None = None
    separator: str = "."
    others: Leaves | None = None
    architectures: str = ""
    checks: tuple[Callable[[keras.Model], str | None], ...] = ()
    prepare: Callable[[dict, keras.Model], dict] = field(default=lambda t, _: t)
    aliases: Callable[[keras.Model], Mapping[str, str]] = field(default=lambda _: {})

    def entries(self, model: keras.Model) -> tuple[list[Entry], list[str]]:
        """The model's weights in this layout, and why some have no place in it."""
        names, found, reasons = self.names(blocks_of(model)), [], []
        aliases = self.aliases(model)
        for layer in model.layers:
            leaves, ours = [], aliases.get(layer.name, layer.name)
            try:
                leaves = self._leaves(layer) if ours in names else []
            except UnlikeError as reason:
                reasons.append(str(reason))
            named = {
                id(leaf.variable): (
                    f"{names[ours]}{self.separator}{leaf.name}",
                    leaf.conversion,
                )
                for leaf in leaves
            }
            for variable in layer.weights:
                name, conversion = named.get(id(variable), (None, None))
                path = path_of(variable, model)
                found.append(Entry(path, variable, layer, name, conversion))
        return found, reasons

    def _leaves(self, layer):
        leaves = self.leaves.get(layer.name) or self.leaves.get(
            type(layer), self.others
        )
        return leaves(layer) if leaves else []

    def left_out(self, model: keras.Model, tensors: Iterable[str]) -> set[str]:
        """Those tensors that are of a head which the model was made without."""
        absent = set(HEAD).difference(layer.name for layer in model.layers)
        names = self.names(blocks_of(model))
        prefixes = tuple(
            f"{names[ours]}{self.separator}" for ours in absent if ours in names
        )
        return {name for name in tensors if name.startswith(prefixes)}

    def matches(self, tensors: Mapping[str, np.ndarray]) -> bool:
        """Whether a file's tensors look like this layout's."""
        return all(
            any(re.fullmatch(pattern, name) for name in tensors)
            for pattern in self.signature
        )


def path_of(variable, model: keras.Model) -> str:
    """A variable's path, without the model's own name before it."""
    return variable.path.removeprefix(f"{model.name}/")


def blocks_of(model: keras.Model) -> Blocks:
    """The model's blocks, from its layers' names."""
    found = {}
    for layer in model.layers:
        if match := _BLOCK.fullmatch(layer.name):
            stage, block, part = match.groups()
            found.setdefault((int(stage), int(block)), []).append(part)
    return dict(sorted(found.items()))


def depths_of(blocks: Blocks) -> tuple[int, ...]:
    """Number of blocks of each stage."""
    stages = [stage for stage, _ in blocks]
    return tuple(stages.count(stage) for stage in dict.fromkeys(stages))


# Layers that a family's networks have, all of them, and no other's.
_MARKS = {
    "resnet": ("stage1_block1_norm2", "stem_norm"),
    "mobilenet": ("stage1_block1_pointwise",),
    "mobilenetv2": ("stage1_block1_project", "stem_relu"),
    "mobilenetv3": ("stage1_block1_project", "stem_hard_swish"),
    "vgg": ("stage5_block3_conv",),
}


def family_of(model: keras.Model) -> str | None:
    """The family of an application's network; None where it is of no such."""
    layers = {layer.name for layer in model.layers}
    for family, marks in _MARKS.items():
        if layers.issuperset(marks):
            return family
    return None


def named(
    blocks: Iterable, parts: Mapping[str, str], block: Callable
) -> dict[str, str]:
    """Their names of the layers of blocks.

    Args:
        blocks: (stage, block) pairs.
        parts: their name for each part of ours.
        block: function of (stage, block) that gives what stands before it.
    """
    return {
        f"stage{s}_block{b}_{ours}": f"{block(s, b)}{theirs}"
        for s, b in blocks
        for ours, theirs in parts.items()
    }
