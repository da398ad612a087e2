"""What a comparison's folder holds, for its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from keras_attention.counting import Complexity, complexity
from keras_attention.intervals import mean_and_interval
from keras_attention.training import Evaluation, history, load_trained
from keras_attention.training.files import naming, read_json
from keras_attention.training.run_folder import read_run
from keras_attention.tuning.comparison import (
    CANDIDATE,
    EVALUATION,
    KIND,
    RUNS,
    read_comparison,
)

__all__ = ["Variant", "read_variants"]

HISTORY = "history.csv"


@dataclass(frozen=True, eq=False)
class Variant:
    """A candidate of a comparison, with its finished runs.

    Args:
        name: the candidate's.
        model: the network's name.
        attention: as the record has it; None for the plain network.
        rows: of `runs.csv`.
        folders: of its runs, one for each row.
    """

    name: str
    model: str
    attention: object
    rows: tuple[dict, ...]
    folders: tuple[Path, ...]

    @property
    def seeds(self) -> list[int]:
        """Of its runs."""
        return [int(row["seed"]) for row in self.rows]

    def values(self, column: str) -> list[float]:
        """A column of `runs.csv`; empty where a field is."""
        found = [row[column] for row in self.rows]
        return [float(value) for value in found if value != ""]

    @cached_property
    def histories(self) -> list[list[dict]]:
        """A row per epoch, for each run."""
        return [history.read_some(folder / HISTORY) for folder in self.folders]

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """On the test images, for each run."""
        return [_evaluation(folder / EVALUATION) for folder in self.folders]

    @cached_property
    def complexity(self) -> Complexity:
        """Of the network."""
        return complexity(load_trained(self.folders[0])[0])

    def epoch_seconds(self) -> list[float]:
        """Each run's median, without its first epoch, which compiles."""
        found = []
        for folder, rows in zip(self.folders, self.histories, strict=True):
            with naming(folder / HISTORY):
                seconds = [row["seconds"] for row in rows[1:] or rows]
            found.append(float(np.median(seconds)))
        return found

    def difference(self, other: Variant) -> tuple[float, float | None] | None:
        """Top-1 error less the other's, by seed: mean and half of the 95% interval.

        Runs of one seed have the same images in the same order, so that what they
        share does not blur the difference. None without a seed in common.
        """
        own, others = (
            dict(zip(v.seeds, v.values("test_top1_error"), strict=True))
            for v in (self, other)
        )
        common = [own[seed] - others[seed] for seed in own if seed in others]
        return mean_and_interval(common) if common else None


def read_variants(folder: Path) -> list[Variant]:
    """The candidates of a comparison that have finished runs, in the order of these.

    Raises:
        FileNotFoundError: no comparison, no finished run, or a file is not there.
        ValueError: a file is damaged; the message names it.
    """
    shared = read_run(folder, KIND, ("training",))["training"]
    by_name = {}
    with naming(folder / RUNS):
        for row in read_comparison(folder).rows:
            by_name.setdefault(row["candidate"], []).append(row)
    return [_variant(folder, name, rows, shared) for name, rows in by_name.items()]


def _variant(folder: Path, name: str, rows: Sequence[dict], shared: dict) -> Variant:
    path = folder / name / CANDIDATE
    stored = read_json(path)
    with naming(path):
        return Variant(
            name,
            {**shared, **stored.get("options", {})}["model"],
            stored["attention"],
            tuple(rows),
            tuple(folder / name / f"seed{row['seed']}" for row in rows),
        )


def _evaluation(path: Path) -> Evaluation:
    content = read_json(path)
    with naming(path):
        return Evaluation.from_dict(content)
