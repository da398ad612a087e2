"""Image files that cannot be used: found before a run's first step, and named."""

from __future__ import annotations

from pathlib import Path

from keras_attention.choices import check_choice
from keras_attention.data import FileSplit, ImageData
from keras_attention.data.inspection import bad_images
from keras_attention.training.files import naming, read_json, write_json

__all__ = ["REPORT", "known", "looked_through"]

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
        on_bad_image: `"error"`, or `"skip"` to leave bad files out of their splits.
        out: with "skip", the folder of the run, which gets `bad_images.json`: every
            file that was left out, by its place in the data's folder, and why.
        verbose: as for `keras_attention.data.inspection.inspect_files`.

    Raises:
        ValueError: with "error", there are bad files, of which the first are named;
            with "skip", the data is not of image files, or `ImageData.without` has
            nothing to train on.
    """
    check_choice("on_bad_image", on_bad_image, (ERROR, SKIP))
    count = sum(len(s) for s in data.splits.values() if isinstance(s, FileSplit))
    if on_bad_image == SKIP and not count:
        raise ValueError(
            f"`on_bad_image` is for folders of image files, and {data.name} is none. "
            f"Received: {on_bad_image!r}"
        )
    bad = bad_images(data, verbose=verbose)
    if bad and on_bad_image == ERROR:
        raise ValueError(
            f"{_counted(bad, count)}. Repair or remove them, or leave them out "
            "(--on-bad-image skip)"
        )
    if on_bad_image == SKIP:
        _tell(data, bad, count, out)
    return data.without(bad)


def known(data: ImageData, out: Path, *, verbose: int | str = 0) -> ImageData:
    """The data without what the run in `out` left out; nothing is decoded.

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
    content, root = read_json(path), _root(data)
    with naming(path):
        left_out = [str(root / entry["file"]) for entry in content["bad_images"]]
    if verbose:
        print(
            f"Without {len(left_out)} bad images, as {path} has it; none is looked for"
        )
    return data.without(left_out)


def _tell(data: ImageData, bad: dict[str, str], count: int, out: Path | None) -> None:
    """Print what is left out, and write the report."""
    where = ""
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / REPORT, _report(data, bad, count))
        where = f" All are named in {out / REPORT}"
    if bad:
        print(f"Left out: {_counted(bad, count)}.{where}")


def _report(data: ImageData, bad: dict[str, str], count: int) -> dict:
    root = _root(data)
    entries = [
        {"file": str(Path(path).relative_to(root)), "split": name, "reason": bad[path]}
        for name, split in data.splits.items()
        if isinstance(split, FileSplit)
        for path in split.paths
        if path in bad
    ]
    return {"images": count, "bad_images": entries}


def _root(data: ImageData) -> Path:
    return Path(data.source["data_dir"])


def _counted(bad: dict[str, str], count: int) -> str:
    named = [f"{path}: {reason}" for path, reason in list(bad.items())[:MOST_NAMED]]
    more = "; …" if len(bad) > MOST_NAMED else ""
    listed = "; ".join(named) + more
    return f"{len(bad)} of {count:,} image files cannot be used: {listed}"
