"""Top-1 and top-5 error in percent, as the papers print them."""

from __future__ import annotations

import keras


@keras.saving.register_keras_serializable(package="keras_attention")
class TopKError(keras.metrics.Mean):
    """Percent of images whose class is not among the `k` most probable.

    `k=1` counts the first of several equal maxima as the answer, so a network
    that says the same for all classes is wrong, not right.

    Args:
        k: at least 1.
        name: `"top{k}_error"` by default.
    """

    def __init__(self, k: int = 1, name: str | None = None, dtype=None):
        super().__init__(name=name or f"top{k}_error", dtype=dtype)
        if k < 1:
            raise ValueError(f"`k` must be at least 1. Received: k={k}")
        self.k = k

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Labels `[batch]` and scores `[batch, classes]`, larger is likelier.

        Labels may also be `[batch, classes]`, shares of classes as mixup makes them;
        the answer is then the class with the largest share.
        """
        if len(y_true.shape) == 2 and y_true.shape[-1] == y_pred.shape[-1]:
            y_true = keras.ops.argmax(y_true, axis=-1)
        # TensorFlow's top k takes no halves, which a network in float16 may give.
        y_pred = keras.ops.cast(y_pred, self.dtype)
        if self.k == 1:
            hit = keras.metrics.sparse_categorical_accuracy(y_true, y_pred)
        else:
            hit = keras.metrics.sparse_top_k_categorical_accuracy(
                y_true, y_pred, k=self.k
            )
        hit = keras.ops.cast(hit, self.dtype)
        return super().update_state(100 * (1 - hit), sample_weight)

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype, "k": self.k}


def error_metrics(classes: int) -> list[TopKError]:
    """Top-1 error, and top-5 error where there are more than 5 classes."""
    return [TopKError(k) for k in (1, 5) if k == 1 or classes > k]
