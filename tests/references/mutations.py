"""Damage to a file's bytes, the same for the same seed."""

import random


def mutated(content, seed):
    """`content` with one to three damages."""
    draw = random.Random(seed)
    found = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 3))):
        draw.choice(DAMAGES)(found, draw)
    return bytes(found)


def cut_off(found, draw):
    del found[_place(found, draw) :]


def flip_bit(found, draw):
    if found:
        found[_place(found, draw)] ^= 1 << draw.randrange(8)


def fill(found, draw):
    """A block of zeros or ones."""
    start, length = _block(found, draw)
    found[start : start + length] = bytes([draw.choice((0, 255))]) * length


def copy_over(found, draw):
    """A block in the place of another."""
    start, length = _block(found, draw)
    source = draw.randrange(len(found) - length + 1)
    found[start : start + length] = found[source : source + length]


def insert(found, draw):
    start, length = _block(found, draw)
    found[start:start] = found[:length]


def remove(found, draw):
    start, length = _block(found, draw)
    del found[start : start + length]


def digit(found, draw):
    """One more in text, another number anywhere else."""
    if found:
        place = _place(found, draw)
        found[place] = draw.choice(b"0123456789")


DAMAGES = (
    cut_off,
    flip_bit,
    flip_bit,
    flip_bit,
    fill,
    copy_over,
    insert,
    remove,
    digit,
)


def _place(found, draw):
    return draw.randrange(len(found)) if found else 0


def _block(found, draw):
    start = _place(found, draw)
    return start, min(draw.choice((1, 2, 4, 8, 64, 512)), len(found) - start)
