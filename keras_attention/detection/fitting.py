"""Train a detector by a recipe, into a folder, so that it can go on later."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from keras_attention.data.order import check_seed
from keras_attention.detection.coco_metrics import require_coco
from keras_attention.detection.data.pipeline import detection_pipeline, steps_per_epoch
from keras_attention.detection.data.records import BoxedImages
from keras_attention.detection.data.resizing import Sizing
from keras_attention.detection.logs import Evaluator, HistoryLog, ProgressBar
from keras_attention.detection.prediction import check_classes
from keras_attention.detection.recipes import DetectionRecipe
from keras_attention.detection.stepping import Stepper, reading
from keras_attention.layers.checks import positive_integer
from keras_attention.training import history
from keras_attention.training.checkpoint import (
    KEPT,
    LAST,
    STEPS_BETWEEN,
    Checkpoint,
    FolderKeeper,
    resume_state,
)
from keras_attention.training.distribution import (
    asked_for,
    check_batch,
    describe_sharing,
    is_active,
    part,
    replicas,
)
from keras_attention.training.divergence import explained
from keras_attention.training.interruption import stop_signals
from keras_attention.training.memory import explaining_memory
from keras_attention.training.optimizer import SGDL2
from keras_attention.training.run_folder import Remembered, alone_in, open_run
from keras_attention.training.schedules import learning_rate_schedule

KIND = "detection"
# What the best network has most of; without validation images, least of the loss.
BEST = "AP"


def fit(
    model: keras.Model,
    images: BoxedImages,
    validation: BoxedImages | None,
    recipe: DetectionRecipe,
    *,
    out: str | Path,
    seed: int = 0,
    resume: bool = False,
    stop_after: int | None = None,
    checkpoint_steps: int = STEPS_BETWEEN,
    keep: int = KEPT,
    evaluate_every: int = 1,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int | str = "auto",
    description: dict | None = None,
    command: str | None = None,
) -> list[dict[str, float]]:
    """Train a detector, with logs and checkpoints in `out`.

    A run that stopped after any step, and is resumed with the same arguments, ends
    with the same weights as one that did not stop. The folder gets `run.json`
    (settings, classes, versions, seed, commands), `history.csv` (one row per epoch,
    epochs from 0), `last.keras`, `best.keras` (highest AP at 0.50 to 0.95 of the
    validation images, or least loss without them) and `state.json`.

    On JAX the devices of a block of `keras_attention.training.distribution.distributed`
    share each batch, and the weights end as with one device, up to rounding.

    Args:
        model: a `Detector`; it is compiled here, and its batch norms are frozen where
            the recipe says so.
        images: what it learns.
        validation: what its average precision is measured on, or None.
        recipe: how to train.
        out: the run's folder.
        seed: of the order of the images and of augmentation, 0 to 2³¹ − 1. The first
            weights are the model's own, and its `seed` chooses what learns.
        resume: go on with the run in `out`; from its first epoch if it has no
            checkpoint yet.
        stop_after: epochs to train at most in this call; None trains to the end.
        checkpoint_steps: steps between two checkpoints; an epoch's end has one, too.
        keep: checkpoints to keep: where the last one is damaged, the one before serves.
        evaluate_every: epochs from one measurement to the next; the last epoch has
            one, too.
        callbacks: more Keras callbacks. Their state is not part of a checkpoint.
        verbose: 0 for silence, else progress bars and the time left.
        description: what to record of the model, JSON types; by default its
            configuration.
        command: the command line to record.

    Returns:
        The history: a dictionary per epoch, earlier sessions' included, with `epoch`,
        `loss` and its parts (means over the epoch), `learning_rate` (of the last
        step), COCO's numbers (`AP`, `AP50`, …) where it was measured, and `seconds`.

    Raises:
        FileExistsError: `out` holds a run and `resume` is False.
        FileNotFoundError: it holds none and `resume` is True, or an image is missing.
        ValueError: model, images and recipe do not fit together, differ from the
            run's, an image file is broken, or no checkpoint is whole.
        FloatingPointError: a loss is not finite; the message names the first layer
            that was not, and the last good checkpoint stays.
        MemoryError: a step needs more memory than there is.
        OSError: the folder cannot be written to.
        Interrupted: by SIGTERM or Ctrl-C, when the state is saved.
    """
    out = Path(out)
    check_seed(seed)
    check_fit(model, images, validation, recipe)
    check_sharing()
    check_batch(recipe.batch_size)
    positive_integer("evaluate_every", evaluate_every)
    positive_integer("checkpoint_steps", checkpoint_steps)
    positive_integer("keep", keep)
    if validation is not None:  # which is needed in an hour
        require_coco()
    if stop_after is not None:
        positive_integer("stop_after", stop_after)
    if recipe.freeze_norms:
        freeze_norms(model)
    steps = steps_per_epoch(images, recipe.batch_size, orientations=True)
    compile(model, recipe, steps)
    fixed = {
        "model": description or model.get_config(),
        "data": {"train": describe(images), "validation": describe(validation)},
        "classes": {
            "names": list(images.class_names),
            "category_ids": list(images.category_ids),
        },
        "recipe": recipe.to_dict(),
        "seed": seed,
        "evaluate_every": evaluate_every,
        "dtype": model.dtype_policy.name,
    }
    options = {"distribute": asked_for()}
    record = open_run(
        out, fixed, command=command, resume=resume, kind=KIND, options=options
    )
    state = resume_state(model, out)
    history.forget_after(out / history.FILE, state["epoch"])
    done = state["epoch"]
    stop = recipe.epochs if stop_after is None else done + stop_after
    stop = min(stop, recipe.epochs)
    if done == recipe.epochs:
        if verbose:
            print(f"{out} has all of its {recipe.epochs} epochs already")
        return history.read(out / history.FILE)
    if verbose and is_active():
        print(describe_sharing(recipe.batch_size))
    stepper = Stepper(model)

    def batches(epoch: int, step: int):
        return _batches(images, recipe, seed, epoch, step)

    with (
        alone_in(out),
        stop_signals() as asked,
        explaining_memory(recipe.batch_size),
    ):
        checkpoint = Checkpoint(
            out,
            "loss" if validation is None else BEST,
            state,
            steps=steps,
            stop=asked,
            remembered=Remembered(out, record, [history.FILE]),
            every=checkpoint_steps,
            kept=keep,
            highest=validation is not None,
        )
        told = [
            FolderKeeper(checkpoint),
            *([ProgressBar(out / history.FILE)] if verbose else []),
            *_measured(
                stepper, validation, recipe, evaluate_every, verbose, checkpoint
            ),
            history.EpochFacts(state),
            HistoryLog(out / history.FILE, validation is not None),
            *callbacks,
            checkpoint,
        ]
        try:
            _train(stepper, batches, range(done, stop), steps, state, recipe, told)
        except FloatingPointError as error:

            def again():
                reached = state["epoch"] * steps + state["step"]
                good = resume_state(model, out)
                found = _steps(stepper, batches(good["epoch"], good["step"]))
                return found, reached - good["epoch"] * steps - good["step"]

            raise explained(error, out / LAST, model, again, asked, verbose) from error
    return history.read(out / history.FILE)


def check_fit(
    model: keras.Model,
    images: BoxedImages,
    validation: BoxedImages | None,
    recipe: DetectionRecipe,
) -> None:
    """Raise ValueError unless model, images and recipe fit together."""
    check_classes(model, images)
    sizing_of(recipe)  # which checks the sides
    for role, own in (("training", images), ("validation", validation)):
        if own is not None and not _has_objects(own):
            raise ValueError(
                f"None of the {role} images has a box that is no crowd: there is "
                "nothing to learn, or to measure."
            )
    if validation is not None and validation.class_names != images.class_names:
        raise ValueError(
            "Training and validation images must have the same classes in the same "
            f"order. Received: {images.class_names} and {validation.class_names}."
        )
    size = getattr(model, "image_size", recipe.size)
    if size != recipe.size:
        raise ValueError(
            f"{model.name!r} takes images of {size[0]}×{size[1]} pixels: the recipe "
            f"needs that `size`. Received: size={recipe.size}."
        )


def check_sharing() -> None:
    """Raise ValueError where devices share batches, and detectors cannot."""
    if replicas() == 1:
        return
    if keras.backend.backend() != "jax":
        raise ValueError(
            "On several devices a detector trains on JAX alone: set KERAS_BACKEND=jax. "
            "Keras' `train_on_batch` gives each device of TensorFlow the whole batch"
        )
    if part().of > 1:
        raise ValueError(
            "A detector trains on the devices of one process: use distribute='devices'"
        )


def _has_objects(images: BoxedImages) -> bool:
    return any((~image.crowd).any() for image in images.images)


def freeze_norms(model: keras.Model) -> None:
    """Make every batch norm keep its statistics and weights.

    They are then constants: in training they normalise by the statistics that they
    have, as torchvision's `FrozenBatchNorm2d` does.
    """
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def compile(
    model: keras.Model,
    recipe: DetectionRecipe,
    steps_per_epoch: int,
    *,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> None:
    """Give a detector the recipe's optimizer; its losses are its own.

    Args:
        model: a `Detector`.
        recipe: what to train with.
        steps_per_epoch: batches in an epoch; the schedule counts in steps.
        optimizer: in place of the recipe's.
    """
    sgd = SGDL2(
        learning_rate=learning_rate_schedule(recipe, steps_per_epoch),
        momentum=recipe.momentum,
        l2=recipe.weight_decay,
        global_clipnorm=recipe.clip_norm,
    )
    model.compile(optimizer=optimizer or sgd, jit_compile="auto")
    # Here, because TensorFlow traces a step twice where the first makes variables.
    model.optimizer.build(model.trainable_variables)


def describe(images: BoxedImages | None) -> dict | None:
    """What tells a set of images from another: its size, and a digest of its boxes."""
    if images is None:
        return None
    digest = hashlib.sha256()
    for image in images.images:
        digest.update(np.int64([image.id, image.height, image.width]).tobytes())
        for array in (image.boxes, image.labels, image.crowd):
            digest.update(np.ascontiguousarray(array).tobytes())
    return {
        "images": len(images),
        "boxes": sum(len(image.boxes) for image in images.images),
        "fingerprint": digest.hexdigest()[:16],
    }


def _measured(stepper, validation, recipe, every: int, verbose, checkpoint) -> list:
    if validation is None:
        return []
    return [
        Evaluator(
            stepper,
            validation,
            sizing_of(recipe),
            every,
            recipe.epochs,
            bool(verbose),
            checkpoint.stop_if_asked,
        )
    ]


def sizing_of(recipe: DetectionRecipe) -> Sizing:
    """How large the recipe's images are fed."""
    return Sizing(recipe.short_side, recipe.long_side, size=recipe.size)


