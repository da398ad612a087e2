"""The network that fine-tuning starts from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import keras

from keras_attention.attaching import attach, placements
from keras_attention.attaching.graph import Graph
from keras_attention.attaching.rewriting import Rewriting
from keras_attention.attention import names, spec
from keras_attention.data import ImageData, Preprocessing
from keras_attention.training.classifier import classifier_of, replace_classifier
from keras_attention.training.compilation import gives_logits
from keras_attention.training.pixels import PIXELS, UNKNOWN, by_name, wanted_by
from keras_attention.training.run_folder import RECORD, read_preprocessing
from keras_attention.training.runs import load_trained
from keras_attention.weights import whole_networks
from keras_attention.weights.loading import load_weights
from keras_attention.weights.preprocessing import ImageFormat
from keras_attention.weights.report import Report

# Of a preprocessing, what belongs to the network; the rest is the data's.
TRAVELS = ("mean", "std", "crop_fraction", "interpolation")


@dataclass(frozen=True, eq=False)
class Start:
    """A classifier with weights, and what they expect.

    Args:
        model: the classifier, for images of a known size.
        new: paths of the layers that have been drawn, not loaded.
        expects: `mean`, `std`, `crop_fraction` and `interpolation` as in
            `Preprocessing`; empty where nothing tells.
        class_names: what the classifier tells apart, or None where nothing tells.
        images: how images are prepared and what tells it, in words.
        classifier: in words, why it is new, where that is not plain.
    """

    model: keras.Model
    new: frozenset[str] = frozenset()
    expects: dict = field(default_factory=dict)
    class_names: tuple[str, ...] | None = None
    images: str = UNKNOWN
    classifier: str | None = None

    @property
    def drawn(self) -> frozenset[str]:
        """The paths of the new layers, if the classifier is to be one."""
        return self.new | {classifier_of(self.model)}

    def with_attention(self, attention, where) -> Start:
        """With an attention attached, which changes nothing at first.

        A convolution in whose place the attention stands is new as well.
        """
        model = attach(self.model, attention, where=where)
        new = {one.layer for one in placements(model)}
        return dataclasses.replace(self, model=model, new=self.new | new)

    def with_pixels(self, name: str) -> Start:
        """With images whose pixels are those of a name in `PIXELS`."""
        scale = by_name(name, self.model.input_shape[-1])
        words = f"pixels {PIXELS[name][-1]}, as asked for"
        return dataclasses.replace(self, expects=self.expects | scale, images=words)

    def prepare(self, data: ImageData) -> ImageData:
        """The images as the weights expect them.

        Raises:
            ValueError: they have other channels.
        """
        channels, taken = data.preprocessing.channels, self.model.input_shape[-1]
        if channels != taken:
            raise ValueError(
                f"The images of {data.name} have {channels} channels, and "
                f"{self.model.name} takes {taken}"
            )
        how = dataclasses.replace(data.preprocessing, **self.expects)
        return data.with_preprocessing(how)

    def with_classes(self, names: tuple[str, ...]) -> Start:
        """With a classifier for these classes: its own, if it is known to be for them.

        Of as many classes that nothing names it may be for any.
        """
        if self.class_names == names:
            return self
        old, words = self.model.output_shape[-1], None
        if self.class_names is None and old == len(names):
            words = f"drawn anew, as nothing tells that its {old} classes are these"
        model = replace_classifier(self.model, len(names))
        return dataclasses.replace(self, model=model, new=self.drawn, classifier=words)


def load_network(path: str, size: tuple[int, int] | None = None) -> Start:
    """A whole network from a `.keras` file or a run's folder.

    Args:
        path: the file; where it lies in a run's folder, that run's preprocessing is
            the network's, and elsewhere what its first layers tell. Or the folder,
            whose best network is taken.
        size: of the images, where it takes such of any size.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it is damaged, no classifier that can get other classes, or for
            images of another size.
    """
    place = Path(path).expanduser()
    _check_whole(place)
    found = _of_run(place)
    if found is None:
        model = whole_networks.load_network(place)
    else:
        model, _ = load_trained(place)
    gives_logits(model)
    classifier_of(model)
    return _start(with_size(model, size), found)


def load_named(
    build: Callable[[tuple[int, int] | None], keras.Model],
    source: str,
    size: tuple[int, int] | None = None,
) -> Start:
    """A network that is built, with weights that the importer loads.

    Args:
        build: of an image size, or None for the network's own, a network.
        source: as for `keras_attention.weights.load_weights`.
        size: of the images; by default the weights'.

    Raises:
        FileNotFoundError, ImportError, ConnectionError: the weights cannot be had.
        ValueError: more than a classifier and attentions is without weights.
    """
    if source.endswith(".weights.h5"):
        raise ValueError(
            f"{source} does not say which weights are the classifier's: save the whole "
            "network as a .keras file"
        )
    model = build(size)
    report = load_weights(model, source, strict=False)
    own = report.preprocessing or _of_run(Path(source).expanduser())
    if size is None and own is not None and tuple(own.size) != model.input_shape[1:3]:
        model = build(tuple(own.size))
        report = load_weights(model, source, strict=False)
    new = frozenset(_layers_without_weights(model, report))
    return dataclasses.replace(_start(model, own), new=new)


def _layers_without_weights(model: keras.Model, report: Report) -> set[str]:
    """Names of layers that keep what they drew: classifier and attentions, no others.

    Raises:
        ValueError: there are others, or the weights are of another network.
    """
    paths = [*report.missing, *(each.path for each in report.mismatched)]
    drawn = {path.partition("/")[0] for path in paths}
    kinds = tuple(spec(name).layer for name in names())
    attentions = {layer.name for layer in model.layers if isinstance(layer, kinds)}
    allowed = {classifier_of(model), *attentions}
    if drawn - allowed or report.unused or report.reasons:
        raise ValueError(
            f"The weights are not those of {model.name} with another classifier: "
            f"{report}. To put an attention into a network, build the one that the "
            "weights are of, and use `attach`"
        )
    return drawn


def _of_run(place: Path) -> Preprocessing | None:
    """The preprocessing of the run that a file lies in, or whose folder this is."""
    folder = place if place.is_dir() else place.parent
    if place.is_dir() or (place.is_file() and (folder / RECORD).exists()):
        return read_preprocessing(folder)
    return None


def _start(model: keras.Model, known: Preprocessing | ImageFormat | None) -> Start:
    """A network with what is known of its images, or else what it tells itself."""
    if known is None:
        expects, words = wanted_by(model)
        return Start(model, expects=expects, images=words)
    return Start(
        model,
        expects={name: getattr(known, name) for name in TRAVELS},
        class_names=getattr(known, "class_names", None),
        images="prepared as those that the weights are of",
    )


def _check_whole(place: Path) -> None:
    if not place.exists():
        raise FileNotFoundError(
            f"There is no network {place}. Without `model`, `weights` is a .keras file "
            "of a whole network, or the folder of a run"
        )
    if place.is_file() and place.suffix != ".keras":
        raise ValueError(
            f"{place} is no .keras file of a whole network: give `model`, the name of "
            "the network that its weights are of"
        )


def with_size(model: keras.Model, size: tuple[int, int] | None) -> keras.Model:
    """The network for images of one size, where it takes such of any size.

    Raises:
        ValueError: it takes images of another size, or no size is given.
    """
    *own, channels = model.input_shape[1:]
    if size is None and None in own:
        raise ValueError(f"{model.name} takes images of any size: give `image_size`")
    if size is None or tuple(own) == tuple(size):
        return model
    if any(a not in (None, b) for a, b in zip(own, size, strict=True)):
        raise ValueError(
            f"{model.name} takes images of {own[0]}×{own[1]} pixels only. "
            f"Received: image_size={size}"
        )
    graph = Graph(model)
    (taken,) = graph.model.inputs
    image = keras.Input((*size, channels), dtype=taken.dtype, name=taken.name)
    inputs = keras.tree.pack_sequence_as(graph.model.input, [image])
    return Rewriting(graph, inputs).build()
