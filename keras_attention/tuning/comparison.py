"""Candidates side by side: trained alike over seeds, tested once at the end."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from keras_attention.attention import recorded
from keras_attention.intervals import mean_and_interval
from keras_attention.timing import duration
from keras_attention.training import Request, evaluate_run, load_trained, train
from keras_attention.training.files import naming, read_json, write_json, write_text
from keras_attention.training.history import append_rows
from keras_attention.training.run_folder import (
    RECORD,
    open_run,
    read_run,
    refuse_differences,
)
from keras_attention.training.runs import check_request
from keras_attention.tuning.search_log import read_rows

__all__ = ["Candidate", "Comparison", "compare", "read_comparison"]

KIND = "comparison"
RUNS, TABLE = "runs.csv", "table.md"
CANDIDATE = "candidate.json"
EVALUATION = "evaluation.json"  # in a run's folder: its errors on the test images
COLUMNS = (
    "candidate",
    "seed",
    "epochs",
    "parameters",
    "seconds",
    "spent",
    "test_top1_error",
    "test_top5_error",
)
# The first epoch of a run compiles.
SPEED_EPOCHS = 2


@dataclass(frozen=True)
class Candidate:
    """One of the structures that are compared.

    Args:
        name: letters, digits, `-`, `_` and `.`: a folder's name.
        attention: what `keras_attention.training.train` takes: None, a name, a spec
            or a `Genotype`.
        spent: seconds that finding it took, which `compare(seconds=…)` takes from its
            training.
        options: arguments of `train` that are its own, such as `{"model": "cnn3"}`.

    Raises:
        ValueError: another name, seconds below 0, or `attention` or `seed` among the
            options.
    """

    name: str
    attention: object = None
    spent: float = 0.0
    options: Mapping = field(default_factory=dict)

    def __post_init__(self):
        if not re.fullmatch(r"\w[\w.-]*", self.name, re.ASCII):
            raise ValueError(
                "A candidate's name is letters, digits, '-', '_' and '.'. Received: "
                f"{self.name!r}"
            )
        if self.spent < 0:
            raise ValueError(f"`spent` must be at least 0. Received: {self.spent}")
        _refuse_own(self.options)


@dataclass(frozen=True)
class Comparison:
    """The runs of a comparison; prints as a Markdown table.

    Args:
        rows: a dict per run with `candidate`, `seed`, `epochs`, `parameters`
            (trainable), `seconds` (of training), `spent`, and `test_top1_error` and
            `test_top5_error` in percent (the latter empty for 5 classes and fewer).
    """

    rows: tuple[dict, ...]

    def errors(self, candidate: str) -> list[float]:
        """Test errors of a candidate's runs, in percent."""
        found = [row for row in self.rows if row["candidate"] == candidate]
        return [float(row["test_top1_error"]) for row in found]

    def __str__(self) -> str:
        lines = [
            "| candidate | runs | test top-1 error, % | 95% interval | epochs "
            "| parameters | seconds of training | seconds spent before |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        names = list(dict.fromkeys(row["candidate"] for row in self.rows))
        lines += [self._line(name) for name in names]
        return "\n".join([*lines, *self._random(names)])

    def _random(self, names: list[str]) -> list[str]:
        """What the structure is worth among random ones: the spread of their means."""
        means = [
            mean_and_interval(self.errors(name))[0]
            for name in names
            if re.fullmatch(r"random\d+", name)
        ]
        if len(means) < 2:
            return []
        mean, half = mean_and_interval(means)
        said = f"Random structures: {mean:.2f} ± {half:.2f} over the means of"
        return ["", f"{said} {len(means)} structures."]

    def _line(self, name: str) -> str:
        rows = [row for row in self.rows if row["candidate"] == name]
        mean, half = mean_and_interval(self.errors(name))
        interval = "one run" if half is None else f"± {half:.2f}"
        seconds = sum(float(row["seconds"]) for row in rows) / len(rows)
        same = rows[0]
        return (
            f"| {name} | {len(rows)} | {mean:.2f} | {interval} | {same['epochs']} "
            f"| {int(same['parameters']):,} | {seconds:.0f} "
            f"| {float(same['spent']):.0f} |"
        )


def compare(
    candidates: Sequence[Candidate],
    *,
    out: str | Path,
    seeds: Sequence[int] = (0, 1, 2),
    seconds: float | None = None,
    resume: bool = False,
    download: bool = False,
    command: str | None = None,
    verbose: int = 1,
    **asked,
) -> Comparison:
    """Train every candidate with every seed, and test each network once.

    The best epoch of a run is chosen on its validation images; the test images are
    looked at when all has been chosen, and choose nothing. The folder gets a run
    `CANDIDATE/seed…` each, with what it got wrong in `evaluation.json`; `runs.csv` and
    `table.md`.

    Args:
        candidates: at least one, of different names.
        out: the comparison's folder.
        seeds: of weights, splits, order and augmentation; at least one.
        seconds: in place of epochs: what finding and training a candidate may take
            in seconds, with its speed measured here, once, in two epochs.
        resume: go on with the comparison in `out`, with the same arguments (further
            seeds and candidates may come in); finished runs are kept.
        download, verbose: as for `keras_attention.training.train`.
        command: the command line to record.
        **asked: as for `train`, without `attention` and `seed`.

    Returns:
        The comparison.

    Raises:
        ValueError: candidates without difference, epochs and seconds together, too
            few seconds, another `asked` than before; and as `train` does.
        FileExistsError, FileNotFoundError: as `train` does.
    """
    _check(candidates, seeds, seconds, asked)
    out = Path(out)
    fixed = {"training": asked, "seconds": seconds}
    open_run(out, fixed, command=command, resume=resume, kind=KIND)
    options = {"download": download, "verbose": verbose, **asked}
    progress = _Progress(out, candidates, seeds, verbose)
    for candidate in candidates:
        options_of = _settled(out / candidate.name, candidate, seconds, options)
        for seed in seeds:
            if not _is_done(out, candidate, seed):
                progress.tell(candidate, seed)
                row = _trained_and_tested(out, candidate, seed, options_of)
                append_rows(out / RUNS, [row])
                write_text(out / TABLE, f"{read_comparison(out)}\n")
    return read_comparison(out)


def read_comparison(folder: str | Path) -> Comparison:
    """The runs of a comparison that are done.

    Raises:
        FileNotFoundError: none is, or there is no comparison.
        ValueError: the record is damaged, or it is another kind of run.
    """
    folder = Path(folder)
    read_run(folder, KIND)
    path = folder / RUNS
    rows = read_rows(path) if path.exists() else ()
    if not rows:
        raise FileNotFoundError(f"No run of the comparison in {folder} is done yet")
    missing = set(COLUMNS) - set(rows[0])
    if missing:
        raise ValueError(f"{path} has no column {', '.join(sorted(missing))}")
    return Comparison(tuple(rows))


class _Progress:
    """Tells which run begins, and what the runs before let expect of the others."""

    def __init__(self, out, candidates, seeds, verbose):
        open_ones = [not _is_done(out, c, seed) for c in candidates for seed in seeds]
        self.all, self.open = len(open_ones), sum(open_ones)
        self.verbose, self.begun, self.told = verbose, perf_counter(), 0

    def tell(self, candidate, seed) -> None:
        left = self.open - self.told
        said = f"Run {self.all - left + 1}/{self.all}: {candidate.name}, seed {seed}"
        if self.told:
            each = (perf_counter() - self.begun) / self.told
            said += f", {duration(each * left)} left"
        self.told += 1
        if self.verbose:
            print(said)


def _trained_and_tested(out, candidate, seed, options) -> dict:
    folder = out / candidate.name / f"seed{seed}"
    rows = _train(folder, candidate, seed, options)
    network, _ = load_trained(folder)
    tested = evaluate_run(folder, split="test")
    write_json(folder / EVALUATION, tested.to_dict())
    values = (
        candidate.name,
        seed,
        len(rows),
        sum(math.prod(w.shape) for w in network.trainable_weights),
        round(sum(row["seconds"] for row in rows), 3),
        candidate.spent,
        tested.top1_error,
        tested.top5_error,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _train(folder, candidate, seed, options) -> list[dict]:
    return train(
        out=folder,
        resume=(folder / RECORD).exists(),
        attention=candidate.attention,
        seed=seed,
        **options | candidate.options,
    )


def _settled(folder, candidate, seconds, options) -> dict:
    """The options with the candidate's epochs, which stay once they are measured."""
    structure = {
        "attention": recorded(candidate.attention),
        "spent": candidate.spent,
    }
    if candidate.options:
        structure["options"] = dict(candidate.options)
    path = folder / CANDIDATE
    if path.exists():
        stored = read_json(path)
        with naming(path):
            epochs = stored.pop("epochs")
        refuse_differences(folder, stored, structure)
    else:
        epochs = options.get("epochs")
        if seconds is not None:
            epochs = _epochs_within(seconds, folder / "speed", candidate, options)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, structure | {"epochs": epochs})
    return options | {"epochs": epochs}


def _epochs_within(seconds, folder, candidate, options) -> int:
    rows = _train(folder, candidate, 0, options | {"epochs": SPEED_EPOCHS})
    epochs = int((seconds - candidate.spent) / rows[-1]["seconds"])
    if epochs < 1:
        raise ValueError(
            f"{candidate.name!r} has {seconds - candidate.spent:.1f} of {seconds} "
            f"seconds left for training, and an epoch takes {rows[-1]['seconds']}: "
            "give more `seconds`"
        )
    return epochs


def _is_done(out: Path, candidate: Candidate, seed: int) -> bool:
    path = out / RUNS
    rows = read_rows(path) if path.exists() else []
    return (candidate.name, str(seed)) in {(r["candidate"], r["seed"]) for r in rows}


def _check(candidates, seeds, seconds, asked) -> None:
    names = [candidate.name for candidate in candidates]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"Candidates need different names. Received: {names}")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"Different seeds are needed. Received: {list(seeds)}")
    _refuse_own(asked)
    if asked.get("validation") == 0:
        raise ValueError(
            "Without validation images the best epoch would be one of training error. "
            "Received: validation=0"
        )
    if seconds is not None and not 0 < seconds < math.inf:
        raise ValueError(f"`seconds` must be above 0. Received: {seconds}")
    if seconds is not None and asked.get("epochs") is not None:
        raise ValueError(
            "`epochs` and `seconds` are two budgets: give one. Received: "
            f"epochs={asked['epochs']}, seconds={seconds}"
        )
    for options in (candidate.options for candidate in candidates):
        for seed in seeds:
            check_request(Request, {**asked, **options, "seed": seed}).load_recipe()


def _refuse_own(asked: Mapping) -> None:
    for name in ("attention", "seed"):
        if name in asked:
            raise ValueError(f"`{name}` is a candidate's or a run's own")
