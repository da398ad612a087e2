"""One step of a network's weights, and one step of its architecture."""

from __future__ import annotations

import contextlib

import keras
import tensorflow as tf

from keras_attention.tuning.batch_statistics import exact_batch_statistics
from keras_attention.tuning.hypergradient import hypergradient
from keras_attention.tuning.step_checks import (
    check_backend,
    check_model,
    check_numbers,
    check_optimizers,
    check_unrollable,
    jit_compiles,
    weights_of,
)


class BilevelSteps:
    """The two steps of a bilevel search, compiled: w on training images, α on others.

    Weights: w ← SGD(∇_w Ltr(w, α)). Architecture: α ← Adam(g), with
    g = d[Lval(w'(α), α) + P(α)]/dα + λ·α. Order 1 takes w' = w; order 2 takes the
    step that the weights' optimizer would make now on the training images, with its
    learning rate of the moment, its momentum and its L2 decay, but without clipping.

    A step of the architecture changes α and its optimizer and nothing else: its
    passes use batch statistics (`training=True`), but leave moving statistics and
    random seeds where they are. Under the `tf.distribute` strategy in whose scope
    the model was made, a batch is divided among the replicas (per-replica values are
    taken as they are), and a step equals that of one device with all images (batch
    norm: with `synchronized=True`).

    Args:
        model: a built classifier, `[batch, height, width, channels]` to
            `[batch, classes]`, in float32, float64 or mixed bfloat16.
        weight_optimizer: new, of the weights; for order 2 `keras.optimizers.SGD`
            without `weight_decay`, or `SGDL2`.
        architecture_optimizer: new, of α; DARTS has
            `Adam(3e-4, beta_1=0.5, beta_2=0.999)`.
        architecture: α, list of trainable variables of the model, one per block.
        loss: a Keras loss, its name, or a function of (labels, outputs) that gives
            a loss per image; its mean is taken.
        weights: list of trainable variables of the model, by default all that are
            not in `architecture`.
        penalty: P, function of the list of α that gives a scalar, or None.
        order: 1 or 2.
        l2: λ ≥ 0 of α's decay. It is part of the gradient that Adam scales, as in
            DARTS; Keras' `weight_decay` would not be.
        clip_norm: most that the global norm of the weights' gradient may be, above
            0, or None. It is that of the whole batch, over all replicas.
        jit_compile: True, False, or "auto": XLA where there is an accelerator, and
            one replica.

    Raises:
        ValueError: Keras does not run on TensorFlow, an argument is out of its range,
            or what the steps would leave out without a word: losses inside the model,
            an optimizer that clips, accumulates gradients or was built already,
            float16.

    Source: arXiv:1806.09055 (DARTS). Differs from it: the second order is exact, not
    a finite difference.
    """

    def __init__(
        self,
        model,
        weight_optimizer,
        architecture_optimizer,
        *,
        architecture,
        loss,
        weights=None,
        penalty=None,
        order=1,
        l2=1e-3,
        clip_norm=None,
        jit_compile="auto",
    ):
        check_backend()
        self.model = model
        self.architecture = list(architecture)
        self.weights = weights_of(model, self.architecture, weights)
        self.weight_optimizer = weight_optimizer
        self.architecture_optimizer = architecture_optimizer
        self.penalty = penalty
        self.order = order
        self.l2 = l2
        self.clip_norm = clip_norm
        self._loss = _loss_per_image(loss)
        check_numbers(order, l2, clip_norm)
        check_model(model)
        check_optimizers(weight_optimizer, architecture_optimizer)
        if order == 2:
            check_unrollable(weight_optimizer, self.weights)
        self._strategy = model.distribute_strategy
        with self._strategy.scope():
            weight_optimizer.build(self.weights)
            architecture_optimizer.build(self.architecture)
        compiled = tf.function(
            jit_compile=jit_compiles(model, self._strategy, jit_compile),
            autograph=False,
            reduce_retracing=True,
        )
        self._weight_step = compiled(self._weight_step_of_all)
        self._architecture_step = compiled(self._architecture_step_of_all)

    def weight_step(self, images, labels):
        """One step of the weights' optimizer; moving statistics and seeds go on.

        Args:
            images: a batch of the training part.
            labels: their classes, integers `[batch]`.

        Returns:
            {"loss", "accuracy"}: scalar tensors, of the batch before the step.

        Raises:
            ValueError: the replicas do not divide the batch.
        """
        return self._weight_step(*self._divided(images, labels))

    def architecture_step(
        self, train_images, train_labels, validation_images, validation_labels
    ):
        """One step of the architecture's optimizer.

        Args:
            train_images, train_labels: a batch of the training part, which order 2
                unrolls; order 1 does not look at it.
            validation_images, validation_labels: a batch of the validation part.

        Returns:
            {"loss", "accuracy"} of the validation batch at w' and the α before the
            step, and with a penalty {"penalty"}: scalar tensors.

        Raises:
            ValueError: the replicas do not divide a batch.
        """
        return self._architecture_step(
            *self._divided(
                train_images, train_labels, validation_images, validation_labels
            )
        )

    def _divided(self, *arrays):
        """Each replica's part of every array."""
        replicas = self._strategy.num_replicas_in_sync
        if replicas == 1:
            return arrays
        return [
            array
            if isinstance(array, tf.distribute.DistributedValues)
            else self._parts(array, replicas)
            for array in arrays
        ]

    def _parts(self, array, replicas):
        if len(array) % replicas:
            raise ValueError(
                f"{replicas} replicas need a batch that they divide. Received: "
                f"{len(array)} images."
            )
        parts = tf.split(array, replicas)
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group]
        )

    # What follows runs while TensorFlow traces.

    def _weight_step_of_all(self, *batch):
        return self._mean(self._strategy.run(self._weight_step_of_one, batch))

    def _architecture_step_of_all(self, *batches):
        exact = exact_batch_statistics(self.model)
        with exact if self.order == 2 else contextlib.nullcontext():
            metrics = self._strategy.run(self._architecture_step_of_one, batches)
        return self._mean(metrics)

    def _mean(self, metrics):
        return {
            name: self._strategy.reduce("MEAN", value, axis=None)
            for name, value in metrics.items()
        }

    def _weight_step_of_one(self, images, labels):
        with tf.GradientTape() as tape:
            outputs = self.model(images, training=True)
            loss = self._loss(labels, outputs)
        gradients = tape.gradient(loss, self.weights, unconnected_gradients="zero")
        gradients = self._over_replicas(gradients)
        if self.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.clip_norm)
        self._apply(self.weight_optimizer, gradients, self.weights)
        return {"loss": loss, "accuracy": _accuracy(labels, outputs)}

    def _architecture_step_of_one(
        self, train_images, train_labels, validation_images, validation_labels
    ):
        run = _PassesWithoutTraces(self.model, [*self.weights, *self.architecture])
        metrics = {}

        def training_loss(weights, alphas):
            return self._loss(train_labels, run([*weights, *alphas], train_images))

        def validation_loss(weights, alphas):
            outputs = run([*weights, *alphas], validation_images)
            loss = self._loss(validation_labels, outputs)
            metrics["loss"] = loss
            metrics["accuracy"] = _accuracy(validation_labels, outputs)
            if self.penalty is None:
                return loss
            metrics["penalty"] = tf.cast(self.penalty(alphas), loss.dtype)
            return loss + metrics["penalty"]

        alphas = _values(self.architecture)
        gradients = hypergradient(
            training_loss,
            validation_loss,
            _values(self.weights),
            alphas,
            order=self.order,
            average=self._over_replicas,
            **(self._unrolled_step() if self.order == 2 else {}),
        )
        gradients = [
            gradient + self.l2 * alpha
            for gradient, alpha in zip(gradients, alphas, strict=True)
        ]
        self._apply(self.architecture_optimizer, gradients, self.architecture)
        return metrics

    def _unrolled_step(self):
        """What `sgd_step` must know to do as the weights' optimizer would now."""
        optimizer = self.weight_optimizer
        return {
            "learning_rate": tf.convert_to_tensor(optimizer.learning_rate),
            "momentum": optimizer.momentum,
            "nesterov": optimizer.nesterov,
            "velocities": _values(optimizer.momentums) if optimizer.momentum else None,
            "l2": getattr(optimizer, "l2_by_variable", 0.0),
        }

    def _over_replicas(self, gradients):
        """Their mean over the replicas, which gradients can pass."""
        if self._strategy.num_replicas_in_sync == 1:
            return gradients
        return tf.distribute.get_replica_context().all_reduce("MEAN", gradients)

    def _apply(self, optimizer, gradients, variables):
        # Keras adds up what the replicas apply; a step takes their mean.
        replicas = self._strategy.num_replicas_in_sync
        optimizer.apply([gradient / replicas for gradient in gradients], variables)


