"""Fine-tuning by name: weights and a folder of classes in, a network out."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_attention.attention import recorded
from keras_attention.choices import check_choice
from keras_attention.training.checkpoint import (
    KEPT,
    LAST,
    STEPS_BETWEEN,
    newest_whole,
    reading,
)
from keras_attention.training.distribution import is_chief
from keras_attention.training.files import replace_file
from keras_attention.training.finetune_recipes import FinetuneRecipe, finetune_recipe
from keras_attention.training.fitting import fit
from keras_attention.training.layerwise import set_trainable, set_up_layers
from keras_attention.training.pixels import PIXELS
from keras_attention.training.run_folder import (
    refuse_differences,
    refuse_existing,
)
from keras_attention.training.runs import (
    Request,
    check_request,
    stored_request,
    to_record,
)
from keras_attention.training.sharing import shared
from keras_attention.training.starting import Start, load_named, load_network
from keras_attention.weights import whole_networks

NEW_LAYERS = "new_layers"
# What published weights are of, whose stems are not those for small images.
IMAGENET_CLASSES, IMAGENET_SIDE = 1000, 224
# Data sets whose names win over folders of the same name.
OWN_NAMES = ("digits", "folder")


@dataclass(frozen=True)
class FinetuneRequest(Request):
    """What is asked of a run of fine-tuning, in the words of the command line.

    Args:
        model: a name for `keras_attention.applications.build`; None where `weights`
            is a whole network.
        data: a name for `keras_attention.data.load`, or a folder with one folder of
            images for each class.
        attention: as for `Request`, of a network built by name.
        recipe: a name for `keras_attention.training.finetune_recipe`.
        dtype: as for `Request`, of a network built by name. A whole network has its
            own.
        stem, epochs, batch_size, learning_rate, schedule, data_dir, validation,
            image_size, limit, seed, split_seed, on_bad_image: as for `Request`.
        weights: without `model`, a `.keras` file of a whole network, or the folder of
            a run; with it, what `keras_attention.weights.load_weights` takes.
        pixels: what the network wants pixels to be, in place of what is told by the
            weights, the network or the data set: `"byte"` for 0 to 255, `"unit"` for 0
            to 1, `"signed"` for −1 to 1, `"imagenet"` for ImageNet's mean and
            deviation.
        attach: an attention to put into the network: a name or a spec.
        where: as for `keras_attention.attaching.attach`, in JSON types: no regular
            expression and no function.
        freeze, layer_decay, new_learning_rate_factor, freeze_batch_norm, ema, mixup,
            label_smoothing: in place of the recipe's.
    """

    recipe: str = "finetune"
    weights: str | None = None
    pixels: str | None = None
    attach: str | dict | list | None = None
    where: str | list | dict | None = None
    freeze: int | tuple[str, ...] | None = None
    layer_decay: float | None = None
    new_learning_rate_factor: float | None = None
    freeze_batch_norm: bool | None = None
    ema: float | None = None
    mixup: float | None = None
    label_smoothing: float | None = None

    def load_recipe(self) -> FinetuneRecipe:
        """The recipe with the changes asked for."""
        names = {field.name for field in dataclasses.fields(FinetuneRecipe)}
        asked = {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name in names
        }
        return finetune_recipe(self.recipe, **asked)

    def start(self) -> Start:
        """The network with its weights and attentions; its classifier is the old one.

        Raises:
            FileNotFoundError, ValueError, ImportError, ConnectionError: the weights
                cannot be had, or do not fit; or the attention has no place.
        """
        self._check_network()
        keras.utils.set_random_seed(self.seed)
        if self.model is None:
            start = load_network(self.weights, self.image_size)
        else:
            start = load_named(self._of_size, self.weights, self.image_size)
        if self.pixels is not None:
            start = start.with_pixels(self.pixels)
        if self.attach is None:
            return start
        return start.with_attention(self.attach, self.where)

    def _of_size(self, size: tuple[int, int] | None) -> keras.Model:
        shape = None if size is None else (*size, 3)
        return self.network(shape, IMAGENET_CLASSES, IMAGENET_SIDE)

    def _check_network(self) -> None:
        """Raise ValueError if options need others that are not there."""
        built = {"attention": self.attention, "stem": self.stem}
        given = [name for name, value in built.items() if value is not None]
        given += ["dtype"] if self.dtype != "float32" else []
        if self.model is None and given:
            raise ValueError(
                f"{', '.join(f'`{name}`' for name in given)} is for a network that "
                "`model` names. A whole network in a file is what it is"
                + ("; put an attention into it by `attach`" if self.attention else "")
            )
        if self.where is not None and self.attach is None:
            raise ValueError(f"`where` is for `attach`. Received: where={self.where}")


def finetune(
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
    """Go on training a network on other images, or go on with such a run.

    The classifier is replaced unless it is known to be for these classes. Images are
    prepared as the weights want it: as in the run that a `.keras` file lies in, as the
    importer of the weights tells, or as a `Rescaling` or `Normalization` that the
    network begins with needs it. Where nothing tells, `pixels` does, or else they are
    as the data set says. What was decided is printed.

    Args:
        out: the run's folder. It gets what `fit` writes, and `model.keras`: the best
            network so far, to be used, without the state of training.
        resume: go on with the run in `out`. What is left out of `asked` is taken from
            there, the weights included; what is given must agree with it, but for
            `data_dir`.
        stop_after: epochs to train at most in this call.
        checkpoint_steps, keep: as for `fit`.
        download: as for `keras_attention.data.load`.
        command: the command line to record.
        verbose: Keras' progress bar.
        distribute: as for `distributed`: "devices", "hosts", "cpu:N" or "none". An
            option of the session, not of the run: with `resume` as in the last session
            where it is None.
        batch_norm: as for `synchronized_norms`, likewise.
        **asked: fields of `FinetuneRequest`.

    Returns:
        The history, as `fit` does.

    Raises:
        ValueError, FileExistsError, FileNotFoundError, ImportError, ConnectionError,
        FloatingPointError: as `fit`, `load`, `load_weights` and `attach` do.

    Example:

    >>> history = finetune(weights="runs/x", data="photos/", out="runs/y",
    ...                    attach="cbam", recipe="quick")  # doctest: +SKIP
    """
    out = Path(out)
    if not resume:
        refuse_existing(out)
    with shared(
        out, resume=resume, distribute=distribute, batch_norm=batch_norm
    ) as batch_norm:
        history = _finetune(
            out,
            asked,
            resume=resume,
            stop_after=stop_after,
            checkpoint_steps=checkpoint_steps,
            keep=keep,
            download=download,
            command=command,
            verbose=verbose if is_chief() else 0,
            batch_norm=batch_norm,
        )
    if is_chief():
        _write_best(out)
    return history


def _finetune(
    out: Path, asked: dict, *, resume: bool, download: bool, verbose, **options
) -> list[dict[str, float]]:
    """Within the devices' scope, in which networks must be made."""
    request, start = _resumed(out, asked) if resume else _fresh(asked)
    settings = request.load_recipe()
    settings = dataclasses.replace(
        settings,
        crop_fraction=start.expects.get("crop_fraction", settings.crop_fraction),
    )
    # What cannot be frozen is told before data is read.
    set_up_layers(start.model, settings, start.drawn)
    size = start.model.input_shape[1:3]
    data = request.load_data(
        download=download, image_size=size, out=out, resume=resume, verbose=verbose
    )
    data = start.prepare(data)
    start = start.with_classes(data.preprocessing.class_names)
    factors = set_up_layers(start.model, settings, start.new)
    if verbose:
        print(_summary(request, start))
        print(data)
        print(settings)
    return fit(
        start.model,
        data,
        settings,
        out=out,
        seed=request.seed,
        resume=resume,
        learning_rate_factors=factors,
        verbose=verbose,
        description=to_record(request) | {NEW_LAYERS: sorted(start.new)},
        **options,
    )


