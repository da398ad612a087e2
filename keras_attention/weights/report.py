"""What became of the weights that were loaded."""

from __future__ import annotations

from dataclasses import dataclass

from keras_attention.weights.preprocessing import ImageFormat

_SHOWN = 5


@dataclass(frozen=True)
class Mismatch:
    """A tensor of another shape than the model wants, in the file's layout.

    Args:
        name: in the file.
        shape: in the file.
        wanted: the shape that the model's weight has there.
        path: of that weight.
    """

    name: str
    shape: tuple[int, ...]
    wanted: tuple[int, ...]
    path: str

    def __str__(self) -> str:
        return f"{self.name} is {self.shape} and {self.wanted} is wanted"


@dataclass(frozen=True)
class Report:
    """What was loaded into a model, from where, and what was not.

    Args:
        source: as it was named.
        repository, revision: on the hub, or None.
        sha256: of the file, or None.
        layout: whose names and shapes the file has.
        loaded: paths of the model's weights that were set.
        missing: paths of those that were not, as the file has nothing for them.
        unused: tensors of the file that the model has no weight for.
        mismatched: tensors whose shape is not that of the model's weight.
        preprocessing: what the weights expect of images, or None where nobody says.
        reasons: why weights are wrong that fit by name and shape, or do not fit.
    """

    source: str
    repository: str | None = None
    revision: str | None = None
    sha256: str | None = None
    layout: str = ""
    loaded: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    mismatched: tuple[Mismatch, ...] = ()
    preprocessing: ImageFormat | None = None
    reasons: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every tensor has its weight, and every weight its tensor."""
        return not self.differences()

    def differences(self) -> list[str]:
        """A line for each kind of what did not fit."""
        kinds = (
            ("in the model and not in the file", self.missing),
            ("in the file and not in the model", self.unused),
            ("of another shape", self.mismatched),
        )
        lines = [f"{what}: {_shortened(items)}" for what, items in kinds if items]
        return lines + list(self.reasons)

    def __str__(self) -> str:
        where = f"{self.source} ({self.layout})"
        if self.revision:
            where += f", revision {self.revision}"
        lines = [f"Weights of {where}: {len(self.loaded)} set", *self.differences()]
        return "\n  ".join(lines)


def _shortened(items: tuple) -> str:
    shown = ", ".join(map(str, items[:_SHOWN]))
    more = len(items) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
