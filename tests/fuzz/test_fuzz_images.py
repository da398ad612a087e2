"""Image files with damages: pixels, or a reason why there are none."""

import numpy as np
from fuzzing import fuzzed
from hypothesis import strategies as st
from mangling import damaged_bytes
from references.image_bytes import BAD, GOOD

from keras_attention.data.image_files import MOST_ASPECT, MOST_PIXELS, read_pixels
from keras_attention.data.inspection import inspect_files

WHOLE = sorted(GOOD.values()) + sorted(content for content, _ in BAD.values())


@fuzzed(2500, content=damaged_bytes(WHOLE), channels=st.sampled_from((1, 3)))
def test_image_files(inputs, content, channels):
    """What the inspection lets through is decoded, and nothing else is."""
    if inputs.is_over():
        return
    path = inputs.inside / "fuzzed.jpg"
    path.write_bytes(content)
    bad = {}

    def looked_at_and_decoded():
        bad.update(inspect_files([str(path)], channels))
        return read_pixels(str(path), channels).numpy()

    pixels = inputs.outcome(looked_at_and_decoded)
    if pixels is None:
        assert list(bad) == [str(path)] and all(bad.values())
        return
    assert bad == {}
    height, width, found = pixels.shape
    assert pixels.dtype == np.uint8 and found == channels
    assert 0 < height * width <= MOST_PIXELS
    assert max(height, width) <= MOST_ASPECT * min(height, width)
