"""What a file says of itself: names, labels, and how an image becomes its input."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from keras_attention.version import __version__

KEY = "keras_attention"  # of the entry in a file's metadata
LOGITS = "logits"  # a classifier's second signature in a SavedModel
FILE = f"assets.extra/{KEY}.json"  # the same in a SavedModel


@dataclass(frozen=True)
class Description:
    """Travels inside every exported file, as JSON.

    Args:
        model: name of the network.
        format: `"saved_model"`, `"litert"` or `"onnx"`.
        precision: `"float32"`, `"float16"` or `"int8"`.
        input_shape: `(batch or None, height, width, channels)`, of float32.
        signature: name of the signature.
        input_name: of the images.
        output_names: one for each output, in the network's order.
        softmax: whether the (one) output is a softmax over classes.
        labels: name of each class, or None.
        preprocessing: `keras_attention.data.Preprocessing.to_dict()`, or None.
        float_layers: layers that compute in float32 in an int8 file.
        version: of this package, which wrote the file.
    """

    model: str
    format: str
    precision: str
    input_shape: tuple
    signature: str
    input_name: str
    output_names: tuple
    softmax: bool
    labels: tuple | None = None
    preprocessing: dict | None = None
    float_layers: tuple = ()
    version: str = __version__

    def to_json(self) -> str:
        """The inverse of `from_json`."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, place) -> Description:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is damaged, or of another version's form; `place` is named.
        """
        try:
            return cls(
                **{
                    key: tuple(value) if isinstance(value, list) else value
                    for key, value in json.loads(text).items()
                }
            )
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(
                f"The description in {place} cannot be read: {error}. Export the "
                "network again with this version of keras_attention."
            ) from error


def missing(place) -> ValueError:
    """The error for a file that some other program wrote."""
    return ValueError(
        f"{place} has no description by keras_attention, so it was not written by "
        "`keras_attention.saved_models.export`. Export the network with that."
    )
