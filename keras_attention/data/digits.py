"""scikit-learn's handwritten digits: a real data set that needs no download."""

from __future__ import annotations

from keras_attention.data.arrays import from_arrays
from keras_attention.data.image_data import ImageData
from keras_attention.extras import require


def digits(*, test: float, source: dict, **options) -> ImageData:
    """1,797 images, 8×8×1, 10 classes; `options` as in `from_arrays`."""
    datasets = require(
        "sklearn.datasets", extra="data", purpose="The data set 'digits'"
    )
    bundle = datasets.load_digits()
    # The bundle counts from 0 to 16.
    images = (bundle.images[..., None] * (255 / 16)).round().astype("uint8")
    return from_arrays(
        (images, bundle.target),
        class_names=[str(name) for name in bundle.target_names],
        test=test,
        name="digits",
        source=source,
        **options,
    )
