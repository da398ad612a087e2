"""Timing side by side, by a clock that only the cases move."""

import numpy as np
import pytest

from keras_attention import timing


class Clock:
    """Cases that take the seconds they are told to, and who ran when."""

    def __init__(self):
        self.now, self.ran = 0.0, []

    def case(self, name, seconds):
        left = iter(seconds)

        def run():
            self.ran.append(name)
            self.now += next(left)

        return run


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(timing, "perf_counter", lambda: made.now)
    return made


def test_every_round_runs_every_case_once_in_its_own_order(clock):
    cases = {name: clock.case(name, [1.0] * 12) for name in "abc"}
    done = []
    timing.interleave(cases, 10, done.append, warm_up=2)
    assert clock.ran[:6] == list("aabbcc")
    rounds = [tuple(clock.ran[i : i + 3]) for i in range(6, 36, 3)]
    assert {frozenset(each) for each in rounds} == {frozenset("abc")}
    assert len(set(rounds)) > 2 and len(clock.ran) == 36
    assert done == list(range(1, 11))


def test_the_first_run_is_not_counted_and_a_case_may_time_itself(clock):
    cases = {"a": clock.case("a", [9.0, 1.0, 2.0]), "own": lambda: 0.25}
    seconds = timing.interleave(cases, 2)
    np.testing.assert_allclose(seconds["a"], [1, 2])
    np.testing.assert_allclose(seconds["own"], [0.25, 0.25])


def test_ratios_are_within_rounds():
    seconds = {"a": np.array([1.0, 2.0, 10.0]), "b": np.array([3.0, 2.0, 40.0])}
    # 3, 1 and 4, where the medians' ratio is 1.5.
    assert timing.ratio(seconds, "b", "a") == (2.0, 3.0, 3.5)


def test_the_machine_has_the_versions_that_are_there():
    named = timing.machine(["numpy", "no-such-package"])
    assert named.endswith(f" cores, numpy {np.__version__}")
