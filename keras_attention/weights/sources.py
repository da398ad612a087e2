"""Where weights come from: a file, the hub, `"imagenet"`, or a network in memory."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from keras_attention.weights import hub, keras_files, reading, whole_networks
from keras_attention.weights.checking import naming

HUB = "hf://"
WANTED = (
    "the path of a weights file, an address hf://owner/name, 'imagenet', or a Keras "
    "model"
)


@dataclass(frozen=True)
class Source:
    """Tensors by name, and what is known of where they are from.

    Args:
        title: for messages.
        tensors: {name: array}; empty where `same_network` is a file to load whole.
        config: the `config.json` beside a file.
        repository, revision: on the hub, or None.
        sha256: of the file, or None.
        epsilons: {layer: ε of its batch norm}, as far as the source says.
        same_network: file without names, for the network that wrote it, or None.
    """

    title: str
    tensors: Mapping[str, np.ndarray] = field(default_factory=dict)
    config: Mapping = field(default_factory=dict)
    repository: str | None = None
    revision: str | None = None
    sha256: str | None = None
    epsilons: Mapping[str, float] = field(default_factory=dict)
    same_network: Path | None = None


def open_source(source, sha256: str | None = None) -> Source:
    """Read the weights that a user named.

    Args:
        source: path, hub address, or built Keras model.
        sha256: what the file's must be, in hexadecimal, or None.

    Raises:
        ValueError: `source` is none of those, or the file is not there, another one,
            damaged, or of code. And as `hub.fetch` and `reading.read_tensors`.
    """
    if isinstance(source, keras.Model):
        return _of_model(source, sha256)
    if not isinstance(source, str | os.PathLike):
        raise ValueError(f"`weights` must be {WANTED}. Received: {source!r}.")
    text = os.fspath(source)
    if text.startswith(HUB):
        return _of_hub(text, sha256)
    path = Path(text).expanduser()
    if not path.is_file():
        raise ValueError(f"`weights` must be {WANTED}. There is no file {text!r}.")
    return _of_file(path, sha256)


def _of_model(model: keras.Model, sha256: str | None) -> Source:
    if sha256 is not None:
        raise ValueError(
            f"`sha256` is of a file. Received: the model {model.name!r} and {sha256!r}."
        )
    if (
        type(model).__module__.startswith("keras_hub.")
        and "VGG" in type(model).__name__
    ):
        raise ValueError(
            f"{model.name!r} is Keras Hub's VGG, which has the names of "
            "keras.applications' and is for RGB images where that is for BGR: it would "
            "be taken for it. Use timm's, hf://timm/vgg16.tv_in1k."
        )
    norms = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    # Keras Hub's classifiers have their backbone's name before its weights.
    nested = f"{model.backbone.name}/" if hasattr(model, "backbone") else ""
    tensors = keras_files.model_tensors(model)
    return Source(
        f"model {model.name!r}",
        {name.removeprefix(nested): array for name, array in tensors.items()},
        epsilons={norm.name: norm.epsilon for norm in norms},
    )


def _of_hub(address: str, sha256: str | None) -> Source:
    fetched = hub.fetch(address)
    _check_sha256(address, fetched.sha256, sha256)
    return dataclasses.replace(
        _read(fetched.path),
        title=address,
        config=fetched.config,
        repository=fetched.repository,
        revision=fetched.revision,
        sha256=fetched.sha256,
    )


def _of_file(path: Path, sha256: str | None) -> Source:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    _check_sha256(path, found, sha256)
    return dataclasses.replace(
        _read(path), title=str(path), config=hub.read_config(path), sha256=found
    )


def _check_sha256(title, found: str, wanted: str | None) -> None:
    if wanted is not None and found != wanted.lower():
        raise ValueError(
            f"{title} has the SHA-256 {found}, and {wanted} was asked for. It is "
            "another file, or was changed."
        )


def _read(path: Path) -> Source:
    if path.name.endswith(".weights.h5"):
        return Source("", same_network=path)
    if path.suffix == ".keras":
        tensors = keras_files.read_model_tensors(path)
        return Source("", tensors, epsilons=_epsilons_of_file(path))
    return Source("", reading.read_tensors(path))


def _epsilons_of_file(path: Path) -> dict[str, float]:
    """The batch norms' ε in the description of a `.keras` file that was read."""
    with zipfile.ZipFile(path) as archive:
        left = [json.loads(archive.read(whole_networks.CONFIG))]
    found = {}
    while left:
        item = left.pop()
        if isinstance(item, dict):
            if item.get("class_name") == "BatchNormalization":
                with naming(path):
                    found |= _epsilon(item["config"])
            left.extend(item.values())
        elif isinstance(item, list):
            left.extend(item)
    return found


def _epsilon(norm: dict) -> dict[str, float]:
    name, epsilon = norm["name"], norm["epsilon"]
    if not isinstance(epsilon, int | float) or not 0 <= epsilon < 1:
        raise ValueError(f"the batch norm {name!r} has the ε {epsilon!r}")
    return {name: float(epsilon)}
