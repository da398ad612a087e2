"""Files looked through: every bad one is found, with a reason, and no good one."""

import os
import re
import threading

import pytest
from references.image_bytes import BAD, GOOD, JPEG

from keras_attention.data import from_folder, inspect_files, inspection


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, contents in files.items():
        (folder / name).write_bytes(contents)
    return [str(folder / name) for name in files]


def test_bad_files_are_found_among_good_ones(tmp_path):
    bad = write(
        tmp_path / "bad", {name: contents for name, (contents, _) in BAD.items()}
    )
    good = write(tmp_path / "good", GOOD)
    found = inspect_files([*good, *bad], 3)
    assert list(found) == bad
    for reason, (_, wanted) in zip(found.values(), BAD.values(), strict=True):
        assert re.search(wanted, reason)


def no_file(path):
    pass


def broken_link(path):
    path.symlink_to("nowhere.jpg")


def loop(path):
    path.symlink_to(path.name)


def link_to_a_folder(path):
    path.symlink_to("..")


def link_to_a_pipe(path):
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def link_to_a_device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (no_file, "it is not there"),
        (broken_link, "a link that leads nowhere"),
        (loop, "cannot be read: Too many levels of symbolic links"),
        (link_to_a_folder, "it is no file, but a folder"),
        (link_to_a_pipe, "it is no file"),
        (link_to_a_device, "it is no file"),
    ],
)
def test_what_is_no_file_is_bad_and_not_waited_for(make, reason, tmp_path):
    path = tmp_path / "x.jpg"
    make(path)
    assert reason in inspect_files([str(path)], 3)[str(path)]


def test_a_file_without_permission_is_bad(tmp_path, monkeypatch):
    (path,) = write(tmp_path, {"x.jpg": JPEG})

    def refuse(*args):  # root may read all
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert inspect_files([path], 3) == {path: "it cannot be read: Permission denied"}


def test_what_claims_to_be_too_large_is_not_decoded(tmp_path, monkeypatch):
    bombs = {name: contents for name, (contents, _) in BAD.items() if "bomb" in name}
    monkeypatch.setattr(
        inspection, "decode_contents", lambda *_: pytest.fail("decoded")
    )
    assert len(inspect_files(write(tmp_path, bombs), 3)) == len(bombs) == 4


@pytest.mark.parametrize(("large", "together"), [(0, 0), (2**24, 2)])
def test_large_images_are_decoded_one_at_a_time(large, together, tmp_path, monkeypatch):
    """Two threads meet in the decoder, unless the images count as large."""
    meeting, met = threading.Barrier(2), []

    def decode(*_):
        try:
            meeting.wait(10 if together else 0.2)
            met.append(True)
        except threading.BrokenBarrierError:
            pass

    monkeypatch.setattr(inspection, "decode_contents", decode)
    monkeypatch.setattr(inspection, "LARGE", large)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    inspect_files(write(tmp_path, {"a.jpg": JPEG, "b.jpg": JPEG}), 3)
    assert len(met) == together


def test_progress_is_shown_where_there_are_many(tmp_path, capsys):
    (path,) = write(tmp_path, {"x.jpg": b"no"})
    many = [path] * inspection.MANY
    assert len(inspect_files(many, 3, verbose=1)) == 1
    assert f"{inspection.MANY}/{inspection.MANY}" in capsys.readouterr().out
    inspect_files(many, 3)
    inspect_files(many[:-1], 3, verbose=1)
    assert capsys.readouterr().out == ""


@pytest.fixture
def data(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name, {f"{number}.jpg": JPEG for number in range(10)})
    return from_folder(tmp_path, validation=0.2, image_size=(8, 8))


def test_what_is_left_out_changes_no_other_images_split(data):
    bad = {data.train.paths[3], data.train.paths[5], data.validation.paths[0]}
    rest = data.without(bad)
    for name, split in data.splits.items():
        kept = [
            (path, label)
            for path, label in zip(split.paths, split.labels, strict=True)
            if path not in bad
        ]
        found = rest.split(name)
        assert kept == list(zip(found.paths, found.labels, strict=True))
    assert [len(split) for split in rest.splits.values()] == [14, 3]


def test_the_fingerprint_tells_what_was_left_out(data):
    first, second = data.train.paths[:2]
    sets = ([], [first], [second], [first, second])
    prints = {data.without(paths).fingerprint for paths in sets}
    assert len(prints) == 4 and data.fingerprint in prints
    assert data.without([second, first]).fingerprint in prints


def test_a_class_or_a_split_is_not_left_out(data):
    first = [
        path
        for path, label in zip(data.train.paths, data.train.labels, strict=True)
        if label == 0
    ]
    with pytest.raises(ValueError, match="All training images of a in .* replace some"):
        data.without(first)
    with pytest.raises(ValueError, match="All 4 images of the split 'validation'"):
        data.without(data.validation.paths)