def _batches(images, recipe, seed: int, epoch: int, step: int) -> Iterator:
    """From a step of an epoch on, to the end of the run."""
    return reading(
        detection_pipeline(
            images,
            batch_size=recipe.batch_size,
            training=True,
            short_side=recipe.short_side,
            long_side=recipe.long_side,
            size=recipe.size,
            orientations=True,
            flip=recipe.flip,
            crops=recipe.crops,
            seed=seed,
            first_epoch=epoch,
            first_step=step,
            epochs=recipe.epochs,
        )
    )


def _train(stepper, batches, epochs: range, steps, state, recipe, callbacks):
    model = stepper.model
    model.stop_training = False
    delivered = batches(epochs.start, state["step"])
    logs = keras.callbacks.CallbackList(
        callbacks, model=model, epochs=recipe.epochs, steps=steps, verbose=0
    )
    logs.on_train_begin()
    for epoch in epochs:
        first, before = state["step"], state.get("logs", {})
        logs.on_epoch_begin(epoch)
        found = _epoch(stepper, delivered, first, steps, before, logs)
        logs.on_epoch_end(epoch, found)
        if model.stop_training:  # a callback's wish
            break
    logs.on_train_end()


def _epoch(stepper, batches, first: int, steps: int, means: dict, logs) -> dict:
    """Means of the losses over an epoch, of whose first steps they are given."""
    means = means if first else {}
    sums = {name: mean * first for name, mean in means.items()}
    for step in range(first, steps):
        logs.on_train_batch_begin(step - first)
        found = stepper.train(next(batches))
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + value
        means = {name: total / (step + 1) for name, total in sums.items()}
        logs.on_train_batch_end(step - first, means)
    return dict(means)


def _steps(stepper, batches) -> Iterator:
    """What `find_divergence` takes."""
    for batch in batches:
        yield stepper.train(batch)["loss"], batch
