"""SavedModels, run by TensorFlow."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import tensorflow as tf

from keras_attention.files import read_limited
from keras_attention.saved_models.description import (
    FILE,
    LOGITS,
    Description,
    missing,
)
from keras_attention.saved_models.runtime import Artifact


class SavedModel(Artifact):
    """A SavedModel's folder. `threads` is TensorFlow's own setting, so not taken."""

    @classmethod
    def open(cls, path: Path, threads: int | None) -> SavedModel:
        """See `runtime.load`."""
        if threads is not None:
            raise ValueError(
                "The threads of a SavedModel are those of TensorFlow in this process: "
                "use `tf.config.threading`, and threads=None."
            )
        if not (path / "saved_model.pb").exists():
            raise ValueError(f"{path} holds no SavedModel: there is no saved_model.pb")
        if not (path / FILE).exists():
            raise missing(path)
        text = read_limited(path / FILE)
        artifact = cls(path, Description.from_json(text, path / FILE), threads)
        try:
            artifact._loaded = tf.saved_model.load(str(path))
        except Exception as error:  # of TensorFlow, of many classes
            raise ValueError(f"{path} is damaged: {error}") from error
        return artifact

    def operators(self) -> dict[str, int]:
        """See `Artifact`."""
        function = self._loaded.signatures[self.description.signature]
        graph = function.graph.as_graph_def()
        nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
        return dict(Counter(node.op for node in nodes))

    def runner(self, count: int, *, logits: bool = False):
        """See `Artifact`."""
        name = LOGITS if logits else self.description.signature
        function = self._loaded.signatures[name]

        def run(images):
            outputs = function(**{self.description.input_name: tf.constant(images)})
            return [outputs[name].numpy() for name in self.description.output_names]

        return run
