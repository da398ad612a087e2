"""The order of images: a function of seed, epoch and step, and nothing else."""

import numpy as np
import pytest

from keras_attention.data.order import Order


def epochs_of(order):
    batches = np.stack(list(order.batches().as_numpy_iterator()))
    return batches.reshape(order.epochs - order.first_epoch, -1)


def test_an_epoch_visits_each_image_once():
    order = Order(count=60, batch_size=10, seed=3, first_epoch=0, epochs=4)
    for epoch in epochs_of(order):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(60))


def test_epochs_and_seeds_have_orders_of_their_own():
    first = epochs_of(Order(200, 20, 0, 0, 3))
    other = epochs_of(Order(200, 20, 1, 0, 3))
    orders = np.concatenate([first, other, np.arange(200)[None]])
    for a in range(len(orders)):
        for b in range(a):
            # Two random orders agree in one place on average.
            assert (orders[a] == orders[b]).sum() < 8


def test_later_epochs_do_not_depend_on_where_one_begins():
    whole = epochs_of(Order(57, 8, 5, 0, 5))
    np.testing.assert_array_equal(epochs_of(Order(57, 8, 5, 3, 5)), whole[3:])


def test_the_rest_is_left_out_and_differs():
    epochs = epochs_of(Order(57, 8, 5, 0, 6))
    assert epochs.shape == (6, 56)
    left = [set(range(57)) - set(epoch) for epoch in epochs]
    assert all(len(rest) == 1 for rest in left)
    assert len(set.union(*left)) > 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 61}, "fewer than one batch of 61"),
        ({"batch_size": 0}, "at least 1"),
        ({"seed": -1}, "from 0 to 2147483647"),
        ({"seed": 1.5}, "integer"),
        ({"first_epoch": 2}, "first_epoch < epochs"),
    ],
)
def test_wrong_values_are_refused(wrong, message):
    right = {"count": 60, "batch_size": 6, "seed": 0, "first_epoch": 0, "epochs": 2}
    with pytest.raises(ValueError, match=message):
        Order(**(right | wrong))
