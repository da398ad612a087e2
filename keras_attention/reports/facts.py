"""How a run came about, for the end of its report."""

from __future__ import annotations

from collections.abc import Mapping

from keras_attention.reports.page import Facts
from keras_attention.timing import machine

__all__ = ["about_data", "about_recipe", "about_sessions"]


def about_data(record: Mapping) -> Facts:
    """Name, number of images in each split, size, and fingerprint.

    Args:
        record: of a run, as `read_run` gives it.
    """
    data, preprocessing = record["data"], record["preprocessing"]
    height, width = preprocessing["size"]
    names = preprocessing["class_names"]
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    pairs = {"name": data["name"]}
    pairs |= {f"{name} images": f"{n:,}" for name, n in data["images"].items()}
    pairs["input"] = f"{height}×{width}×{preprocessing['channels']}"
    pairs["classes"] = f"{len(names)}: {listed}"
    pairs["fingerprint"] = str(data["fingerprint"])
    return Facts("Data", pairs)


def about_recipe(record: Mapping) -> Facts:
    """The settings of the training of a run, as they are recorded."""
    return Facts(
        "Recipe", {name: _shown(value) for name, value in record["recipe"].items()}
    )


def about_sessions(record: Mapping) -> Facts:
    """When, by which commands and with which versions; the machine of this report."""
    sessions = record["sessions"]
    last = sessions[-1]
    pairs = {
        f"session {i}, {session['started']}": session["command"] or "from Python"
        for i, session in enumerate(sessions, 1)
    }
    versions = [f"{name} {each}" for name, each in last["versions"].items() if each]
    pairs |= {"backend": last["backend"], "versions": ", ".join(versions)}
    pairs["machine of this report"] = machine(())
    return Facts("How it was run", pairs)


def _shown(value) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    return "none" if value is None else str(value)
