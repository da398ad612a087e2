"""Export by name: what the command line does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_attention.data import ImageData, load
from keras_attention.saved_models.exporting import SUFFIXES, export
from keras_attention.saved_models.images import MOST
from keras_attention.saved_models.verification import Verification
from keras_attention.training.run_folder import RECORD, read_preprocessing, read_run
from keras_attention.training.runs import load_run_data, load_trained
from keras_attention.weights.whole_networks import load_network

CALIBRATION = 500
BATCH = 100


def export_run(
    path: str | Path,
    format: str,
    precision: str = "float32",
    *,
    out: str | Path | None = None,
    data: str | None = None,
    data_dir: str | None = None,
    images: int = CALIBRATION,
    **options,
) -> Verification:
    """Export a run's network, with its preprocessing and class names.

    int8 is calibrated on training images, and every file is compared with the network
    on test images: those of the run's own data, or of `data`.

    Args:
        path: a run's folder (its best network is taken), or a `.keras` file, in a
            run's folder or not.
        format, precision, **options: as for `export`.
        out: the file; by default beside the network, such as `best.int8.tflite`.
        data: a name for `keras_attention.data.load`; by default the run's own data.
        data_dir: where the data is.
        images: most images to calibrate by, up to 1,000.

    Raises:
        FileNotFoundError: no network there, or no data.
        ValueError: a network that is in no run, without `data`; and as `export`.
    """
    path = Path(path)
    folder = path.parent if path.suffix == ".keras" else path
    in_run = (folder / RECORD).exists()
    if in_run or path.suffix != ".keras":
        model, folder = load_trained(path)
        network = path if path.suffix == ".keras" else folder / "best.keras"
    else:
        model, network = load_network(path), path
    found = _data(model, folder if in_run else None, data, data_dir)
    if precision == "int8":
        options["representative_data"] = _images(found, "train", images)
    split = "test" if found.test else "validation" if found.validation else "train"
    return export(
        model,
        _beside(network, format, precision) if out is None else out,
        format,
        precision,
        verification_data=_images(found, split, MOST),
        preprocessing=found.preprocessing,
        **options,
    )


def _data(model, run: Path | None, name: str | None, data_dir) -> ImageData:
    if run is not None and name in (None, _source(run).get("name")):
        return load_run_data(run, data_dir=data_dir)
    if name is None:
        raise ValueError(
            "The network is in no run's folder, which would tell its data. Give "
            "`data` (--data), to compare the file with the network on."
        )
    size = tuple(model.input_shape[1:3])
    found = load(name, data_dir=data_dir, image_size=None if None in size else size)
    if run is None:
        return found
    return found.with_preprocessing(read_preprocessing(run))


def _source(run: Path) -> dict:
    return read_run(run)["data"]["source"] or {}


def _images(data: ImageData, split: str, most: int) -> np.ndarray:
    batches, count = [], 0
    for images, _ in data.evaluation(split, batch_size=BATCH):
        batches.append(images.numpy())
        count += len(images)
        if count >= most:
            break
    return np.concatenate(batches)[:most]


def _beside(network: Path, format: str, precision: str) -> Path:
    """`best.tflite`, `best.int8.tflite`, `best_saved_model`, …"""
    if format == "saved_model":
        return network.with_name(f"{network.stem}_saved_model")
    kind = "" if precision == "float32" else f".{precision}"
    return network.with_name(f"{network.stem}{kind}{SUFFIXES.get(format, '')}")
