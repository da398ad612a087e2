"""Selection rules at their edges, and the budgeted choice against brute force."""

import itertools

import numpy as np
import pytest

from keras_attention.tuning.selection import PARALLEL, select, select_within

# (p, operation): each row is the rule's text worked out by hand. Rows of published
# tables can be added as they are.
ROWS = {
    "uniform: 0.4 > 0.2, and equal": ([0.2] * 5, PARALLEL),
    "identity alone": ([1, 0, 0, 0, 0], 0),
    "channel alone: 1 > 0, and 1 apart": ([0, 0, 0, 1, 0], 3),
    "spatial alone": ([0, 0, 0, 0, 1], 4),
    "half each": ([0, 0, 0, 0.5, 0.5], PARALLEL),
    "0.09 apart": ([0.11, 0.2, 0.2, 0.29, 0.2], PARALLEL),
    "0.09 apart, the other way": ([0.11, 0.2, 0.2, 0.2, 0.29], PARALLEL),
    # 0.35 − 0.25 in binary is below 0.1, and 0.3 − 0.2 too.
    "0.1 apart exactly": ([0.2, 0.1, 0.1, 0.35, 0.25], 3),
    "0.1 apart exactly, the other way": ([0.2, 0.1, 0.1, 0.25, 0.35], 4),
    "0.1 apart and lower": ([0.2, 0.15, 0.15, 0.3, 0.2], 3),
    "0.11 apart": ([0.2, 0.2, 0.19, 0.26, 0.15], 3),
    # 0.14 + 0.16 and 0.14 + 0.17 in binary are above 0.3 and 0.31.
    "the sum equals p1 exactly": ([0.2, 0.4, 0, 0.2, 0.2], 1),
    "the sum equals p0, 0.03 apart": ([0.31, 0.2, 0.18, 0.17, 0.14], 0),
    "the sum equals p2, 0.02 apart": ([0.2, 0.2, 0.3, 0.16, 0.14], 2),
    "the sum is 0.02 above p2": ([0.18, 0.19, 0.31, 0.16, 0.16], PARALLEL),
    "the sum is 0.02 below p0": ([0.41, 0.1, 0.1, 0.2, 0.19], 0),
    "the sum above, but far apart, and p1 largest": ([0, 0.45, 0, 0.35, 0.2], 1),
    "the first of two equal": ([0.4, 0.4, 0.1, 0.05, 0.05], 0),
    "the first of two equal, later": ([0.1, 0.4, 0.4, 0.05, 0.05], 1),
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_papers_rule(row, dtype):
    p, expected = ROWS[row]
    assert select(np.array([p], dtype)) == [expected]


def test_argmax_takes_the_first_of_the_largest():
    table = [[0.2] * 5, [0, 0, 0, 0.5, 0.5], [0.1, 0.2, 0.3, 0.2, 0.2]]
    assert select(table, "argmax") == [0, 3, 2]
    assert select([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], "argmax") == [2, 0]


def test_rows_are_independent():
    values = list(ROWS.values())
    assert select([p for p, _ in values]) == [choice for _, choice in values]


def test_rounded_rows_are_taken():
    """A table's decimals may sum to 0.98."""
    assert select([[0.16, 0.16, 0.16, 0.25, 0.25]]) == [PARALLEL]


@pytest.mark.parametrize(
    ("table", "rule", "message"),
    [
        ([[0.2] * 5], "papers", r"rule.*'papers'.*'paper'"),
        ([[0.5, 0.5]], "paper", "5 operations.*Received: 2.*argmax"),
        ([0.2] * 5, "paper", r"shape \(blocks, operations\)"),
        ([], "argmax", r"shape \(blocks, operations\)"),
        ([[0.2] * 5, [1, 1, 1, 1, 1]], "paper", "Row 1"),
        ([[1.2, -0.2, 0, 0, 0]], "argmax", "Row 0"),
        ([[float("nan"), 1, 0, 0, 0]], "argmax", "Row 0"),
    ],
)
def test_refused(table, rule, message):
    with pytest.raises(ValueError, match=message):
        select(table, rule)


def brute_force(p, costs, budget):
    """The largest Σ log p of all choices that fit."""
    best = None
    for choice in itertools.product(range(p.shape[1]), repeat=len(p)):
        cost = sum(costs[b][i] for b, i in enumerate(choice))
        if cost > budget:
            continue
        value = sum(np.log(p[b, i]) for b, i in enumerate(choice))
        if best is None or value > best:
            best = value
    return best


def draw(rng, blocks, operations):
    p = rng.dirichlet(np.full(operations, 0.7), blocks)
    p = np.maximum(p, 1e-6)
    return p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("kind", ["integers", "few", "floats", "negative"])
def test_budgeted_choice_is_the_best_of_all(kind, rng):
    for _ in range(40):
        blocks, operations = rng.integers(1, 6), rng.integers(2, 6)
        p = draw(rng, blocks, operations)
        shape = (blocks, operations)
        costs = {
            "integers": lambda s=shape: rng.integers(0, 1000, s),
            "few": lambda s=shape: rng.integers(0, 3, s),
            "floats": lambda s=shape: rng.exponential(1.0, s),
            "negative": lambda s=shape: rng.normal(0.0, 1.0, s),
        }[kind]()
        least, most = costs.min(axis=1).sum(), costs.max(axis=1).sum()
        for share in (0, 0.2, 0.5, 0.8, 1):
            budget = (least + share * (most - least)).item()
            choice = select_within(p, costs, budget)
            spent = sum(costs[b, i] for b, i in enumerate(choice))
            assert spent <= budget + 1e-9 * (1 + abs(budget))
            value = sum(np.log(p[b, i]) for b, i in enumerate(choice))
            tolerance = 1e-9 * (1 if kind in ("integers", "few") else 1 + abs(budget))
            expected = brute_force(p, costs, budget + tolerance)
            assert value == pytest.approx(expected, abs=1e-9)


def test_a_large_budget_gives_argmax(rng):
    p = draw(rng, 54, 5)
    costs = rng.integers(0, 10**9, p.shape)
    assert select_within(p, costs, 10**12) == select(p, "argmax")


def test_greedy_would_be_wrong():
    """Worked out by hand: two cheap gains beat the one dear gain."""
    p = [[0.1, 0.9], [0.2, 0.8], [0.25, 0.75]]
    costs = [[0, 10], [0, 5], [0, 5]]
    # log 9 = 2.197 for 10; log 4 + log 3 = 2.485 for 10.
    assert select_within(p, costs, 10) == [0, 1, 1]
    assert select_within(p, costs, 14) == [0, 1, 1]
    assert select_within(p, costs, 15) == [1, 1, 0]
    assert select_within(p, costs, 4) == [0, 0, 0]


def test_large_integers_are_exact():
    """Above what a relative tolerance would tell apart."""
    p, unit = [[0.1, 0.9], [0.1, 0.9]], 10**13
    costs = [[0, unit], [0, unit + 1]]
    assert select_within(p, costs, 2 * unit + 1) == [1, 1]
    assert sum(select_within(p, costs, 2 * unit)) == 1


def test_float_sums_on_the_budget_fit():
    """0.1 + 0.2 is above 0.3 in binary."""
    assert select_within([[0.1, 0.9]] * 2, [[0, 0.1], [0, 0.2]], 0.3) == [1, 1]


def test_an_impossible_operation_is_the_last_resort():
    p = [[0.0, 1.0], [0.5, 0.5]]
    costs = [[0, 5], [0, 1]]
    assert select_within(p, costs, 5) == [1, 0]
    assert select_within(p, costs, 4) == [0, 0]


@pytest.mark.parametrize("kind", ["integers", "floats"])
def test_a_deep_network_takes_a_moment(kind, rng):
    """5^54 choices, of which all but a few partial ones are dropped."""
    import time

    p = draw(rng, 54, 6)
    costs = rng.exponential(1.0, p.shape)
    if kind == "integers":
        costs = (costs * 10**8).astype("int64")
    least = costs.min(axis=1).sum()
    budget = float(least + 0.3 * (costs.max(axis=1).sum() - least))
    start = time.perf_counter()
    choice = select_within(p, costs, budget)
    assert time.perf_counter() - start < 5
    assert sum(costs[b, i] for b, i in enumerate(choice)) <= budget


@pytest.mark.parametrize(
    ("costs", "budget", "message"),
    [
        ([[1, 2], [3, 4]], 3, "smallest possible cost is 4"),
        ([[1.5, 2], [3, 4]], 4, r"smallest possible cost is 4\.5"),
        ([[1, 2]], 9, r"probabilities' shape \(2, 2\).*\(1, 2\)"),
        ([[1, 2], [3, float("inf")]], 9, "must be finite"),
        ([[1, 2], [3, 4]], float("nan"), "`budget` must be a finite number"),
        ([[1, 2], [3, 4]], "9", "`budget` must be a finite number"),
    ],
)
def test_budget_refused(costs, budget, message):
    with pytest.raises(ValueError, match=message):
        select_within([[0.5, 0.5]] * 2, costs, budget)
