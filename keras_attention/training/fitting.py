"""Train a network by a recipe, into a folder, so that it can go on later."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras

from keras_attention.data import ImageData, naming_corrupt_files
from keras_attention.data.mixing import mixed, one_hot
from keras_attention.training import history
from keras_attention.training.averaging import AveragedEvaluation
from keras_attention.training.checkpoint import FRESH, Checkpoint, restore
from keras_attention.training.compilation import compile
from keras_attention.training.recipes import Recipe
from keras_attention.training.run_folder import open_run


def fit(
    model: keras.Model,
    data: ImageData,
    recipe: Recipe,
    *,
    out: str | Path,
    seed: int = 0,
    resume: bool = False,
    stop_after: int | None = None,
    learning_rate_factors: Mapping[str, float] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int | str = "auto",
    description: dict | None = None,
    command: str | None = None,
) -> list[dict[str, float]]:
    """Train, with logs and checkpoints in `out`.

    A run that stopped after any epoch, and is resumed with the same arguments,
    ends with the same weights as one that did not stop. The folder gets
    `run.json` (settings, preprocessing, versions, seed, commands), `history.csv`
    (one row per epoch, epochs from 0), `last.keras`, `best.keras` (least
    `val_top1_error`, or `top1_error` without validation images), `state.json`,
    and `tensorboard/` if TensorBoard is installed.

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
        learning_rate_factors: as for `SGDL2`: {name of a layer: factor}.
        callbacks: more Keras callbacks. Their state is not part of a checkpoint.
        verbose: Keras' progress bar.
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
            run's, or an image file is broken.
        FloatingPointError: the loss is not finite.
    """
    out = Path(out)
    data = data.with_preprocessing(
        dataclasses.replace(data.preprocessing, crop_fraction=recipe.crop_fraction)
    )
    check_fit(model, data)
    if stop_after is not None and stop_after < 1:
        raise ValueError(f"`stop_after` must be at least 1. Received: {stop_after}")
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
    open_run(out, fixed, command=command, resume=resume)
    state = _progress(model, out)
    done = state["epoch"]
    if done < recipe.epochs:
        stop = recipe.epochs if stop_after is None else done + stop_after
        with naming_corrupt_files(data):
            model.fit(
                _training(data, recipe, seed, done),
                validation_data=_validation(data, recipe),
                initial_epoch=done,
                epochs=min(stop, recipe.epochs),
                steps_per_epoch=steps,
                shuffle=False,
                callbacks=_callbacks(out, data, recipe, state, callbacks),
                verbose=verbose,
            )
    elif verbose:
        print(f"{out} has all of its {recipe.epochs} epochs already")
    return history.read(out / "history.csv")


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


def _progress(model: keras.Model, out: Path) -> dict:
    """Bring a run's last checkpoint back, if there is one, and tell how far it is."""
    path = out / "last.keras"
    state = restore(model, path) if path.exists() else dict(FRESH)
    history.forget_after(out / "history.csv", state["epoch"])
    return state


def _training(data: ImageData, recipe: Recipe, seed: int, first_epoch: int):
    batches = data.training(
        recipe.augmentation,
        batch_size=recipe.batch_size,
        seed=seed,
        first_epoch=first_epoch,
        epochs=recipe.epochs,
    )
    if recipe.soft_labels:
        batches = one_hot(batches, data.preprocessing.classes)
    if recipe.mixup:
        first = first_epoch * data.steps_per_epoch(recipe.batch_size)
        batches = mixed(batches, alpha=recipe.mixup, seed=seed, first_step=first)
    return batches


def _validation(data: ImageData, recipe: Recipe):
    if data.validation is None:
        return None
    batches = data.evaluation("validation", batch_size=recipe.batch_size)
    if recipe.soft_labels:
        batches = one_hot(batches, data.preprocessing.classes)
    return batches


def _callbacks(
    out: Path, data: ImageData, recipe: Recipe, state: dict, more: Sequence
) -> list:
    """Logs first, the checkpoint last: an epoch counts when all has seen it."""
    logs = [
        history.EpochFacts(),
        keras.callbacks.CSVLogger(str(out / "history.csv"), append=True),
    ]
    if tensorboard_missing():
        print(
            "TensorBoard logs are off, because the package is not installed: "
            "pip install 'keras_attention[logs]'"
        )
    else:
        logs.append(keras.callbacks.TensorBoard(str(out / "tensorboard")))
    if recipe.ema:
        logs.append(AveragedEvaluation())
    monitor = "val_top1_error" if data.validation else "top1_error"
    return [*logs, *more, Checkpoint(out, monitor, state)]
