"""What image files become, held against Pillow, and which are refused."""

import io

import numpy as np
import pytest
from PIL import Image
from references.image_bytes import ANIMATION, BAD, GOOD, JPEG, PIXELS, png

from keras_attention.data.image_files import read_pixels
from keras_attention.data.image_headers import image_size

# Pillow's libjpeg has another inverse cosine transform and smoother chroma.
MOST_OFF = {"JPEG": 6, "WEBP": 6}


@pytest.mark.parametrize("name", GOOD)
def test_pixels_and_sizes_are_pillows(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(GOOD[name])
    image = Image.open(path)
    expected = np.asarray(image.convert("RGB"), int)
    found = read_pixels(str(path), 3).numpy()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= MOST_OFF.get(image.format, 0)
    assert image_size(GOOD[name])[:2] == (image.height, image.width)


def test_of_sixteen_bits_the_upper_eight_are_taken(tmp_path, rng):
    for shape in ((6, 5, 3), (6, 5)):
        pixels = rng.integers(0, 2**16, shape)
        (tmp_path / "deep.png").write_bytes(png(pixels, bits=16))
        found = read_pixels(str(tmp_path / "deep.png"), 3).numpy()
        expected = np.broadcast_to((pixels >> 8).reshape(6, 5, -1), (6, 5, 3))
        np.testing.assert_array_equal(found, expected)


def test_a_camera_s_rotation_is_not_applied(tmp_path):
    """EXIF's orientation 6 would exchange height and width."""
    (tmp_path / "x.jpg").write_bytes(GOOD["rotated.jpg"])
    assert read_pixels(str(tmp_path / "x.jpg"), 3).shape == PIXELS.shape


def test_the_frames_of_an_animation_count_together():
    frames = Image.open(io.BytesIO(ANIMATION)).n_frames
    assert frames == 2
    assert image_size(ANIMATION) == (48, 40, 2 * 48 * 40)


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_with_a_reason(name, tmp_path):
    contents, reason = BAD[name]
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(ValueError, match=reason):
        read_pixels(str(tmp_path / name), 3)


def test_a_header_may_be_cut_anywhere():
    """An error with a reason, or a size; nothing else, whatever the length."""
    for contents in {contents for contents in GOOD.values() if contents != JPEG}:
        for length in range(0, min(len(contents), 120), 3):
            try:
                height, width, held = image_size(contents[:length])
            except ValueError as error:
                assert str(error).startswith("it")
            else:
                assert held >= height * width


def test_a_file_of_many_bytes_is_not_read(tmp_path):
    path = tmp_path / "x.bmp"
    with open(path, "wb") as file:
        file.truncate(2**40)  # without content: it takes no room
    with pytest.raises(ValueError, match="1,099,511,627,776 bytes, over 268,435,456"):
        read_pixels(str(path), 3)
