"""Tune backbone, attention, its place and the training by Keras Tuner."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_attention.choices import check_choice
from keras_attention.data.order import check_seed
from keras_attention.extras import require
from keras_attention.layers.checks import positive_integer, positive_number
from keras_attention.training.bad_images import ERROR, SKIP
from keras_attention.training.run_folder import (
    open_run,
    refuse_differences,
    refuse_existing,
)
from keras_attention.training.runs import DTYPES, Request, stored_request, to_record
from keras_attention.tuning.trials import OBJECTIVE, completed, table, write_table

__all__ = ["ALGORITHMS", "TuneRequest", "tune"]

ALGORITHMS = ("hyperband", "random", "bayesian")
KIND = "tuning"
TRIALS, TABLE, GENOTYPE = "trials", "trials.csv", "genotype.json"


@dataclass(frozen=True)
class TuneRequest:
    """What is asked of a search by Keras Tuner, in the words of the command line.

    Args:
        models: names for `keras_attention.applications.build`; one of them is chosen.
        data: a name for `keras_attention.data.load`.
        algorithm: "hyperband", "random" or "bayesian".
        attentions: as for `AttentionHyperModel`; None for all there are, and "none".
        reduction_ratios: as for `AttentionHyperModel`.
        spatial_kernel_sizes: as for `AttentionHyperModel`.
        optimizers: as for `AttentionHyperModel`.
        trials: how many networks to try, for "random" and "bayesian"; Hyperband's
            number follows from the epochs.
        factor: for "hyperband": one trial in `factor` goes on, for `factor` times as
            many epochs; at least 2.
        max_model_size: trainable parameters of the largest network; None for any.
        recipe, epochs, batch_size, schedule: as for `keras_attention.training.train`;
            the epochs of a trial, with Hyperband of the longest ones.
        stem, data_dir, validation, image_size, limit, dtype, on_bad_image: as for
            `train`.
        seed: of the proposals, and as for `train` in every trial.
    """

    models: tuple[str, ...]
    data: str
    algorithm: str = "hyperband"
    attentions: tuple[str, ...] | None = None
    reduction_ratios: tuple[int, ...] = (4, 8, 16)
    spatial_kernel_sizes: tuple[int, ...] = (3, 5, 7)
    optimizers: tuple[str, ...] = ("sgd", "adam")
    trials: int = 20
    factor: int = 3
    max_model_size: int | None = None
    stem: str | None = None
    recipe: str = "cifar"
    epochs: int | None = None
    batch_size: int | None = None
    schedule: str | None = None
    data_dir: str | None = None
    validation: float = 0.1
    image_size: tuple[int, int] | None = None
    limit: int | None = None
    seed: int = 0
    dtype: str = "float32"
    on_bad_image: str = ERROR

    def __post_init__(self):
        for field in dataclasses.fields(self):  # JSON has lists
            if isinstance(getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(getattr(self, field.name)))
        check_choice("algorithm", self.algorithm, ALGORITHMS)
        check_choice("dtype", self.dtype, DTYPES)
        check_choice("on_bad_image", self.on_bad_image, (ERROR, SKIP))
        check_seed(self.seed)
        positive_integer("trials", self.trials)
        if positive_integer("factor", self.factor) < 2:
            raise ValueError(f"`factor` must be at least 2. Received: {self.factor}.")
        if self.max_model_size is not None:
            positive_integer("max_model_size", self.max_model_size)

    def training(self) -> Request:
        """What it says of data and recipe, as a request to train."""
        shared = {f.name for f in dataclasses.fields(Request)} & set(vars(self))
        given = {name: getattr(self, name) for name in shared}
        return Request(model=self.models[0], **given)


def tune(
    *,
    out: str | Path,
    resume: bool = False,
    download: bool = False,
    command: str | None = None,
    verbose: int | str = 1,
    worker_timeout: float = 300.0,
    **asked,
) -> list[dict]:
    """Search by Keras Tuner for network, attention, its place and its training.

    The folder gets `run.json` (settings, versions, seed, commands), `trials.csv` (a
    row per trial, rewritten after each), `genotype.json` (the attention of the best
    trial by block: what `attention=` and `train` take) and `trials/`, Keras Tuner's.

    A search that was killed goes on with `resume`; the trials that were under way
    start again. Hyperband and "random" then propose what they would have proposed;
    "bayesian" may propose something else.

    With Keras Tuner's environment variables set (`KERASTUNER_TUNER_ID`,
    `KERASTUNER_ORACLE_IP`, `KERASTUNER_ORACLE_PORT`) and the same arguments, several
    processes search together: one has "chief" in its id and hands out trials, the
    others, each with an id of its own, run them. They share the folder `out`. The
    connection is not encrypted: keep to a network that you trust.

    Args:
        out: the folder.
        resume: go on with the search in `out`. What is left out of `asked` is taken
            from there; what is given must agree with it, but for `data_dir`.
        download: as for `keras_attention.data.load`.
        command: the command line to record.
        verbose: 0 for silence.
        worker_timeout: seconds without a sign of life after which a worker's trial
            goes to another one. The chief ends where there is no worker for as long,
            and a worker where there is no chief.
        **asked: fields of `TuneRequest`.

    Returns:
        The trials, the completed ones best first, as `trials.csv` has them; for a
        worker, nothing.

    Raises:
        ImportError: Keras Tuner, or what it needs without saying so, is missing.
        FileExistsError: `out` holds a run and `resume` is False.
        FileNotFoundError: it holds none and `resume` is True.
        TimeoutError: all workers are dead, or the chief is.
        RuntimeError: trials crash one after another.
        ValueError: an argument is out of range or differs from the folder's, or no
            trial was completed.

    Example:

    >>> trials = tune(out="runs/tuned", models=("cifarresnet-8",), data="digits",
    ...               recipe="quick", attentions=("none", "se", "cbam"),
    ...               verbose=0)  # doctest: +SKIP
    >>> trials[0]["block_attention"]  # doctest: +SKIP
    """
    out = Path(out)
    positive_number("worker_timeout", worker_timeout)
    _check_packages(asked.get("algorithm"))
    from keras_attention.tuning import workers

    role = workers.role()
    request = _asked(out, asked, resume, role)
    settings = request.training()
    data = settings.load_data(
        download=download,
        out=out if resume or role != "worker" else None,
        resume=resume,
        verbose=verbose,
    )
    hypermodel = _hypermodel(request, data)
    if role != "worker":
        fixed = {
            "request": to_record(request),
            "data": data.to_dict(),
            "preprocessing": hypermodel.data.preprocessing.to_dict(),
            "recipe": hypermodel.recipe.to_dict(),
            "seed": request.seed,
            "dtype": request.dtype,
        }
        open_run(out, fixed, command=command, resume=resume, kind=KIND)

    def report(oracle):
        _report(oracle, hypermodel, out)

    tuner = _tuner(request, hypermodel, out, role, report, worker_timeout)
    if role == "chief":
        oracle = tuner.oracle
        workers.serve(tuner, worker_timeout, verbose=verbose)
    else:
        oracle = None if role == "worker" else tuner.oracle
        tuner.search(verbose=verbose)
    return [] if oracle is None else _results(oracle, hypermodel, out)


def _check_packages(algorithm) -> None:
    require("keras_tuner", extra="tuning", purpose="Tuning")
    if keras.backend.backend() == "tensorflow":
        # Keras Tuner does not declare it, and every trial would fail.
        require("tensorboard", extra="tuning", purpose="Keras Tuner on TensorFlow")
    if algorithm == "bayesian":
        require("sklearn", extra="tuning", purpose="The algorithm 'bayesian'")


def _asked(out: Path, asked: dict, resume: bool, role: str) -> TuneRequest:
    if resume:
        stored = stored_request(out, KIND, "request")
        request = _request({**stored, **asked})
        refuse_differences(out, stored, dataclasses.asdict(request))
        return request
    if role != "worker":  # the chief has opened the folder, or will
        refuse_existing(out)
    return _request(asked)


def _request(asked: dict) -> TuneRequest:
    from keras_attention.tuning.hypermodel import all_attentions

    known = [field.name for field in dataclasses.fields(TuneRequest)]
    for name in asked:
        check_choice("option", name, known)
    for name in ("models", "data"):
        if not asked.get(name):
            raise ValueError(f"`{name}` is needed to start a search")
    request = TuneRequest(**asked)
    place = request.data_dir
    return dataclasses.replace(
        request,
        # Those of today: the search goes on with them when there are more.
        attentions=request.attentions or all_attentions(),
        data_dir=None if place is None else str(Path(place).expanduser().resolve()),
    )


def _hypermodel(request: TuneRequest, data):
    from keras_attention.tuning.hypermodel import AttentionHyperModel

    return AttentionHyperModel(
        request.models,
        data,
        request.training().load_recipe(),
        attentions=request.attentions,
        reduction_ratios=request.reduction_ratios,
        spatial_kernel_sizes=request.spatial_kernel_sizes,
        optimizers=request.optimizers,
        stem=request.stem,
        seed=request.seed,
        dtype=request.dtype,
    )


def _tuner(request, hypermodel, out, role, report, timeout):
    import keras_tuner

    from keras_attention.tuning.oracles import make_oracle
    from keras_attention.tuning.workers import make_tuner

    oracle = make_oracle(
        request.algorithm,
        trials=request.trials,
        epochs=hypermodel.recipe.epochs,
        factor=request.factor,
        objective=keras_tuner.Objective(OBJECTIVE, "min"),
        # Keras Tuner takes 0 for no seed.
        seed=request.seed + 1,
        # Trials that were refused say nothing against the next one; and where Keras
        # Tuner counts, the chief hangs at this number.
        max_consecutive_failed_trials=None,
        report=report,
    )
    return make_tuner(
        request.algorithm,
        oracle,
        hypermodel,
        directory=str(out),
        project_name=TRIALS,
        max_model_size=request.max_model_size,
        **({"worker": True, "timeout": timeout} if role == "worker" else {}),
    )


def _report(oracle, hypermodel, out: Path) -> list[dict]:
    """Bring the table and the best genotype up to date."""
    rows = table(oracle, out / TRIALS)
    write_table(out / TABLE, rows)
    for best in completed(oracle)[:1]:
        hypermodel.genotype(best.hyperparameters).save(out / GENOTYPE)
    return rows


def _results(oracle, hypermodel, out: Path) -> list[dict]:
    rows = _report(oracle, hypermodel, out)
    if not completed(oracle):
        reason = rows[-1].get("reason", "none was begun") if rows else "none was begun"
        raise ValueError(
            f"None of {len(rows)} trials was completed, the last one because: {reason}"
        )
    return rows
