"""When the architecture moves, and the weights' rate by its formula."""

import math

import keras
import numpy as np
import pytest

from keras_attention.tuning.schedule import SearchSchedule


def test_the_architecture_waits_and_then_takes_turns():
    schedule = SearchSchedule(epochs=4, warmup_epochs=2, weight_steps=3)
    moves = [step for step in range(20) if schedule.moves_architecture(step, 5)]
    assert moves == [10, 13, 16, 19]


def test_by_default_it_moves_before_every_step():
    assert all(SearchSchedule().moves_architecture(step, 7) for step in range(20))


def test_the_rate_is_a_cosine_over_all_epochs():
    rates = SearchSchedule(10, learning_rate=0.4, least_learning_rate=0.1)
    found = [
        float(keras.ops.convert_to_numpy(rates.learning_rates(3)(step)))
        for step in range(31)
    ]
    wanted = [0.1 + 0.15 * (1 + math.cos(math.pi * step / 30)) for step in range(31)]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 0}, "epochs ≥ 1"),
        ({"epochs": 2.5}, "an integer epochs"),
        ({"epochs": 3, "warmup_epochs": 4}, "warmup_epochs from 0 to epochs"),
        ({"weight_steps": 0}, "weight_steps ≥ 1"),
        ({"learning_rate": 0.0, "least_learning_rate": 0.0}, "learning_rate > 0"),
        ({"least_learning_rate": 0.1}, "least_learning_rate ≤ learning_rate"),
    ],
)
def test_what_is_out_of_range_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        SearchSchedule(**options)
