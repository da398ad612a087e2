"""Whole runs by name: what the command line does."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_attention import applications
from keras_attention.attention import as_specs, recorded
from keras_attention.choices import check_choice
from keras_attention.data import ImageData, load
from keras_attention.data.order import check_seed
from keras_attention.training.bad_images import ERROR, SKIP, known, looked_through
from keras_attention.training.checkpoint import KEPT, STEPS_BETWEEN
from keras_attention.training.distribution import is_chief
from keras_attention.training.evaluation import Evaluation, evaluate
from keras_attention.training.files import UNEXPECTED, expecting, naming
from keras_attention.training.fitting import fit
from keras_attention.training.prediction import Prediction, predict
from keras_attention.training.recipes import Recipe, recipe
from keras_attention.training.run_folder import (
    RECORD,
    TRAINING,
    read_preprocessing,
    read_run,
    refuse_differences,
    refuse_existing,
)
from keras_attention.training.sharing import shared
from keras_attention.weights.whole_networks import load_network

# Images up to this many pixels wide get the stem without pooling.
SMALL_IMAGE = 64
DTYPES = ("float32", "mixed_bfloat16", "mixed_float16")
# Fields that requests got later, with what was done before: records leave these out.
LATER = {"on_bad_image": ERROR}


@dataclass(frozen=True)
class Request:
    """What is asked of a run, in the words of the command line.

    Args:
        model: a name for `keras_attention.applications.build`.
        data: a name for `keras_attention.data.load`.
        attention: a name of an attention, a spec, or None; or one of these for each
            block, in a list or a `keras_attention.tuning.Genotype`.
        stem: "imagenet" or "cifar", where the model has a choice; by default
            "cifar" for images of up to 64×64 pixels.
        recipe: a name for `keras_attention.training.recipe`.
        epochs: in place of the recipe's.
        batch_size: in place of the recipe's.
        learning_rate: in place of the recipe's.
        schedule: in place of the recipe's.
        data_dir: as for `load`.
        validation: as for `load`.
        image_size: `(height, width)`, as for `load`.
        limit: as for `load`.
        seed: of the first weights, the order and the augmentation.
        split_seed: of the division into splits; by default `seed`.
        dtype: a Keras dtype policy: "float32", "mixed_bfloat16" or "mixed_float16".
        on_bad_image: of a folder, what to do about image files that cannot be used:
            "error", or "skip" to leave them out and name them in `bad_images.json`.
    """

    model: str
    data: str
    attention: str | dict | list | None = None
    stem: str | None = None
    recipe: str = "cifar"
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    schedule: str | None = None
    data_dir: str | None = None
    validation: float = 0.1
    image_size: tuple[int, int] | None = None
    limit: int | None = None
    seed: int = 0
    split_seed: int | None = None
    dtype: str = "float32"
    on_bad_image: str = ERROR

    def load_recipe(self) -> Recipe:
        """The recipe with the changes asked for."""
        return recipe(
            self.recipe,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
        )

    def load_data(
        self,
        *,
        download: bool = False,
        image_size: tuple[int, int] | None = None,
        out: Path | None = None,
        resume: bool = False,
        verbose: int | str = 0,
    ) -> ImageData:
        """The images, without bad ones.

        Args:
            download: as for `load`.
            image_size: in place of `self.image_size`.
            out: the run's folder, which gets the report of what is left out.
            resume: do not look for bad images: leave out what the report names.
            verbose: 0 for silence.
        """
        asked = {
            "data_dir": self.data_dir,
            "validation": self.validation,
            "image_size": image_size or self.image_size,
            "seed": self.seed if self.split_seed is None else self.split_seed,
            "limit": self.limit,
        }
        with expecting("the data", asked):
            data = load(self.data, **asked, download=download)
        if not resume:
            return looked_through(data, self.on_bad_image, out=out, verbose=verbose)
        if self.on_bad_image == ERROR:
            return data
        return known(data, out, verbose=verbose)

    def build(self, data: ImageData) -> keras.Model:
        """The network, with its first weights drawn by the seed."""
        shape = data.preprocessing.input_shape
        return self.network(shape, data.preprocessing.classes, max(shape[:2]))

    def network(
        self, input_shape: tuple[int, int, int] | None, classes: int, side: int
    ) -> keras.Model:
        """The network, with its first weights drawn by the seed.

        Args:
            input_shape: `(height, width, channels)`, or None for its own.
            classes: of the classifier.
            side: of images that the stem is chosen for, in pixels.
        """
        keras.utils.set_random_seed(self.seed)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.dtype)
        try:
            return applications.build(
                self.model,
                attention=self.attention,
                input_shape=input_shape,
                classes=classes,
                **self._stem(side),
            )
        finally:
            keras.config.set_dtype_policy(before)

    def _stem(self, side: int) -> dict[str, str]:
        """The `stem` argument, for the networks that have it."""
        if not applications.takes(self.model, "stem"):
            if self.stem is not None:
                having = [
                    n for n in applications.names() if applications.takes(n, "stem")
                ]
                raise ValueError(
                    f"{self.model!r} has one stem; `stem` is for {', '.join(having)}. "
                    f"Received: stem={self.stem!r}"
                )
            return {}
        return {"stem": self.stem or ("cifar" if side <= SMALL_IMAGE else "imagenet")}


def train(
    *,
    out: str | Path,
    resume: bool = False,
    stop_after: int | None = None,
    checkpoint_steps: int = STEPS_BETWEEN,
    keep: int = KEPT,
    download: bool = False,
    command: str | None = None,
    verbose: int | str = "auto",
    distribute: str | None = None,
    batch_norm: str | None = None,
    **asked,
) -> list[dict[str, float]]:
    """Train a network by name, or go on with a run.

    Args:
        out: the run's folder.
        resume: go on with the run in `out`. What is left out of `asked` is taken
            from there; what is given must agree with it, but for `data_dir`.
        stop_after: epochs to train at most in this call.
        checkpoint_steps, keep: as for `fit`.
        download: as for `keras_attention.data.load`.
        command: the command line to record.
        verbose: Keras' progress bar.
        distribute: as for `distributed`: "devices", "hosts", "cpu:N" or "none". An
            option of the session, not of the run: with `resume` as in the last session
            where it is None.
        batch_norm: as for `synchronized_norms`, likewise.
        **asked: fields of `Request`.

    Returns:
        The history, as `fit` does.

    Raises:
        ValueError, FileExistsError, FileNotFoundError, ImportError,
        FloatingPointError: as `fit`, `load` and `build` do.

    Example:

    >>> history = train(out="runs/x", model="cifarresnet-8", data="digits",
    ...                 recipe="quick", epochs=1, verbose=0)  # doctest: +SKIP
    """
    out = Path(out)
    request = _resumed(out, asked) if resume else _fresh(out, asked)
    settings = request.load_recipe()
    with shared(
        out, resume=resume, distribute=distribute, batch_norm=batch_norm
    ) as batch_norm:
        verbose = verbose if is_chief() else 0
        data = request.load_data(
            download=download, out=out, resume=resume, verbose=verbose
        )
        model = request.build(data)
        if verbose:
            print(f"{request.model}, attention {_shown(request.attention)}")
            print(data)
            print(settings)
        return fit(
            model,
            data,
            settings,
            out=out,
            seed=request.seed,
            resume=resume,
            stop_after=stop_after,
            checkpoint_steps=checkpoint_steps,
            keep=keep,
            verbose=verbose,
            batch_norm=batch_norm,
            description=to_record(request),
            command=command,
        )


def evaluate_run(
    path: str | Path,
    *,
    split: str = "test",
    data_dir: str | None = None,
    batch_size: int = 256,
    limit: int | None = None,
) -> Evaluation:
    """Measure a run's network on the data that it was trained with.

    Args:
        path: a run's folder (its best network is taken) or a `.keras` file in it.
        split: "test", "validation" or "train".
        data_dir: where the data is now, if it moved.
        batch_size: images at a time.
        limit: most images, in place of the run's limit.

    Raises:
        FileNotFoundError: no run, no network, or no data there.
        ValueError: the data did not come by name, changed since, or as `evaluate`
            does.
    """
    model, folder = load_trained(path)
    data = load_run_data(folder, data_dir=data_dir, limit=limit)
    return evaluate(model, data, split=split, batch_size=batch_size)


def load_run_data(
    folder: Path, *, data_dir: str | None = None, limit: int | None = None
) -> ImageData:
    """The data that a run was trained with, prepared for its network.

    Args:
        folder: the run's.
        data_dir: where the data is now, if it moved.
        limit: most images, in place of the run's limit.

    Raises:
        FileNotFoundError: no run, or no data there.
        ValueError: the data did not come by name, or changed since.
    """
    record = read_run(folder, fields=("data",))["data"]
    with naming(folder / RECORD):
        source, fingerprint = record["source"], record["fingerprint"]
    if source is None:
        raise ValueError(
            f"The run in {folder} was trained on arrays, which a name cannot load: "
            "use keras_attention.training.evaluate(model, data)"
        )
    changes = {"data_dir": data_dir, "limit": limit}
    changes = {key: value for key, value in changes.items() if value is not None}
    try:
        data = load(**(source | changes))
    except UNEXPECTED as error:
        raise ValueError(
            f"{folder / RECORD} asks for data that cannot be loaded: {error}"
        ) from error
    data = data.with_preprocessing(read_preprocessing(folder))
    if stored_request(folder)["on_bad_image"] != ERROR:
        data = known(data, folder)
    if limit is None and data.fingerprint != fingerprint:
        # Other images would be split otherwise: tested on what it was trained on.
        raise ValueError(
            f"The data {source['name']!r} is not what the run in {folder} was trained "
            f"with: {fingerprint} then, {data.fingerprint} now. To measure "
            "on other images use keras_attention.training.evaluate(model, data)"
        )
    return data


def predict_run(
    path: str | Path, files: Sequence[str | Path], *, top: int = 5
) -> list[Prediction]:
    """Classify image files with a run's network; `path` as for `evaluate_run`."""
    model, folder = load_trained(path)
    return predict(model, read_preprocessing(folder), files, top=top)


