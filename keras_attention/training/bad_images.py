"""Image files that cannot be used: found before a run's first step, and named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_attention.choices import check_choice
from keras_attention.data import FileSplit, ImageData
from keras_attention.data.inspection import bad_images
from keras_attention.training.distribution import is_chief
from keras_attention.training.files import naming, read_json, write_json

__all__ = ["ERROR", "SKIP", "known", "looked_through", "read_report", "settle"]

REPORT = "bad_images.json"
ERROR, SKIP = "error", "skip"
MOST_NAMED = 3


def looked_through(
    data: ImageData,
    on_bad_image: str,
    *,
    out: Path | None = None,
    verbose: int | str = 0,
) -> ImageData:
    """The data, after each of its image files was decoded once.

    Args:
        data: loaded by name.
        on_bad_image, out: as for `settle`.
        verbose: as for `keras_attention.data.inspection.inspect_files`.

    Raises:
        ValueError: as `settle`, or with "skip" `ImageData.without` has nothing to
            train on.
    """
    files = {
        name: split.paths
        for name, split in data.splits.items()
        if isinstance(split, FileSplit)
    }
    bad = bad_images(data, verbose=verbose)
    settle(bad, files, on_bad_image, root=_root(data), out=out)
    return data.without(bad)


def known(data: ImageData, out: Path, *, verbose: int | str = 0) -> ImageData:
    """The data without what the run in `out` left out; nothing is decoded.

    Raises:
        FileNotFoundError, ValueError: as `read_report`.
    """
    return data.without(read_report(out, _root(data), verbose=verbose))


def settle(
    bad: Mapping[str, str],
    files: Mapping[str, Sequence[str]],
    on_bad_image: str,
    *,
    root: Path | None,
    out: Path | None,
) -> None:
    """Say what is bad.

    Args:
        bad: {path: reason}.
        files: all paths that were looked at, by split; none if it is no data of files.
        on_bad_image: `"error"`, or `"skip"` where the caller leaves bad files out.
        root: the data's folder.
        out: with "skip", the folder of the run, which gets `bad_images.json`: every
            bad file, by its place in the data's folder, and why; None: no report.

    Raises:
        ValueError: with "error", there are bad files, of which the first are named;
            with "skip", there are no files at all.
    """
    check_choice("on_bad_image", on_bad_image, (ERROR, SKIP))
    count = sum(map(len, files.values()))
    if on_bad_image == ERROR:
        if bad:
            raise ValueError(
                f"{_counted(bad, count)}. Repair or remove them, or leave them out "
                "(--on-bad-image skip)"
            )
        return
    if not count:
        raise ValueError(
            "`on_bad_image` is for data in a folder of image files, and this has none. "
            f"Received: {on_bad_image!r}"
        )
    if not is_chief():  # of several processes, which all look, one writes
        return
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / REPORT, _report(bad, files, root))
    if bad:
        where = "" if out is None else f". All are named in {out / REPORT}"
        print(f"Left out: {_counted(bad, count)}{where}")


def read_report(out: Path, root: Path, *, verbose: int | str = 0) -> list[str]:
    """Paths of what the run in `out` left out of the data in `root`.

    Raises:
        FileNotFoundError: the run's `bad_images.json` is gone.
        ValueError: it is damaged.
    """
    path = out / REPORT
    if not path.exists():
        raise FileNotFoundError(
            f"The run in {out} left bad images out, and {path}, which names them, is "
            "gone: put it back, or start a new run elsewhere"
        )
    content = read_json(path)
    with naming(path):
        found = [str(root / entry["file"]) for entry in content["bad_images"]]
    if verbose:
        print(f"Without {len(found)} bad images, as {path} has it; none is looked for")
    return found


def _report(bad: Mapping, files: Mapping, root: Path) -> dict:
    entries = [
        {"file": str(Path(path).relative_to(root)), "split": name, "reason": bad[path]}
        for name, paths in files.items()
        for path in paths
        if path in bad
    ]
    return {"images": sum(map(len, files.values())), "bad_images": entries}


def _root(data: ImageData) -> Path | None:
    place = data.source["data_dir"]
    return None if place is None else Path(place)


def _counted(bad: Mapping[str, str], count: int) -> str:
    named = [f"{path}: {reason}" for path, reason in list(bad.items())[:MOST_NAMED]]
    more = "; …" if len(bad) > MOST_NAMED else ""
    listed = "; ".join(named) + more
    return f"{len(bad)} of {count:,} image files cannot be used: {listed}"
