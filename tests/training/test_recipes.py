"""Recipes as values."""

import dataclasses
import re

import pytest

from keras_attention.training import RECIPES, Recipe, recipe


def test_the_papers_numbers():
    imagenet, cifar = RECIPES["imagenet"], RECIPES["cifar"]
    assert (imagenet.epochs, imagenet.batch_size) == (90, 256)
    assert (imagenet.weight_decay, imagenet.decay_factor) == (1e-4, 0.1)
    assert (cifar.momentum, cifar.weight_decay) == (0.9, 5e-4)
    assert cifar.augmentation.flip and cifar.augmentation.pad_crop == 4
    assert imagenet.augmentation.resized_crop == (0.08, 1.0)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_prints_every_field(name):
    text = str(RECIPES[name])
    assert text.startswith(f"recipe {name}\n")
    for field in dataclasses.fields(Recipe)[1:]:
        value = getattr(RECIPES[name], field.name)
        assert re.search(rf"  {field.name} +{re.escape(str(value))}", text)


def test_changes_of_none_are_none():
    assert recipe("cifar", epochs=None) == RECIPES["cifar"]
    assert recipe("cifar", epochs=7).epochs == 7


def test_an_unknown_name_tells_the_nearest():
    with pytest.raises(ValueError, match=r"'imagnet'.*'imagenet'"):
        recipe("imagnet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs ≥ 1"),
        ({"batch_size": 0}, "batch_size ≥ 1"),
        ({"learning_rate": -1}, "learning_rate > 0"),
        ({"warmup": 1.0}, "0 ≤ warmup < 1"),
        ({"milestones": (0.7, 0.3)}, "rising"),
        ({"milestones": ()}, "milestones for the schedule 'step'"),
        ({"schedule": "stepp"}, "'stepp'.*'step'"),
    ],
)
def test_wrong_values_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        recipe("cifar", **change)
