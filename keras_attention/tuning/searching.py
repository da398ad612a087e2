"""A whole search by name: what the command line does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras

from keras_attention.data import ImageData, naming_corrupt_files
from keras_attention.files import generations
from keras_attention.layers.checks import positive_integer
from keras_attention.training import history
from keras_attention.training.checkpoint import KEPT, STEPS_BETWEEN
from keras_attention.training.compilation import gives_logits
from keras_attention.training.distribution import (
    HOSTS,
    asked_for,
    check_batch,
    describe_sharing,
    is_active,
)
from keras_attention.training.memory import explaining_memory
from keras_attention.training.norms import synchronized_norms
from keras_attention.training.run_folder import (
    Remembered,
    open_run,
    read_run,
    refuse_differences,
    refuse_existing,
)
from keras_attention.training.runs import check_request, stored_request, to_record
from keras_attention.training.sharing import shared
from keras_attention.tuning.genotype import Genotype
from keras_attention.tuning.mixed import architecture_variables
from keras_attention.tuning.pictures import draw
from keras_attention.tuning.rounds import (
    architecture_steps,
    bilevel_rounds,
    penalty_rounds,
)
from keras_attention.tuning.search_data import batches, divide_training
from keras_attention.tuning.search_penalty import named_penalty
from keras_attention.tuning.search_request import AUGMENTATIONS, SearchRequest
from keras_attention.tuning.search_run import ALPHA_FILE, CHECKPOINT, KIND, SearchRun
from keras_attention.tuning.space import SearchSpace
from keras_attention.tuning.step_checks import check_backend
from keras_attention.tuning.steps import BilevelSteps
from keras_attention.weights.whole_networks import load_network

__all__ = ["SearchRequest", "load_supernet", "read_search", "search"]


def search(
    *,
    out: str | Path,
    resume: bool = False,
    stop_after: int | None = None,
    checkpoint_steps: int = STEPS_BETWEEN,
    keep: int = KEPT,
    download: bool = False,
    command: str | None = None,
    verbose: int = 1,
    distribute: str | None = None,
    batch_norm: str | None = None,
    **asked,
) -> Genotype:
    """Search for the attention of each block, or go on with a search.

    The weights move on one part of the training images, the architecture on the
    other. The folder gets `run.json` (what was asked, data, versions, commands),
    `history.csv` (a row per epoch), `alpha.csv` (α, p, entropy and margin per epoch
    and mixed layer), `genotypes/epoch_….json`, `genotype.json` (the last epoch's),
    `search.keras` (the supernet, from which it goes on exactly, whatever step it
    stopped at) and, with matplotlib, pictures of p.

    The batch size is that of all devices that share it.

    Args:
        out: the search's folder.
        resume: go on with the search in `out`. What is left out of `asked` is taken
            from there; what is given must agree with it, but for `data_dir`.
        stop_after: epochs to end at most in this call.
        checkpoint_steps: steps between two checkpoints, at least 1; each epoch's end
            has one, too.
        keep: checkpoints to keep: where the last one is damaged, the one before serves.
        download: as for `keras_attention.data.load`.
        command: the command line to record.
        verbose: 0 for silence, 1 for a progress bar.
        distribute: "devices" (all of this machine), "cpu:N" (the CPU as N devices), or
            "none". An option of the session, not of the search: with `resume` as in the
            last session where it is None.
        batch_norm: as for `keras_attention.training.norms.synchronized_norms`,
            likewise.
        **asked: fields of `SearchRequest`.

    Returns:
        The genotype of the last epoch, by the paper's rule where its space has a
        parallel operation, else by argmax.

    Raises:
        ValueError: Keras does not run on TensorFlow, something asked for is out of
            range or differs from the search's, or no checkpoint is whole.
        Interrupted: by SIGTERM or Ctrl-C, when the state is saved.
        OSError: the folder cannot be written to.
        FileExistsError, FileNotFoundError, ImportError, FloatingPointError: as
            `keras_attention.training.train`.

    Example:

    >>> genotype = search(out="runs/s", model="cifarresnet-8", data="digits",
    ...                   augmentation="none", epochs=1)  # doctest: +SKIP
    """
    check_backend()
    if distribute == HOSTS:
        raise ValueError(
            "A search runs on the devices of one machine: use distribute='devices'. "
            "`python -m keras_attention.training.launch --seeds` runs several at once"
        )
    positive_integer("checkpoint_steps", checkpoint_steps)
    positive_integer("keep", keep)
    if stop_after is not None:
        positive_integer("stop_after", stop_after)
    out = Path(out)
    request = _resumed(out, asked) if resume else _fresh(out, asked)
    with shared(
        out, resume=resume, distribute=distribute, batch_norm=batch_norm, kind=KIND
    ) as batch_norm:
        return _search(
            out,
            request,
            resume=resume,
            stop_after=stop_after,
            checkpoint_steps=checkpoint_steps,
            keep=keep,
            download=download,
            command=command,
            verbose=verbose,
            batch_norm=batch_norm,
        )


def _search(
    out: Path,
    request: SearchRequest,
    *,
    resume: bool,
    stop_after: int | None,
    checkpoint_steps: int,
    keep: int,
    download: bool,
    command: str | None,
    verbose: int,
    batch_norm: str,
) -> Genotype:
    """Within the devices' scope, in which the supernet must be made."""
    check_batch(request.batch_size)
    data = request.load_data(download=download, out=out, resume=resume, verbose=verbose)
    space = request.search_space()
    parts = divide_training(data, request.architecture_fraction, request.seed)
    model = request.build(data)
    made = _rounds(request, model, space, parts)
    record = open_run(
        out,
        _fixed(request, data, space),
        command=command,
        resume=resume,
        kind=KIND,
        options={"distribute": asked_for(), "batch_norm": batch_norm},
    )
    run = SearchRun(
        out,
        model,
        space,
        **made,
        schedule=request.schedule(),
        checkpoint_steps=checkpoint_steps,
        keep=keep,
        remembered=Remembered(out, record, [history.FILE, ALPHA_FILE]),
        verbose=verbose,
    )
    if verbose:
        print(f"{request.model}, {space}")
        print(f"{data}; of train {len(parts[1].train):,} for α")
        if is_active():
            print(describe_sharing(request.batch_size))
    with (
        naming_corrupt_files(data),
        synchronized_norms(model, batch_norm),
        explaining_memory(request.batch_size),
    ):
        run.go(stop_after)
    _draw(out)
    return run.genotype()


def read_search(folder: str | Path) -> SearchRequest:
    """What was asked of the search in a folder.

    Raises:
        FileNotFoundError: there is none.
        ValueError: its record is damaged, or it is another kind of run.
    """
    folder = Path(folder)
    return check_request(SearchRequest, read_run(folder, KIND)["search"])


def load_supernet(folder: str | Path) -> tuple[keras.Model, SearchSpace]:
    """The supernet of a search as of its last checkpoint, and its space.

    Raises:
        FileNotFoundError: there is no search, or it has no checkpoint yet.
        ValueError: the file is damaged, or it is another kind of run.
    """
    request = read_search(folder)
    path = Path(folder) / CHECKPOINT
    found = generations(path)
    if not found:
        raise FileNotFoundError(
            f"There is no supernet {path}: the search has no checkpoint yet"
        )
    return load_network(found[0]), request.search_space()


def _fresh(out: Path, asked: dict) -> SearchRequest:
    # Before minutes of loading data; `open_run` looks again.
    refuse_existing(out)
    return check_request(SearchRequest, asked)


def _resumed(out: Path, asked: dict) -> SearchRequest:
    stored = stored_request(out, KIND, "search")
    request = check_request(SearchRequest, {**stored, **asked})
    refuse_differences(out, stored, dataclasses.asdict(request))
    return request


def _fixed(request: SearchRequest, data: ImageData, space: SearchSpace) -> dict:
    return {
        "search": to_record(request),
        "data": data.to_dict(),
        "preprocessing": data.preprocessing.to_dict(),
        "operations": {
            "block": list(space.symbols),
            "conv": list(space.conv_symbols),
        },
    }


def _rounds(request, model, space, parts) -> dict:
    """What each step does, and all that a checkpoint must hold of it."""
    schedule = request.schedule()
    steps_per_epoch = parts[0].steps_per_epoch(request.batch_size)
    sites = ["block"] if space.conv is None else ["block", "conv"]
    alphas = [alpha for site in sites for alpha in architecture_variables(model, site)]
    penalty = named_penalty(request.penalty, model, space, request.penalty_weight)
    alpha_optimizer, l2 = request.alpha_optimizer(), request.l2_of_alpha()
    if request.control == "penalty-only":
        optimizers, images = [alpha_optimizer], None
        rounds = penalty_rounds(
            alphas, alpha_optimizer, penalty, l2, schedule, steps_per_epoch
        )
    else:
        optimizers = [request.weight_optimizer(steps_per_epoch), alpha_optimizer]
        steps = BilevelSteps(
            model,
            *optimizers,
            architecture=alphas,
            loss=keras.losses.SparseCategoricalCrossentropy(
                from_logits=gives_logits(model)
            ),
            penalty=penalty,
            order=request.order,
            l2=l2,
            clip_norm=request.clip_norm or None,
        )
        batches_of = _batches(request, schedule, parts)
        rounds = bilevel_rounds(steps, schedule, steps_per_epoch, *batches_of)

        def images(step):
            return (images for images, _ in batches_of[0](step))

    return {
        "rounds": rounds,
        "optimizers": optimizers,
        "steps_per_epoch": steps_per_epoch,
        "images": images,
    }


def _batches(request, schedule, parts) -> list:
    """For each part a function of a number to its batches from it on."""
    # Both are asked, so that a part of less than a batch is refused here.
    steps_per_epoch, _ = (part.steps_per_epoch(request.batch_size) for part in parts)
    weight_steps = schedule.epochs * steps_per_epoch
    totals = (
        weight_steps,
        architecture_steps(schedule, steps_per_epoch, weight_steps),
    )

    def of(part, total):
        return lambda first: batches(
            part,
            AUGMENTATIONS[request.augmentation],
            batch_size=request.batch_size,
            seed=request.seed,
            first=first,
            total=total,
        )

    return [of(part, total) for part, total in zip(parts, totals, strict=True)]


def _draw(out: Path) -> None:
    try:
        draw(out)
    except ImportError as error:
        print(f"Pictures are off: {error}")
