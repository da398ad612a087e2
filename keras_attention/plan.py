"""Where a network puts its attention.

An application turns its `attention=` argument into an `AttentionPlan`; its blocks ask
the plan what stands at their sites and never name an attention.
"""

import dataclasses
import fnmatch
import itertools
from collections.abc import Mapping, Sequence

from keras_attention.attention import AttentionSpec, as_specs, is_joined, names
from keras_attention.choices import unknown


@dataclasses.dataclass(frozen=True)
class Sites:
    """What stands at the sites of one block; None where nothing does.

    `explicit` is True where a person placed it here by block, so that a site
    which cannot take it is an error; False where one attention was asked for
    the whole network, which then stands wherever it fits.
    """

    conv: AttentionSpec | None = None
    block: AttentionSpec | None = None
    stage: AttentionSpec | None = None
    explicit: bool = False

    def conv_at(self, index, count):
        """The spec of spatial convolution `index` of the block's `count`."""
        return self.conv.at(index, count) if self.conv else None

    def __str__(self):
        placed = [str(s) for s in (self.conv, self.block, self.stage) if s is not None]
        return " + ".join(placed) or "none"


class AttentionPlan:
    """Which attention stands at each site of a network.

    Args:
        attention: what a user gave as `attention=`:
            - None, a name, a spec, or a list of specs: the same everywhere;
            - a list, or another sequence such as a `Genotype`, with one entry (any of
              the former, or a list of names) per block;
            - a dict from block names, or patterns such as `"stage3_*"`, to
              entries; a full name goes before a pattern, other blocks get none.
            Specs of different sites in a tuple are always the former.
        stages: number of blocks in each stage.
        blocks: the blocks' names in order, instead of `"stage{s}_block{b}"`.
        stem: True if the network also has a block site after its stem, named
            `"stem"`. A list per block leaves it empty, unless it has one entry more:
            then the first is the stem's.

    Blocks are named `"stage{s}_block{b}"`, from 1. A stage-site spec stands after
    the last block of a stage, and never after the last stage: given for the whole
    network it stands after all others; given by block it belongs to the entry of
    a stage's last block.

    Raises:
        ValueError: for whatever does not fit, naming the entry and the choices.
    """

    def __init__(self, attention, stages, stem=False, blocks=None):
        self.stages = tuple(stages)
        self.blocks = blocks or tuple(
            f"stage{s}_block{b}"
            for s, depth in enumerate(self.stages, 1)
            for b in range(1, depth + 1)
        )
        ends = itertools.accumulate(self.stages[:-1])
        self._stage_ends = {self.blocks[end - 1] for end in ends}
        self._stem = stem
        self._sites = {name: Sites() for name in self._slots()}
        if isinstance(attention, Mapping) and "name" not in attention:
            self._place_by_name(attention)
        elif self._is_per_block(attention):
            for name, entry in zip(self._listed(attention), attention, strict=True):
                self._place(name, as_specs(entry))
        else:
            self._place_everywhere(as_specs(attention))

    def __getitem__(self, block):
        """The `Sites` of a block (or of `"stem"`)."""
        return self._sites[block]

    def _slots(self):
        return (("stem",) if self._stem else ()) + self.blocks

    def _is_per_block(self, attention):
        if not isinstance(attention, Sequence) or isinstance(attention, str | bytes):
            return False
        if isinstance(attention, list | tuple) and self._is_joined(attention):
            return False
        if len(attention) not in (len(self.blocks), len(self._slots())):
            stem = " (or one more, the stem's, first)" if self._stem else ""
            raise ValueError(
                f"`attention` has {len(attention)} entries and the network has "
                f"{len(self.blocks)} blocks (by stage: {self.stages}). Give one entry "
                f"per block{stem}, from {self.blocks[0]!r} to {self.blocks[-1]!r}. "
                "(Names for the whole network are joined: 'aw_se', not ['aw', 'se'].)"
            )
        return True

    def _is_joined(self, attention):
        joined = is_joined(attention)
        many = isinstance(attention, list) and len(attention) == len(self.blocks) > 1
        if joined and many:
            raise ValueError(
                f"Ambiguous `attention`: {len(attention)} specs of other sites, and "
                f"{len(self.blocks)} blocks. Give a tuple for all of them in every "
                "block, or a dict by block name."
            )
        return joined

    def _listed(self, attention):
        """The names that a list's entries are for."""
        return self._slots() if len(attention) > len(self.blocks) else self.blocks

    def _place_everywhere(self, specs):
        for name in self._slots():
            self._sites[name] = Sites(
                **{s.site: s for s in specs if self._has_site(name, s.site)}
            )
        for s in specs:
            if s.site == "stage" and not self._stage_ends:
                raise ValueError(
                    f"{s} stands between stages, and this network has one stage only. "
                    f"Choose an attention of another site: {names('block')}."
                )

    def _place_by_name(self, entries):
        patterns = {}
        for key in entries:
            found = fnmatch.filter(self._slots(), key) if isinstance(key, str) else []
            if not found:
                raise unknown("block in `attention`", key, self._slots())
            if key in self._slots():
                continue
            for name in found:
                if name in patterns and name not in entries:
                    raise ValueError(
                        f"Two patterns in `attention` match {name!r}: "
                        f"{patterns[name]!r} and {key!r}. Name the block itself too, "
                        "or make the patterns disjoint."
                    )
                patterns[name] = key
        for name in self._slots():
            if name in entries:
                self._place(name, as_specs(entries[name]))
        for pattern in dict.fromkeys(patterns.values()):
            found = [n for n in patterns if patterns[n] == pattern and n not in entries]
            self._place_by_pattern(pattern, found, as_specs(entries[pattern]))

    def _place_by_pattern(self, pattern, found, specs):
        for s in specs:
            if not any(self._has_site(name, s.site) for name in found):
                raise ValueError(
                    f"{s} has no {s.site!r} site at any block that {pattern!r} "
                    "stands for. Stage-site attentions stand after the last block of "
                    f"a stage: {sorted(self._stage_ends) or 'none here'}."
                )
        for name in found:
            self._place(name, [s for s in specs if self._has_site(name, s.site)])

    def _has_site(self, name, site):
        if name == "stem":
            return site == "block"
        return site != "stage" or name in self._stage_ends

    def _place(self, name, specs):
        for s in specs:
            if not self._has_site(name, s.site):
                raise ValueError(
                    f"{s} cannot stand at {name!r}: it has no {s.site!r} site. "
                    "Stage-site attentions stand after the last block of a stage: "
                    f"{sorted(self._stage_ends) or 'none here'}."
                )
        self._sites[name] = Sites(**{s.site: s for s in specs}, explicit=bool(specs))

    def __str__(self):
        width = max(map(len, self._slots()))
        return "\n".join(f"{n:<{width}}  {self._sites[n]}" for n in self._slots())