class _PassesWithoutTraces:
    """Forward passes in training mode that leave all variables as they were.

    Each goes on with the random seeds where the one before stopped, so that the
    passes of one step do not drop the same units.
    """

    def __init__(self, model, variables):
        self.model = model
        self.variables = variables
        saved = {id(variable) for variable in model.weights}
        self.seeds = [v for v in model.variables if id(v) not in saved]
        self.seed_values = _values(self.seeds)

    def __call__(self, values, images):
        mapping = [
            *zip(self.variables, values, strict=True),
            *zip(self.seeds, self.seed_values, strict=True),
        ]
        with keras.StatelessScope(mapping) as scope:
            outputs = self.model(images, training=True)
        self.seed_values = [scope.get_current_value(seed) for seed in self.seeds]
        return outputs


def _values(variables):
    return [tf.convert_to_tensor(variable.value) for variable in variables]


def _loss_per_image(loss):
    """Function of (labels, outputs) to the mean loss of this replica's images."""
    loss = keras.losses.get(loss)
    if loss is None:
        raise ValueError("`loss` is needed. Received: None.")
    # `Loss.call` gives a loss per image. `__call__` would divide by the replicas.
    per_image = loss.call if isinstance(loss, keras.losses.Loss) else loss

    def mean_loss(labels, outputs):
        return tf.reduce_mean(per_image(labels, _wide(outputs)))

    return mean_loss


def _wide(outputs):
    # Only where it must be: Keras finds a softmax's logits through the tensor.
    return tf.cast(outputs, "float32") if outputs.dtype == "bfloat16" else outputs


def _accuracy(labels, outputs):
    hits = keras.metrics.sparse_categorical_accuracy(labels, outputs)
    return tf.reduce_mean(tf.cast(hits, "float32"))
