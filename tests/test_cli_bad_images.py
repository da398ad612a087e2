"""Runs by name on folders with files that cannot be used."""

import json
import os

import keras
import pytest
from references.image_bytes import BAD, GOOD, blocks, png

from keras_attention import cli
from keras_attention.training import bad_images
from keras_attention.training.runs import Request, load_run_data
from keras_attention.tuning.search_request import SearchRequest
from keras_attention.tuning.tuners import TuneRequest

CLASSES = ("two words", "émoji 🐈 '\"\n")
TRAIN = ["train", "--model", "cifarresnet-8", "--data", "folder", "--recipe", "quick"]
TRAIN += ["--image-size", "8", "8", "--epochs", "2", "--batch-size", "8", "--seed", "1"]
TRAIN += ["--validation", "0.2", "--quiet"]
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="what is left out does not depend on the backend",
)


def run(capsys, *argv):
    """Exit status, standard output and standard error of a command."""
    status = cli.main([str(each) for each in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Classes of odd names with all kinds of files: good, bad, and none at all."""
    root = tmp_path_factory.mktemp("data") / "photos of cats 🐈"
    for number, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for count in range(16):
            image = png(blocks(100 * number + count))
            (root / name / f"{count}.png").write_bytes(image)
    good, bad = (root / name for name in CLASSES)
    for name, contents in GOOD.items():
        (good / name).write_bytes(contents)
    for name, (contents, _) in BAD.items():
        (bad / name).write_bytes(contents)
    (good / "loop.jpg").symlink_to("loop.jpg")
    (bad / "gone\n.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(good / ".pipe")
    (bad / "pipe.JPG").symlink_to(good / ".pipe")
    return root


EXPECTED = {f"{CLASSES[1]}/{name}" for name in (*BAD, "gone\n.jpg", "pipe.JPG")}
EXPECTED |= {f"{CLASSES[0]}/loop.jpg"}
IMAGES = 32 + len(GOOD) + len(EXPECTED)


@pytest.fixture(scope="module")
def skipping(folder, tmp_path_factory):
    """A run without the bad files that stopped after its first epoch."""
    out = tmp_path_factory.mktemp("runs") / "x"
    argv = [*TRAIN, "--data-dir", str(folder), "--on-bad-image", "skip"]
    assert cli.main([*argv, "--out", str(out), "--stop-after", "1"]) == 0
    return out


def test_error_counts_and_names_before_anything_is_written(folder, tmp_path, capsys):
    out = tmp_path / "x"
    status, _, err = run(capsys, *TRAIN, "--data-dir", folder, "--out", out)
    assert status == 2 and not out.exists()
    assert f"{len(EXPECTED)} of {IMAGES} image files cannot be used" in err
    assert err.count(str(folder)) == 3 and "; …. Repair or remove them" in err
    assert "(--on-bad-image skip)" in err


def test_skip_leaves_out_every_bad_file_and_no_other(skipping, folder):
    report = json.loads((skipping / "bad_images.json").read_text())
    assert report["images"] == IMAGES
    assert {each["file"] for each in report["bad_images"]} == EXPECTED
    assert len(report["bad_images"]) == len(EXPECTED)
    reasons = {each["file"]: each["reason"] for each in report["bad_images"]}
    assert reasons[f"{CLASSES[1]}/empty.jpg"] == "it is empty"
    record = json.loads((skipping / "run.json").read_text())
    assert sum(record["data"]["images"].values()) == IMAGES - len(EXPECTED)
    assert record["preprocessing"]["class_names"] == list(CLASSES)


def test_skip_says_what_it_left_out(folder, tmp_path, capsys):
    data = Request("cifarresnet-8", "folder", data_dir=str(folder), on_bad_image="skip")
    data.load_data(out=tmp_path)
    out = capsys.readouterr().out
    assert out.startswith(f"Left out: {len(EXPECTED)} of {IMAGES} image files")
    assert f"All are named in {tmp_path / 'bad_images.json'}" in out


def test_of_several_processes_one_writes(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bad_images, "is_chief", lambda: False)
    data = Request("cifarresnet-8", "folder", data_dir=str(folder), on_bad_image="skip")
    found = data.load_data(out=tmp_path)
    assert not list(tmp_path.iterdir()) and capsys.readouterr().out == ""
    assert sum(map(len, found.splits.values())) == IMAGES - len(EXPECTED)


def test_a_resumed_run_does_not_look_again(skipping, capsys, monkeypatch):
    monkeypatch.delattr(bad_images, "bad_images")
    argv = ["train", "--resume", "--out", skipping]
    status, out, err = run(capsys, *argv)
    assert status == 0, err
    assert f"Without {len(EXPECTED)} bad images, as {skipping}" in out
    assert len((skipping / "history.csv").read_text().splitlines()) == 3
    status, out, _ = run(capsys, "evaluate", skipping, "--json")
    record = json.loads((skipping / "run.json").read_text())
    assert status == 0
    assert json.loads(out)["images"] == record["data"]["images"]["test"]


def test_the_data_may_move(skipping, folder, tmp_path):
    moved = tmp_path / "moved"
    moved.symlink_to(folder)
    found, before = (
        load_run_data(skipping, data_dir=str(moved)),
        load_run_data(skipping),
    )
    assert found.fingerprint == before.fingerprint
    assert [len(split) for split in found.splits.values()] == [
        len(split) for split in before.splits.values()
    ]


def test_a_run_that_skips_needs_its_report(skipping, capsys):
    report = skipping / "bad_images.json"
    content = report.read_text()
    try:
        report.unlink()
        for argv in (["train", "--resume", "--out"], ["evaluate"]):
            status, _, err = run(capsys, *argv, skipping)
            assert status == 2 and "which names them, is gone: put it back" in err
        report.write_text(content.replace('"file"', '"path"'))
        status, _, err = run(capsys, "evaluate", skipping)
        assert status == 2 and "bad_images.json is damaged" in err
        report.write_text('{"images": 9, "bad_images": []}')
        status, _, err = run(capsys, "evaluate", skipping)
        assert status == 2 and "is not what the run" in err
    finally:
        report.write_text(content)


def test_the_choice_stays_for_the_whole_run(skipping, capsys):
    argv = ["train", "--resume", "--out", skipping, "--on-bad-image", "error"]
    status, _, err = run(capsys, *argv)
    assert status == 2 and "on_bad_image: 'skip' then, 'error' now" in err


def test_fine_tuning_skips_as_well(skipping, folder, tmp_path, capsys):
    argv = ["finetune", "--weights", skipping, "--data", folder, "--recipe", "quick"]
    argv += ["--epochs", "1", "--batch-size", "8", "--quiet", "--out", tmp_path / "y"]
    status, _, err = run(capsys, *argv)
    assert status == 2 and f"{len(EXPECTED)} of {IMAGES}" in err
    status, _, err = run(capsys, *argv, "--on-bad-image", "skip")
    assert status == 0, err
    report = json.loads((tmp_path / "y/bad_images.json").read_text())
    assert len(report["bad_images"]) == len(EXPECTED)


def test_a_search_skips_as_well(folder, tmp_path, capsys):
    argv = ["search", "--model", "cifarresnet-8", "--data", "folder", "--quiet"]
    argv += ["--data-dir", folder, "--image-size", "8", "8", "--space", "none,se"]
    argv += ["--augmentation", "none", "--epochs", "1", "--batch-size", "8"]
    argv += ["--out", tmp_path / "s", "--on-bad-image", "skip"]
    status, _, err = run(capsys, *argv)
    assert status == 0, err
    assert (tmp_path / "s/bad_images.json").exists()
    status, _, err = run(capsys, "search", "--resume", "--out", tmp_path / "s")
    assert status == 0, err


def test_every_request_hands_it_on():
    searched = SearchRequest("cifarresnet-8", "folder", on_bad_image="skip")
    assert searched._network(None).on_bad_image == "skip"
    tuned = TuneRequest(("cifarresnet-8",), "folder", on_bad_image="skip")
    assert tuned.training().on_bad_image == "skip"


def test_records_of_runs_from_before_still_hold(folder, tmp_path, capsys):
    """The default leaves no trace, so that old and new records are alike."""
    good = tmp_path / "data"
    for name in CLASSES:
        (good / name).mkdir(parents=True)
        for count in range(16):
            place = f"{name}/{count}.png"
            (good / place).write_bytes((folder / place).read_bytes())
    out = tmp_path / "x"
    argv = [*TRAIN, "--data-dir", good, "--out", out, "--epochs", "1"]
    assert run(capsys, *argv)[0] == 0
    assert "on_bad_image" not in (out / "run.json").read_text()
    assert not (out / "bad_images.json").exists()
    status, _, err = run(capsys, "train", "--resume", "--quiet", "--out", out)
    assert status == 0, err
    assert run(capsys, "evaluate", out)[0] == 0


def test_too_few_good_images_are_told_before_the_first_step(tmp_path, capsys):
    for name in "ab":
        (tmp_path / "data" / name).mkdir(parents=True)
        for count in range(8):
            image = png(blocks(count)) if count < 4 else b""
            (tmp_path / "data" / name / f"{count}.png").write_bytes(image)
    argv = [*TRAIN, "--data-dir", tmp_path / "data", "--on-bad-image", "skip"]
    status, _, err = run(capsys, *argv, "--out", tmp_path / "x")
    assert status == 2 and "6 images, fewer than one batch" in err
    for path in (tmp_path / "data").glob("*/*.png"):
        path.write_bytes(b"" if path.parent.name == "a" else png(blocks()))
    status, _, err = run(capsys, *argv, "--out", tmp_path / "y")
    assert status == 2 and "All training images of a in data" in err


def test_there_is_nothing_to_skip_in_arrays(tmp_path, capsys):
    argv = ["train", "--model", "cifarresnet-8", "--data", "digits"]
    argv += ["--out", tmp_path / "x", "--on-bad-image", "skip"]
    status, _, err = run(capsys, *argv)
    assert status == 2 and "is for data in a folder of image files" in err


def test_predict_names_a_bad_file(skipping, folder, capsys):
    good, bad = folder / CLASSES[0] / "0.png", folder / CLASSES[1]
    status, out, err = run(capsys, "predict", skipping, good, bad / "page.jpg")
    assert status == 2 and out == "" and "page.jpg cannot be decoded" in err
    status, _, err = run(capsys, "predict", skipping, bad / "pipe.JPG")
    assert status == 2 and "pipe.JPG" in err and "a device or a pipe" in err
