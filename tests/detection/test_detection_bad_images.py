"""Detectors on a COCO folder with images that cannot be used."""

import json
import os

import keras
import numpy as np
import pytest
from references.image_bytes import BAD, JPEG, png
from references.rectangles import write_rectangles

from keras_attention import cli
from keras_attention.detection import bad_images
from keras_attention.detection.data.decoding import decode_file
from keras_attention.detection.request import make_request

TRAIN = ["detect", "train", "--quiet", "--detector", "ssd", "--recipe", "quick"]
TRAIN += ["--backbone", "mobilenet-0.25", "--channels", "16", "--size", "64", "64"]
TRAIN += ["--epochs", "1", "--seed", "3", "--learning-rate", "0.001"]
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="what is left out does not depend on the backend",
)
HARM = {
    "000000000001.png": b"",
    "000000000002.png": BAD["cut.png"][0],
    "000000000003.png": png(np.zeros((60, 64, 3), np.uint8)),
    "000000000004.png": BAD["bomb.png"][0],
}


def run(capsys, *argv):
    """Exit status, standard output and standard error of a command."""
    status = cli.main([str(each) for each in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Six images for training, four of them bad, and six for validation, one bad."""
    folder = write_rectangles(tmp_path_factory.mktemp("coco") / "data", images=6)
    for name, contents in HARM.items():
        (folder / "train2017" / name).write_bytes(contents)
    (folder / "val2017" / "000000000102.png").write_bytes(JPEG[:-30])
    return folder


def test_bad_images_are_counted_and_named(data, tmp_path, capsys):
    status, _, err = run(capsys, *TRAIN, "--data", data, "--out", tmp_path / "x")
    assert status == 2 and not (tmp_path / "x").exists()
    assert "5 of 12 image files cannot be used" in err and "it is empty" in err
    assert "60×64 pixels, and its boxes are for 64×64" in err
    assert "--on-bad-image skip" in err


def test_skipped_images_stay_out_of_the_whole_run(data, tmp_path, capsys, monkeypatch):
    out = tmp_path / "x"
    argv = [*TRAIN, "--data", data, "--out", out, "--on-bad-image", "skip"]
    status, printed, err = run(capsys, *argv)
    assert status == 0, err
    assert "Left out: 5 of 12" in printed
    report = json.loads((out / "bad_images.json").read_text())
    left_out = {each["file"] for each in report["bad_images"]}
    assert left_out == {f"train2017/{name}" for name in HARM} | {
        "val2017/000000000102.png"
    }
    record = json.loads((out / "run.json").read_text())["data"]
    assert (record["train"]["images"], record["validation"]["images"]) == (2, 5)
    assert (record["train"]["boxes"], record["validation"]["boxes"]) == (4, 10)
    monkeypatch.delattr(bad_images, "inspect_files")
    status, _, err = run(capsys, "detect", "train", "--resume", "--out", out)
    assert status == 0, err
    status, printed, err = run(capsys, "detect", "evaluate", out, "--json")
    assert status == 0 and json.loads(printed)["images"] == 5, err


def test_a_set_without_good_images_is_refused(tmp_path):
    folder = write_rectangles(tmp_path / "data", images=2)
    for path in (folder / "val2017").iterdir():
        path.write_bytes(b"")
    request = make_request({"data": str(folder), "on_bad_image": "skip"})
    with pytest.raises(ValueError, match="All 2 images would be left out"):
        request.load_data()


def test_a_pipe_is_not_waited_for(tmp_path):
    """Where an image is read without having been looked through."""
    os.mkfifo(tmp_path / "x.jpg")
    with pytest.raises(ValueError, match=r"x\.jpg cannot be decoded: it is no file"):
        decode_file(tmp_path / "x.jpg")
