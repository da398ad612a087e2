"""Height and width of an image, from the first bytes of its file."""

from __future__ import annotations

import struct

import tensorflow as tf

__all__ = ["image_size"]

KNOWN = "JPEG, PNG, BMP, GIF or WebP"
BMP_MASKS = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
# Where a GIF's blocks begin: an image, an extension, the end.
GIF_IMAGE, GIF_EXTENSION, GIF_END = 0x2C, 0x21, 0x3B


def image_size(contents: bytes) -> tuple[int, int, int]:
    """What decoding an image would need, without decoding it.

    Args:
        contents: of the whole file.

    Returns:
        Height and width in pixels; and the pixels that the decoder holds at once, which
        are more in a GIF of many frames.

    Raises:
        ValueError: its header is damaged, it is no image of a known kind, or one that
            TensorFlow decodes to something else. The message is a reason.
    """
    for signature, read in READERS.items():
        if contents.startswith(signature):
            try:
                size = read(contents)
            except (struct.error, IndexError, tf.errors.InvalidArgumentError):
                raise ValueError("its header is damaged or cut off") from None
            height, width, *more = size
            return height, width, max(height * width, *more, 0)
    raise ValueError(f"its contents are no {KNOWN}: it begins with {contents[:12]!r}")


def _jpeg(contents: bytes) -> tuple[int, int]:
    height, width, _ = tf.io.extract_jpeg_shape(contents).numpy().tolist()
    return height, width


def _png(contents: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", contents, 16)
    return height, width


def _bmp(contents: bytes) -> tuple[int, int]:
    header, width, height, _, bits, compression = struct.unpack_from(
        "<IiiHHI", contents, 14
    )
    if header < 40:
        raise ValueError("it is a BMP of before Windows 3, which cannot be decoded")
    bit_fields = compression == 3 and bits == 32 and contents[54:66] == BMP_MASKS
    if compression and not bit_fields:
        raise ValueError("it is a compressed BMP, which cannot be decoded")
    if bits < 8:
        raise ValueError(f"it is a BMP of {bits} bits a pixel, which cannot be decoded")
    if bits == 8 and not _is_grey(contents, header):
        raise ValueError(
            "it is a BMP with a palette of colours, whose numbers would be taken for "
            "grey values"
        )
    return abs(height), width


def _is_grey(contents: bytes, header: int) -> bool:
    """Whether entry i of a BMP's palette is (i, i, i)."""
    (pixels,) = struct.unpack_from("<I", contents, 10)
    palette = contents[14 + header : pixels]
    entries = [palette[start : start + 3] for start in range(0, len(palette), 4)]
    return all(entry == bytes([i] * 3) for i, entry in enumerate(entries))


def _gif(contents: bytes) -> tuple[int, int, int]:
    """With the pixels of all frames: the decoder reads every one."""
    width, height, flags = struct.unpack_from("<HHB", contents, 6)
    place, frames = 13 + _color_table(flags), 0
    while place < len(contents) and contents[place] != GIF_END:
        if contents[place] == GIF_IMAGE:
            _, _, wide, high, flags = struct.unpack_from("<HHHHB", contents, place + 1)
            frames += wide * high
            place = _after_blocks(contents, place + 11 + _color_table(flags))
        elif contents[place] == GIF_EXTENSION:
            place = _after_blocks(contents, place + 2)
        else:
            break  # damaged: the decoder reads no further, either
    return height, width, frames


def _color_table(flags: int) -> int:
    """Bytes of the colour table that a GIF's flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(contents: bytes, place: int) -> int:
    """Where blocks that each tell their length end, with one of length 0."""
    while place < len(contents) and contents[place]:
        place += contents[place] + 1
    return place + 1


def _webp(contents: bytes) -> tuple[int, int]:
    kind = contents[12:16]
    if contents[8:12] != b"WEBP" or kind not in (b"VP8 ", b"VP8L", b"VP8X"):
        raise ValueError(f"its contents are no {KNOWN}: a RIFF file of another kind")
    if kind == b"VP8X":
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", contents, 24)
        return (high_h << 16) + low_h + 1, (high_w << 16) + low_w + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", contents, 21)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", contents, 26)
    return height & 0x3FFF, width & 0x3FFF


READERS = {
    b"\xff\xd8\xff": _jpeg,
    b"\x89PNG\r\n\x1a\n": _png,
    b"BM": _bmp,
    b"GIF8": _gif,
    b"RIFF": _webp,
}
