"""Errors in percent, against counting by hand."""

import keras
import numpy as np
import pytest

from keras_attention.training import TopKError
from keras_attention.training.metrics import error_metrics


def result(metric, labels, scores):
    metric.update_state(np.array(labels), np.array(scores, "float32"))
    return float(metric.result())


def test_by_hand():
    scores = [
        [0.4, 0.3, 0.2, 0.1],
        [0.1, 0.2, 0.3, 0.4],
        [0.3, 0.4, 0.1, 0.2],
        [0.1, 0.2, 0.4, 0.3],
    ]
    # Labels stand first, third, last and second in the order of the scores.
    labels = [0, 1, 2, 3]
    assert result(TopKError(1), labels, scores) == pytest.approx(75)
    assert result(TopKError(2), labels, scores) == pytest.approx(50)
    assert result(TopKError(3), labels, scores) == pytest.approx(25)


def test_batches_of_any_size_count_by_image(rng):
    scores, labels = rng.random((30, 8)), rng.integers(0, 8, 30)
    metric = TopKError(5)
    for part in (slice(0, 7), slice(7, 30)):
        metric.update_state(labels[part], scores[part].astype("float32"))
    ranks = (scores > scores[np.arange(30), labels][:, None]).sum(axis=1)
    assert float(metric.result()) == pytest.approx(100 * (ranks >= 5).mean())


def test_the_same_answer_for_all_is_not_right():
    assert result(TopKError(1), [1, 2, 3], np.full((3, 4), 0.25)) == 100


def test_top5_only_where_it_says_something():
    assert [metric.name for metric in error_metrics(5)] == ["top1_error"]
    assert [metric.name for metric in error_metrics(6)] == ["top1_error", "top5_error"]


def test_config_round_trip():
    config = keras.saving.serialize_keras_object(TopKError(3))
    found = keras.saving.deserialize_keras_object(config)
    assert (found.k, found.name) == (3, "top3_error")
    with pytest.raises(ValueError, match="k=0"):
        TopKError(0)
