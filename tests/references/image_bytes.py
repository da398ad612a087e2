"""Image files of every kind, good and bad, made in code."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(image, kind, **options):
    """A Pillow image as the contents of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(pixels, bits=8, size=None):
    """A PNG of grey or RGB pixels; `size` (height, width) is what it claims."""
    height, width = size or pixels.shape[:2]
    color = 2 if pixels.ndim == 3 else 0
    rows = (b"\0" + row.astype(f">u{bits // 8}").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data))
        + name
        + data
        + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def bmp(width, height, bits, data, *, palette=b"", compression=0):
    """A BMP with a header of Windows 3; negative heights are top down."""
    start = 54 + len(palette)
    colors = len(palette) // 4
    return (
        struct.pack("<2sIII", b"BM", start + len(data), 0, start)
        + struct.pack("<IiiHHI", 40, width, height, 1, bits, compression)
        + struct.pack("<IiiII", len(data), 0, 0, colors, 0)
        + palette
        + data
    )


def old_bmp(width, height, data):
    """A BMP of OS/2, 24 bits a pixel."""
    return (
        struct.pack("<2sIII", b"BM", 26 + len(data), 0, 26)
        + struct.pack("<IHHHH", 12, width, height, 1, 24)
        + data
    )


def claiming(jpeg, height, width):
    """A JPEG whose header has another size."""
    place = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:place] + struct.pack(">HH", height, width) + jpeg[place + 4 :]


def gif(frames, width=65535, height=65535):
    """A GIF of a 1×1 canvas, whose frames claim to be larger, each of no data."""
    frame = struct.pack("<BHHHHB", 0x2C, 0, 0, width, height, 0) + b"\x02\x00"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + frames * frame + b";"


def blocks(seed=0):
    """RGB (48, 40, 3) of 8×8 blocks of one colour each, kind to JPEG."""
    colors = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8)
    return colors.repeat(8, 0).repeat(8, 1)


PIXELS = blocks()
RGB = Image.fromarray(PIXELS)
JPEG = encoded(RGB, "JPEG", quality=95)
PALETTE = RGB.quantize(30)
GREY = RGB.convert("L")
ALPHA = Image.fromarray(np.dstack([PIXELS, PIXELS[..., :1]]))
ANIMATION = encoded(PALETTE, "GIF", save_all=True, append_images=[GREY.convert("P")])
ROTATED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
BGR = PIXELS[:, :, ::-1].tobytes()

# Files that TensorFlow decodes as Pillow does.
GOOD = {
    "plain.jpg": JPEG,
    "progressive.JPG": encoded(RGB, "JPEG", progressive=True, quality=95),
    "grey.jpeg": encoded(GREY, "JPEG"),
    "cmyk.jpg": encoded(RGB.convert("CMYK"), "JPEG", quality=95),
    "rotated.jpg": encoded(RGB, "JPEG", quality=95, exif=ROTATED),
    "plain.png": png(PIXELS),
    "alpha.png": encoded(ALPHA, "PNG"),
    "grey alpha.png": encoded(ALPHA.convert("LA"), "PNG"),
    "palette.png": encoded(PALETTE, "PNG"),
    "palette with a hole.png": encoded(PALETTE, "PNG", transparency=3),
    "one bit.png": encoded(RGB.convert("1"), "PNG"),
    "plain.gif": encoded(PALETTE, "GIF"),
    "animation.gif": ANIMATION,
    "plain.bmp": encoded(RGB, "BMP"),
    "alpha.bmp": encoded(ALPHA, "BMP"),
    "grey.bmp": encoded(GREY, "BMP"),
    "top down.bmp": bmp(40, -48, 24, BGR),
    "png by its contents.jpg": png(PIXELS),
    "webp by its contents.jpg": encoded(RGB, "WEBP", lossless=True),
    "lossy webp.jpg": encoded(RGB, "WEBP", quality=90),
    "webp with exif.jpg": encoded(RGB, "WEBP", lossless=True, exif=ROTATED),
}

# Files that cannot be used, and what is said of them.
BAD = {
    "empty.jpg": (b"", "it is empty"),
    "cut.jpg": (JPEG[:-30], "damaged, cut off"),
    "cut to its header.jpg": (JPEG[:20], "header is damaged or cut off"),
    "cut.png": (png(PIXELS)[:-30], "damaged, cut off"),
    "cut to its header.png": (png(PIXELS)[:15], "header is damaged or cut off"),
    "cut.gif": (encoded(PALETTE, "GIF")[:-30], "damaged, cut off"),
    "cut.bmp": (encoded(RGB, "BMP")[:-30], "damaged, cut off"),
    "page.jpg": (b"<!DOCTYPE html>" * 9, r"contents are no JPEG.*b'<!DOCTYPE ht'"),
    "tiff.png": (encoded(RGB, "TIFF"), r"contents are no JPEG, PNG, BMP, GIF or WebP"),
    "sound.gif": (b"RIFF....WAVEfmt ....", "RIFF file of another kind"),
    "bomb.png": (png(PIXELS, size=(50000, 50000)), r"2,500,000,000 pixels \(50000×"),
    "bomb.jpg": (claiming(JPEG, 65500, 65500), "4,290,250,000 pixels"),
    "bomb.bmp": (bmp(2**20, -(2**20), 24, b""), "1,099,511,627,776 pixels"),
    "bomb.gif": (gif(3), r"12,884,508,675 pixels \(1×1\)"),
    "thin.png": (png(np.zeros((1, 101), np.uint8)), "1×101 pixels are too thin"),
    "flat.png": (png(PIXELS, size=(0, 40)), "it has 0×40 pixels"),
    "webp with alpha.png": (
        encoded(ALPHA, "WEBP", lossless=True),
        "of a form without a decoder: Number of channels",
    ),
    "palette.bmp": (encoded(PALETTE, "BMP"), "palette of colours"),
    "run length.bmp": (bmp(8, 6, 8, b"\x08\x01\0\0" * 6, compression=1), "compressed"),
    "one bit.bmp": (encoded(RGB.convert("1"), "BMP"), "1 bits a pixel"),
    "old.bmp": (old_bmp(40, 48, BGR), "before Windows 3"),
}