def _fresh(asked: dict) -> tuple[FinetuneRequest, Start]:
    request = _request(asked)
    request.load_recipe()  # before minutes of loading weights
    return request, request.start()


def _resumed(out: Path, asked: dict) -> tuple[FinetuneRequest, Start]:
    # Records of before there was a choice do not have it.
    stored = {"pixels": None} | stored_request(out)
    new = stored.pop(NEW_LAYERS, None)
    fields = {field.name for field in dataclasses.fields(FinetuneRequest)}
    if new is None or set(stored) != fields:
        raise ValueError(
            f"The run in {out} is none of fine-tuning: go on with it by `train`, or by "
            "keras_attention.training.fit(..., resume=True)"
        )
    request = _request({**stored, **asked, **_data_and_place(asked)})
    refuse_differences(out, stored, dataclasses.asdict(request))
    keras.utils.set_random_seed(request.seed)
    # Not the weights it began with: these may be gone, or be other ones by now.
    start = newest_whole(out / LAST, _network)
    if start is None:
        return request, request.start()
    return request, dataclasses.replace(start, new=frozenset(new))


def _network(path: Path) -> Start:
    with reading(path):
        return load_network(str(path))


def _request(asked: dict) -> FinetuneRequest:
    asked = {"model": None, **asked}
    if asked.get("weights") is None:
        raise ValueError("`weights` is needed to start fine-tuning")
    for name in ("attention", "attach"):
        asked[name] = recorded(asked.get(name))
    _check_where(asked.get("where"))
    place = Path(str(asked["weights"])).expanduser()
    asked["weights"] = str(place.resolve()) if place.exists() else asked["weights"]
    request = check_request(
        FinetuneRequest, asked | _data_and_place(asked), needed=("data", "weights")
    )
    if request.pixels is not None:
        check_choice("pixels", request.pixels, PIXELS)
    freeze = request.freeze
    freeze = tuple(freeze) if isinstance(freeze, list) else freeze
    return dataclasses.replace(request, freeze=freeze)


def _check_where(where) -> None:
    if not isinstance(where, str | list | dict | None):
        raise ValueError(
            "`where` is kept in the run's record: a name, a list of names, or a dict "
            f"by site. Received: {where!r}"
        )


def _data_and_place(asked: dict) -> dict:
    """`data` and `data_dir`, where `data` is itself a folder of classes."""
    data, place = asked.get("data"), asked.get("data_dir")
    if data is None or data in OWN_NAMES or not Path(data).expanduser().is_dir():
        return {}
    if place is not None:
        raise ValueError(
            f"The folder {data} is the data set: leave `data_dir` out. "
            f"Received: data_dir={place}"
        )
    return {"data": "folder", "data_dir": data}


def _summary(request: FinetuneRequest, start: Start) -> str:
    lines = [f"{start.model.name} with the weights of {request.weights}"]
    lines.append(f"images: {start.images}")
    if start.classifier is not None:
        lines.append(f"classifier: {start.classifier}")
    if start.new:
        lines.append(f"new layers: {', '.join(sorted(start.new))}")
    count = sum(math.prod(each.shape) for each in start.model.trainable_variables)
    lines.append(f"{count:,} of {start.model.count_params():,} parameters train")
    return "\n".join(lines)


def _write_best(out: Path) -> None:
    """Write `model.keras`, where a network has been measured: all of it may train."""
    best = out / "best.keras"
    if best.exists():
        model = whole_networks.load_network(best)
        set_trainable(model)
        replace_file(out / "model.keras", model.save)
