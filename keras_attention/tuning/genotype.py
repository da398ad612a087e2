"""The result of a search: one attention per block, as a small value and file."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

from keras_attention.attention import as_specs
from keras_attention.training.files import write_json
from keras_attention.tuning.mixed import block_probabilities
from keras_attention.tuning.selection import select

__all__ = ["Genotype", "derive"]

FORMAT = 1
# A genotype of a thousand blocks is well below.
LARGEST_FILE = 2**20


@dataclasses.dataclass(frozen=True)
class Genotype(Sequence):
    """One attention per block; passes as `attention=` to any application.

    A sequence of entries, which an application with as many blocks takes (a MobileNet
    also with one more, its stem's, first).

    Args:
        space: str, the name of the `SearchSpace` that it was found in.
        blocks: names of the supernet's blocks, each once.
        operations: each block's operation, a symbol of the space, for people.
        entries: each block's attention: None, a spec, or a tuple of specs of other
            sites (or what `attention=` takes for one block, normalised to these).
        candidates: symbols of the searched operations, or () where p is not known.
        probabilities: for each block the candidates' p, None where a candidate was
            not searched there; or () where p is not known.

    Raises:
        ValueError: lengths that differ, a block twice, a p outside [0, 1], and what
            `attention=` raises for an entry.
    """

    space: str
    blocks: tuple
    operations: tuple
    entries: tuple
    candidates: tuple = ()
    probabilities: tuple = ()

    def __post_init__(self):
        fix = object.__setattr__
        for field in ("blocks", "operations", "candidates"):
            fix(self, field, _strings(field, getattr(self, field)))
        if not isinstance(self.space, str):
            raise ValueError(f"`space` must be a name. Received: {self.space!r}.")
        fix(self, "entries", tuple(_entry(entry) for entry in self.entries))
        fix(self, "probabilities", tuple(map(tuple, self.probabilities)))
        self._check()

    def _check(self):
        counts = (len(self.blocks), len(self.operations), len(self.entries))
        if len(set(counts)) > 1 or not self.blocks:
            raise ValueError(
                "A genotype needs a name, an operation and an entry for each block. "
                f"Received {counts[0]} blocks, {counts[1]} operations and "
                f"{counts[2]} entries."
            )
        twice = {name for name in self.blocks if self.blocks.count(name) > 1}
        if twice:
            raise ValueError(f"A genotype names a block twice: {min(twice)!r}.")
        rows = len(self.blocks) if self.candidates else 0
        if len(self.probabilities) != rows:
            raise ValueError(
                f"A genotype of {len(self.blocks)} blocks with {len(self.candidates)} "
                f"candidates needs {rows} rows of probabilities. Received: "
                f"{len(self.probabilities)}."
            )
        for name, row in zip(self.blocks, self.probabilities, strict=False):
            if len(row) != len(self.candidates) or not all(map(_is_share, row)):
                raise ValueError(
                    f"The probabilities of {name!r} must be {len(self.candidates)} "
                    f"numbers from 0 to 1, or null. Received: {list(row)}."
                )

    @classmethod
    def of(cls, space, blocks, choices, convs=None):
        """The genotype of chosen operations, by their index in a `SearchSpace`.

        Args:
            space: a `SearchSpace`.
            blocks: names of the blocks.
            choices: for each block the index of its operation, as `space.entry`.
            convs: for each block 0 (plain) or 1 (AW), or None: plain everywhere.

        Raises:
            ValueError: lengths that differ, or no such choice.
        """
        blocks, choices = tuple(blocks), tuple(choices)
        convs = (0,) * len(blocks) if convs is None else tuple(convs)
        if len(choices) != len(blocks) or len(convs) != len(blocks):
            raise ValueError(
                f"Give one choice per block. Received {len(blocks)} blocks, "
                f"{len(choices)} choices and {len(convs)} convolutions."
            )
        chosen = list(zip(choices, convs, strict=True))
        return cls(
            space.name,
            blocks,
            tuple(space.symbol(*pair) for pair in chosen),
            tuple(space.entry(*pair) for pair in chosen),
        )

    def __len__(self):
        return len(self.entries)

    def __getitem__(self, index):
        return self.entries[index]

    def to_json(self):
        """JSON text, which `from_json` reads back to an equal genotype."""
        return json.dumps(self._content(), indent=2, ensure_ascii=False)

    def save(self, path):
        """Writes `to_json` to a file, whole or not at all."""
        write_json(Path(path), self._content())

    @classmethod
    def load(cls, path):
        """Reads a file that `save` wrote.

        Raises:
            ValueError: it is no genotype, or above 1 MiB; the message names the file.
            OSError: it cannot be read.
        """
        size = os.path.getsize(path)
        if size > LARGEST_FILE:
            raise ValueError(
                f"{path} is no genotype: it has {size} bytes, and a genotype at most "
                f"{LARGEST_FILE}."
            )
        try:
            text = Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is no genotype: {error}.") from error
        return cls.from_json(text, source=str(path))

    @classmethod
    def from_json(cls, text, source="the text"):
        """Reads what `to_json` wrote.

        Args:
            text: str.
            source: what errors call it.

        Raises:
            ValueError: damage of any kind: no JSON, a key missing, unknown or twice,
                a value of another type, an unknown attention or option, another
                format number.
        """
        try:
            content = json.loads(text, object_pairs_hook=_no_key_twice)
            return cls(**_read(content))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{source} is no genotype: {error}") from error

    def _content(self):
        rows = self.probabilities or [None] * len(self.blocks)
        return {
            "format": FORMAT,
            "space": self.space,
            "candidates": list(self.candidates),
            "blocks": [
                {
                    "name": name,
                    "operation": operation,
                    "attention": _to_json(entry),
                    "probabilities": row and list(row),
                }
                for name, operation, entry, row in zip(
                    self.blocks, self.operations, self.entries, rows, strict=True
                )
            ],
        }

    def __str__(self):
        rows = self.probabilities or [()] * len(self.blocks)
        lines = [("block", *self.candidates, "Op")]
        for name, row, operation in zip(
            self.blocks, rows, self.operations, strict=True
        ):
            shares = ("–" if p is None else f"{p:.4f}" for p in row)
            lines.append((name, *shares, operation))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(_line(line, widths) for line in lines)


def derive(model, space, rule=None):
    """The genotype that a supernet's probabilities select.

    Args:
        model: the supernet, built with `attention=space.spec()`.
        space: its `SearchSpace`.
        rule: of `select`; None for `"paper"` where the space has a parallel operation,
            else `"argmax"`. The convolution axis is by argmax.

    Returns:
        A `Genotype` with the probabilities.

    Raises:
        ValueError: no supernet, or one of another number of operations.
    """
    blocks = block_probabilities(model)
    convs = block_probabilities(model, "conv") if space.conv is not None else {}
    for name, p in blocks.items():
        if len(p) != len(space.operations):
            raise ValueError(
                f"The mixture at {name!r} has {len(p)} operations, and space "
                f"{space.name!r} has {len(space.operations)}: {space.symbols}. Use "
                "the space that the supernet was built with."
            )
    rule = rule or ("paper" if space.parallel else "argmax")
    choices = select(list(blocks.values()), rule)
    # The stem of a MobileNet has no conv site.
    conv_choices = [
        int(convs[name].argmax()) if name in convs else 0 for name in blocks
    ]
    unknown = (None,) * len(space.conv_symbols)
    rows = [(*p.tolist(), *convs.get(name, unknown)) for name, p in blocks.items()]
    return dataclasses.replace(
        Genotype.of(space, blocks, choices, conv_choices),
        candidates=(*space.symbols, *space.conv_symbols),
        probabilities=tuple(
            tuple(None if p is None else float(p) for p in row) for row in rows
        ),
    )


def _entry(attention):
    """An entry as None, a spec, or a tuple of specs."""
    specs = as_specs(attention)
    return specs if len(specs) > 1 else next(iter(specs), None)


def _strings(name, value):
    items = tuple(value)
    if isinstance(value, str) or not all(isinstance(item, str) for item in items):
        raise ValueError(f"`{name}` must be a list of names. Received: {value!r}.")
    return items


def _is_share(p):
    if p is None:
        return True
    number = isinstance(p, int | float) and not isinstance(p, bool)
    return number and 0 <= p <= 1


def _to_json(entry):
    if isinstance(entry, tuple):
        return [spec.to_dict() for spec in entry]
    return entry and entry.to_dict()


_KEYS = {"format": int, "space": str, "candidates": list, "blocks": list}
_BLOCK_KEYS = {
    "name": str,
    "operation": str,
    "attention": (dict, list, type(None)),
    "probabilities": (list, type(None)),
}


def _read(content):
    """The arguments of `Genotype` in a file's content."""
    _check_keys("the file", content, _KEYS)
    if content["format"] != FORMAT or isinstance(content["format"], bool):
        raise ValueError(
            f"its format is {content['format']}, and this version reads {FORMAT}."
        )
    blocks = content["blocks"]
    for i, block in enumerate(blocks):
        _check_keys(f"block {i}", block, _BLOCK_KEYS)
        _check_attention(block["name"], block["attention"])
    rows = [block["probabilities"] for block in blocks]
    return {
        "space": content["space"],
        "candidates": content["candidates"],
        "blocks": [block["name"] for block in blocks],
        "operations": [block["operation"] for block in blocks],
        "entries": [block["attention"] for block in blocks],
        "probabilities": [row for row in rows if row is not None],
    }


def _check_keys(where, value, keys):
    if not isinstance(value, dict) or set(value) != set(keys):
        got = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"{where} must have the keys {sorted(keys)}. Received: {got}.")
    for key, kind in keys.items():
        if not isinstance(value[key], kind):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            wanted = " or ".join(k.__name__ for k in kinds)
            raise ValueError(
                f"{key!r} of {where} must be of type {wanted}. Received: "
                f"{value[key]!r}."
            )


def _check_attention(block, attention):
    """Raises where a file's attention names none, or has a wrong option."""
    entries = attention if isinstance(attention, list) else [attention]
    for entry in entries:
        if not isinstance(entry, dict | None):
            raise ValueError(f"{block!r} has no attention of the form {entry!r}.")
    for spec in as_specs(attention):
        # The layer checks its options' values; at this width all that are right fit.
        conv = {"filters": 1024, "kernel_size": 3, "padding": "same"}
        try:
            spec.make(**(conv if spec.site == "conv" else {}))
        except (TypeError, ValueError) as error:
            raise ValueError(f"the attention of {block!r}: {error}") from error


def _no_key_twice(pairs):
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"the key {key!r} is there twice.")
    return dict(pairs)


def _line(cells, widths):
    first, *shares, last = cells
    middle = [f"{share:>{w}}" for share, w in zip(shares, widths[1:-1], strict=True)]
    return "  ".join([f"{first:<{widths[0]}}", *middle, last]).rstrip()