def load_trained(path: str | Path, kind: str = TRAINING) -> tuple[keras.Model, Path]:
    """A run's network and its folder.

    Args:
        path: a run's folder (its best network is taken) or a `.keras` file in it.
        kind: of the run, as for `read_run`.

    Raises:
        FileNotFoundError: no run or no network there.
        ValueError: the file is damaged.
    """
    path = Path(path)
    folder, file = (
        (path.parent, path) if path.suffix == ".keras" else (path, path / "best.keras")
    )
    read_run(folder, kind)
    if not file.exists():
        raise FileNotFoundError(
            f"There is no network {file}: the run has not "
            "finished an epoch, or not measured one yet"
        )
    return load_network(file), folder


def _fresh(out: Path, asked: dict) -> Request:
    # Before minutes of loading data; `fit` looks again.
    refuse_existing(out)
    return _request(asked)


def _resumed(out: Path, asked: dict) -> Request:
    stored = stored_request(out)
    fields = {field.name for field in dataclasses.fields(Request)}
    if set(stored) != fields:
        raise ValueError(
            f"The run in {out} was not started by name with `train`: go on with it by "
            "`finetune`, or by keras_attention.training.fit(..., resume=True)"
        )
    request = _request({**stored, **asked})
    refuse_differences(out, stored, dataclasses.asdict(request))
    return request


