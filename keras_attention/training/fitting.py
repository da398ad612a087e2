"""Train a network by a recipe, into a folder, so that it can go on later."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras

from keras_attention.data import ImageData, naming_corrupt_files
from keras_attention.data.mixing import mixed, one_hot
from keras_attention.layers.checks import positive_integer
from keras_attention.training import history
from keras_attention.training.averaging import AveragedEvaluation, take_averages
from keras_attention.training.checkpoint import (
    KEPT,
    LAST,
    STEPS_BETWEEN,
    Checkpoint,
    FolderKeeper,
    resume_state,
)
from keras_attention.training.compilation import compile
from keras_attention.training.distribution import (
    asked_for,
    check_batch,
    check_dtype,
    describe_sharing,
    is_active,
    is_chief,
    part,
    replicas,
)
from keras_attention.training.divergence import explained, training_steps
from keras_attention.training.epochs import Epochs
from keras_attention.training.interruption import stop_signals
from keras_attention.training.memory import explaining_memory
from keras_attention.training.norms import SYNCHRONIZED, synchronized_norms
from keras_attention.training.processes import check_same, wait_for_all
from keras_attention.training.recipes import Recipe
from keras_attention.training.run_folder import Remembered, alone_in, open_run


def fit(
    model: keras.Model,
    data: ImageData,
    recipe: Recipe,
    *,
    out: str | Path,
    seed: int = 0,
    resume: bool = False,
    stop_after: int | None = None,
    checkpoint_steps: int = STEPS_BETWEEN,
    keep: int = KEPT,
    learning_rate_factors: Mapping[str, float] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int | str = "auto",
    batch_norm: str = SYNCHRONIZED,
    description: dict | None = None,
    command: str | None = None,
) -> list[dict[str, float]]:
    """Train, with logs and checkpoints in `out`.

    A run that stopped after any step, and is resumed with the same arguments,
    ends with the same weights as one that did not stop. The folder gets
    `run.json` (settings, preprocessing, versions, seed, commands), `history.csv`
    (one row per epoch, epochs from 0), `last.keras` and the checkpoints before it,
    `best.keras` (least `val_top1_error`, or `top1_error` without validation images),
    `state.json`, and `tensorboard/` if TensorBoard is installed.

    SIGTERM and Ctrl-C end it after the step that is under way, with its state saved;
    a second one ends it at once.

    Within `distributed(...)`, or a scope of `tf.distribute.MirroredStrategy` or
    `keras.distribution.DataParallel`, in which the model was made, too, the devices
    share each batch, and the weights end as with one device, up to rounding. What is
    random goes another way: on TensorFlow dropout draws the same for the images of all
    devices; mixup mixes images of one process.

    Args:
        model: a classifier, `[batch, height, width, channels]` to
            `[batch, classes]`; it is compiled here.
        data: the images; its preprocessing takes the recipe's `crop_fraction`.
        recipe: how to train.
        out: the run's folder.
        seed: of the order of the images and of augmentation, 0 to 2³¹ − 1. The
            first weights are the model's own.
        resume: go on with the run in `out`; from its first epoch if it has no
            checkpoint yet.
        stop_after: epochs to train at most in this call; None trains to the end.
        checkpoint_steps: steps between two checkpoints; an epoch's end has one, too.
        keep: checkpoints to keep: where the last one is damaged, the one before serves.
        learning_rate_factors: as for `SGDL2`: {name of a layer: factor}.
        callbacks: more Keras callbacks. Their state is not part of a checkpoint.
        verbose: Keras' progress bar.
        batch_norm: as for `synchronized_norms`, where several devices share a batch.
        description: what to record of the model, JSON types; by default its
            shapes and number of parameters.
        command: the command line to record.

    Returns:
        The history: a dictionary per epoch, earlier sessions' included, with
        `epoch`, `loss`, `top1_error` and `top5_error` in percent (the latter for
        more than 5 classes), the same with `val_`, `learning_rate` (of the last
        step), `seconds`.

    Raises:
        FileExistsError: `out` holds a run and `resume` is False.
        FileNotFoundError: it holds none and `resume` is True.
        ValueError: model, data and recipe do not fit together, differ from the
            run's, an image file is broken, or no checkpoint is whole.
        FloatingPointError: the loss is not finite; the message names the first layer
            that was not, and the last good checkpoint stays.
        MemoryError: a step needs more memory than there is.
        OSError: the folder cannot be written to.
        Interrupted: by a signal; it is a KeyboardInterrupt.
    """
    out = Path(out)
    data = data.with_preprocessing(
        dataclasses.replace(data.preprocessing, crop_fraction=recipe.crop_fraction)
    )
    check_fit(model, data)
    if stop_after is not None and stop_after < 1:
        raise ValueError(f"`stop_after` must be at least 1. Received: {stop_after}")
    positive_integer("checkpoint_steps", checkpoint_steps)
    positive_integer("keep", keep)
    check_batch(recipe.batch_size)
    check_dtype(model)
    verbose = verbose if is_chief() else 0
    steps = data.steps_per_epoch(recipe.batch_size)
    compile(model, recipe, steps, learning_rate_factors=learning_rate_factors)
    fixed = {
        "model": description or describe(model),
        "data": data.to_dict(),
        "preprocessing": data.preprocessing.to_dict(),
        "recipe": recipe.to_dict(),
        "seed": seed,
        "dtype": model.dtype_policy.name,
    }
    options = {"distribute": asked_for(), "batch_norm": batch_norm}
    record = open_run(out, fixed, command=command, resume=resume, options=options)
    state = resume_state(model, out)
    reached = {key: state[key] for key in ("epoch", "step")}
    check_same("what they go on with", reached | {"images": data.fingerprint})
    wait_for_all("the state is read")
    if is_chief():
        history.forget_after(out / history.FILE, state["epoch"])
    done = state["epoch"]
    if done == recipe.epochs:
        if verbose:
            print(f"{out} has all of its {recipe.epochs} epochs already")
        take_averages(model)
        return history.read(out / history.FILE)
    stop_epoch = recipe.epochs if stop_after is None else done + stop_after

    def training(epoch: int, step: int):
        return _training(data, recipe, seed, epoch, step)

    if verbose and is_active():
        print(describe_sharing(recipe.batch_size))
    with (
        alone_in(out) if is_chief() else contextlib.nullcontext(),
        synchronized_norms(model, batch_norm),
        stop_signals() as stop,
        naming_corrupt_files(data),
        explaining_memory(recipe.batch_size),
    ):
        checkpoint = Checkpoint(
            out,
            "val_top1_error" if data.validation else "top1_error",
            state,
            steps=steps,
            stop=stop,
            remembered=Remembered(out, record, [history.FILE]),
            every=checkpoint_steps,
            kept=keep,
        )
        epochs = Epochs(
            model,
            training,
            _validation(data, recipe),
            steps,
            [
                FolderKeeper(checkpoint),
                *_logs(out, recipe, state),
                *callbacks,
                checkpoint,
            ],
            verbose,
        )
        try:
            epochs.train(done, state["step"], min(stop_epoch, recipe.epochs))
        except FloatingPointError as error:

            def again():
                reached = state["epoch"] * steps + state["step"]
                good = resume_state(model, out)
                batches = training(good["epoch"], good["step"])
                done = good["epoch"] * steps + good["step"]
                return training_steps(model, batches), reached - done

            # Of several processes none has all images.
            again = again if part().of == 1 else None
            raise explained(error, out / LAST, model, again, stop, verbose) from error
    wait_for_all("the history is written")
    return history.read(out / history.FILE)


def check_fit(model: keras.Model, data: ImageData) -> None:
    """Raise ValueError unless the model takes these images and has these classes."""
    shape, classes = data.preprocessing.input_shape, data.preprocessing.classes
    if not _accepts(model.input_shape, shape):
        raise ValueError(
            f"{data.name} has images of shape {shape}, the model takes "
            f"{model.input_shape}"
        )
    if model.output_shape[-1] != classes:
        raise ValueError(
            f"{data.name} has {classes} classes, the model's output has shape "
            f"{model.output_shape}"
        )


def _accepts(taken, shape: tuple[int, int, int]) -> bool:
    """Whether a model's `input_shape` takes images of this shape."""
    if not isinstance(taken, tuple) or len(taken) != 4:
        return False
    return all(a in (None, b) for a, b in zip(taken[1:], shape, strict=True))


