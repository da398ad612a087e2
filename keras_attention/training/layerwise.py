"""Which layers train in fine-tuning, and how fast."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterator

import keras

from keras_attention.choices import unknown
from keras_attention.training.finetune_recipes import FinetuneRecipe
from keras_attention.training.stages import Stage, stages_of


def set_up_layers(
    model: keras.Model, recipe: FinetuneRecipe, new: Collection[str]
) -> dict[str, float]:
    """Freeze what the recipe freezes, and tell how fast the others learn.

    Args:
        model: functional; all its layers are set to train or not to.
        recipe: whose `freeze`, `freeze_batch_norm`, `layer_decay` and
            `new_learning_rate_factor` are obeyed.
        new: paths of the layers that have just been drawn, such as `"top"` or
            `"backbone/conv1"` in a model in the model. They always train. What is no
            path is a name, as records of earlier runs have it.

    Returns:
        `learning_rate_factors` for `SGDL2`.

    Raises:
        ValueError: the recipe freezes more stages than there are, layers that are not
            there, or everything; or two layers of one name learn at different rates.
    """
    stages, head = stages_of(model)
    drawn = _drawn(model, new)
    old = [x for stage in (*stages, head) for x in stage.layers if id(x) not in drawn]
    set_trainable(model)
    for layer in _frozen(recipe.freeze, stages, old):
        layer.trainable = id(layer) in drawn
    if recipe.freeze_batch_norm:
        for layer in _batch_norms(old):
            layer.trainable = False
    if not model.trainable_variables:
        raise ValueError(f"freeze={recipe.freeze!r} leaves nothing that trains")
    return _factors(recipe, stages, head, drawn)


def set_trainable(model: keras.Model) -> None:
    """Let all layers train."""
    for layer in model._flatten_layers():
        # One by one: on TensorFlow, setting a model to what it is reaches no layer.
        layer.trainable = True


def _drawn(model: keras.Model, new: Collection[str]) -> set[int]:
    """The ids of the layers that have just been drawn."""
    paths = list(_paths(model))
    known = {path for path, _ in paths}
    names = set(new) - known
    return {id(layer) for path, layer in paths if path in new or layer.name in names}


def _paths(model: keras.Model, before: str = "") -> Iterator[tuple[str, object]]:
    """(path, layer) of the layers of a model and of the models in it."""
    for layer in model.layers:
        yield before + layer.name, layer
        if isinstance(layer, keras.Model):
            yield from _paths(layer, f"{before}{layer.name}/")


def _frozen(freeze, stages: list[Stage], old: list) -> list[keras.layers.Layer]:
    if not isinstance(freeze, int):
        return _matching(freeze, old)
    if freeze > len(stages):
        listed = ", ".join(map(str, stages)) or "none"
        raise ValueError(
            f"freeze={freeze}: the network has {len(stages)} stages to freeze: {listed}"
        )
    return [layer for stage in stages[:freeze] for layer in stage.layers]


def _matching(patterns, old: list) -> list[keras.layers.Layer]:
    names = [layer.name for layer in old]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise unknown("layer to freeze", pattern, names)
    return [
        layer
        for layer in old
        if any(fnmatch.fnmatchcase(layer.name, pattern) for pattern in patterns)
    ]


def _batch_norms(layers: list) -> list[keras.layers.BatchNormalization]:
    return [
        inner
        for layer in layers
        for inner in layer._flatten_layers()
        if isinstance(inner, keras.layers.BatchNormalization)
    ]


def _factors(
    recipe: FinetuneRecipe, stages: list[Stage], head: Stage, drawn: set[int]
) -> dict[str, float]:
    factors = {}
    for distance, stage in enumerate([head, *reversed(stages)]):
        for layer in stage.layers:
            factor = (
                recipe.new_learning_rate_factor
                if id(layer) in drawn
                else recipe.layer_decay**distance
            )
            if layer.trainable_variables and factors.get(layer.name, factor) != factor:
                raise ValueError(
                    f"Two layers are called {layer.name!r} and would learn at "
                    "different rates: rename one, or use layer_decay=1"
                )
            if layer.trainable_variables:
                factors[layer.name] = factor
    return {name: factor for name, factor in factors.items() if factor != 1}