def _request(asked: dict) -> Request:
    attention = asked.get("attention")
    return check_request(Request, {**asked, "attention": recorded(attention)})


def check_request(
    kind: type, asked: dict, *, needed: Sequence[str] = ("model", "data")
):
    """What is asked for as a `kind`, after the checks that all runs by name share.

    Args:
        kind: `Request`, or another dataclass with its `model`, `data`, `data_dir`,
            `image_size`, `seed`, `split_seed`, `dtype` and `on_bad_image`.
        asked: values of its fields.
        needed: fields that must be names.

    Raises:
        ValueError: an unknown field, no model or data, or a value out of range.
    """
    known = [field.name for field in dataclasses.fields(kind)]
    for name in asked:
        check_choice("option", name, known)
    for name in needed:
        if asked.get(name) is None:
            raise ValueError(f"`{name}` is needed to start a run")
        if not isinstance(asked[name], str):
            raise ValueError(f"`{name}` is a name. Received: {asked[name]!r}")
    request = kind(**asked)
    with expecting("what is asked of the run", asked):
        check_seed(request.seed)
        if request.split_seed is not None:
            check_seed(request.split_seed)
        check_choice("dtype", request.dtype, DTYPES)
        check_choice("on_bad_image", request.on_bad_image, (ERROR, SKIP))
        size, place = request.image_size, request.data_dir
        return dataclasses.replace(
            request,
            image_size=None if size is None else tuple(size),
            data_dir=None if place is None else str(Path(place).expanduser().resolve()),
        )


def stored_request(folder: Path, kind: str = TRAINING, field: str = "model") -> dict:
    """What was asked of a run; `kind` as for `read_run`, errors as there."""
    record = read_run(folder, kind, (field,))
    with naming(folder / RECORD):
        return LATER | record[field]


def to_record(request) -> dict:
    """What was asked, as a run's record has it."""
    asked = dataclasses.asdict(request)
    left_out = {name for name, value in LATER.items() if asked[name] == value}
    return {name: value for name, value in asked.items() if name not in left_out}


def _shown(attention) -> str:
    if not isinstance(attention, list):
        return str(attention)
    return "by block: " + ", ".join(
        " + ".join(map(str, as_specs(entry))) or "none" for entry in attention
    )