def describe(model: keras.Model) -> dict:
    """What tells a model from another: shapes and number of parameters."""
    return {
        "input_shape": model.input_shape,
        "output_shape": model.output_shape,
        "parameters": model.count_params(),
    }


def tensorboard_missing() -> bool:
    """Whether TensorBoard is not installed, so that its logs are off."""
    return importlib.util.find_spec("tensorboard") is None


def _training(data: ImageData, recipe: Recipe, seed: int, epoch: int, step: int):
    """Batches from a step of an epoch on, to the end of the run."""
    batches = data.training(
        recipe.augmentation,
        batch_size=recipe.batch_size,
        seed=seed,
        first_epoch=epoch,
        first_step=step,
        epochs=recipe.epochs,
        part=part(),
    )
    if recipe.soft_labels:
        batches = one_hot(batches, data.preprocessing.classes)
    if recipe.mixup:
        first = epoch * data.steps_per_epoch(recipe.batch_size) + step
        batches = mixed(
            batches, alpha=recipe.mixup, seed=seed, first_step=first, part=part()
        )
    return batches


def _validation(data: ImageData, recipe: Recipe):
    if data.validation is None:
        return None
    batches = data.evaluation(
        "validation", batch_size=recipe.batch_size, devices=replicas(), part=part()
    )
    if recipe.soft_labels:
        batches = one_hot(batches, data.preprocessing.classes)
    return batches


def _logs(out: Path, recipe: Recipe, state: dict) -> list:
    logs = [history.EpochFacts(state), *(_files(out) if is_chief() else ())]
    if recipe.ema:
        logs.append(AveragedEvaluation())
    return logs


def _files(out: Path) -> list:
    """Of the process that writes."""
    logs = [history.HistoryLog(out / history.FILE)]
    if part().of > 1:
        # Its callback computes the learning rate, which all processes must do.
        print(f"TensorBoard logs are off with several processes; {history.FILE} is on")
    elif tensorboard_missing():
        print(
            "TensorBoard logs are off, because the package is not installed: "
            "pip install 'keras_attention[logs]'"
        )
    else:
        logs.append(keras.callbacks.TensorBoard(str(out / "tensorboard")))
    return logs
