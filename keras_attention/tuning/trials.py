"""The trials of a search by Keras Tuner, as a table."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from keras_attention.training.files import write_text

__all__ = ["OBJECTIVE", "REASON", "completed", "table", "write_table"]

OBJECTIVE = "val_top1_error"
# In a trial's folder: what a worker sends to its chief has no room for it.
REASON = "reason.txt"
MEASURED = ("parameters", "seconds")
COMPLETED, FAILED = "COMPLETED", "FAILED"


def completed(oracle) -> list:
    """The trials that ended with a result, best first."""
    trials = [each for each in oracle.trials.values() if each.status == COMPLETED]
    return sorted(trials, key=lambda trial: (trial.score, trial.trial_id))


def table(oracle, folder: Path) -> list[dict]:
    """A row per trial: the completed ones best first, then the others.

    Args:
        oracle: of Keras Tuner.
        folder: of the trials.

    Returns:
        Dictionaries with `trial`, `status`, `val_top1_error` in percent, the `epoch`
        that had it (from 0), `parameters`, `seconds`, every hyperparameter, and the
        `reason` of a failure; without what a trial has not. Workers send numbers in
        single precision: above 2²⁴ their `parameters` are rounded.
    """
    best = completed(oracle)
    rest = [oracle.trials[key] for key in sorted(oracle.trials)]
    return [_row(each, folder) for each in [*best, *(t for t in rest if t not in best)]]


def write_table(path: Path, rows: list[dict]) -> None:
    """Write rows as CSV, whole or not at all."""
    first = ("trial", "status", OBJECTIVE, "epoch", *MEASURED)
    middle = dict.fromkeys(key for row in rows for key in row if key != "reason")
    fields = [*first, *(key for key in middle if key not in first), "reason"]
    text = io.StringIO()
    writer = csv.DictWriter(text, fields)
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _row(trial, folder):
    row = {"trial": trial.trial_id, "status": trial.status}
    if trial.status == COMPLETED:
        # Keras Tuner counts from where the trial began.
        first = trial.hyperparameters.values.get("tuner/initial_epoch", 0)
        row |= {OBJECTIVE: float(trial.score), "epoch": first + trial.best_step}
        row |= {name: float(trial.metrics.get_last_value(name)) for name in MEASURED}
        row["parameters"] = round(row["parameters"])
    row |= trial.hyperparameters.values
    if trial.status == FAILED:
        row["reason"] = _reason(trial, folder)
    return row


def _reason(trial, folder):
    path = folder / f"trial_{trial.trial_id}" / REASON
    message = trial.message or (path.read_text("utf-8") if path.exists() else "")
    lines = message.strip().splitlines() or ["no reason was recorded"]
    # The last line of a traceback; "…FailedTrialError" says no more than the status.
    kind, _, reason = lines[-1].partition(": ")
    return reason if kind.endswith("FailedTrialError") else lines[-1]
