"""Recipes of detectors as values."""

import keras
import numpy as np
import pytest

from keras_attention.detection import DETECTION_RECIPES, detection_recipe
from keras_attention.training import learning_rate_schedule


def test_torchvisions_numbers():
    """Its references/detection/README.md: 8 GPUs with 2 and 4 images each."""
    coco, ssd = DETECTION_RECIPES["coco"], DETECTION_RECIPES["ssd"]
    assert (coco.epochs, coco.milestone_epochs) == (26, [16, 22])
    assert (coco.learning_rate, coco.batch_size, coco.weight_decay) == (0.02, 16, 1e-4)
    assert (coco.short_side, coco.long_side, coco.size) == (800, 1333, None)
    assert (ssd.epochs, ssd.milestone_epochs) == (120, [80, 110])
    assert (ssd.learning_rate, ssd.batch_size, ssd.weight_decay) == (0.002, 32, 5e-4)
    assert (ssd.size, ssd.crops) == ((300, 300), True)
    assert {coco.momentum, ssd.momentum} == {0.9}


def test_the_learning_rate_rises_then_falls_at_milestones():
    schedule = learning_rate_schedule(detection_recipe("coco"), 500)
    # Before, in and after the warm-up; around epochs 16 and 22.
    steps = np.float32([0, 499, 999, 1000, 7999, 8000, 10999, 11000])
    found = keras.ops.vectorized_map(schedule, keras.ops.convert_to_tensor(steps))
    wanted = [2e-5, 0.01, 0.02, 0.02, 0.02, 0.002, 0.002, 0.0002]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), wanted, rtol=1e-5)


def test_warm_up_is_at_most_a_tenth_of_the_run():
    recipe = detection_recipe("coco")
    assert recipe.warmup_of(26 * 7392) == 1000
    assert recipe.warmup_of(200) == 20


def test_changes():
    assert detection_recipe("ssd", epochs=None) is not None
    assert detection_recipe("ssd", epochs=None) == DETECTION_RECIPES["ssd"]
    assert detection_recipe("ssd", flip=False, size=[64, 96]).size == (64, 96)
    assert not detection_recipe("ssd", flip=False).flip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs ≥ 1"),
        ({"warmup_steps": -1}, "warmup_steps ≥ 0"),
        ({"clip_norm": 0.0}, "clip_norm > 0"),
        ({"crops": True}, "size where crops"),
        ({"short_side": 900, "long_side": 800}, "short_side ≤ long_side"),
        ({"size": (0, 300)}, "a size of two numbers"),
        ({"milestones": (0.7, 0.3)}, "rising"),
        ({"schedule": "stepp"}, "'stepp'.*'step'"),
        ({"warmup": 0.1}, "'warmup'.*'warmup_steps'"),
    ],
)
def test_wrong_values_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        detection_recipe("coco", **change)


def test_an_unknown_name_tells_the_nearest():
    with pytest.raises(ValueError, match=r"'cocoo'.*'coco'"):
        detection_recipe("cocoo")
