"""Learning rates against their closed forms."""

import math

import keras
import numpy as np
import pytest

from keras_attention.training import Recipe, learning_rate_schedule, recipe


def rates(settings, steps_per_epoch):
    schedule = learning_rate_schedule(settings, steps_per_epoch)
    total = settings.epochs * steps_per_epoch
    # At once: on JAX, eager scalars cost a compilation for each little operation.
    steps = keras.ops.arange(total, dtype="float32")
    return list(keras.ops.convert_to_numpy(keras.ops.vectorized_map(schedule, steps)))


def settings(**changes):
    defaults = {"name": "t", "epochs": 8, "batch_size": 4, "learning_rate": 0.2}
    return Recipe(**(defaults | changes))


def test_steps_begin_with_their_epoch():
    found = rates(settings(milestones=(0.5, 0.75)), 10)
    wanted = [0.2] * 40 + [0.02] * 20 + [0.002] * 20
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_imagenet_is_divided_by_ten_every_thirty_epochs():
    found = rates(recipe("imagenet"), 3)
    wanted = [0.1 / 10 ** (step // 90) for step in range(270)]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_shorter_run_keeps_the_shape():
    assert recipe("imagenet").milestone_epochs == [30, 60]
    assert recipe("imagenet", epochs=9).milestone_epochs == [3, 6]
    assert rates(recipe("cifar", epochs=1), 100)[-1] == pytest.approx(0.1)


@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_warm_up_is_a_line_from_one_part_to_the_whole(schedule):
    found = rates(settings(schedule=schedule, warmup=0.25), 10)
    first = [0.2 * (step + 1) / 20 for step in range(20)]
    if schedule == "step":
        np.testing.assert_allclose(found[:20], first, rtol=1e-6)
    else:
        # Keras' own warm-up: from 1/20 to the whole at step 20, not 19.
        line = [0.2 / 20 + 0.2 * (1 - 1 / 20) * step / 20 for step in range(20)]
        np.testing.assert_allclose(found[:20], line, rtol=1e-5)
    assert found[20] == pytest.approx(0.2)


def test_cosine():
    found = rates(settings(schedule="cosine", warmup=0.25), 10)[20:]
    wanted = [0.1 * (1 + math.cos(math.pi * step / 60)) for step in range(60)]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-7)


def test_config_round_trip():
    schedule = learning_rate_schedule(settings(warmup=0.1, milestones=(0.5,)), 10)
    config = keras.saving.serialize_keras_object(schedule)
    found = keras.saving.deserialize_keras_object(config)
    for step in (0, 3, 7, 8, 39, 40, 79):
        assert float(found(step)) == float(schedule(step))
